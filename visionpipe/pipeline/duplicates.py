"""Items with the same content and question share one request; near duplicates are found by their dHash."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from itertools import combinations
from typing import Generic, TypeVar

from visionpipe.errors import ParameterError
from visionpipe.store.database import Database

T = TypeVar("T")

MOST_WAITING = 1000
LARGEST_THRESHOLD = 11
_BAND_BITS = 16


class InFlight(Generic[T]):
    """Items under way, by content and question, and those that wait for their answer.

    Args:
        most_waiting: how many may wait at once, so that a million copies of one file need no memory.
    """

    def __init__(self, most_waiting: int = MOST_WAITING) -> None:
        self._under_way: dict[tuple[str, str], list[T]] = {}
        self._waiting = 0
        self._most = most_waiting
        self._condition = threading.Condition()

    def claim(self, content: str, question: str) -> bool:
        """Whether the caller is the first and has to see to the answer; then it must ``settle``."""
        with self._condition:
            if (content, question) in self._under_way:
                return False
            self._under_way[content, question] = []
            return True

    def join(self, content: str, question: str, item: T, stopped: Callable[[], bool] = lambda: False) -> bool:
        """Waits for the first's answer by leaving ``item`` here; False if nobody is under way (any more)."""
        with self._condition:
            while self._waiting >= self._most and (content, question) in self._under_way and not stopped():
                self._condition.wait()
            waiting = self._under_way.get((content, question))
            if waiting is None:
                return False
            waiting.append(item)
            self._waiting += 1
            return True

    def settle(self, content: str, question: str) -> list[T]:
        """The first has come to an end; everybody who waited for it."""
        with self._condition:
            waiting = self._under_way.pop((content, question), [])
            self._waiting -= len(waiting)
            self._condition.notify_all()
            return waiting

    def wake(self) -> None:
        """Has waiting threads check their ``stopped`` again."""
        with self._condition:
            self._condition.notify_all()


@dataclass(frozen=True, slots=True)
class Near:
    """The first picture that looks alike.

    Attributes:
        content, source: of that picture.
        distance: in how many of 64 bits the hashes differ, where these were compared.
        likeness: the cosine of the feature vectors, where these were.
    """

    content: str
    source: str
    distance: int | None = None
    likeness: float | None = None

    @property
    def reason(self) -> str:
        """Why an item is planned to share: which picture it looks like, and how much."""
        if self.likeness is not None:
            return f"looks like {self.source} (likeness {self.likeness:.2f})"
        return f"looks like {self.source} ({self.distance} of 64 bits differ)"

    @property
    def note(self) -> str:
        """What a result that is shared says of it."""
        if self.likeness is not None:
            return f"likeness {self.likeness:.2f} to {self.source}"
        return f"{self.distance} of 64 bits from {self.source}"


class NearIndex:
    """Finds pictures that look alike, in the journal's file rather than in memory.

    A hash of 64 bits is kept as four bands of 16. Hashes that differ in at most ``threshold`` bits differ in
    at most a quarter of that in one band or another, so only rows with such a band need comparing.

    Args:
        database: the journal's.
        threshold: bits, 0 to 11. 0 to 3 finds the same picture scaled or re-encoded, 10 a similar one.

    Raises:
        ParameterError: a threshold out of its range.
    """

    def __init__(self, database: Database, threshold: int) -> None:
        check_bits(threshold)
        self._database = database
        self._threshold = threshold
        self._flips = tuple(
            sum(1 << bit for bit in bits)
            for count in range(threshold // 4 + 1)
            for bits in combinations(range(_BAND_BITS), count)
        )
        self._lock = threading.Lock()

    def first_like(self, content: str, source: str, dhash: int) -> Near | None:
        """The picture that this one is near to; None, and remembered as a first, where there is none.

        Args:
            dhash: 64 bits.
        """
        with self._lock:
            found = self.nearest(content, dhash)
            if found is None:
                bands = _bands(dhash)
                self._database.write(
                    (
                        "INSERT OR IGNORE INTO looks VALUES (?, ?, ?, ?, ?, ?, ?)",
                        (content, source, _signed(dhash), *bands),
                    )
                )
            return found

    def nearest(self, content: str, dhash: int) -> Near | None:
        """The remembered picture that this one is nearest to, within the threshold."""
        best: Near | None = None
        closest = self._threshold + 1
        for number, band in enumerate(_bands(dhash)):
            values = [band ^ flip for flip in self._flips]
            marks = ", ".join("?" * len(values))
            for row in self._database.all(
                f"SELECT content, source, dhash FROM looks WHERE band{number} IN ({marks})", values
            ):
                if row["content"] == content:
                    return None
                if not isinstance(row["dhash"], int):
                    continue  # a damaged row
                distance = ((row["dhash"] ^ _signed(dhash)) & (2**64 - 1)).bit_count()
                if distance < closest:
                    best, closest = Near(row["content"], row["source"], distance), distance
        return best


def check_bits(threshold: int) -> None:
    """Holds a threshold in bits to its range.

    Raises:
        ParameterError: it is out of it.
    """
    if not 0 <= threshold <= LARGEST_THRESHOLD:
        raise ParameterError(
            f"{threshold} bits is out of range",
            cure=f"Give 0 to {LARGEST_THRESHOLD} of 64 bits, or features to compare what is shown.",
            subject="near_duplicates",
            scope="job",
        )


def _bands(dhash: int) -> tuple[int, int, int, int]:
    return dhash >> 48 & 0xFFFF, dhash >> 32 & 0xFFFF, dhash >> 16 & 0xFFFF, dhash & 0xFFFF


def _signed(dhash: int) -> int:
    return dhash - 2**64 if dhash >= 2**63 else dhash
