"""A run as its caller sees it: results one after the other, sync or async, and two ways to end it early.

A result that is handed out is in the journal. Leaving the loop early begins nothing new, and what is being
answered (and paid for) is awaited and recorded. An error that concerns every item is raised when the results
before it have been handed out.
"""

from __future__ import annotations

import asyncio
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from visionpipe.errors import JournalError, VisionPipeError
from visionpipe.pipeline.channel import Closed
from visionpipe.pipeline.engine import Engine
from visionpipe.pipeline.events import (
    Event,
    ItemEnded,
    Progress,
    RunEnded,
    RunStarted,
    RunSummary,
    Tally,
    is_logged,
    report,
)
from visionpipe.pipeline.items import Ended
from visionpipe.pipeline.journal import Journal
from visionpipe.pipeline.pace import AheadCount, Pace, measured
from visionpipe.results import Failure, ItemResult


@dataclass(frozen=True, slots=True)
class Opened:
    """A run's parts, made when its first result is asked for.

    Attributes:
        ahead: counts the listing, where it can be gone through more than once; then it may also be read to
            its end after an early stop, only to count what is left.
        maybe_billed_twice: requests under way when an earlier run was killed.
        close: gives back what was made for the run alone.
    """

    engine: Engine
    journal: Journal
    ahead: AheadCount | None
    maybe_billed_twice: int
    close: Callable[[], None]


class Run(ABC):
    """One pass over a listing; iterate it once, with ``for`` or with ``async for``.

    Attributes:
        summary: counts of the run; None until it has ended.
    """

    summary: RunSummary | None = None

    @abstractmethod
    def stop(self, reason: str = "stopped") -> None:
        """Begins nothing new; results under way still come. From any thread, and from a signal handler.

        Args:
            reason: what the summary's ``stopped`` will say.
        """

    @abstractmethod
    def abort(self) -> None:
        """Ends the run at once; what is under way is left to itself, and asked again another time."""

    @abstractmethod
    def progress(self) -> Progress | None:
        """How far it is, from any thread and at any moment; None before it has begun."""

    @abstractmethod
    def __iter__(self) -> Generator[ItemResult, None, None]: ...

    @abstractmethod
    def __aiter__(self) -> AsyncGenerator[ItemResult, None]: ...


class CallRun(Run):
    """A run whose items are asked about in calls, many at once."""

    def __init__(
        self,
        open_run: Callable[[], Opened],
        on_event: Callable[[Event], object] | None = None,
        clock: Callable[[], float] = time.monotonic,
        *,
        hand_out_kept: bool = True,
        folder: str | None = None,
    ) -> None:
        self._hand_out_kept = hand_out_kept
        self._folder = folder
        self._open_run = open_run
        self._on_event = on_event
        self._clock = clock
        self._opened: Opened | None = None
        self._tally = Tally()
        self._begun = 0.0
        self._pace = Pace()
        self._stop_wanted = False
        self._taken: deque[Ended | Event] = deque()

    def stop(self, reason: str = "stopped") -> None:
        """As ``Run.stop``."""
        self._stop_wanted = True
        if self._opened is not None:
            self._opened.engine.stop(reason)

    def abort(self) -> None:
        """As ``Run.abort``."""
        self._stop_wanted = True
        if self._opened is not None:
            self._opened.engine.abort()

    def __iter__(self) -> Generator[ItemResult, None, None]:
        opened = self._begin()
        try:
            self._start(opened)
            while True:
                if not self._taken:
                    try:
                        self._taken.extend(opened.engine.output.take_all())
                    except Closed:
                        break
                result = self._digest(opened, self._taken.popleft())
                if result is not None:
                    yield result
        finally:
            self._leave(opened)
            self._tell_end()
        _raise_error(opened.engine)

    def __aiter__(self) -> AsyncGenerator[ItemResult, None]:
        return self._results_async()

    async def _results_async(self) -> AsyncGenerator[ItemResult, None]:
        loop = asyncio.get_running_loop()
        changed = asyncio.Event()
        opened = await self._begin_async()
        output = opened.engine.output

        def wake() -> None:
            loop.call_soon_threadsafe(changed.set)

        output.on_change = wake
        try:
            self._start(opened)
            while True:
                changed.clear()
                try:
                    value = output.take_now()
                except Closed:
                    break
                if value is None:
                    await changed.wait()
                    continue
                result = self._digest(opened, value)
                if result is not None:
                    yield result
        finally:
            output.on_change = None
            await self._leave_async(opened)
            self._tell_end()
        _raise_error(opened.engine)

    async def _begin_async(self) -> Opened:
        """As ``_begin``, in a thread; cancelled meanwhile, it first closes what was opened."""
        opening = asyncio.ensure_future(asyncio.to_thread(self._begin))
        try:
            return await asyncio.shield(opening)
        except asyncio.CancelledError:
            await ended(opening)
            if opening.exception() is None:
                opened = opening.result()
                opened.engine.abort()
                await ended(asyncio.ensure_future(asyncio.to_thread(self._close, opened)))
            raise

    async def _leave_async(self, opened: Opened) -> None:
        """As ``_leave``, in a thread; cancelled once more, only the closing is awaited."""
        leaving = asyncio.ensure_future(asyncio.to_thread(self._leave, opened))
        try:
            await asyncio.shield(leaving)
        except asyncio.CancelledError:
            opened.engine.abort()
            await ended(leaving)
            raise

    def _begin(self) -> Opened:
        if self._opened is not None:
            raise RuntimeError("a run is iterated once; call Pipeline.run() again for another")
        opened = self._open_run()
        self._begun = self._clock()
        self._opened = opened
        return opened

    def _start(self, opened: Opened) -> None:
        try:
            self._tell(RunStarted(opened.journal.run, opened.maybe_billed_twice))
        except BaseException:
            # No thread will ever close what nothing came into.
            opened.engine.abort()
            raise
        if self._stop_wanted:
            opened.engine.stop("stopped")
        opened.engine.start()
        if opened.ahead is not None and self._on_event is not None:
            opened.ahead.start()

    def _digest(self, opened: Opened, value: Ended | Event) -> ItemResult | None:
        if not isinstance(value, Ended):
            self._tell(value)
            return None
        standing = opened.journal.standing(value.result, value.content)
        if standing is not value.result:
            value = Ended(standing, value.kept)
        self._count(value)
        if self._on_event is not None or is_logged():
            self._tell(ItemEnded(value.result, value.kept, self._progress(opened)))
        if value.kept and not self._hand_out_kept:
            return None
        if self._folder is not None:
            # Put into the result itself, which was made in this run: a copy costs a twentieth of a resume.
            object.__setattr__(value.result, "folder", self._folder)
        return value.result

    def _count(self, ended: Ended) -> None:
        self._tally.count(ended.result, kept=ended.kept)
        if ended.result.attempts and not ended.kept:
            self._pace.answered(self._clock() - self._begun, ended.result.seconds)

    def _leave(self, opened: Opened) -> None:
        """Drains what is under way, then closes everything and sums up."""
        engine = opened.engine
        try:
            engine.stop("stopped")
            self._drain(engine)
        except BaseException:
            # The caller interrupted again (a second Ctrl-C), or something is broken: nothing more is awaited.
            engine.abort()
            raise
        finally:
            self._close(opened)

    def _drain(self, engine: Engine) -> None:
        while True:
            for value in self._taken:
                if isinstance(value, Ended):
                    self._count(value)
            self._taken.clear()
            try:
                self._taken.extend(engine.output.take_all())
            except Closed:
                return

    def _close(self, opened: Opened) -> None:
        engine, journal = opened.engine, opened.journal
        if opened.ahead is not None:
            opened.ahead.stop()
        try:
            if opened.ahead is not None and engine.stopped is not None and not engine.aborted:
                engine.count_rest()
            self.summary = self._summary(opened)
            journal.end(engine.stopped or "complete")
        except JournalError:
            # What stopped the run is raised from there; only a failure that is new is raised from here.
            if engine.error is None:
                raise
        finally:
            opened.close()

    def _summary(self, opened: Opened) -> RunSummary:
        engine, tally = opened.engine, self._tally
        spent = opened.journal.spent(run=opened.journal.run)
        error = engine.error
        return RunSummary(
            seen=engine.seen,
            done=tally.done,
            failed=tally.failed,
            skipped=tally.skipped,
            kept=tally.kept,
            not_started=engine.seen - tally.ended,
            duplicates=tally.duplicates,
            failures=tally.failures,
            skips=tally.skips,
            notes=tally.notes,
            requests=spent.requests,
            refusals=spent.refusals,
            usage=tally.usage,
            cost=spent.money,
            seconds=self._clock() - self._begun,
            stopped=engine.stopped,
            error=Failure.of(error) if isinstance(error, VisionPipeError) else None,
            maybe_billed_twice=opened.maybe_billed_twice,
            unreadable=opened.journal.unreadable,
        )

    def progress(self) -> Progress | None:
        """As ``Run.progress``."""
        return None if self._opened is None else self._progress(self._opened)

    def _progress(self, opened: Opened) -> Progress:
        engine, state = opened.engine, opened.engine.gate.state
        return measured(
            self._tally,
            self._pace,
            opened.ahead.found if opened.ahead is not None else None,
            self._clock() - self._begun,
            seen=engine.seen,
            listed=engine.listed,
            level=state.level,
            busy=state.busy,
        )

    def _tell_end(self) -> None:
        if self.summary is not None:
            self._tell(RunEnded(self.summary))

    def _tell(self, event: Event) -> None:
        report(event, self._on_event)


async def ended(task: asyncio.Future[Any]) -> None:
    """Waits for the end of a task, whatever it is, and however often the waiting is cancelled."""
    while not task.done():
        with suppress(asyncio.CancelledError):
            await asyncio.wait([task])
    if not task.cancelled():
        task.exception()  # else asyncio complains that nobody asked for it


def _raise_error(engine: Engine) -> None:
    if engine.error is not None:
        raise engine.error
