"""The tries at one call: what is known of those that were made, and whether there shall be another.

Every try carries a new request_id: the service answers 1231 to a used one.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass

from visionpipe.errors import VisionPipeError
from visionpipe.reply import Attempt
from visionpipe.stages.retry import RetryPolicy


@dataclass(frozen=True, slots=True)
class Answered:
    """Where and when an answer was had: what a reply says of its way."""

    request_id: str
    attempts: tuple[Attempt, ...]


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
