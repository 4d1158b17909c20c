"""NanoDet-g: which of the 80 COCO things are in an image, how many, and where.

The rule: boxes leave this module as fractions of the image, so nobody else knows of letterboxes and strides.
"""

from __future__ import annotations

import cv2
import numpy as np

from visionpipe.local.facts import Box, Detection
from visionpipe.local.names import COCO
from visionpipe.local.networks import Network, Pixels, Tensor

SIDE = 416
STRIDES = (8, 16, 32)
BINS = 11
MEAN = np.array([103.53, 116.28, 123.675], np.float32)  # BGR
STD = np.array([57.375, 57.12, 58.395], np.float32)
LOWEST_SCORE = 0.4
OVERLAP = 0.5


def detect(network: Network, pixels: Pixels) -> tuple[Detection, ...]:
    """All things in ``pixels`` (height x width x 3, BGR, 0 to 255) that score at least 0.4, best first."""
    height, width = pixels.shape[:2]
    scale = SIDE / max(height, width)
    inner_w, inner_h = max(1, round(width * scale)), max(1, round(height * scale))
    left, top = (SIDE - inner_w) // 2, (SIDE - inner_h) // 2
    tensor = _letterbox(pixels, inner_w, inner_h, left, top)
    scores, corners = _decode(network.forward(tensor))
    kinds = scores.argmax(axis=1)
    best = scores.max(axis=1)
    likely = np.flatnonzero(best >= LOWEST_SCORE)
    if likely.size == 0:
        return ()
    kinds, best, corners = kinds[likely], best[likely], corners[likely]
    sized = np.concatenate([corners[:, :2], corners[:, 2:] - corners[:, :2]], axis=1)
    kept = cv2.dnn.NMSBoxesBatched(sized.tolist(), best.tolist(), kinds.tolist(), LOWEST_SCORE, OVERLAP)
    inside = (corners - np.array([left, top, left, top])) / np.array([inner_w, inner_h, inner_w, inner_h])
    inside = np.clip(inside, 0.0, 1.0)
    order = sorted((int(i) for i in kept), key=lambda i: -float(best[i]))
    return tuple(
        Detection(COCO[int(kinds[i])].english, float(best[i]), Box(*(float(v) for v in inside[i])))
        for i in order
    )


def _letterbox(pixels: Pixels, width: int, height: int, left: int, top: int) -> Tensor:
    way = cv2.INTER_AREA if width < pixels.shape[1] else cv2.INTER_LINEAR
    canvas = np.zeros((SIDE, SIDE, 3), np.float32)
    resized = cv2.resize(pixels, (width, height), interpolation=way)
    canvas[top : top + height, left : left + width] = (resized.astype(np.float32) - MEAN) / STD
    return np.ascontiguousarray(canvas.transpose(2, 0, 1)[np.newaxis])


def _decode(outputs: list[Tensor]) -> tuple[Tensor, Tensor]:
    """Scores (cells x 80) and corners (cells x 4, pixels of the letterbox) of all three scales."""
    scores = {out.shape[1]: out[0] for out in outputs if out.shape[2] == len(COCO)}
    distances = {out.shape[1]: out[0] for out in outputs if out.shape[2] == 4 * BINS}
    all_scores, all_corners = [], []
    for stride in STRIDES:
        cells = SIDE // stride
        bins = distances[cells * cells].reshape(-1, 4, BINS)
        weights = np.exp(bins - bins.max(axis=2, keepdims=True))
        expected = (weights * np.arange(BINS)).sum(axis=2) / weights.sum(axis=2) * stride
        middle = (np.arange(cells) + 0.5) * stride
        x, y = (grid.ravel() for grid in np.meshgrid(middle, middle))
        all_corners.append(
            np.stack(
                [x - expected[:, 0], y - expected[:, 1], x + expected[:, 2], y + expected[:, 3]], axis=1
            ).astype(np.float32)
        )
        all_scores.append(scores[cells * cells])
    return np.concatenate(all_scores), np.concatenate(all_corners)
