"""The right to send one request: a permit of the limiter and a reservation of the budget, as one thing.

The rule: taken together, given back together, exactly once, by one of the three ways a request can end.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from visionpipe.errors import AnswerError, ReplyTimeoutError, VisionPipeError
from visionpipe.pipeline.answerer import Prepared
from visionpipe.pipeline.budget import Amount, Budget
from visionpipe.pipeline.limiter import Limiter, Permit
from visionpipe.reply import Reply
from visionpipe.values import Money, Usage


@dataclass(frozen=True, slots=True)
class Bill:
    """What a turn was, or may have been, billed. ``usage`` None: the service did not say. ``requests``: more
    than one where an answer did not fit and was asked for again."""

    usage: Usage | None
    tokens: int | None
    cost: Money | None
    requests: int = 1

    @classmethod
    def of_reply(cls, reply: Reply) -> Bill:
        answers = sum(attempt.failed_with is None for attempt in reply.attempts)
        tokens = reply.usage.total_tokens if reply.usage else None
        return cls(reply.usage, tokens, reply.cost, max(1, answers))

    @classmethod
    def of_error(cls, error: VisionPipeError, prepared: Prepared) -> Bill | None:
        """None where nothing was billed. A timeout may have been: it counts by its estimate."""
        if isinstance(error, AnswerError) and error.reply is not None:
            return cls.of_reply(error.reply)
        if isinstance(error, AnswerError | ReplyTimeoutError):
            return cls(None, prepared.tokens, prepared.cost)
        return None


class Turn:
    """One request's turn.

    Args:
        permit: held already.
        prepared: the item, for its estimates.
    """

    def __init__(self, limiter: Limiter, budget: Budget | None, permit: Permit, prepared: Prepared) -> None:
        self._limiter = limiter
        self._budget = budget
        self._permit = permit
        self._prepared = prepared
        self._reserved: Amount | None = None

    def begin(self, stopped: Callable[[], bool]) -> bool:
        """Reserves what the request may use. False, and the turn is over, where the budget has no room.

        Raises:
            ConfigurationError: a budget in money without a price; the turn is over.
        """
        if self._budget is not None:
            try:
                self._reserved = self._budget.reserve(self._prepared.tokens, self._prepared.cost, stopped)
            except BaseException:
                self._limiter.leave_unused(self._permit)
                raise
            if self._reserved is None:
                self._limiter.leave_unused(self._permit)
                return False
        self._limiter.spend(self._prepared.tokens)
        return True

    def unused(self) -> None:
        """Nothing was sent after all."""
        self._limiter.leave_unused(self._permit)
        self._release()

    def refused(self, retry_after: float | None) -> bool:
        """The service refused for now (429). Returns whether the limiter's level changed."""
        self._release()
        return self._limiter.leave_refused(self._permit, retry_after)

    def ended(self, bill: Bill | None) -> bool:
        """An answer or a failure came; ``bill`` None: nothing was billed. Returns as :meth:`refused`."""
        changed = self._limiter.leave(self._permit)
        if bill is None:
            self._release()
            return changed
        if bill.tokens is not None:
            self._limiter.correct(self._prepared.tokens, bill.tokens)
        if self._budget is not None and self._reserved is not None:
            self._budget.settle(self._reserved, bill.tokens, bill.cost, bill.requests)
        return changed

    def _release(self) -> None:
        if self._budget is not None and self._reserved is not None:
            self._budget.release(self._reserved)
