"""What a picture looks like, as 256 signed bytes, and the nearest of many such vectors.

The same pixels give the same bytes, in every thread; likeness is the cosine of two such vectors.

Three things were measured on 41 pictures (the samples, the photos of scikit-image 0.16 and ultralytics, party
photos and screenshots of @vladmandic/human, one frame of Big Buck Bunny), each in 13 altered versions:

- The 1280 pooled features of EfficientNet-Lite0 part the versions of a picture from other pictures better
  than its logits; the whole picture, squeezed into the network's square, does so better than its centre; and
  square roots, which keep a few strong features from deciding alone, do so better than plain values.
- Pictures that are mostly one flat colour (pages, charts, products on white) are all alike to the network:
  of pairs of different letters 98 % had a likeness above 0.9. So half of their vector is their layout, the
  steps of brightness on a grid of 24 x 24, after which no pair had.
- Signs drawn at random reduce both to 256 numbers, with an error of 0.008 (standard deviation) near 0.9.

Exact, and 268 bytes a vector of 256: small ones stay as bytes and become floats a block at a time.
"""

from __future__ import annotations

import hashlib
import math
import os
from functools import cache

import cv2
import numpy as np
from numpy.typing import NDArray

from visionpipe.images.hashes import shown
from visionpipe.local.networks import (
    CLASSIFIER,
    CLASSIFIER_SIDE,
    Network,
    Pixels,
    Pool,
    Tensor,
    calls,
    labels,
)
from visionpipe.media import Image

VERSION = 1
"""Raised with every change after which vectors cannot be compared with earlier ones."""

LENGTH = 256
"""Bytes of a vector, each a signed number."""

_FEATURES = 1280
_GRID = 24
_STEPS = 2 * _GRID * (_GRID - 1)
_COLOUR_SIDE = 56
_SAME_COLOUR = 16
_FLAT_FROM, _FLAT_AT = 0.4, 0.6
_LAYOUT_SHARE = 0.5
_ENOUGH = (2 * CLASSIFIER_SIDE, 2 * CLASSIFIER_SIDE)


class LikenessReader:
    """Makes vectors of pictures, from any number of threads. The network is loaded with the first.

    Args:
        pool_size: most networks alive at once; None takes one a core, at most 4.
    """

    def __init__(self, pool_size: int | None = None) -> None:
        self._pool = Pool(lambda: Network(CLASSIFIER), pool_size)

    def vector(self, source: str | os.PathLike[str] | bytes | Image) -> bytes:
        """The 256 signed bytes of a picture: a path, encoded bytes, or an image value.

        Raises:
            InputError: it cannot be read as an image.
            UnsupportedError: it is a link.
        """
        pixels = np.asarray(shown(source, _ENOUGH).convert("RGB"))
        with self._pool.borrow() as network, calls.under_way():
            square = _square(pixels)
            outputs = network.forward(_tensor(square))
            features = next(out for out in outputs if out.shape[-1] != len(labels())).ravel()
            return _vector(np.sqrt(np.maximum(features, 0)), square).tobytes()


@cache
def shared_reader() -> LikenessReader:
    """The one reader of this process, so that a plan and its run load the networks once."""
    return LikenessReader()


def _square(pixels: Pixels) -> Pixels:
    way = cv2.INTER_AREA if min(pixels.shape[:2]) > CLASSIFIER_SIDE else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(pixels, (CLASSIFIER_SIDE, CLASSIFIER_SIDE), interpolation=way), np.uint8)


def _tensor(square: Pixels) -> Tensor:
    scaled = (square.astype(np.float32) - 127.0) / 128.0
    return np.ascontiguousarray(scaled.transpose(2, 0, 1)[np.newaxis])


def _vector(features: Tensor, square: Pixels) -> NDArray[np.int8]:
    layout = _layout(square)
    flatness = (_flat_share(square) - _FLAT_FROM) / (_FLAT_AT - _FLAT_FROM)
    share = _LAYOUT_SHARE * min(1.0, max(0.0, flatness)) if layout.any() else 0.0
    parts = (np.sqrt(1 - share) * _unit(features), np.sqrt(share) * _unit(layout))
    reduced = np.concatenate(parts).astype(np.float32) @ _signs()
    top = np.abs(reduced).max()
    return np.round(reduced * (127 / top if top else 0.0)).astype(np.int8)


def _layout(square: Pixels) -> Tensor:
    grey = cv2.cvtColor(square, cv2.COLOR_RGB2GRAY)
    grid = cv2.resize(grey, (_GRID, _GRID), interpolation=cv2.INTER_AREA).astype(np.float32)
    return np.concatenate([np.diff(grid, axis=0).ravel(), np.diff(grid, axis=1).ravel()])


def _flat_share(square: Pixels) -> float:
    """The share of the picture that has its commonest colour, more or less."""
    small = cv2.resize(square, (_COLOUR_SIDE, _COLOUR_SIDE), interpolation=cv2.INTER_AREA)
    colours = small.reshape(-1, 3).astype(np.int32)
    cells = (colours // _SAME_COLOUR) @ np.array([256, 16, 1])
    commonest = np.median(colours[cells == np.bincount(cells).argmax()], axis=0)
    return float((np.abs(colours - commonest).max(axis=1) <= _SAME_COLOUR).mean())


def _unit(values: Tensor) -> Tensor:
    norm = np.linalg.norm(values)
    return values / norm if norm else values


@cache
def _signs() -> Tensor:
    # Drawn from a hash, since numpy's own random numbers may change between its versions.
    rows = _FEATURES + _STEPS
    drawn = np.frombuffer(hashlib.shake_256(b"visionpipe").digest(rows * LENGTH // 8), np.uint8)
    return np.unpackbits(drawn).reshape(rows, LENGTH).astype(np.float32) * 2 - 1


BLOCK = 4096


class VectorIndex:
    """Vectors of signed bytes, each with a number of the caller's. For one thread at a time."""

    def __init__(self, length: int) -> None:
        self._length = length
        self._blocks: list[_Block] = []
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def add(self, number: int, vector: bytes) -> None:
        """Remembers ``vector`` (``length`` signed bytes) as ``number``."""
        if self._count == len(self._blocks) * BLOCK:
            self._blocks.append(_Block(self._length))
        self._blocks[-1].add(self._count % BLOCK, number, np.frombuffer(vector, np.int8))
        self._count += 1

    def nearest(self, vector: bytes) -> tuple[int, float] | None:
        """The number and the cosine (-1 to 1) of the vector that is most like ``vector``.

        Of several equal ones the first that was added. None where there are none.
        """
        sought = np.frombuffer(vector, np.int8).astype(np.float32)
        norm = float(np.linalg.norm(sought))
        best: tuple[int, float] | None = None
        left = self._count
        for block in self._blocks:
            number, product = block.nearest(sought, min(left, BLOCK))
            cosine = product / norm if norm else 0.0
            if best is None or cosine > best[1]:
                best = number, cosine
            left -= BLOCK
        return best


class _Block:
    def __init__(self, length: int) -> None:
        self._vectors: NDArray[np.int8] = np.zeros((BLOCK, length), np.int8)
        self._numbers: NDArray[np.int64] = np.zeros(BLOCK, np.int64)
        self._inverse_norms: NDArray[np.float32] = np.zeros(BLOCK, np.float32)

    def add(self, row: int, number: int, vector: NDArray[np.int8]) -> None:
        self._vectors[row] = vector
        self._numbers[row] = number
        norm = math.sqrt(int((vector.astype(np.int64) ** 2).sum()))
        self._inverse_norms[row] = 1 / norm if norm else 0.0

    def nearest(self, sought: NDArray[np.float32], count: int) -> tuple[int, float]:
        products = (self._vectors[:count].astype(np.float32) @ sought) * self._inverse_norms[:count]
        row = int(products.argmax())
        return int(self._numbers[row]), float(products[row])
