"""The two networks, loaded when first needed, and lent to one thread at a time.

The rule: a cv2.dnn net holds its activations between setInput and forward, so two threads never share one.
A small pool lends whole pairs, so that threads do not queue for one. A further pair costs 88 MB and is only
made when two threads want one at once. On 2 cores the gain over one pair behind a lock is small: 55 against
63 ms an image in a single run, the networks alone.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import resources
from typing import Generic, TypeAlias, TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

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
