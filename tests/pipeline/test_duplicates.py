"""Items with the same content are found while under way, and near duplicates whatever bits differ."""

from __future__ import annotations

import threading
from contextlib import closing

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from visionpipe.errors import ParameterError
from visionpipe.pipeline.duplicates import LARGEST_THRESHOLD, InFlight, Near, NearIndex
from visionpipe.pipeline.tables import JOURNAL
from visionpipe.store.database import Database

hashes = st.integers(0, 2**64 - 1)


def test_the_first_claims_and_the_others_wait() -> None:
    in_flight: InFlight[str] = InFlight()
    assert in_flight.claim("c", "q")
    assert not in_flight.claim("c", "q")
    assert in_flight.claim("c", "another question")
    assert in_flight.join("c", "q", "second")
    assert in_flight.join("c", "q", "third")
    assert in_flight.settle("c", "q") == ["second", "third"]
    assert not in_flight.join("c", "q", "late")
    assert in_flight.claim("c", "q")


def test_who_waits_is_bounded() -> None:
    in_flight: InFlight[int] = InFlight(most_waiting=2)
    in_flight.claim("c", "q")
    assert in_flight.join("c", "q", 1)
    assert in_flight.join("c", "q", 2)
    joined: list[bool] = []
    third = threading.Thread(target=lambda: joined.append(in_flight.join("c", "q", 3)))
    third.start()
    assert in_flight.settle("c", "q") == [1, 2]
    third.join(10)
    assert joined == [False]


def test_waiting_for_room_ends_with_the_run() -> None:
    in_flight: InFlight[int] = InFlight(most_waiting=0)
    in_flight.claim("c", "q")
    over = threading.Event()
    joined: list[bool] = []
    waiter = threading.Thread(target=lambda: joined.append(in_flight.join("c", "q", 1, over.is_set)))
    waiter.start()
    over.set()
    in_flight.wake()
    waiter.join(10)
    assert joined == [True]


@settings(deadline=None, max_examples=60)
@given(
    first=hashes,
    flips=st.sets(st.integers(0, 63), max_size=LARGEST_THRESHOLD + 4),
    threshold=st.integers(0, LARGEST_THRESHOLD),
)
def test_near_is_what_differs_in_no_more_bits_than_allowed(
    first: int, flips: set[int], threshold: int
) -> None:
    second = first
    for bit in flips:
        second ^= 1 << bit
    with closing(Database(None, JOURNAL)) as database:
        index = NearIndex(database, threshold)
        assert index.first_like("one", "one.jpg", first) is None
        found = index.first_like("two", "two.jpg", second)
        expected = Near("one", "one.jpg", len(flips)) if len(flips) <= threshold else None
        assert found == expected


def test_the_same_content_is_not_its_own_near_duplicate() -> None:
    with closing(Database(None, JOURNAL)) as database:
        index = NearIndex(database, 3)
        index.first_like("one", "a.jpg", 5)
        assert index.first_like("one", "b.jpg", 5) is None


def test_the_nearest_is_taken() -> None:
    with closing(Database(None, JOURNAL)) as database:
        index = NearIndex(database, 4)
        index.first_like("far", "far.jpg", 0b111100000)
        index.first_like("close", "close.jpg", 0b1)
        found = index.nearest("new", 0)
        assert found == Near("close", "close.jpg", 1)


@pytest.mark.parametrize("threshold", [-1, LARGEST_THRESHOLD + 1])
def test_a_threshold_out_of_range_is_refused(threshold: int) -> None:
    with closing(Database(None, JOURNAL)) as database, pytest.raises(ParameterError, match="bits"):
        NearIndex(database, threshold)
