"""The threads of a run: some prepare items, one asks about as many at once as are allowed, on an event loop.

Queues are bounded, so memory does not grow with the count of items. An item leaves through
``Engine._out`` or, where the run stops before, counts as not started. No thread outlives the run except
after ``Engine.abort``.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial

from visionpipe.errors import ConfigurationError, VisionPipeError
from visionpipe.pipeline.channel import Channel, Closed
from visionpipe.pipeline.events import Event, RunStopping
from visionpipe.pipeline.items import Ended, OpenItem, shared, skipped
from visionpipe.pipeline.journal import Journal
from visionpipe.pipeline.matching import Match, Matching
from visionpipe.pipeline.near_duplicates import Resemblance
from visionpipe.pipeline.on_loop import OnLoop
from visionpipe.pipeline.pool import PoolGate
from visionpipe.pipeline.reading import PAGE
from visionpipe.pipeline.triage import LISTED_TWICE
from visionpipe.pipeline.unexpected import UnexpectedInARow, too_many
from visionpipe.pipeline.worker import Asked, Next, Worker, WorkerParts
from visionpipe.results import ItemResult, Outcome
from visionpipe.sources.find import Found

MORE_ABOVE_S, FEWER_BELOW_S = 0.012, 0.006
_WEIGHT = 0.2


class PreparerScaling:
    """Decides from the mean time of preparation whether threads beyond the first are wanted.

    An image that is sent as it lies is ready in a millisecond, most of it spent in the interpreter, and a
    second thread would only delay those that send. One that is decoded and repaired, or comes from a slow
    disk, leaves the interpreter free for tens of milliseconds.
    """

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._wanted = threading.Event()
        self._mean_s: float | None = None
        self._over = False

    @property
    def wanted(self) -> bool:
        return self._wanted.is_set()

    def took(self, seconds: float) -> None:
        """One item was ready after ``seconds``."""
        with self._lock:
            mean = seconds if self._mean_s is None else self._mean_s + _WEIGHT * (seconds - self._mean_s)
            self._mean_s = mean
            if self._over or mean > MORE_ABOVE_S:
                self._wanted.set()
            elif mean < FEWER_BELOW_S:
                self._wanted.clear()

    def wait(self) -> None:
        """Returns when more threads are wanted, or the run is over."""
        self._wanted.wait()

    def release(self) -> None:
        """Lets every waiting thread go, for good. May be called from a signal handler."""
        with self._lock:
            if self._over:
                return
            self._over = True
            self._wanted.set()


class Engine:
    """Works a listing off. Results and events come out of ``output``, which closes at the end.

    Args:
        sources: the listing.
        parts: of the worker that all threads share.
        journal: the worker's ledger, where duplicates are found too.
        resemblance: how near duplicates are judged; None where they are not asked for.
        at_once: most items being asked about, at least the gate's ceiling to make use of it.
        preparers: most threads that read, hash and repair; the first does it alone while that is quick.
        deadline: monotonic seconds at which no item is begun any more.
    """

    def __init__(
        self,
        sources: Iterator[Found],
        parts: WorkerParts,
        journal: Journal,
        *,
        resemblance: Resemblance | None = None,
        at_once: int = 8,
        preparers: int = 2,
        deadline: float | None = None,
    ) -> None:
        self._sources = sources
        self._sources_lock = threading.Lock()
        self._journal = journal
        self._at_once, self._preparers = at_once, preparers
        self._deadline = deadline
        self._clock = parts.clock
        self._triage = parts.triage
        self.gate = parts.gate
        self._ready: Channel[OpenItem] = Channel(max(4, at_once // 2), self._wake_askers)
        self.output: Channel[Ended | Event] = Channel(max(64, 2 * at_once))
        self._waiting = OnLoop(parts.answerer, journal, one_line=not isinstance(parts.gate, PoolGate))
        self._loop: asyncio.AbstractEventLoop | None = None
        self._askers: list[asyncio.Task[None]] = []
        self._idle: deque[asyncio.Future[None]] = deque()
        self._waking = False
        self._matching = Matching(journal, parts.triage.shared_since, resemblance, self._is_over)
        self._worker = Worker(parts, tell=self._tell, stopped=self._is_over)
        self._scaling = PreparerScaling()
        self._unexpected = UnexpectedInARow()
        # A signal handler may stop the run while its own thread is doing so.
        self._lock = threading.RLock()
        self._over = False
        self._open_items = 0
        self._threads = 0
        self.seen = 0
        self.listed = False
        self.stopped: str | None = None
        self.aborted = False
        self.error: BaseException | None = None

    def start(self) -> None:
        """Begins.

        Raises:
            ConfigurationError: the system gives no more threads; those that have begun end by ``stop``.
        """
        loops = [
            self._prepare_all,
            *[self._prepare_more] * (self._preparers - 1),
            self._ask_all,
        ]
        self._threads = len(loops)
        for begun, loop in enumerate(loops):
            try:
                # Daemons, because an abort does not wait for requests that hang.
                threading.Thread(target=self._guarded, args=(loop,), daemon=True).start()
            except RuntimeError as error:
                self._ended(len(loops) - begun)
                raise ConfigurationError(
                    f"the system starts {begun} of {len(loops)} threads, and no more",
                    cure="Lower the concurrency, or raise the limit of processes.",
                    subject="concurrency",
                    code="threads",
                ) from error

    def stop(self, reason: str, error: BaseException | None = None) -> None:
        """Begins nothing new; what is being answered is awaited and recorded. The first reason stands."""
        with self._lock:
            if self._over:
                return
            self._over, self.stopped, self.error = True, reason, error
        self._turn_off()
        self._tell(RunStopping(reason, self.gate.state.busy))

    def abort(self) -> None:
        """Waits for nothing: requests under way are left to themselves, and asked again by the next run."""
        self.aborted = True
        with self._lock:
            if not self._over:
                self.stopped = "aborted"
        self._turn_off()
        self.output.close()
        self._on_loop(self._leave_askers)

    def count_rest(self) -> None:
        """After an early stop: reads on, only to know how much is left; an abort ends it."""
        with self._sources_lock:
            try:
                for _ in self._sources:
                    self.seen += 1
                    if self.aborted:
                        return
                self.listed = True
            except VisionPipeError:
                # The listing broke off; the count stays a lower bound, which ``listed`` says.
                self.listed = False

    def _turn_off(self) -> None:
        with self._lock:
            self._over = True
        self._ready.close()
        self._ready.drain()
        self._scaling.release()
        self.gate.wake()
        self._matching.wake()

    def _is_over(self) -> bool:
        deadline = self._deadline
        if not self._over and deadline is not None and self._clock() >= deadline:
            self.stop("deadline")
        return self._over

    def _guarded(self, loop: Callable[[], None]) -> None:
        try:
            loop()
        except Closed:
            # Stopped with an item in hand: it counts as not started.
            return
        except BaseException as error:
            self.stop("error", error)
        finally:
            self._ended(1)

    def _ended(self, threads: int) -> None:
        """So many have ended, or never begun; the last one closes the output."""
        with self._lock:
            self._threads -= threads
            last = self._threads == 0
        if last:
            self.output.close()

    def _prepare_all(self) -> None:
        while self._prepare_next():
            pass

    def _prepare_more(self) -> None:
        self._scaling.wait()
        while self._prepare_next():
            self._scaling.wait()

    def _prepare_next(self) -> bool:
        """Takes in one item of the listing. False where there is none, or the run is over."""
        if not self._is_over():
            with self._sources_lock:
                first, group = self.seen + 1, self._next_group()
            if group:
                self._take_in_all(first, group)
                return True
            self._finish_if_empty()
        return False

    def _next_group(self) -> list[Found]:
        """The next items of the listing that are recorded already, up to the first that may not be."""
        group: list[Found] = []
        while not self.listed and len(group) < PAGE:
            source = next(self._sources, None)
            if source is None:
                self.listed = True
                break
            self.seen += 1
            with self._lock:
                self._open_items += 1
            group.append(source)
            if not self._triage.recalls(source.name):
                break
        return group

    def _take_in_all(self, first: int, group: list[Found]) -> None:
        """Takes in items with the numbers from ``first``; what has ended goes out together."""
        ended: list[Ended] = []
        try:
            for number, source in enumerate(group, first):
                taken = self._worker.take_in(source, self._is_over, number)
                if isinstance(taken, Ended):
                    ended.append(taken)
                    self._matching.leave(number)
                    continue
                self._out(*ended)
                ended = []
                self._place(taken)
                self._matching.leave(number)
            self._out(*ended)
        finally:
            for number in range(first, first + len(group)):
                self._matching.leave(number)

    def _place(self, item: OpenItem, *, from_worker: bool = False) -> None:
        """Lets the item wait for its duplicate, share what is recorded, or go to be asked about."""
        try:
            match = self._matching.match(item, may_wait=not from_worker)
        except Exception as error:
            result = self._worker.fail(item, error)
            self._out(Ended(result))
            self._settle(item, result)
            return
        if match is Match.FIRST:
            self._prepare(item, from_worker)
        elif isinstance(match, ItemResult):
            self._share(item, match)
            self._settle(item, match)

    def _prepare(self, item: OpenItem, from_worker: bool) -> None:
        result = self._worker.prepare(item)
        if result is not None:
            self._out(Ended(result))
            self._settle(item, result)
        elif from_worker:
            self._ready.force(item, first=True)
        else:
            self._scaling.took(self._clock() - item.begun)
            self._ready.put(item)

    def _ask_all(self) -> None:
        # Not even in development mode: what a debugging loop tells is of no use to whoever runs a job.
        asyncio.run(self._ask_on_loop(), debug=False)

    async def _ask_on_loop(self) -> None:
        self._loop = asyncio.get_running_loop()
        async with self._waiting:
            self._askers = [self._loop.create_task(self._ask_guarded()) for _ in range(self._at_once)]
            if self.aborted:
                self._leave_askers()
            await asyncio.wait(self._askers)

    async def _ask_guarded(self) -> None:
        try:
            while True:
                await self._ask_next()
        except Closed:
            # Stopped with an item in hand: it counts as not started.
            return
        except asyncio.CancelledError:
            raise
        except BaseException as error:
            self.stop("error", error)

    async def _ask_next(self) -> None:
        item = await self._take()
        asked: Asked = Next.AGAIN
        while asked is Next.AGAIN:
            asked = await self._worker.asking(item, self._waiting)
        if asked is Next.LATER:
            # At the end, so that the next probe is another item.
            self._ready.force(item)
        elif isinstance(asked, ItemResult):
            ended = Ended(asked)
            self._note_unexpected(ended)
            try:
                if not self.output.offer(ended):
                    await self._waiting.run(partial(self.output.put, ended))
            finally:
                self._leave(1)
            others = self._matching.settle(item)
            if others:
                await self._waiting.run(partial(self._settle_others, others, asked))
        else:
            self.stop("budget")

    async def _take(self) -> OpenItem:
        """The next item that is ready. Raises Closed."""
        while True:
            item = self._ready.take_now()
            if item is not None:
                return item
            idle = asyncio.get_running_loop().create_future()
            self._idle.append(idle)
            # What came before this one could be woken is seen here.
            if len(self._ready) or self._ready.closed:
                self._wake()
            await idle

    def _wake_askers(self) -> None:
        """Something is ready, or nothing will be any more; from any thread."""
        if self._idle and not self._waking:
            self._waking = True
            self._on_loop(self._wake)

    def _wake(self) -> None:
        self._waking = False
        wanted = len(self._idle) if self._ready.closed else len(self._ready)
        while wanted > 0 and self._idle:
            idle = self._idle.popleft()
            if not idle.done():
                idle.set_result(None)
                wanted -= 1

    def _leave_askers(self) -> None:
        for asker in self._askers:
            asker.cancel()

    def _on_loop(self, callback: Callable[[], None]) -> None:
        if self._loop is not None:
            with suppress(RuntimeError):  # it is closed: all have ended
                self._loop.call_soon_threadsafe(callback)

    def _settle(self, item: OpenItem, result: ItemResult) -> None:
        self._settle_others(self._matching.settle(item), result)

    def _settle_others(self, others: list[OpenItem], result: ItemResult) -> None:
        """The first of some duplicates came to ``result``: so do the others, unless it may pass."""
        passing = result.failure is not None and result.failure.retryable
        for waiting in others:
            # An item waiting for a picture that only looks alike does not share its failure.
            if passing or (waiting.near is not None and result.outcome is not Outcome.DONE):
                self._place(waiting, from_worker=True)
            else:
                self._share(waiting, result)

    def _share(self, item: OpenItem, original: ItemResult) -> None:
        found = self._journal.recorded(item.key.source, item.key.question)
        if found is not None and found.run == self._journal.run:
            self._out(Ended(skipped(item.key, LISTED_TWICE)))
        else:
            self._out(self._worker.end(shared(item, original, self._clock()), item.key))

    def _out(self, *several: Ended) -> None:
        for ended in several:
            self._note_unexpected(ended)
        try:
            if several:
                self.output.put_all(several)
        finally:
            self._leave(len(several))

    def _note_unexpected(self, ended: Ended) -> None:
        if not ended.kept and self._unexpected.ended(ended.result):
            self.stop("error", too_many(ended.result))

    def _leave(self, items: int) -> None:
        """So many have ended."""
        with self._lock:
            self._open_items -= items
        self._finish_if_empty()

    def _finish_if_empty(self) -> None:
        with self._lock:
            finished = self.listed and self._open_items == 0 and not self._over
        if finished:
            self._turn_off()

    def _tell(self, event: Event) -> None:
        try:
            self.output.force(event)
        except Closed:
            # The run was aborted, and nobody listens.
            return
