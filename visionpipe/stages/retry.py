"""Whether to send again, and when: tenacity's policies decide, and this asks them and keeps the tries made.

What may help another time is tried again with growing waits, Retry-After is a floor, and what
cannot succeed (no balance, a refused form) or may already have been billed (a timeout, an answer that broke
off) is not.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass

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
    return f"vp-{uuid.uuid4().hex}"


class Attempts:
    """The tries at one call so far.

    Args:
        policy: when to try again.
        began: when the first one began; all times are of one monotonic clock, in seconds.
    """

    __slots__ = ("_began", "_made", "_policy")

    def __init__(self, policy: RetryPolicy, began: float) -> None:
        self._policy = policy
        self._began = began
        self._made: list[Attempt] = []

    def answered(self, request_id: str, sent: float, now: float) -> Answered:
        """The answer came at ``now``, to the try sent at ``sent`` with this id."""
        return Answered(request_id, (*self._made, Attempt(request_id, now - sent)))

    def failed(
        self, error: VisionPipeError, request_id: str, sent: float, now: float, *, billable: bool
    ) -> float | None:
        """The try sent at ``sent`` with this id ended with ``error``, which is told its id and number.

        Args:
            billable: whether the request may be billed; one that only reads may not.

        Returns:
            Seconds to wait before the next try; None where there shall be none.
        """
        self._made.append(Attempt(request_id, now - sent, failed_with=error.code))
        error.request_id = error.request_id or request_id
        error.attempts = len(self._made)
        return self._policy.next_wait(
            error, attempt=len(self._made), elapsed_s=now - self._began, billable=billable
        )
