"""Asking again and again until something at the service has come to its end: when, and for how long.

Waits grow, Retry-After is a floor, and a deadline ends the asking, never the thing asked for, so
that it can be taken up again by its id.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Generic, TypeVar

from tenacity import wait_exponential

from visionpipe.errors import VisionPipeError
from visionpipe.stages.retry import at_least, state_after

K = TypeVar("K")
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Looked(Generic[T]):
    """What one question told: the value, whether it is the end, and the seconds that the service asked to
    wait before the next one."""

    value: T
    done: bool
    retry_after: float | None = None


@dataclass(frozen=True, slots=True)
class PollPolicy:
    """How long to wait between two questions.

    Attributes:
        first_wait: seconds before the second question. The defaults suit tasks that take 10 to 30 seconds.
        growth: by how much each wait is longer than the one before.
        longest_wait: seconds that no wait goes beyond; what the service asks for may.

    Raises:
        ParameterError: a wait below 0, or a growth below 1.
    """

    first_wait: float = 1.0
    growth: float = 1.6
    longest_wait: float = 15.0

    def __post_init__(self) -> None:
        at_least(0, first_wait=self.first_wait, longest_wait=self.longest_wait)
        at_least(1, growth=self.growth)

    def seconds(self, asked: int, floor: float | None = None) -> float:
        """Before the next question, after ``asked`` of them (from 1)."""
        grown = wait_exponential(multiplier=self.first_wait, exp_base=self.growth, max=self.longest_wait)
        return max(float(grown(state_after(asked))), floor or 0.0)


LONG = PollPolicy(first_wait=2.0, longest_wait=60.0)
"""For what takes minutes to hours: batches and fine-tuning jobs."""


class Polling(Generic[K, T]):
    """Several things that are asked after in turn, in rounds, until all are at their end.

    Args:
        keys: one for each thing.
        policy: how long to wait between two rounds.
        began: now; all times are of one monotonic clock, in seconds.
        deadline: seconds after which nothing more is asked; None: as long as it takes.
    """

    def __init__(self, keys: Iterable[K], policy: PollPolicy, began: float, deadline: float | None) -> None:
        self._not_before = dict.fromkeys(keys, began)
        self._policy = policy
        self._end = None if deadline is None else began + deadline
        self._rounds = 0
        self.ends: dict[K, Looked[T] | VisionPipeError] = {}
        """What became of each; those that have not ended are missing."""

    def next_round(self) -> tuple[K, ...]:
        """Those that have not ended; none where all have."""
        self._rounds += 1
        return tuple(self._not_before)

    def is_due(self, key: K, now: float) -> bool:
        """Whether it may be asked after, or the service wanted to be left alone for longer."""
        return now >= self._not_before[key]

    def told(self, key: K, looked: Looked[T] | VisionPipeError, now: float) -> None:
        """What asking after ``key`` gave. Raises an error of scope "job"; any other is the thing's end."""
        if isinstance(looked, VisionPipeError):
            if looked.scope == "job":
                raise looked
        elif not looked.done:
            self._not_before[key] = now + (looked.retry_after or 0.0)
            return
        self.ends[key] = looked
        del self._not_before[key]

    def wait(self, now: float) -> float | None:
        """Seconds until the next round; None where there shall be none."""
        if not self._not_before:
            return None
        floor = min(self._not_before.values()) - now
        seconds = self._policy.seconds(self._rounds, floor)
        if self._end is None:
            return seconds
        rest = self._end - now
        return None if rest <= 0 or floor > rest else min(seconds, rest)
