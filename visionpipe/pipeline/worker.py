"""One item from its bytes to its recorded end: decided about, made ready, asked, judged.

The same path serves a pipeline's threads, a single call and an engine that moves rows. A lease is given back
exactly once, and an attempt is in the ledger before anything else is done with the item. Errors of scope
"job" pass through; the item then has no end, and the next run takes it.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from enum import Enum, auto
from functools import partial
from queue import Empty, SimpleQueue
from types import TracebackType
from typing import Self, TypeAlias

from visionpipe.client.observing import gate_waited
from visionpipe.client.servers import MOST_MOVES
from visionpipe.errors import (
    AnswerError,
    ConfigurationError,
    InterruptedAnswerError,
    RateLimitError,
    ReplyTimeoutError,
    UnreadableAnswerError,
    VisionPipeError,
)
from visionpipe.pipeline.answerer import Answer, Answerer, Judge, Judgement, PreparedItem
from visionpipe.pipeline.channel import Closed
from visionpipe.pipeline.contents import stat_seen
from visionpipe.pipeline.events import STOP_S, Event, LevelChanged, ServiceBack, ServiceLost
from visionpipe.pipeline.gate import Bill, Gate, Lease, LeaseOutcome, LocalGate, never
from visionpipe.pipeline.items import Ended, OpenItem, done, failed, refused, skipped
from visionpipe.pipeline.ledger import Key, Ledger, Sent
from visionpipe.pipeline.limiter import MOST_AT_ONCE
from visionpipe.pipeline.outage import LONGEST_OUTAGE_S, Outage, Verdict, stopping
from visionpipe.pipeline.pool import PoolGate, PoolLease
from visionpipe.pipeline.triage import NO_QUESTION, Kept, Refused, Skipped, Triage
from visionpipe.pipeline.unexpected import UnexpectedInARow, too_many, unexpected
from visionpipe.pipeline.waiting import InThread, Waiting, finished
from visionpipe.reply import Reply
from visionpipe.results import ItemResult
from visionpipe.sources.find import Found, Item, Source
from visionpipe.values import Money, Note


def bill_of_reply(reply: Reply, first: Reply | None = None) -> Bill:
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
    return Bill(tokens, cost, max(1, answers))


def bill_of_error(error: VisionPipeError, prepared: PreparedItem, first: Reply | None = None) -> Bill | None:
    """None where nothing was billed. A timeout may have been: it counts by its estimate."""
    if isinstance(error, AnswerError) and error.reply is not None:
        return bill_of_reply(error.reply, first)
    if isinstance(error, AnswerError | ReplyTimeoutError):
        return Bill(prepared.tokens, prepared.cost)
    return None


class WorkerClosed(RuntimeError):
    """The worker is closed, or was stopped before the item was asked about."""

    def __init__(self) -> None:
        super().__init__("the worker is closed")


class Next(Enum):
    """What to do with an item that has no end yet. LATER: after all that are ready."""

    AGAIN = auto()
    LATER = auto()
    OUT_OF_BUDGET = auto()


Asked: TypeAlias = ItemResult | Next


@dataclass(frozen=True, slots=True)
class WorkerParts:
    """What a worker works with.

    Attributes:
        triage: decides what has to be asked about.
        gate: gives each request its place, and its room in the budget.
        judge: holds each answer to a policy; None takes them as they come.
        judge_is_quick: whether it asks nobody and reads nothing.
        item_seconds: the deadline of an item: seconds of sending, waits for the gate not counted.
        outage_seconds: how long to wait for a service out of reach; None: for ever.
        clock: monotonic seconds.
    """

    answerer: Answerer
    ledger: Ledger
    triage: Triage
    gate: Gate
    judge: Judge | None = None
    judge_is_quick: bool = False
    item_seconds: float | None = None
    outage_seconds: float | None = LONGEST_OUTAGE_S
    clock: Callable[[], float] = time.monotonic


@dataclass(slots=True)
class _Request:
    """The lease of one item's request, and what became of a first answer that was to be asked for again."""

    lease: Lease
    first: Reply | None = None
    denied: bool = False


class Worker:
    """Brings items to their recorded ends, from any number of threads. Made by ``Job.open``.

    Args:
        parts: what it works with.
        concurrency: most items at once in ``map`` and ``aprocess``.
        tell: told what happens; must not block.
        stopped: whether the run is over.
        close: gives back what was opened for this worker alone.
    """

    def __init__(
        self,
        parts: WorkerParts,
        *,
        concurrency: int = MOST_AT_ONCE,
        tell: Callable[[Event], object] = lambda event: None,
        stopped: Callable[[], bool] = never,
        close: Callable[[], None] = lambda: None,
    ) -> None:
        self.parts = parts
        self._answerer, self._ledger, self._gate = parts.answerer, parts.ledger, parts.gate
        self._judge = parts.judge
        self._in_thread = InThread(parts.answerer, parts.ledger)
        self._gate_is_local = isinstance(parts.gate, LocalGate) or (
            isinstance(parts.gate, PoolGate) and parts.gate.is_local
        )
        self._servers = parts.gate if isinstance(parts.gate, PoolGate) else None
        if self._servers is not None:
            self._servers.servers.watch(self._server_changed)
        self._clock = parts.clock
        self._outage = Outage(parts.outage_seconds, tell, parts.clock)
        self._tell_event = tell
        self._stopped_outside = stopped
        self._concurrency = concurrency
        self._unexpected = UnexpectedInARow()
        self._close = close
        self._idle = threading.Condition()
        self._under_way = 0
        self._draining = self._stopping = self._given_up = self._closed = False
        self._pool: ThreadPoolExecutor | None = None

    def process(self, item: Item) -> ItemResult:
        """One item, to its end, which is in the ledger when it is returned.

        An item that the ledger knows already is not asked about again, and what a person wrote about it comes
        in the answer's place. Where the service is out of reach the call waits, as long as the job allows.

        Raises:
            VisionPipeError: of scope "job", what every further item would meet: a wrong key, an empty
                account, a budget that is reached. An item's own error is in its result.
            WorkerClosed: the worker is closed, or was stopped before the item was asked about.
        """
        self._begin()
        return self._counted(item)

    async def aprocess(self, item: Item) -> ItemResult:
        """As ``process``. Cancelling it cancels no request: its result still reaches the ledger."""
        return await asyncio.shield(asyncio.wrap_future(self._submitted(item)))

    def map(self, items: Iterable[Item | Found]) -> Iterator[ItemResult]:
        """Results in the order of ``items``, of which at most twice the concurrency are read ahead; what a
        listing found is taken, too.

        Raises:
            VisionPipeError: as ``process``, in the place of the item that met it; what is under way is
                recorded.
        """
        ahead: deque[Future[ItemResult]] = deque()
        try:
            for item in items:
                ahead.append(self._submitted(item))
                if len(ahead) >= 2 * self._concurrency:
                    yield ahead.popleft().result()
            while ahead:
                yield ahead.popleft().result()
        finally:
            for waiting in ahead:
                waiting.cancel()

    def map_unordered(self, items: Iterable[Item | Found]) -> Iterator[ItemResult]:
        """Results as they come, so that none waits for a slower one before it; read ahead as by ``map``.

        The iterator can be taken up again after an exception that came from outside, such as Ctrl-C. Where it
        is dropped, none of what was read ahead begins any more.

        Raises:
            VisionPipeError: as ``process``, once the results of all that was under way have been given.
            WorkerClosed: likewise.
        """
        return _AsTheyEnd(self._submitted, iter(items), 2 * self._concurrency, lambda: self._given_up)

    def stop(self, seconds: float = STOP_S) -> int:
        """Begins no request more, also for items that were handed over, and waits for those under way.

        Args:
            seconds: the longest to wait.

        Returns:
            How many items are still under way. ``close`` leaves them to themselves, and they are asked about
            again another time.
        """
        with self._idle:
            self._draining = self._stopping = True
        self._gate.wake()
        with self._idle:
            self._idle.wait_for(lambda: not self._under_way, seconds)
            self._given_up = self._under_way > 0
            return self._under_way

    def drain(self) -> None:
        """Begins nothing more, and waits until what is under way is recorded; after ``stop`` it waits no
        longer."""
        with self._idle:
            self._draining = True
            while self._under_way and not self._stopping:
                self._idle.wait()

    def close(self) -> None:
        """Drains, and lets go of ledger, gate and client. May be called again."""
        self.drain()
        with self._idle:
            if self._closed:
                return
            self._closed = True
        if self._pool is not None:
            self._pool.shutdown(wait=not self._under_way)
        self._close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _stopped(self) -> bool:
        return self._stopping or self._stopped_outside()

    def _begin(self) -> None:
        with self._idle:
            if self._draining:
                raise WorkerClosed
            self._under_way += 1

    def _submitted(self, item: Item | Found) -> Future[ItemResult]:
        # It counts from here, so that what was handed over is recorded before the worker closes.
        self._begin()
        with self._idle:
            if self._pool is None:
                self._pool = ThreadPoolExecutor(self._concurrency, "visionpipe worker")
        future = self._pool.submit(self._counted, item)
        future.add_done_callback(self._withdrawn)
        return future

    def _withdrawn(self, future: Future[ItemResult]) -> None:
        if future.cancelled():
            self._ended()

    def _ended(self) -> None:
        with self._idle:
            self._under_way -= 1
            self._idle.notify_all()

    def _counted(self, item: Item | Found) -> ItemResult:
        try:
            ended = self._processed(item)
        except Closed:
            raise WorkerClosed from None
        finally:
            self._ended()
        if not ended.kept and self._unexpected.ended(ended.result):
            raise too_many(ended.result)
        return self._ledger.standing(ended.result, ended.content)

    def _processed(self, item: Item | Found) -> Ended:
        taken = self.take_in(item.source() if isinstance(item, Item) else item)
        if isinstance(taken, Ended):
            return taken
        result = self.prepare(taken)
        while result is None:
            asked = self.ask(taken)
            if isinstance(asked, ItemResult):
                result = asked
            elif asked is Next.OUT_OF_BUDGET:
                raise ConfigurationError(
                    f"the budget is reached: {self._gate.reached() or 'no room for another request'}",
                    cure="Raise it, and go on with the same ledger.",
                    subject="budget",
                    code="budget",
                )
        return Ended(result, content=taken.content)

    def take_in(
        self, source: Found, is_over: Callable[[], bool] | None = None, number: int = 0
    ) -> Ended | OpenItem:
        """Decides about one item; what need not be asked comes to its end here.

        Args:
            source: the item.
            is_over: whether the run has been stopped, asked while a large file is read.
            number: its place in a listing.

        Raises:
            Closed: the run was stopped meanwhile.
        """
        begun = self._clock()
        try:
            decision = self.parts.triage.decide(source, is_over)
        except (VisionPipeError, Closed):
            raise
        except Exception as error:
            decision = Refused(Key(source.name, NO_QUESTION, None), unexpected(error, source.name))
        if isinstance(decision, Kept):
            self._ledger.adopt(decision.key.source, decision.key.question, decision.job)
            return Ended(decision.result, kept=True, content=decision.key.content)
        if isinstance(decision, Skipped):
            result = skipped(decision.key, decision.reason, decision.detail)
            # "again": it has its end already.
            return self.end(result, None if decision.again else decision.key)
        if isinstance(decision, Refused):
            return self.end(refused(decision.key, decision.error), decision.key)
        assert isinstance(source, Source), "of others nothing is asked"
        if decision.seen is not None:
            stat = stat_seen(decision.seen)
            self._ledger.note_source(source.name, source.location, stat, decision.content)
            source = replace(source, seen=decision.seen)
        elif decision.image is not None:
            source = replace(source, image=decision.image)
        return OpenItem(
            source,
            decision.key,
            decision.content,
            decision.prompt,
            begun,
            number=number,
            changed=decision.changed,
        )

    def prepare(self, item: OpenItem) -> ItemResult | None:
        """Makes the item ready to be asked about; its end, recorded, where that cannot be.

        Raises:
            VisionPipeError: of scope "job".
        """
        try:
            item.prepared = self._answerer.prepare(item.source, item.prompt)
        except Exception as error:
            if isinstance(error, VisionPipeError) and error.scope == "job":
                raise
            return self.fail(item, error)
        return None

    def fail(self, item: OpenItem, error: Exception) -> ItemResult:
        """Ends an item before its request."""
        known = error if isinstance(error, VisionPipeError) else unexpected(error, item.source.name)
        return self.end(failed(item, known, self._clock()), item.key).result

    def end(self, result: ItemResult, key: Key | None) -> Ended:
        """Records the end of an item that was not sent (``key`` None: it has an end already)."""
        if key is not None:
            self._ledger.record(key, result)
        return Ended(result)

    def ask(self, item: OpenItem) -> Asked:
        """As ``asking``, in this thread."""
        return finished(self.asking(item, self._in_thread))

    async def asking(self, item: OpenItem, waiting: Waiting) -> Asked:
        """Waits for a lease, sends a prepared item's request, and gives the lease back.

        Returns:
            The item's end, recorded; or what to do next with it.

        Raises:
            Closed: the run was stopped before it was sent.
            VisionPipeError: of scope "job": no other item should be begun.
        """
        prepared = item.prepared
        assert prepared is not None, "prepared before it is asked about"
        begun = self._clock()
        lease = await waiting.lease(
            partial(self._lease_now, prepared),
            partial(self._lease, prepared),
            lambda unwanted: self._gate.release(unwanted, "unused"),
        )
        gate_waited(self._clock() - begun)
        if lease is None:
            if self._stopped():
                raise Closed
            return Next.OUT_OF_BUDGET
        request = _Request(lease)
        try:
            await waiting.stored(self._ledger.sending(item.key, prepared.tokens, prepared.cost, wait=False))
        except BaseException:
            self._gate.release(lease, "unused")
            raise
        most = self.parts.item_seconds
        left = None if most is None else max(0.0, most - item.seconds_sending)
        begun = self._clock()

        def on_repeat(first: Reply) -> bool:
            # The first answer is on record before the second request can be lost, refused or not be sent.
            bill = bill_of_reply(first)
            self._ledger.record(item.key, None, _sent(first, bill, self._clock() - begun))
            self._outage.answered()
            request.first = first
            request.denied = not self._gate.repeat(lease, bill)
            if not request.denied:
                self._ledger.sending(item.key, prepared.tokens, prepared.cost)
            return not request.denied

        try:
            to_send = replace(prepared, on_repeat=on_repeat) if prepared.may_repeat else prepared
            if isinstance(lease, PoolLease):
                to_send = replace(to_send, server=lease.server)
            answer = await waiting.answer(to_send, left)
        except RateLimitError as error:
            changed = await self._release(waiting, lease, "refused", retry_after=error.retry_after)
            self._tell(changed, refused=True)
            item.sends += max(1, error.attempts)
            self._bill_first(item, request.first)
            sent = Sent(self._clock() - begun, error.request_id, error.code, billable=False, refused=True)
            return await self._again(waiting, item, [sent], error)
        except VisionPipeError as error:
            if request.denied:
                await self._release(waiting, lease, "ok")
                return Next.OUT_OF_BUDGET
            if isinstance(lease, PoolLease) and self._moves(item, lease, error):
                await self._release(waiting, lease, "unused")
                await self._later(waiting, item, error, self._clock() - begun, request.first)
                return Next.AGAIN
            verdict = self._verdict(item, error, begun)
            if verdict is Verdict.WAIT:
                # Back off as after a 429, so that probes grow rare; but it is no fault of the level.
                self._tell(await self._release(waiting, lease, "refused"))
                return await self._later(waiting, item, error, self._clock() - begun, request.first)
            if verdict is Verdict.STOP:
                error = stopping(error)
            bill = bill_of_error(error, prepared, request.first)
            self._tell(await self._release(waiting, lease, "ok", bill=bill))
            return await self._failed(waiting, item, error, bill, self._clock() - begun, request.first)
        except Exception as error:
            # It may have been sent, and billed.
            bill = Bill(prepared.tokens, prepared.cost)
            self._tell(await self._release(waiting, lease, "ok", bill=bill))
            known = unexpected(error, item.source.name)
            return await self._failed(waiting, item, known, bill, self._clock() - begun, request.first)
        except BaseException:
            self._gate.release(lease, "ok", bill=Bill(prepared.tokens, prepared.cost))
            raise
        self._outage.answered()
        bill = bill_of_reply(answer.reply, request.first)
        self._tell(await self._release(waiting, lease, "ok", bill=bill))
        return await self._answered(waiting, item, answer, bill, self._clock() - begun, request.first)

    async def _release(
        self,
        waiting: Waiting,
        lease: Lease,
        outcome: LeaseOutcome,
        *,
        bill: Bill | None = None,
        retry_after: float | None = None,
    ) -> bool:
        if self._gate_is_local:
            return self._gate.release(lease, outcome, bill=bill, retry_after=retry_after)
        return await waiting.run(
            partial(self._gate.release, lease, outcome, bill=bill, retry_after=retry_after)
        )

    def _lease_now(self, prepared: PreparedItem) -> Lease | None:
        if not isinstance(self._gate, LocalGate) or self._stopped():
            return None
        return self._gate.acquire_now(prepared.tokens, prepared.cost, spare=prepared.may_repeat)

    def _lease(self, prepared: PreparedItem) -> Lease | None:
        tokens, cost, spare = prepared.tokens, prepared.cost, prepared.may_repeat
        if self._servers is None:
            return self._gate.acquire(tokens, cost, spare=spare, stopped=self._stopped)
        return self._servers.acquire(tokens, cost, spare=spare, stopped=self._stopped, prefix=prepared.prefix)

    def _moves(self, item: OpenItem, lease: PoolLease, error: VisionPipeError) -> bool:
        """Whether an item that found its server away goes to another; its result tells."""
        if self._servers is None or item.moves >= MOST_MOVES or not self._servers.moves(lease, error):
            return False
        item.moves += 1
        url = self._servers.servers.urls[lease.server]
        item.notes = (*item.notes, Note("moved", f"{url} was out of reach: {error.reason}"))
        return True

    def _server_changed(self, url: str, reason: str | None, seconds: float) -> None:
        self._tell_event(ServiceBack(seconds, url) if reason is None else ServiceLost(reason, url))

    async def _failed(
        self,
        waiting: Waiting,
        item: OpenItem,
        error: VisionPipeError,
        bill: Bill | None,
        seconds: float,
        first: Reply | None,
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
            return await self._again(waiting, item, sent, error)
        return await self._recorded(waiting, item, failed(item, error, self._clock()), sent)

    def _verdict(self, item: OpenItem, error: VisionPipeError, begun: float) -> Verdict:
        if error.scope == "job" or self._asks_once_more(item, error):
            return Verdict.OWN
        return self._outage.failed(item.key.source, error, begun)

    async def _later(
        self,
        waiting: Waiting,
        item: OpenItem,
        error: VisionPipeError,
        seconds: float,
        first: Reply | None,
    ) -> Next:
        """The item's time does not run while the service is out of reach."""
        item.sends += max(1, error.attempts)
        self._bill_first(item, first)
        sent = [Sent(seconds, error.request_id, error.code, billable=False)]
        await waiting.stored(self._ledger.record(item.key, None, sent, wait=False))
        return Next.LATER

    def _asks_once_more(self, item: OpenItem, error: VisionPipeError) -> bool:
        """An answer that broke off says nothing of the item; one that is no use may be better with luck."""
        if item.reasked:
            return False
        if isinstance(error, InterruptedAnswerError):
            return error.retryable
        return isinstance(error, AnswerError) and error.retryable and self._judge is not None

    def _bill_first(self, item: OpenItem, first: Reply | None) -> None:
        """For an item whose second request came to nothing that would tell of the first."""
        if first is not None:
            item.sends += max(1, len(first.attempts))
            item.billed(first.usage, first.cost if first.usage else None)

    async def _answered(
        self,
        waiting: Waiting,
        item: OpenItem,
        answer: Answer,
        bill: Bill,
        seconds: float,
        first: Reply | None,
    ) -> Asked:
        reply = answer.reply
        item.sends += max(1, len(reply.attempts))
        item.seconds_sending += seconds
        item.billed(reply.usage, reply.cost)
        sent = _sent(reply, bill, seconds, first)
        try:
            judgement = await self._judged(waiting, answer, item.reasked)
        except Exception as error:
            known = error if isinstance(error, VisionPipeError) else unexpected(error, item.source.name)
            if known.scope == "job":
                return await self._again(waiting, item, sent, known)
            return await self._recorded(waiting, item, failed(item, known, self._clock()), sent)
        if judgement.action == "reask" and not item.reasked:
            item.reasked = True
            return await self._again(waiting, item, sent)
        item.notes = (*item.notes, *judgement.notes)
        if judgement.action == "fail":
            poor = not_good_enough(judgement, answer)
            return await self._recorded(waiting, item, failed(item, poor, self._clock()), sent)
        return await self._recorded(waiting, item, done(item, answer, self._clock()), sent)

    async def _judged(self, waiting: Waiting, answer: Answer, reasked: bool) -> Judgement:
        if self._judge is None:
            return Judgement()
        if self.parts.judge_is_quick:
            return self._judge(answer, reasked)
        return await waiting.run(partial(self._judge, answer, reasked))

    async def _again(
        self,
        waiting: Waiting,
        item: OpenItem,
        sent: Sequence[Sent],
        error: VisionPipeError | None = None,
    ) -> Next:
        await waiting.stored(self._ledger.record(item.key, None, sent, wait=False))
        if error is not None and error.scope == "job":
            raise error
        return Next.AGAIN

    async def _recorded(
        self, waiting: Waiting, item: OpenItem, result: ItemResult, sent: Sequence[Sent]
    ) -> ItemResult:
        await waiting.stored(self._ledger.record(item.key, result, sent, wait=False))
        return result

    def _tell(self, changed: bool, *, refused: bool = False) -> None:
        if changed:
            state = self._gate.state
            self._tell_event(LevelChanged(state.level, refused, state.pause_s))


_ENDED_S = 0.5


class _AsTheyEnd(Iterator[ItemResult]):
    """Results in the order of their ends. An error lets no item begin any more, and comes last."""

    def __init__(
        self,
        submit: Callable[[Item | Found], Future[ItemResult]],
        items: Iterator[Item | Found],
        most: int,
        given_up: Callable[[], bool],
    ) -> None:
        self._submit, self._items, self._most, self._given_up = submit, items, most, given_up
        self._under_way: set[Future[ItemResult]] = set()
        self._ended: SimpleQueue[Future[ItemResult]] = SimpleQueue()
        self._listed = False
        self._error: BaseException | None = None

    def __next__(self) -> ItemResult:
        while True:
            try:
                self._hand_over()
            except (VisionPipeError, WorkerClosed) as error:
                self._fail(error)
            if not self._under_way:
                break
            try:
                # Of a worker that was stopped without waiting for all, what has ended is here in a moment.
                future = self._ended.get(timeout=_ENDED_S if self._given_up() else None)
            except Empty:
                self._fail(WorkerClosed())
                break
            self._under_way.discard(future)
            if future.cancelled():
                continue
            found = future.exception()
            if found is None:
                return future.result()
            self._fail(found)
        if self._error is None:
            raise StopIteration
        met, self._error = self._error, None
        raise met

    def __del__(self) -> None:
        self._withdraw()

    def _hand_over(self) -> None:
        while not self._listed and len(self._under_way) < self._most:
            item = next(self._items, None)
            if item is None:
                self._listed = True
                return
            future = self._submit(item)
            self._under_way.add(future)
            future.add_done_callback(self._ended.put)

    def _fail(self, error: BaseException) -> None:
        self._error = self._error or error
        self._listed = True
        self._withdraw()

    def _withdraw(self) -> None:
        for waiting in list(self._under_way):
            waiting.cancel()


def _sent(reply: Reply, bill: Bill, seconds: float, first: Reply | None = None) -> list[Sent]:
    """A row for every attempt of ``reply`` that is not one of ``first``, which has its rows already."""
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
