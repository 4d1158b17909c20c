"""The two networks: loaded when first needed, lent to one thread at a time, and what each says of an image.

The program ends after them. A thread that comes back from OpenCV while the interpreter is being
taken down takes the whole process with it (SIGABRT, "terminate called without an active exception"); so at
the end calls under way are awaited, for a few seconds at most, and no new one begins.

A cv2.dnn net holds its activations between setInput and forward, so two threads never share one.
A small pool lends whole pairs, so that threads do not queue for one. A further pair costs 88 MB and is only
made when two threads want one at once. On 2 cores the gain over one pair behind a lock is small: 55 against
63 ms an image in a single run, the networks alone.

What the network is fed is what it was trained on: RGB, (v - 127) / 128, the centre square of side
224/256 of the short edge.

Boxes leave this module as fractions of the image, so nobody else knows of letterboxes and strides.
"""

from __future__ import annotations

import atexit
import os
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Generic, TypeAlias, TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from visionpipe.local.decide import COCO
from visionpipe.local.facts import Box, Detection, Guess

LONGEST_WAIT_S = 10.0


class Calls:
    """Counts the calls under way.

    Args:
        at_end: is given what has to run when the program ends.
    """

    def __init__(self, at_end: Callable[[Callable[[], None]], object] = atexit.register) -> None:
        self._changed = threading.Condition()
        self._count = 0
        self._over = False
        at_end(self.end)

    @contextmanager
    def under_way(self) -> Iterator[None]:
        """For the length of a ``with`` block the end waits. After it only the main thread, which is the one
        that ends, may still enter; others stay here."""
        with self._changed:
            while self._over and threading.current_thread() is not threading.main_thread():
                self._changed.wait()
            self._count += 1
        try:
            yield
        finally:
            with self._changed:
                self._count -= 1
                self._changed.notify_all()

    def end(self) -> None:
        """Waits for the calls under way, and lets no more begin."""
        with self._changed:
            self._over = True
            self._changed.wait_for(lambda: self._count == 0, LONGEST_WAIT_S)


calls = Calls()
"""Those of this process."""


Pixels: TypeAlias = NDArray[np.uint8]
"""Height x width x 3, BGR, 0 to 255."""

Tensor: TypeAlias = NDArray[np.float32]

CLASSIFIER = "efficientnet_lite0_224_fp16.onnx"
DETECTOR = "nanodet_g_416_fp16.onnx"
LABELS = "imagenet1k_labels.txt"
LARGEST_POOL = 4

Lent = TypeVar("Lent")


def model_file(name: str) -> bytes:
    """The bytes of one of the files shipped under ``visionpipe/local/models``."""
    return (resources.files("visionpipe.local") / "models" / name).read_bytes()


class Network:
    """One loaded net. For one thread at a time."""

    def __init__(self, name: str) -> None:
        # From memory, since OpenCV cannot open every path that Python can (zip files, Windows code pages).
        self._net = cv2.dnn.readNetFromONNX(np.frombuffer(model_file(name), np.uint8))
        self._outputs = tuple(self._net.getUnconnectedOutLayersNames())

    def forward(self, tensor: Tensor) -> list[Tensor]:
        """All outputs of the net for ``tensor`` (1 x 3 x side x side), in no promised order: it differs
        between versions of OpenCV, so callers tell them apart by shape."""
        self._net.setInput(tensor, "x")
        # All outputs at once: OpenCV 5 refuses to give only some of them.
        return [np.asarray(output, np.float32) for output in self._net.forward(self._outputs)]


@dataclass(frozen=True, slots=True)
class NetworkPair:
    """A classifier and a detector that one thread has for itself."""

    classifier: Network
    detector: Network


class Pool(Generic[Lent]):
    """Makes things when they are needed, and lends each to one thread at a time.

    Args:
        make: makes one.
        size: most alive; None takes the number of cores this process may use, at most 4.
    """

    def __init__(self, make: Callable[[], Lent], size: int | None = None) -> None:
        self._make = make
        self._size = size if size is not None else min(_cores(), LARGEST_POOL)
        self._idle: list[Lent] = []
        self._made = 0
        self._changed = threading.Condition()

    @contextmanager
    def borrow(self) -> Iterator[Lent]:
        """One for the length of a ``with`` block; waits while all are out."""
        lent = self._take()
        try:
            yield lent
        finally:
            with self._changed:
                self._idle.append(lent)
                self._changed.notify()

    def _take(self) -> Lent:
        with self._changed:
            while not self._idle:
                if self._made < self._size:
                    made = self._make()
                    self._made += 1
                    return made
                self._changed.wait()
            return self._idle.pop()


class NetworkPool(Pool[NetworkPair]):
    """Lends pairs of networks to any number of threads.

    Args:
        size: most pairs alive; None takes the number of cores this process may use, at most 4.
        opencv_threads: threads OpenCV may use inside one call, for the whole process; None leaves
            OpenCV's own setting alone.
    """

    def __init__(self, size: int | None = None, *, opencv_threads: int | None = None) -> None:
        super().__init__(self._pair, size)
        self._opencv_threads = opencv_threads

    def _pair(self) -> NetworkPair:
        if self._made == 0 and self._opencv_threads is not None:
            cv2.setNumThreads(self._opencv_threads)
        return NetworkPair(Network(CLASSIFIER), Network(DETECTOR))


def _cores() -> int:
    # Containers and taskset allow fewer cores than the machine has; not every system can tell.
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


CLASSIFIER_SIDE = 224
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
    way = cv2.INTER_AREA if side > CLASSIFIER_SIDE else cv2.INTER_LINEAR
    resized = cv2.resize(square, (CLASSIFIER_SIDE, CLASSIFIER_SIDE), interpolation=way)
    scaled = (resized[:, :, ::-1].astype(np.float32) - 127.0) / 128.0
    return np.ascontiguousarray(scaled.transpose(2, 0, 1)[np.newaxis])


DETECTOR_SIDE = 416
STRIDES = (8, 16, 32)
BINS = 11
MEAN = np.array([103.53, 116.28, 123.675], np.float32)  # BGR
STD = np.array([57.375, 57.12, 58.395], np.float32)
LOWEST_SCORE = 0.4
OVERLAP = 0.5


def detect(network: Network, pixels: Pixels) -> tuple[Detection, ...]:
    """All things in ``pixels`` (height x width x 3, BGR, 0 to 255) that score at least 0.4, best first."""
    height, width = pixels.shape[:2]
    scale = DETECTOR_SIDE / max(height, width)
    inner_w, inner_h = max(1, round(width * scale)), max(1, round(height * scale))
    left, top = (DETECTOR_SIDE - inner_w) // 2, (DETECTOR_SIDE - inner_h) // 2
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
    canvas = np.zeros((DETECTOR_SIDE, DETECTOR_SIDE, 3), np.float32)
    resized = cv2.resize(pixels, (width, height), interpolation=way)
    canvas[top : top + height, left : left + width] = (resized.astype(np.float32) - MEAN) / STD
    return np.ascontiguousarray(canvas.transpose(2, 0, 1)[np.newaxis])


def _decode(outputs: list[Tensor]) -> tuple[Tensor, Tensor]:
    """Scores (cells x 80) and corners (cells x 4, pixels of the letterbox) of all three scales."""
    scores = {out.shape[1]: out[0] for out in outputs if out.shape[2] == len(COCO)}
    distances = {out.shape[1]: out[0] for out in outputs if out.shape[2] == 4 * BINS}
    all_scores, all_corners = [], []
    for stride in STRIDES:
        cells = DETECTOR_SIDE // stride
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
