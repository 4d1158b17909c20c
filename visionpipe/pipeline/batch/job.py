"""A run through the service's batch files: half the price, and answers within a day.

Recipe, journal and results are those of calls, so either goes on with what the other has done. Whenever a run
ends, by itself or by a kill, the same call goes on from the step it had come to: nothing is uploaded, asked
or billed twice.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, Callable, Generator, Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

from visionpipe.client import Client
from visionpipe.client.settings import require, require_model
from visionpipe.errors import VisionPipeError
from visionpipe.pipeline.answerer import Judge
from visionpipe.pipeline.batch.store import BatchStore
from visionpipe.pipeline.batch.transfer import BatchTransfer
from visionpipe.pipeline.batch.work import BatchJob, Work
from visionpipe.pipeline.budget import Budget, Caps
from visionpipe.pipeline.events import (
    BatchEvent,
    Event,
    ItemEnded,
    Progress,
    RunEnded,
    RunStarted,
    RunSummary,
    Tally,
    report,
)
from visionpipe.pipeline.items import Ended
from visionpipe.pipeline.job_setup import BatchOptions, JobSetup
from visionpipe.pipeline.journal import Journal
from visionpipe.pipeline.run import Run, ended
from visionpipe.pipeline.triage import Triage
from visionpipe.registry.records import BATCH_LINES
from visionpipe.results import Failure, ItemResult
from visionpipe.sources.find import Found
from visionpipe.stages.extraction import Schema
from visionpipe.wire.batches import BatchLimits


class BatchRun(Run):
    """A run through batch files.

    Items that are at the service without an answer count as not started; the run is then ``stopped`` as
    "waiting", if nothing else ended it. Iterated with ``async for``, it works in another thread, where events
    are told too.
    """

    def __init__(
        self,
        open_job: Callable[[Callable[[float], object]], BatchJob],
        on_event: Callable[[Event], object] | None,
        on_step: Callable[[BatchEvent], object] | None,
        clock: Callable[[], float],
        *,
        hand_out_kept: bool = True,
    ) -> None:
        self._open_job = open_job
        self._on_event: Callable[[Event], object] = partial(report, on_event=on_event)
        self._on_step: Callable[[BatchEvent], object] = partial(report, on_event=on_step)
        self._clock = clock
        self._hand_out_kept = hand_out_kept
        self._stop = threading.Event()
        self._latest: Progress | None = None
        self._reason = "stopped"

    def stop(self, reason: str = "stopped") -> None:
        """Begins nothing new and waits no longer; the same call goes on another time. From any thread.

        Args:
            reason: what the summary's ``stopped`` will say.
        """
        if not self._stop.is_set():
            self._reason = reason
        self._stop.set()

    def progress(self) -> Progress | None:
        """How far it was when the last item ended; None before. The service tells no time that is left."""
        return self._latest

    def abort(self) -> None:
        """As ``stop``: the service goes on by itself, so there is nothing to wait for."""
        self.stop()

    def __iter__(self) -> Generator[ItemResult, None, None]:
        job = self._open_job(self._stop.wait)
        began, tally = self._clock(), Tally()
        work = Work(job, self._stop, self._on_step, self._clock)
        stopped: str | None = "error"
        error: VisionPipeError | None = None
        try:
            self._on_event(RunStarted(job.journal.run, job.killed))
            for found in work.results():
                end = Ended(job.journal.standing(found.result, found.content), found.kept)
                tally.count(end.result, kept=end.kept)
                progress = self._latest = self._progress(work, tally, began)
                self._on_event(ItemEnded(end.result, end.kept, progress))
                if self._hand_out_kept or not end.kept:
                    yield end.result
            error = work.error
            stopped = self._why(job, work)
        except VisionPipeError as met:
            error = met
            raise
        except GeneratorExit:
            stopped = self._reason
            raise
        finally:
            with ExitStack() as ends:
                ends.callback(job.close)
                ends.callback(job.journal.close)
                ends.callback(job.journal.end, stopped or "complete")
                ends.callback(work.close)
                self.summary = self._summary(job, work, tally, began, stopped, error)
            self._on_event(RunEnded(self.summary))
        if error is not None:
            raise error

    def __aiter__(self) -> AsyncGenerator[ItemResult, None]:
        return self._results_async()

    async def _results_async(self) -> AsyncGenerator[ItemResult, None]:
        results = iter(self)
        try:
            while True:
                step = asyncio.ensure_future(asyncio.to_thread(next, results, None))
                try:
                    result = await asyncio.shield(step)
                except asyncio.CancelledError:
                    self.stop()
                    await ended(step)
                    raise
                if result is None:
                    return
                yield result
        finally:
            leaving = asyncio.ensure_future(asyncio.to_thread(results.close))
            await ended(leaving)
            leaving.result()

    def _why(self, job: BatchJob, work: Work) -> str | None:
        if work.error is not None:
            return "error"
        if self._stop.is_set():
            return self._reason
        if work.out_of_budget:
            return "budget"
        return "waiting" if job.store.count() else None

    def _progress(self, work: Work, tally: Tally, began: float) -> Progress:
        waiting = max(0, work.seen - tally.ended)
        return Progress(
            seen=work.seen,
            listed=work.listed,
            done=tally.done,
            failed=tally.failed,
            skipped=tally.skipped,
            kept=tally.kept,
            level=waiting,
            busy=waiting,
            seconds=self._clock() - began,
            total=work.seen if work.listed else None,
            asked=tally.done + tally.failed - tally.kept,
        )

    def _summary(
        self,
        job: BatchJob,
        work: Work,
        tally: Tally,
        began: float,
        stopped: str | None,
        error: VisionPipeError | None,
    ) -> RunSummary:
        spent = job.journal.spent(run=job.journal.run)
        seen = max(work.seen, tally.ended)
        return RunSummary(
            seen=seen,
            done=tally.done,
            failed=tally.failed,
            skipped=tally.skipped,
            kept=tally.kept,
            not_started=seen - tally.ended,
            duplicates=tally.duplicates,
            failures=tally.failures,
            skips=tally.skips,
            notes=tally.notes,
            requests=spent.requests,
            usage=tally.usage,
            cost=spent.money,
            seconds=self._clock() - began,
            stopped=stopped,
            error=Failure.of(error) if error else None,
            maybe_billed_twice=job.killed,
            unreadable=job.journal.unreadable,
        )


def check_batches(client: Client, model: str | None) -> None:
    """Refuses what is in no batch files.

    Raises:
        UnsupportedError: the endpoint or the model takes no batches; the cure names what does.
    """
    require(client.settings, "batches")
    require_model(client.settings, client.settings.model_named(model), "batches")


def batch_job(
    setup: JobSetup,
    journal: Journal,
    killed: int,
    sources: Iterator[Found],
    *,
    batch: BatchOptions,
    folder: Path,
    triage: Triage,
    judge: Judge | None,
    schema: Schema[Any] | None,
    caps: Caps | None,
    sleep: Callable[[float], object],
) -> BatchJob:
    """What a run through batch files works with.

    Args:
        setup: of a client.
        journal: begun already, when ``killed`` plain requests were found under way.
        sources: the listing.
        sleep: waits for seconds, where ``batch`` names no other.

    Raises:
        UnsupportedError: the endpoint or the model takes no batches.
    """
    client = setup.client
    assert client is not None, "a pipeline lets no answerer into batches"
    check_batches(client, setup.recipe.model)
    model = client.settings.model_named(setup.recipe.model)
    store = BatchStore(journal.database, setup.recipe.job)
    longest = min(BATCH_LINES, model.batch_queue or BATCH_LINES)
    sleep = batch.sleep or sleep
    budget = None
    if caps is not None:
        currency = caps.money.currency if caps.money is not None else None
        used = caps.used(journal.spent(job=setup.recipe.job))
        budget = Budget(caps, used + store.expected(currency))
    return BatchJob(
        client=client,
        model=model,
        sources=sources,
        journal=journal,
        triage=triage,
        answerer=setup.answerer,
        store=store,
        transfer=BatchTransfer(client, store, folder, sleep),
        limits=batch.limits or BatchLimits(lines=longest),
        judge=judge,
        schema=schema,
        budget=budget,
        wait=batch.wait,
        policy=batch.policy,
        sleep=sleep,
        killed=killed,
        close=setup.close,
    )
