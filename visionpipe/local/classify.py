"""EfficientNet-Lite0: which of the 1000 ImageNet classes an image as a whole belongs to.

The rule: what the network is fed is what it was trained on: RGB, (v - 127) / 128, the centre square of side
224/256 of the short edge.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np

from visionpipe.local.facts import Guess
from visionpipe.local.networks import LABELS, Network, Pixels, Tensor, model_file

SIDE = 224
CROP = 224 / 256


@dataclass(frozen=True, slots=True)
class Classification:
    """The probability (0 to 1) of each of the 1000 classes."""

    probabilities: Tensor

    def top(self, count: int) -> tuple[Guess, ...]:
        """The ``count`` likeliest classes, best first."""
        best = np.argsort(-self.probabilities, kind="stable")[:count]
        return tuple(Guess(int(i), label(int(i)), float(self.probabilities[i])) for i in best)

    def share(self, indices: Iterable[int]) -> float:
        """The summed probability of some classes."""
        return float(self.probabilities[list(indices)].sum())


@cache
def labels() -> tuple[str, ...]:
    """The first name of each class, in index order."""
    lines = model_file(LABELS).decode("utf-8").splitlines()
    return tuple(line.split(",", 1)[0].strip() for line in lines)


def label(index: int) -> str:
    return labels()[index]


def classify(network: Network, pixels: Pixels) -> Classification:
    """Classify ``pixels`` (height x width x 3, BGR, 0 to 255)."""
    logits = next(out for out in network.forward(_prepare(pixels)) if out.shape[-1] == len(labels())).ravel()
    shifted = np.exp(logits - logits.max())
    return Classification(shifted / shifted.sum())


def _prepare(pixels: Pixels) -> Tensor:
    height, width = pixels.shape[:2]
    side = max(1, round(min(height, width) * CROP))
    top, left = (height - side) // 2, (width - side) // 2
    square = pixels[top : top + side, left : left + side]
    way = cv2.INTER_AREA if side > SIDE else cv2.INTER_LINEAR
    resized = cv2.resize(square, (SIDE, SIDE), interpolation=way)
    scaled = (resized[:, :, ::-1].astype(np.float32) - 127.0) / 128.0
    return np.ascontiguousarray(scaled.transpose(2, 0, 1)[np.newaxis])
