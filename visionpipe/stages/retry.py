"""Whether to send again, and when to ask again after what is not done: tenacity's policies decide, and this
asks them and keeps the tries made.

What may help another time is tried again with growing waits, Retry-After is a floor, and what cannot succeed
(no balance, a refused form) or may already have been billed (a timeout, an answer that broke off) is not. A
deadline ends the asking after a task or a batch, never the thing asked for, so that it can be taken up again
by its id.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Generic, TypeVar

from tenacity import (
    RetryCallState,
    Retrying,
    stop_after_attempt,
    stop_after_delay,
    stop_before_delay,
    wait_exponential,
    wait_random,
)
from tenacity.stop import stop_base

from visionpipe.errors import (
    InterruptedAnswerError,
    ParameterError,
    RateLimitError,
    ReplyTimeoutError,
    ServiceError,
    VisionPipeError,
)
from visionpipe.reply import Answered, Attempt


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How a single call is tried again. Waits double from one try to the next.

    Attributes:
        attempts: how often it is sent at the most, the first time included.
        seconds: after so many since the first attempt began, none follows.
        first_wait: seconds before the second attempt.
        longest_wait: seconds that no wait goes beyond, ``jitter`` included; a Retry-After may.
        jitter: up to so many seconds, drawn at random, are added to each wait.
        begin_within: no attempt begins later than so many seconds after the first, its wait included; None:
            only ``seconds`` counts.
        rate_limits: whether a 429 is waited out here; the batch pipeline turns this off, since its
            limiter must see them.
        timeouts: whether a request without an answer in time is sent again, at the risk of paying twice.
        broken_answers: whether an answer that broke off after its first byte is asked for again, at the same
            risk.
        longest_retry_after: a Retry-After beyond this many seconds ends the call instead.

    Raises:
        ParameterError: a number below 0, or no attempt at all.
    """

    attempts: int = 6
    seconds: float = 300.0
    first_wait: float = 1.0
    longest_wait: float = 30.0
    jitter: float = 1.0
    begin_within: float | None = None
    rate_limits: bool = True
    timeouts: bool = False
    broken_answers: bool = False
    longest_retry_after: float = 300.0

    def __post_init__(self) -> None:
        at_least(1, attempts=self.attempts)
        at_least(
            0,
            seconds=self.seconds,
            first_wait=self.first_wait,
            longest_wait=self.longest_wait,
            jitter=self.jitter,
            begin_within=self.begin_within,
            longest_retry_after=self.longest_retry_after,
        )

    def next_wait(
        self, error: VisionPipeError, *, attempt: int, elapsed_s: float, billable: bool = True
    ) -> float | None:
        """Seconds to wait before the next attempt; None where there shall be none.

        Args:
            error: what the last attempt ended with.
            attempt: its number, from 1.
            elapsed_s: since the first attempt began.
            billable: whether the request may be billed; one that only reads may not.
        """
        if not self._worth_trying(error, billable):
            return None
        floor = getattr(error, "retry_after", None) or 0.0
        if floor > self.longest_retry_after:
            return None
        grown = wait_exponential(multiplier=self.first_wait, max=self.longest_wait)
        drawn = grown + wait_random(0, self.jitter)
        state = state_after(attempt, elapsed_s)
        state.upcoming_sleep = max(min(float(drawn(state)), self.longest_wait), floor)
        end: stop_base = stop_after_attempt(self.attempts) | stop_after_delay(self.seconds)
        if self.begin_within is not None:
            end = end | stop_before_delay(self.begin_within)
        return None if end(state) else state.upcoming_sleep

    def _worth_trying(self, error: VisionPipeError, billable: bool) -> bool:
        match error:
            case RateLimitError():
                return self.rate_limits and error.retryable
            case ReplyTimeoutError():
                return self.timeouts
            case InterruptedAnswerError():
                return error.retryable and (self.broken_answers or not billable)
            case ServiceError():
                return error.retryable
            case _:
                return False


def state_after(attempt: int, elapsed_s: float = 0.0) -> RetryCallState:
    """All that tenacity's policies look at: the number of the last try, from 1, and the seconds since the
    first began. No call runs inside of it."""
    state = RetryCallState(Retrying(), fn=None, args=(), kwargs={})
    state.attempt_number = attempt
    state.start_time, state.outcome_timestamp = 0.0, elapsed_s
    return state


def at_least(least: float, **numbers: float | None) -> None:
    """Refuse a setting below ``least``, or no number; None stands for one that is not set.

    Raises:
        ParameterError: the first that is, by its name.
    """
    for name, number in numbers.items():
        if number is not None and not number >= least:
            raise ParameterError(f"it is {number}", cure=f"Give {least:g} or more.", subject=name)


def new_request_id() -> str:
    """A fresh id of 35 characters (the service takes 6 to 64)."""
    return f"vp-{os.urandom(16).hex()}"


class Attempts:
    """The tries at one call so far.

    Args:
        policy: when to try again.
        began: when the first one began; all times are of one monotonic clock, in seconds.
    """

    __slots__ = ("_began", "_made", "_moves", "_policy")

    def __init__(self, policy: RetryPolicy, began: float) -> None:
        self._policy = policy
        self._began = began
        self._made: list[Attempt] = []
        self._moves = 0

    @property
    def moves(self) -> int:
        """Tries that found a server away, and went to another."""
        return self._moves

    def answered(self, request_id: str, sent: float, now: float, server: str | None = None) -> Answered:
        """The answer came at ``now``, to the try sent at ``sent`` with this id (to ``server``)."""
        return Answered(request_id, (*self._made, Attempt(request_id, now - sent, server=server)))

    def failed(
        self,
        error: VisionPipeError,
        request_id: str,
        sent: float,
        now: float,
        *,
        billable: bool,
        server: str | None = None,
        moves: bool = False,
    ) -> float | None:
        """The try sent at ``sent`` with this id ended with ``error``, which is told its id and number.

        Args:
            billable: whether the request may be billed; one that only reads may not.
            server: where it was sent, of several.
            moves: it goes on to another server at once, which is none of the policy's tries.

        Returns:
            Seconds to wait before the next try; None where there shall be none.
        """
        self._made.append(Attempt(request_id, now - sent, failed_with=error.code, server=server))
        error.request_id = error.request_id or request_id
        error.attempts = len(self._made)
        if moves:
            self._moves += 1
            return 0.0
        return self._policy.next_wait(
            error, attempt=len(self._made) - self._moves, elapsed_s=now - self._began, billable=billable
        )


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
