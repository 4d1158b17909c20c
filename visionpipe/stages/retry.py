"""Whether to send again, and when: tenacity's policies decide, and this asks them and keeps the tries made.

What may help another time is tried again with growing waits, Retry-After is a floor, and what
cannot succeed (no balance, a refused form) or may already have been billed (a timeout, an answer that broke
off) is not.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field

from tenacity import RetryCallState, Retrying, stop_after_attempt, stop_after_delay, wait_exponential_jitter
from tenacity.stop import stop_base
from tenacity.wait import wait_base

from visionpipe.errors import (
    InterruptedAnswerError,
    RateLimitError,
    ReplyTimeoutError,
    ServiceError,
    VisionPipeError,
)
from visionpipe.reply import Answered, Attempt


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How a single call is tried again.

    Attributes:
        wait: tenacity's waiting policy, in seconds before the next attempt.
        stop: tenacity's stopping policy.
        rate_limits: whether a 429 is waited out here; the batch pipeline turns this off, since its
            limiter must see them.
        timeouts: whether a request without an answer in time is sent again, at the risk of paying twice.
        broken_answers: whether an answer that broke off after its first byte is asked for again, at the same
            risk.
        longest_retry_after: a Retry-After beyond this many seconds ends the call instead.
    """

    wait: wait_base = field(default_factory=lambda: wait_exponential_jitter(initial=1, max=30, jitter=1))
    stop: stop_base = field(default_factory=lambda: stop_after_attempt(6) | stop_after_delay(300))
    rate_limits: bool = True
    timeouts: bool = False
    broken_answers: bool = False
    longest_retry_after: float = 300.0

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
        # The state is all that tenacity's policies look at; no call runs inside of it.
        state = RetryCallState(Retrying(), fn=None, args=(), kwargs={})
        state.attempt_number = attempt
        state.start_time, state.outcome_timestamp = 0.0, elapsed_s
        state.set_exception((type(error), error, error.__traceback__))
        state.outcome_timestamp = elapsed_s
        floor = getattr(error, "retry_after", None) or 0.0
        if floor > self.longest_retry_after:
            return None
        state.upcoming_sleep = max(float(self.wait(state)), floor)
        return None if self.stop(state) else state.upcoming_sleep

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
