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
from visionpipe.values import Money


@dataclass(frozen=True, slots=True)
class Bill:
    """What a turn was, or may have been, billed; None where the service did not say. ``requests``: more than
    one where an answer did not fit and was asked for again."""

    tokens: int | None
    cost: Money | None
    requests: int = 1

    @classmethod
    def of_reply(cls, reply: Reply, first: Reply | None = None) -> Bill:
        """What ``reply`` was billed; without ``first``, which is part of it and has been accounted for."""
        tokens = reply.usage.total_tokens if reply.usage else None
        cost, attempts = reply.cost, reply.attempts
        if first is not None:
            attempts = attempts[len(first.attempts) :]
            if tokens is not None and first.usage is not None:
                tokens -= first.usage.total_tokens
            if cost is not None and first.cost is not None:
                cost = Money(cost.amount - first.cost.amount, cost.currency)
        answers = sum(attempt.failed_with is None for attempt in attempts)
        return cls(tokens, cost, max(1, answers))

    @classmethod
    def of_error(cls, error: VisionPipeError, prepared: Prepared, first: Reply | None = None) -> Bill | None:
        """None where nothing was billed. A timeout may have been: it counts by its estimate."""
        if isinstance(error, AnswerError) and error.reply is not None:
            return cls.of_reply(error.reply, first)
        if isinstance(error, AnswerError | ReplyTimeoutError):
            return cls(prepared.tokens, prepared.cost)
        return None


class Turn:
    """One request's turn, and that of a second one where the answer may have to be asked for again.

    Args:
        permit: held already.
        prepared: the item, for its estimates.

    Attributes:
        first: the first reply, accounted for, where it was, or was to be, asked for again.
        denied: there was no room for a second request.
    """

    def __init__(self, limiter: Limiter, budget: Budget | None, permit: Permit, prepared: Prepared) -> None:
        self._limiter = limiter
        self._budget = budget
        self._permit = permit
        self._prepared = prepared
        self._reserved: Amount | None = None
        self._spare: Amount | None = None
        self.first: Reply | None = None
        self.denied = False

    def begin(self, stopped: Callable[[], bool]) -> bool:
        """Reserves what the request may use. False, and the turn is over, where the budget has no room.

        Raises:
            ConfigurationError: a budget in money without a price; the turn is over.
        """
        if self._budget is not None:
            try:
                reserved = self._reserve(self._budget, stopped)
            except BaseException:
                self._limiter.leave_unused(self._permit)
                raise
            if reserved is None:
                self._limiter.leave_unused(self._permit)
                return False
            self._reserved, self._spare = reserved
        self._limiter.spend(self._prepared.tokens)
        return True

    def repeat(self, first: Reply) -> bool:
        """Accounts for a first answer that does not fit. False where a second request has no room."""
        self.first = first
        bill = Bill.of_reply(first)
        if bill.tokens is not None:
            self._limiter.correct(self._prepared.tokens, bill.tokens)
        if self._budget is not None and self._reserved is not None:
            self._budget.settle(self._reserved, bill.tokens, bill.cost, bill.requests)
            self._reserved, self._spare = self._spare, None
            self.denied = self._reserved is None
        if not self.denied:
            self._limiter.spend(self._prepared.tokens)
        return not self.denied

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
            self._reserved = None
        self._release()
        return changed

    def _reserve(self, budget: Budget, stopped: Callable[[], bool]) -> tuple[Amount, Amount | None] | None:
        prepared = self._prepared
        if prepared.may_repeat:
            return budget.reserve_spare(prepared.tokens, prepared.cost, stopped)
        amount = budget.reserve(prepared.tokens, prepared.cost, stopped)
        return None if amount is None else (amount, None)

    def _release(self) -> None:
        for amount in (self._reserved, self._spare):
            if self._budget is not None and amount is not None:
                self._budget.release(amount)
        self._reserved = self._spare = None
