"""Colours, sharpness and exposure: what can be measured without knowing what is shown.

Measured at one fixed size, so that a figure means the same for a thumbnail and a 12 MP photo.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from visionpipe.local.facts import Colour, Exposure, Look
from visionpipe.local.networks import Pixels

COLOUR_SIDE = 96
EDGE_SIDE = 512
SMALLEST_SHARE = 0.05
DARK_BELOW = 55.0
BRIGHT_ABOVE = 200.0
FAINTEST_EDGE = 2.0  # levels a pixel; below, noise would be measured

NAMES = (
    "black", "grey", "white", "red", "orange", "yellow", "green", "turquoise", "blue", "purple", "pink",
    "brown", "beige",
)  # fmt: skip
_AT = {name: index for index, name in enumerate(NAMES)}

# Upper bound of each hue on OpenCV's circle of 180.
_HUES = ((8, "red"), (21, "orange"), (33, "yellow"), (80, "green"), (98, "turquoise"), (128, "blue"),
         (150, "purple"), (170, "pink"), (181, "red"))  # fmt: skip


def measure(pixels: Pixels) -> Look:
    """Measure ``pixels`` (height x width x 3, BGR, 0 to 255)."""
    small = _within(pixels, COLOUR_SIDE)
    luma = cv2.cvtColor(small, cv2.COLOR_BGR2GRAY).astype(np.float32)
    spread = small.max(axis=2).astype(np.int16) - small.min(axis=2)
    brightness = float(luma.mean())
    return Look(
        colours=_colours(small),
        grey=bool((spread <= 12).mean() >= 0.995),
        bilevel=_bilevel(luma),
        sharpness=_sharpness(pixels),
        brightness=brightness,
        exposure=_exposure(brightness),
    )


def _bilevel(luma: NDArray[np.float32]) -> bool:
    ink, paper = float((luma < 40).mean()), float((luma > 215).mean())
    return ink + paper >= 0.9 and min(ink, paper) >= 0.02


def _within(pixels: Pixels, side: int) -> Pixels:
    height, width = pixels.shape[:2]
    scale = side / max(height, width)
    if scale >= 1:
        return pixels
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)


def _exposure(brightness: float) -> Exposure:
    if brightness < DARK_BELOW:
        return "dark"
    return "bright" if brightness > BRIGHT_ABOVE else "normal"


def _colours(small: Pixels) -> tuple[Colour, ...]:
    hsv = cv2.cvtColor(small, cv2.COLOR_BGR2HSV)
    counts = np.bincount(_named(hsv).ravel(), minlength=len(NAMES)) / (hsv.shape[0] * hsv.shape[1])
    order = np.argsort(-counts, kind="stable")
    return tuple(Colour(NAMES[int(i)], float(counts[i])) for i in order if counts[i] >= SMALLEST_SHARE)


def _named(hsv: NDArray[np.generic]) -> NDArray[np.intp]:
    hue, saturation, value = (hsv[:, :, channel].astype(np.int16) for channel in range(3))
    found = np.full(hue.shape, _AT["red"], np.intp)
    below = -1
    for bound, name in _HUES:
        found[(hue > below) & (hue <= bound)] = _AT[name]
        below = bound
    chroma = saturation * (value / 255.0)
    warm = (hue <= 25) | (hue >= 172)
    found[warm & (value < 170) & (hue >= 4) & (hue <= 25)] = _AT["brown"]
    found[(hue >= 8) & (hue <= 30) & (chroma < 75) & (value >= 170)] = _AT["beige"]
    found[(hue > 170) & (chroma < 110) & (value >= 170)] = _AT["pink"]
    found[(hue < 8) & (chroma < 110) & (value >= 190)] = _AT["pink"]
    dull = chroma < 28
    found[dull & (value >= 200)] = _AT["white"]
    found[dull & (value < 200)] = _AT["grey"]
    found[value < 50] = _AT["black"]
    return found


def _sharpness(pixels: Pixels) -> float | None:
    """How much of the steepest edges a further blur takes away, in the direction that loses least.

    After Crete and others (2007), but on the steepest hundredth only and with noise smoothed out first:
    over the whole image, grain passes for detail and a blurred photo for a sharp one.
    """
    grey = cv2.cvtColor(_within(pixels, EDGE_SIDE), cv2.COLOR_BGR2GRAY).astype(np.float32)
    calm = cv2.GaussianBlur(grey, (0, 0), 1.0)
    kept: list[float] = []
    for axis, kernel in ((1, (9, 1)), (0, (1, 9))):
        if calm.shape[axis] < 2 * max(kernel):
            continue
        before = np.abs(np.diff(calm, axis=axis))
        steep = before >= np.quantile(before, 0.99)
        if before[steep].mean() < FAINTEST_EDGE:
            continue
        after = np.abs(np.diff(cv2.blur(calm, kernel), axis=axis))
        kept.append(float(np.maximum(0.0, before - after)[steep].sum() / before[steep].sum()))
    return min(kept, default=None)
