"""The nearest of many vectors by cosine, found by comparing with every one.

The rule: exact, and 268 bytes a vector of 256: small ones stay as bytes and become floats a block at a time.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

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
