"""One request for one item: its slot under the limits, its record, its answer and the judgement.

A slot is given back exactly once, and an attempt is in the journal before anything else is done with the
item. Errors of scope "job" pass through; the item then has no end, and the next run takes it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from enum import Enum, auto
from typing import TypeAlias

from visionpipe.errors import (
    AnswerError,
    InterruptedAnswerError,
    RateLimitError,
    ReplyTimeoutError,
    UnreadableAnswerError,
    VisionPipeError,
)
from visionpipe.pipeline.answerer import Answer, Answerer, Judge, Judgement, PreparedItem
from visionpipe.pipeline.budget import Amount, Budget
from visionpipe.pipeline.items import Item, done, failed
from visionpipe.pipeline.journal import Journal, Sent
from visionpipe.pipeline.limiter import Limiter, Permit
from visionpipe.pipeline.outage import Outage, Verdict, stopping
from visionpipe.pipeline.unexpected import unexpected
from visionpipe.reply import Reply
from visionpipe.results import ItemResult
from visionpipe.values import Money


@dataclass(frozen=True, slots=True)
class Bill:
    """What a request was, or may have been, billed; None where the service did not say.

    ``requests``: more than one where an answer did not fit and was asked for again.
    """

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
    def of_error(
        cls, error: VisionPipeError, prepared: PreparedItem, first: Reply | None = None
    ) -> Bill | None:
        """None where nothing was billed. A timeout may have been: it counts by its estimate."""
        if isinstance(error, AnswerError) and error.reply is not None:
            return cls.of_reply(error.reply, first)
        if isinstance(error, AnswerError | ReplyTimeoutError):
            return cls(prepared.tokens, prepared.cost)
        return None


class RequestSlot:
    """What one request holds: a permit and a reserved amount, and the amount of a second request where the
    answer may have to be asked for again.

    Args:
        permit: held already.
        prepared: the item, for its estimates.

    Attributes:
        first: the first reply, accounted for, where it was, or was to be, asked for again.
        denied: there was no room for a second request.
    """

    def __init__(
        self, limiter: Limiter, budget: Budget | None, permit: Permit, prepared: PreparedItem
    ) -> None:
        self._limiter = limiter
        self._budget = budget
        self._permit = permit
        self._prepared = prepared
        self._reserved: Amount | None = None
        self._spare: Amount | None = None
        self.first: Reply | None = None
        self.denied = False

    def begin(self, stopped: Callable[[], bool]) -> bool:
        """Reserves what the request may use. False, and the slot is given back, where the budget has no room.

        Raises:
            ConfigurationError: a budget in money without a price; the slot is given back.
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


class Next(Enum):
    """What to do with an item that has no end yet. LATER: after all that are ready."""

    AGAIN = auto()
    LATER = auto()
    OUT_OF_BUDGET = auto()


Asked: TypeAlias = ItemResult | Next


@dataclass(frozen=True, slots=True)
class Asking:
    """Asks about one item at a time, from any number of threads.

    Attributes:
        item_seconds: the deadline of an item: seconds of sending, waits for the limiter not counted.
        outage: tells a service out of reach from items that fail.
        on_level: told that the limiter's level changed, and whether by a refusal.
        stopped: whether the run is over.
        clock: monotonic seconds.
    """

    answerer: Answerer
    limiter: Limiter
    budget: Budget | None
    journal: Journal
    judge: Judge | None
    item_seconds: float | None
    outage: Outage
    on_level: Callable[[bool], None]
    stopped: Callable[[], bool]
    clock: Callable[[], float]

    def ask(self, item: Item, prepared: PreparedItem, permit: Permit) -> Asked:
        """Sends the item's request with a permit, and gives the permit back.

        Returns:
            The item's end, recorded; or what to do next with it.

        Raises:
            VisionPipeError: of scope "job": no other item should be begun.
        """
        slot = RequestSlot(self.limiter, self.budget, permit, prepared)
        if not slot.begin(self.stopped):
            return Next.OUT_OF_BUDGET
        try:
            self.journal.sending(item.key, prepared.tokens, prepared.cost)
        except BaseException:
            slot.unused()
            raise
        left = None if self.item_seconds is None else max(0.0, self.item_seconds - item.seconds_sending)
        begun = self.clock()

        def on_repeat(first: Reply) -> bool:
            # The first answer is on record before the second request can be lost, refused or not be sent.
            self.journal.record(item.key, None, _sent(first, self.clock() - begun))
            self.outage.answered()
            if slot.repeat(first):
                self.journal.sending(item.key, prepared.tokens, prepared.cost)
            return not slot.denied

        try:
            to_send = replace(prepared, on_repeat=on_repeat) if prepared.may_repeat else prepared
            answer = self.answerer.answer(to_send, left)
        except RateLimitError as error:
            self._tell(slot.refused(error.retry_after), refused=True)
            item.sends += max(1, error.attempts)
            self._bill_first(item, slot.first)
            sent = Sent(self.clock() - begun, error.request_id, error.code, billable=False, refused=True)
            return self._again(item, [sent], error)
        except VisionPipeError as error:
            if slot.denied:
                slot.ended(None)
                return Next.OUT_OF_BUDGET
            verdict = self._verdict(item, error, begun)
            if verdict is Verdict.WAIT:
                # Back off as after a 429, so that probes grow rare; but it is no fault of the level.
                self._tell(slot.refused(None))
                return self._later(item, error, self.clock() - begun, slot.first)
            if verdict is Verdict.STOP:
                error = stopping(error)
            bill = Bill.of_error(error, prepared, slot.first)
            self._tell(slot.ended(bill))
            return self._failed(item, error, bill, self.clock() - begun, slot.first)
        except Exception as error:
            # It may have been sent, and billed.
            bill = Bill(prepared.tokens, prepared.cost)
            self._tell(slot.ended(bill))
            known = unexpected(error, item.source.name)
            return self._failed(item, known, bill, self.clock() - begun, slot.first)
        except BaseException:
            slot.ended(Bill(prepared.tokens, prepared.cost))
            raise
        self.outage.answered()
        self._tell(slot.ended(Bill.of_reply(answer.reply, slot.first)))
        return self._answered(item, answer, self.clock() - begun, slot.first)

    def _failed(
        self, item: Item, error: VisionPipeError, bill: Bill | None, seconds: float, first: Reply | None
    ) -> Asked:
        item.sends += max(1, error.attempts)
        item.seconds_sending += seconds
        sent = [Sent(seconds, error.request_id, error.code, billable=False)]
        if bill is not None:
            sent = [Sent(seconds, error.request_id, error.code, True, bill.tokens, bill.cost)]
        reply = error.reply if isinstance(error, AnswerError) else None
        if reply is not None:
            item.billed(reply.usage, reply.cost if reply.usage else None)
            sent = [*_before_last_answer(reply, first), *sent]
            item.sends += max(0, len(reply.attempts) - max(1, error.attempts))
        else:
            self._bill_first(item, first)
        if error.scope == "job" or self._asks_once_more(item, error):
            item.reasked = True
            return self._again(item, sent, error)
        return self._end(item, failed(item, error, self.clock()), sent)

    def _verdict(self, item: Item, error: VisionPipeError, begun: float) -> Verdict:
        if error.scope == "job" or self._asks_once_more(item, error):
            return Verdict.OWN
        return self.outage.failed(item.key.source, error, begun)

    def _later(self, item: Item, error: VisionPipeError, seconds: float, first: Reply | None) -> Next:
        """The item's time does not run while the service is out of reach."""
        item.sends += max(1, error.attempts)
        self._bill_first(item, first)
        self.journal.record(item.key, None, [Sent(seconds, error.request_id, error.code, billable=False)])
        return Next.LATER

    def _asks_once_more(self, item: Item, error: VisionPipeError) -> bool:
        """An answer that broke off says nothing of the item; one that is no use may be better with luck."""
        if item.reasked:
            return False
        if isinstance(error, InterruptedAnswerError):
            return error.retryable
        return isinstance(error, AnswerError) and error.retryable and self.judge is not None

    def _bill_first(self, item: Item, first: Reply | None) -> None:
        """For an item whose second request came to nothing that would tell of the first."""
        if first is not None:
            item.sends += max(1, len(first.attempts))
            item.billed(first.usage, first.cost if first.usage else None)

    def _answered(self, item: Item, answer: Answer, seconds: float, first: Reply | None) -> Asked:
        reply = answer.reply
        item.sends += max(1, len(reply.attempts))
        item.seconds_sending += seconds
        item.billed(reply.usage, reply.cost)
        sent = _sent(reply, seconds, first)
        try:
            judgement = self.judge(answer, item.reasked) if self.judge is not None else Judgement()
        except Exception as error:
            known = error if isinstance(error, VisionPipeError) else unexpected(error, item.source.name)
            if known.scope == "job":
                return self._again(item, sent, known)
            return self._end(item, failed(item, known, self.clock()), sent)
        if judgement.action == "reask" and not item.reasked:
            item.reasked = True
            return self._again(item, sent)
        item.notes = judgement.notes
        if judgement.action == "fail":
            return self._end(item, failed(item, not_good_enough(judgement, answer), self.clock()), sent)
        return self._end(item, done(item, answer, self.clock()), sent)

    def _again(self, item: Item, sent: Sequence[Sent], error: VisionPipeError | None = None) -> Next:
        self.journal.record(item.key, None, sent)
        if error is not None and error.scope == "job":
            raise error
        return Next.AGAIN

    def _end(self, item: Item, result: ItemResult, sent: Sequence[Sent]) -> ItemResult:
        self.journal.record(item.key, result, sent)
        return result

    def _tell(self, changed: bool, *, refused: bool = False) -> None:
        if changed:
            self.on_level(refused)


def _sent(reply: Reply, seconds: float, first: Reply | None = None) -> list[Sent]:
    """A row for every attempt of ``reply`` that is not one of ``first``, which has its rows already."""
    bill = Bill.of_reply(reply, first)
    last = Sent(seconds, reply.request_id or None, None, True, bill.tokens, bill.cost)
    return [*_before_last_answer(reply, first), last]


def _before_last_answer(reply: Reply, first: Reply | None = None) -> list[Sent]:
    """Every attempt but the one that gave the last answer, to whose row tokens and cost of all belong."""
    attempts = reply.attempts[len(first.attempts) if first is not None else 0 :]
    answers = [number for number, attempt in enumerate(attempts) if attempt.failed_with is None]
    return [
        Sent(
            attempt.seconds,
            attempt.request_id,
            attempt.failed_with,
            billable=attempt.failed_with is None,
        )
        for number, attempt in enumerate(attempts)
        if number not in answers[-1:]
    ]


def not_good_enough(judgement: Judgement, answer: Answer) -> UnreadableAnswerError:
    """The error for an answer that its judge lets fail."""
    kinds = ", ".join(dict.fromkeys(note.kind for note in judgement.notes)) or "quality"
    return UnreadableAnswerError(
        f"the answer is not good enough: {kinds}",
        cure="See the notes; relax the quality policy, or change the prompt or the model.",
        code="quality",
        request_id=answer.reply.request_id or None,
        reply=answer.reply,
    )
