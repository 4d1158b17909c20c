"""The index finds what comparing with every vector finds."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from visionpipe.local.likeness import BLOCK, VectorIndex

vectors = st.lists(st.integers(-127, 127), min_size=3, max_size=3).map(tuple)


def stored(vector: tuple[int, ...]) -> bytes:
    return np.array(vector, np.int8).tobytes()


def cosine(one: tuple[int, ...], other: tuple[int, ...]) -> float:
    norms = math.hypot(*one) * math.hypot(*other)
    return sum(a * b for a, b in zip(one, other, strict=True)) / norms if norms else 0.0


@settings(deadline=None, max_examples=200)
@given(kept=st.lists(vectors, max_size=30), sought=vectors)
def test_the_nearest_is_the_one_that_brute_force_finds(
    kept: list[tuple[int, ...]], sought: tuple[int, ...]
) -> None:
    index = VectorIndex(3)
    for number, vector in enumerate(kept):
        index.add(number + 100, stored(vector))
    found = index.nearest(stored(sought))
    if not kept:
        assert found is None
        return
    assert found is not None
    best = max(cosine(vector, sought) for vector in kept)
    assert found[1] == pytest.approx(best, abs=1e-5)
    assert cosine(kept[found[0] - 100], sought) == pytest.approx(best, abs=1e-5)


def test_of_equal_ones_the_first_is_taken() -> None:
    index = VectorIndex(2)
    for number in (7, 8, 9):
        index.add(number, stored((3, 4)))
    found = index.nearest(stored((3, 4)))
    assert found is not None
    assert found[0] == 7
    assert found[1] == pytest.approx(1.0)


def test_it_looks_into_every_block() -> None:
    drawn = np.random.RandomState(5).randint(-127, 128, (2 * BLOCK + 10, 8)).astype(np.int8)
    index = VectorIndex(8)
    for number, row in enumerate(drawn):
        index.add(number, row.tobytes())
    assert len(index) == len(drawn)
    floats = drawn.astype(np.float64)
    units = floats / np.linalg.norm(floats, axis=1, keepdims=True)
    for number in (0, BLOCK - 1, BLOCK, 2 * BLOCK + 9):
        found = index.nearest(drawn[number].tobytes())
        assert found is not None
        assert found[0] == number
        assert found[1] == pytest.approx(1.0)
    sought = np.arange(-4, 4, dtype=np.int8)
    cosines = units @ sought.astype(np.float64) / np.linalg.norm(sought)
    best = index.nearest(sought.tobytes())
    assert best is not None
    assert best[0] == int(cosines.argmax())
    assert best[1] == pytest.approx(float(cosines.max()))
