"""A run through batch files as its caller sees it: results one after the other, events, and a summary."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator
from contextlib import ExitStack

from visionpipe.errors import VisionPipeError
from visionpipe.pipeline.events import Event, ItemEnded, Progress, RunEnded, RunStarted
from visionpipe.pipeline.provider_batch.work import BatchEvent, BatchJob, Work
from visionpipe.pipeline.summary import RunSummary, Tally
from visionpipe.results import Failure, ItemResult


class BatchRun:
    """One pass; iterate it once, with ``for``.

    Attributes:
        summary: counts of the run; None until it has ended. Items that are at the service without an answer
            count as not started; the run is then ``stopped`` as "waiting", if nothing else ended it.
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
        self._on_event = on_event or (lambda event: None)
        self._on_step = on_step or (lambda event: None)
        self._clock = clock
        self._hand_out_kept = hand_out_kept
        self._stop = threading.Event()
        self._reason = "stopped"
        self.summary: RunSummary | None = None

    def stop(self, reason: str = "stopped") -> None:
        """Begins nothing new and waits no longer; the same call goes on another time. From any thread.

        Args:
            reason: what the summary's ``stopped`` will say.
        """
        if not self._stop.is_set():
            self._reason = reason
        self._stop.set()

    def abort(self) -> None:
        """As :meth:`stop`: the service goes on by itself, so there is nothing to wait for."""
        self.stop()

    def __iter__(self) -> Generator[ItemResult, None, None]:
        job = self._open_job(self._stop.wait)
        began, tally = self._clock(), Tally()
        work = Work(job, self._stop, self._on_step, self._clock)
        stopped: str | None = "error"
        error: VisionPipeError | None = None
        try:
            self._on_event(RunStarted(job.journal.run, job.killed))
            for ended in work.results():
                tally.count(ended.result, kept=ended.kept)
                progress = self._progress(work, tally, began)
                self._on_event(ItemEnded(ended.result, ended.kept, progress))
                if self._hand_out_kept or not ended.kept:
                    yield ended.result
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

    def _why(self, job: BatchJob, work: Work) -> str | None:
        if work.error is not None:
            return "error"
        if self._stop.is_set():
            return self._reason
        if work.out_of_budget:
            return "budget"
        return "waiting" if job.shelf.count() else None

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
        )
