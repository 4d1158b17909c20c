"""The steps of a run through batch files: take in what is listed, hand it in, collect until all has ended.

One thread, one file on this disk at a time, and every step in the journal before the next one. The first
item that waits for a line is billed for it, the others share its answer. Nothing is asked a second time
within a batch, so a judge is called as for a second answer.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from visionpipe.client import Client
from visionpipe.client.preparation import Prepared as Question
from visionpipe.errors import AnswerError, ServerError, UnreadableAnswerError, VisionPipeError
from visionpipe.pipeline.answerer import Answer, Answerer, Judge, PreparedItem
from visionpipe.pipeline.batch.store import BatchStore, StoredFile, StoredLine
from visionpipe.pipeline.batch.transfer import BatchTransfer
from visionpipe.pipeline.budget import Budget
from visionpipe.pipeline.client_answerer import read_answer
from visionpipe.pipeline.contents import stat_seen
from visionpipe.pipeline.events import BatchEvent
from visionpipe.pipeline.items import Ended, OpenItem, done, failed, refused, shared, skipped
from visionpipe.pipeline.journal import Journal
from visionpipe.pipeline.ledger import Key, Sent
from visionpipe.pipeline.triage import LISTED_TWICE, NO_QUESTION, Fresh, Kept, Refused, Skipped, Triage
from visionpipe.pipeline.unexpected import UnexpectedInARow, too_many, unexpected
from visionpipe.pipeline.worker import not_good_enough
from visionpipe.registry.records import ModelRecord
from visionpipe.reply import Reply
from visionpipe.results import ItemResult
from visionpipe.sources.find import Found, Source
from visionpipe.stages.extraction import Schema, was_cut_off, with_schema
from visionpipe.stages.retry import PollPolicy
from visionpipe.stages.schema import MisfitError
from visionpipe.values import JSON, Money
from visionpipe.wire.batches import (
    BatchAnswer,
    BatchFile,
    BatchLimits,
    BatchRecord,
    BatchStatus,
    Splitter,
    custom_id,
)


def end_of(
    line: StoredLine, answer: BatchAnswer, now: float, judge: Judge | None, schema: Schema[Any] | None
) -> tuple[ItemResult, Sent]:
    """How the first who waits for a line ends, and what the journal keeps of its request.

    Args:
        line: the item.
        answer: the line's.
        now: seconds since 1970.
    """
    item = _item(line)
    item.sends = 1
    try:
        if answer.error is not None:
            raise answer.error
        assert answer.reply is not None, "an answer is a reply or an error"
        reply = replace(answer.reply, adjustments=line.adjustments)
        item.billed(reply.usage, reply.cost)
        taken = Answer(reply) if schema is None else read_answer(reply, _data(reply, schema), schema)
        if judge is not None:
            judgement = judge(taken, True)
            item.notes = judgement.notes
            if judgement.action == "fail":
                raise not_good_enough(judgement, taken)
        return done(item, taken, now), _sent(reply, None, now - line.begun)
    except Exception as met:
        error = met if isinstance(met, VisionPipeError) else unexpected(met, line.key.source)
        partial = error.reply if isinstance(error, AnswerError) else None
        if partial is not None and item.usage is None:
            item.billed(partial.usage, partial.cost)
        billed = answer.reply or partial
        return failed(item, error, now), _sent(billed, error.code, now - line.begun, error.request_id)


def _data(reply: Reply, schema: Schema[Any]) -> JSON:
    try:
        _, data = schema.read(reply.text, cut_off=was_cut_off(reply))
    except MisfitError as misfit:
        raise UnreadableAnswerError(
            f"the answer does not fit the schema: {misfit}",
            cure="Run again with failures retried, simplify the schema, or use another model.",
            code="schema",
            request_id=reply.request_id,
            retryable=True,
            reply=reply,
        ) from misfit
    found: JSON = data
    return found


def share_of(line: StoredLine, original: ItemResult, now: float) -> ItemResult:
    """How another one who waits for the same line ends."""
    return shared(_item(line), original, now)


def no_answer(line: StoredLine, batch: BatchRecord, now: float) -> ItemResult:
    """How an item ends whose line the batch has not answered."""
    told = f": {batch.errors[0]}" if batch.errors else ""
    again = "Run again with failures retried."
    reason, cure, code = {
        BatchStatus.FAILED: (f"the service refused the whole batch file{told}", again, "batch_failed"),
        BatchStatus.EXPIRED: ("the batch expired before this line was answered", again, "batch_expired"),
        BatchStatus.CANCELLED: ("the batch was cancelled before this line", again, "batch_cancelled"),
    }.get(batch.status, ("the batch ended without an answer to this line", again, "batch_line_missing"))
    return failed(_item(line), ServerError(reason, cure=cure, subject=batch.id, code=code), now)


def lost(line: StoredLine, file: StoredFile, now: float) -> ItemResult:
    """How an item ends whose batch the service no longer knows."""
    error = ServerError(
        "the service no longer knows the batch (it keeps one for 30 days)",
        cure="Run again with failures retried; what it answered may have been billed.",
        subject=file.batch_id or file.name,
        code="batch_lost",
    )
    return failed(_item(line), error, now)


def _item(line: StoredLine) -> OpenItem:
    prepared = PreparedItem(None, adjustments=line.adjustments)
    source = Source(line.key.source, "")
    return OpenItem(source, line.key, line.key.content or "", "", line.begun, prepared)


def _sent(
    reply: Reply | None, failed_with: str | None, seconds: float, request_id: str | None = None
) -> Sent:
    if reply is None:
        return Sent(seconds, request_id, failed_with, billable=False)
    tokens = reply.usage.total_tokens if reply.usage else None
    return Sent(seconds, reply.request_id or None, failed_with, True, tokens, reply.cost)


@dataclass(frozen=True, slots=True)
class BatchJob:
    """What a run works with.

    Attributes:
        killed: plain requests that were under way when an earlier run was killed.
        close: gives back what was made for the run alone.
    """

    client: Client
    model: ModelRecord
    sources: Iterator[Found]
    journal: Journal
    triage: Triage
    answerer: Answerer
    store: BatchStore
    transfer: BatchTransfer
    limits: BatchLimits
    judge: Judge | None
    schema: Schema[Any] | None
    budget: Budget | None
    wait: bool
    policy: PollPolicy
    sleep: Callable[[float], object]
    killed: int
    close: Callable[[], None]


class Work:
    """The steps, as generators of ends."""

    def __init__(
        self,
        job: BatchJob,
        stop: threading.Event,
        tell: Callable[[BatchEvent], object],
        clock: Callable[[], float],
    ) -> None:
        self._job = job
        self._stop = stop
        self._tell = tell
        self._clock = clock
        self._splitter = Splitter(job.limits)
        self._place = -1
        self._open: tuple[StoredFile, BatchFile] | None = None
        self._earlier = job.store.last_line()
        self._expected: set[str] = set()
        self._early: set[str] = set()
        self._seen = 0
        self._unexpected = UnexpectedInARow()
        self._broken = False
        self.listed = False
        self.out_of_budget = False
        self.error: VisionPipeError | None = None
        """What a line ended with that every line would; its item has no end, and is asked another time."""

    @property
    def seen(self) -> int:
        """Items listed, and those of earlier runs that ended now without being listed."""
        return self._seen + len(self._early)

    def results(self) -> Iterator[Ended]:
        """Everything from the first step to the last."""
        for file in self._job.store.files():
            yield from self._resume(file)
        for found in self._job.sources:
            if self._stop.is_set() or self.out_of_budget or self._broken:
                break
            self._seen += 1
            yield from self._take_in(found)
        else:
            self.listed = True
        yield from self._ship()
        yield from self._collect_all()

    def close(self) -> None:
        """A file in writing is dropped by the next run."""
        if self._open is not None:
            self._open[1].close()

    def _resume(self, file: StoredFile) -> Iterator[Ended]:
        transfer = self._job.transfer
        if file.state == "writing":
            transfer.drop(file)
        elif file.state == "written" and transfer.upload(file, again=True):
            yield from self._make(file.number, again=False)
        elif file.state == "uploaded":
            yield from self._make(file.number, again=True)

    def _take_in(self, found: Found) -> Iterator[Ended]:
        job = self._job
        try:
            decision = job.triage.decide(found)
        except VisionPipeError:
            raise
        except Exception as error:
            decision = Refused(Key(found.name, NO_QUESTION, None), unexpected(error, found.name))
        match decision:
            case Skipped(again=True) if found.name in self._early:
                self._early.discard(found.name)  # it came out before it was listed
            case Skipped():
                yield self._end(
                    skipped(decision.key, decision.reason, decision.detail),
                    None if decision.again else decision,
                )
            case Refused():
                yield self._end(refused(decision.key, decision.error), decision)
            case Kept():
                job.journal.adopt(decision.key.source, decision.key.question, decision.job)
                yield Ended(decision.result, kept=True)
            case Fresh() if isinstance(found, Source):
                if decision.seen is not None:
                    stat = stat_seen(decision.seen)
                    job.journal.note_source(found.name, found.location, stat, decision.content)
                yield from self._add(found, decision)

    def _add(self, source: Source, decision: Fresh) -> Iterator[Ended]:
        job, key = self._job, decision.key
        waits = job.store.waits(key.source, key.question)
        if waits is not None:
            if waits > self._earlier or source.name in self._expected:
                yield Ended(skipped(key, LISTED_TWICE))
            else:
                self._expected.add(source.name)
            return
        now = self._clock()
        item = OpenItem(source, key, decision.content, decision.prompt, now)
        original = job.journal.shared(decision.content, key.question, job.triage.shared_since)
        if original is not None:
            yield self._end(shared(item, original, self._clock()), decision)
            return
        identity = custom_id(decision.content, key.question)
        file = job.store.file_of(identity)
        if file is not None:
            job.store.add(file, identity, key, now)
            return
        try:
            prepared = job.answerer.prepare(source, decision.prompt)
            cost = self._price(prepared.cost)
            if not self._affords(prepared, cost):
                return
            line = job.client.batches.line(identity, self._question(prepared))
        except Exception as error:
            if isinstance(error, VisionPipeError) and error.scope == "job":
                raise
            known = error if isinstance(error, VisionPipeError) else unexpected(error, source.name)
            yield self._end(failed(item, known, self._clock()), decision)
            return
        try:
            place = self._splitter.place(job.model.id, line.size)
            if place != self._place:
                yield from self._ship()
                self._place = place
                self._open = job.transfer.begin()
            assert self._open is not None, "a place belongs to an open file"
            self._open[1].add_line(line)
        except VisionPipeError as error:
            if error.scope == "job":
                raise
            yield self._end(failed(item, error, self._clock()), decision)
            return
        job.store.add(self._open[0].number, identity, key, now, prepared, cost)

    def _question(self, prepared: PreparedItem) -> Question:
        """The item's question as it stands in its line."""
        asked: Question = prepared.request
        schema = self._job.schema
        if schema is None:
            return asked
        lang = self._job.client.settings.lang
        requests = (with_schema(request, schema, asked.model, lang) for request in asked.requests)
        return replace(asked, requests=tuple(requests))

    def _price(self, cost: Money | None) -> Money | None:
        """What a call in a batch file costs."""
        factor = self._job.client.settings.endpoint.batch_price_factor
        return cost if cost is None or factor is None else Money(cost.amount * factor, cost.currency)

    def _affords(self, prepared: PreparedItem, cost: Money | None) -> bool:
        """Whether the budget has room; what is handed in counts by its estimate."""
        budget = self._job.budget
        if budget is None:
            return True
        amount = budget.reserve(prepared.tokens, cost)
        if amount is None:
            self.out_of_budget = True
            return False
        budget.settle(amount, None, None)
        return True

    def _end(self, result: ItemResult, decision: Skipped | Refused | Fresh | None) -> Ended:
        if decision is not None:
            self._job.journal.record(decision.key, result)
            self._watch(result)
        return Ended(result)

    def _watch(self, result: ItemResult) -> None:
        if self._unexpected.ended(result):
            self.error = too_many(result)
            self._broken = True

    def _ship(self) -> Iterator[Ended]:
        """Hand the open file in."""
        if self._open is None:
            return
        stored, file = self._open
        file.close()
        self._open, self._place = None, -1
        if not file.lines:
            self._job.transfer.drop(stored)
            return
        self._job.store.written(stored.number, file.lines, file.size)
        self._report(stored.number)
        written = self._job.store.file(stored.number)
        if written is not None and self._job.transfer.upload(written):
            self._report(stored.number)
            yield from self._make(stored.number, again=False)

    def _make(self, number: int, *, again: bool) -> Iterator[Ended]:
        """Make a batch of an uploaded file, once the model's queue has room for it."""
        asked = 0
        while not self._has_room(number):
            if self._stop.is_set() or not self._job.wait:
                return
            ended = self._collect()
            yield from ended
            asked += 1
            self._job.sleep(self._job.policy.seconds(asked))
        file = self._job.store.file(number)
        if file is not None and self._job.transfer.create(file, again=again):
            self._report(number)

    def _has_room(self, number: int) -> bool:
        queue = self._job.model.batch_queue
        files = self._job.store.files()
        under_way = sum(file.lines for file in files if file.state == "created")
        wanted = sum(file.lines for file in files if file.number == number)
        return queue is None or not under_way or under_way + wanted <= queue

    def _collect_all(self) -> Iterator[Ended]:
        asked = 0
        while self._job.store.files():
            before = len(self._job.store.files())
            yield from self._collect()
            for file in self._job.store.files():
                if file.state == "uploaded" and self._has_room(file.number):
                    yield from self._make(file.number, again=True)
            left = len(self._job.store.files())
            if not left or self._stop.is_set() or not self._job.wait:
                return
            asked = 0 if left < before else asked + 1
            self._job.sleep(self._job.policy.seconds(max(1, asked)))
            if self._stop.is_set():
                return

    def _collect(self) -> Iterator[Ended]:
        """Ask once after every batch, and read those that have ended."""
        job = self._job
        for file in job.store.files():
            if file.batch_id is None:
                continue
            try:
                batch = job.client.batches.get(file.batch_id)
            except VisionPipeError as error:
                if job.transfer.is_gone(file, error):
                    yield from self._lose(file, file.batch_id, str(error))
                    continue
                if not error.retryable or error.scope == "job":
                    raise
                # A batch takes hours: an hour's outage is waited out like the rest.
                self._tell(BatchEvent(file.name, file.state, file.lines, file.batch_id, str(error)))
                continue
            self._tell(BatchEvent(file.name, batch.status.value, file.lines, batch.id))
            if batch.done:
                yield from self._read(file, batch)

    def _read(self, file: StoredFile, batch: BatchRecord) -> Iterator[Ended]:
        job = self._job
        paths = job.transfer.fetch(batch)
        for answer in job.client.batches.read(paths, job.model.id):
            yield from self._settle(job.store.waiting(file.number, answer.custom_id), answer)
        yield from self._close_rest(file, lambda line: no_answer(line, batch, self._clock()))
        job.transfer.settle(file, batch.id)
        self._tell(BatchEvent(file.name, "collected", file.lines, batch.id))

    def _close_rest(self, file: StoredFile, end: Callable[[StoredLine], ItemResult]) -> Iterator[Ended]:
        """End whoever still waits for a line of a file."""
        while left := self._job.store.unanswered(file.number):
            for identity in left:
                for line in self._job.store.waiting(file.number, identity):
                    if not line.ended:
                        yield self._close(line, end(line))

    def _lose(self, file: StoredFile, batch_id: str, trouble: str) -> Iterator[Ended]:
        """The service has forgotten the batch."""
        yield from self._close_rest(file, lambda line: lost(line, file, self._clock()))
        self._job.transfer.settle(file, batch_id)
        self._tell(BatchEvent(file.name, "lost", file.lines, batch_id, trouble))

    def _settle(self, lines: list[StoredLine], answer: BatchAnswer) -> Iterator[Ended]:
        """A line is answered: so end all who wait for it."""
        if not lines:
            return
        if answer.error is not None and answer.error.scope == "job":
            self.error = self.error or answer.error
            for line in lines:
                self._job.store.give_up(line.number)
            return
        first, *others = lines
        result, sent = end_of(first, answer, self._clock(), self._job.judge, self._job.schema)
        if not first.ended:
            self._job.store.ending(first.number)
            self._job.journal.record(first.key, result, [sent])
            self._watch(result)
            yield self._out(first, result)
        for other in others:
            if not other.ended:
                yield self._close(other, share_of(other, result, self._clock()))

    def _close(self, line: StoredLine, result: ItemResult) -> Ended:
        self._job.store.ending(line.number)
        self._job.journal.record(line.key, result)
        return self._out(line, result)

    def _out(self, line: StoredLine, result: ItemResult) -> Ended:
        name = line.key.source
        if name in self._expected:
            self._expected.discard(name)
        elif line.number <= self._earlier:
            self._early.add(name)
        return Ended(result)

    def _report(self, number: int) -> None:
        file = self._job.store.file(number)
        if file is not None:
            self._tell(BatchEvent(file.name, file.state, file.lines, file.batch_id))
