"""The threads of a run: some prepare items, as many as are allowed send requests.

Queues are bounded, so memory does not grow with the count of items. An item leaves through
:meth:`Engine._out` or, where the run stops before, counts as not started. No thread outlives the run except
after :meth:`Engine.abort`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

from visionpipe.errors import ConfigurationError, VisionPipeError
from visionpipe.pipeline.asking import Asking, Next
from visionpipe.pipeline.channel import Channel, Closed
from visionpipe.pipeline.context import RunContext
from visionpipe.pipeline.events import Event, LevelChanged, RunStopping
from visionpipe.pipeline.items import Ended, Item, failed, refused, shared, skipped
from visionpipe.pipeline.journal import Key
from visionpipe.pipeline.matching import Match, Matching
from visionpipe.pipeline.outage import Outage
from visionpipe.pipeline.triage import LISTED_TWICE, NO_QUESTION, Kept, Refused, Skipped
from visionpipe.pipeline.unexpected import UnexpectedInARow, too_many, unexpected
from visionpipe.results import ItemResult, Outcome
from visionpipe.sources.find import Found, Source

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
    """Works a listing off. Results and events come out of :attr:`output`, which closes at the end."""

    def __init__(self, sources: Iterator[Found], context: RunContext) -> None:
        self._context = context
        self._sources = sources
        self._sources_lock = threading.Lock()
        self._ready: Channel[Item] = Channel(max(4, context.workers // 2))
        self.output: Channel[Ended | Event] = Channel(max(64, 2 * context.workers))
        self._matching = Matching(
            context.journal, context.triage.shared_since, context.resemblance, self._is_over
        )
        self._asking = Asking(
            context.answerer,
            context.limiter,
            context.budget,
            context.journal,
            context.judge,
            context.item_seconds,
            Outage(context.outage_seconds, self._tell, context.clock),
            self._on_level,
            self._is_over,
            context.clock,
        )
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
            ConfigurationError: the system gives no more threads; those that have begun end by :meth:`stop`.
        """
        loops = [
            self._prepare_all,
            *[self._prepare_more] * (self._context.preparers - 1),
            *[self._ask_all] * self._context.workers,
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
        self._tell(RunStopping(reason, self._context.limiter.state.busy))

    def abort(self) -> None:
        """Waits for nothing: requests under way are left to themselves, and asked again by the next run."""
        self.aborted = True
        with self._lock:
            if not self._over:
                self.stopped = "aborted"
        self._turn_off()
        self.output.close()

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
        self._context.limiter.wake()
        self._matching.wake()
        if self._context.budget is not None:
            self._context.budget.wake()

    def _is_over(self) -> bool:
        deadline = self._context.deadline
        if not self._over and deadline is not None and self._context.clock() >= deadline:
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
                source = None if self.listed else next(self._sources, None)
                if source is None:
                    self.listed = True
                else:
                    self.seen += 1
                    number = self.seen
                    with self._lock:
                        self._open_items += 1
            if source is not None:
                try:
                    self._take_in(source, number)
                finally:
                    self._matching.leave(number)
                return True
            self._finish_if_empty()
        return False

    def _take_in(self, source: Found, number: int) -> None:
        context = self._context
        begun = context.clock()
        try:
            decision = context.triage.decide(source, self._is_over)
        except (VisionPipeError, Closed):
            raise
        except Exception as error:
            decision = Refused(Key(source.name, NO_QUESTION, None), unexpected(error, source.name))
        if isinstance(decision, Skipped):
            result = skipped(decision.key, decision.reason, decision.detail)
            self._end(result, None if decision.again else decision.key)
        elif isinstance(decision, Refused):
            self._end(refused(decision.key, decision.error), decision.key)
        elif isinstance(decision, Kept):
            context.journal.adopt(decision.key.source, decision.key.question)
            self._out(Ended(decision.result, kept=True))
        elif isinstance(source, Source):
            if decision.read is not None:
                context.journal.note_source(source.name, source.location, decision.read, decision.content)
            self._place(Item(source, decision.key, decision.content, decision.prompt, begun, number=number))

    def _place(self, item: Item, *, from_worker: bool = False) -> None:
        """Lets the item wait for its duplicate, share what is recorded, or go to be asked about."""
        try:
            match = self._matching.match(item, may_wait=not from_worker)
        except Exception as error:
            self._fail(item, error)
            return
        if match is Match.FIRST:
            self._prepare(item, from_worker)
        elif isinstance(match, ItemResult):
            self._share(item, match)
            self._settle(item, match)

    def _prepare(self, item: Item, from_worker: bool) -> None:
        try:
            item.prepared = self._context.answerer.prepare(item.source, item.prompt)
        except Exception as error:
            if isinstance(error, VisionPipeError) and error.scope == "job":
                raise
            self._fail(item, error)
            return
        if from_worker:
            self._ready.force(item, first=True)
        else:
            self._scaling.took(self._context.clock() - item.begun)
            self._ready.put(item)

    def _fail(self, item: Item, error: Exception) -> None:
        """Ends an item before its request."""
        known = error if isinstance(error, VisionPipeError) else unexpected(error, item.source.name)
        result = failed(item, known, self._context.clock())
        self._end(result, item.key)
        self._settle(item, result)

    def _ask_all(self) -> None:
        limiter = self._context.limiter
        while True:
            self._ready.wait()
            permit = limiter.enter(self._is_over)
            if permit is None:
                return
            try:
                item = self._ready.take_now()
            except Closed:
                item = None
            if item is None or item.prepared is None:
                limiter.leave_unused(permit)
                continue
            asked = self._asking.ask(item, item.prepared, permit)
            if asked is Next.AGAIN:
                self._ready.force(item, first=True)
            elif asked is Next.LATER:
                # At the end, so that the next probe is another item.
                self._ready.force(item)
            elif asked is Next.OUT_OF_BUDGET:
                self.stop("budget")
            elif isinstance(asked, ItemResult):
                self._out(Ended(asked))
                self._settle(item, asked)

    def _settle(self, item: Item, result: ItemResult) -> None:
        """The first of some duplicates came to ``result``: so do the others, unless it may pass."""
        passing = result.failure is not None and result.failure.retryable
        for waiting in self._matching.settle(item):
            # An item waiting for a picture that only looks alike does not share its failure.
            if passing or (waiting.near is not None and result.outcome is not Outcome.DONE):
                self._place(waiting, from_worker=True)
            else:
                self._share(waiting, result)

    def _share(self, item: Item, original: ItemResult) -> None:
        found = self._context.journal.recorded(item.key.source, item.key.question)
        if found is not None and found.run == self._context.triage.run:
            self._out(Ended(skipped(item.key, LISTED_TWICE)))
        else:
            self._end(shared(item, original, self._context.clock()), item.key)

    def _end(self, result: ItemResult, key: Key | None) -> None:
        """Records the end of an item that was not sent (``key`` None: it has an end already)."""
        if key is not None:
            self._context.journal.record(key, result)
        self._out(Ended(result))

    def _out(self, ended: Ended) -> None:
        if not ended.kept and self._unexpected.ended(ended.result):
            self.stop("error", too_many(ended.result))
        try:
            self.output.put(ended)
        finally:
            with self._lock:
                self._open_items -= 1
            self._finish_if_empty()

    def _finish_if_empty(self) -> None:
        with self._lock:
            finished = self.listed and self._open_items == 0 and not self._over
        if finished:
            self._turn_off()

    def _on_level(self, refused: bool) -> None:
        state = self._context.limiter.state
        self._tell(LevelChanged(state.level, refused, state.pause_s))

    def _tell(self, event: Event) -> None:
        try:
            self.output.force(event)
        except Closed:
            # The run was aborted, and nobody listens.
            return
