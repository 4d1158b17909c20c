"""The same job through the service's batch files: half the price, and answers within a day.

    batch = ProviderBatch(presets.alt_text, client=Client("glm-4v-plus"), journal="alt.journal")
    for result in batch.run("photos/"):
        print(result.source, result.caption)

Recipe, journal and results are those of :class:`visionpipe.pipeline.pipeline.Pipeline`, so either goes on
with what the other has done. Whenever a run ends, by itself or by a kill, the same call goes on from
the step it had come to: nothing is uploaded, asked or billed twice.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from visionpipe.client import Client
from visionpipe.client.options import CallOptions
from visionpipe.client.surfaces import require, require_model
from visionpipe.errors import VisionPipeError
from visionpipe.pipeline.answerer import Judge, Skip
from visionpipe.pipeline.batch.store import BatchStore
from visionpipe.pipeline.batch.transfer import BatchTransfer
from visionpipe.pipeline.batch.work import BatchEvent, BatchJob, Work
from visionpipe.pipeline.budget import Budget, Caps
from visionpipe.pipeline.events import Event, ItemEnded, Progress, RunEnded, RunStarted, RunSummary, Tally
from visionpipe.pipeline.job_setup import JobSetup, Prompt, judge_of_job, renderer
from visionpipe.pipeline.journal import Journal
from visionpipe.pipeline.listing import Listing, Sources
from visionpipe.pipeline.triage import Triage
from visionpipe.prompts.presets import Language
from visionpipe.results import Failure, ItemResult
from visionpipe.sources.find import Found
from visionpipe.stages.extraction import Schema
from visionpipe.stages.polling import LONG, PollPolicy
from visionpipe.stages.quality import STANDARD, QualityPolicy
from visionpipe.wire.batches import MOST_LINES, BatchLimits


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
        self._latest: Progress | None = None
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

    def progress(self) -> Progress | None:
        """How far it was when the last item ended; None before. The service tells no time that is left."""
        return self._latest

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
                progress = self._latest = self._progress(work, tally, began)
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


class ProviderBatch:
    """A job over many images, through batch files.

    Args:
        prompt: words, a template with fields, or a preset.
        client: of an endpoint with batches; its model is asked.
        journal: the SQLite file that keeps the job, and how far each batch has come.
        options: for every call, see :class:`visionpipe.client.options.CallOptions`.
        folder: for files on their way; default beside the journal. At most one batch file and its results
            lie there at a time.
        limits: of a batch file; default 50,000 lines (fewer where the model's queue is shorter) and 100 MB.
        schema: of structured data (a pydantic model or a JSON Schema), asked for in every item; default the
            preset's own.
        budget: caps; they count the job, and what is handed in by its estimate.
        quality: what to do about poor answers; nobody is asked again within a batch. None takes them as they
            come, refusals included.
        judge: judges answers in place of ``quality``; "reask" keeps the answer.
        skip: says why not to ask about an item.
        sidecar: from a source's name to its sidecar's; names that collide are found before anything runs.
        retry_failed: ask again about recorded failures that may pass.
        force: ask again about everything.
        wait: False hands everything in and leaves; a later run collects.
        lang: the language of a preset's prompt; default the client's.
        policy: how long to wait between two questions after a batch.
        on_event: told what happens to items and to the run.
        on_step: told how far each file has come.
        clock: seconds since 1970.
        sleep: waits for seconds; default one that :meth:`BatchRun.stop` ends.

    Raises:
        UnsupportedError: the endpoint or the model takes no batches; the cure names what does.
    """

    def __init__(
        self,
        prompt: Prompt,
        *,
        client: Client,
        journal: str | os.PathLike[str],
        options: CallOptions | None = None,
        folder: str | os.PathLike[str] | None = None,
        limits: BatchLimits | None = None,
        schema: Any = None,
        budget: Caps | None = None,
        quality: QualityPolicy | None = STANDARD,
        judge: Judge | None = None,
        skip: Skip | None = None,
        sidecar: Callable[[str], str] | None = None,
        retry_failed: bool = False,
        force: bool = False,
        wait: bool = True,
        lang: Language | None = None,
        policy: PollPolicy = LONG,
        on_event: Callable[[Event], object] | None = None,
        on_step: Callable[[BatchEvent], object] | None = None,
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], object] | None = None,
    ) -> None:
        require(client.settings, "batches")
        require_model(client.settings, client.settings.model_named((options or {}).get("model")), "batches")
        self._prompt = prompt
        self._client = client
        self._journal = Path(journal)
        self._options: CallOptions = options or {}
        self._folder = Path(folder) if folder is not None else Path(f"{os.fspath(journal)}.batch")
        self._limits = limits
        wanted = schema if schema is not None else getattr(prompt, "schema", None)
        self._schema: Schema[Any] | None = None if wanted is None else Schema(wanted)
        self._caps = budget
        self._quality = quality
        self._judge = judge
        self._skip = skip
        self._sidecar = sidecar
        self._retry_failed = retry_failed
        self._force = force
        self._wait = wait
        self._lang = lang
        self._policy = policy
        self._on_event = on_event
        self._on_step = on_step
        self._clock = clock
        self._sleep = sleep

    @property
    def job(self) -> str:
        """The key of this job in its journal; exports name it."""
        return self._setup().recipe.job

    def check(self, sources: Listing) -> None:
        """As :meth:`visionpipe.pipeline.pipeline.Pipeline.check`."""
        Sources(sources, self._journal, self._folder).checked(self._prompt)
        self._setup().close()

    def run(self, sources: Listing, *, hand_out_kept: bool = True) -> BatchRun:
        """A pass over ``sources``: iterate it once. Every item comes out once, as its batch ends.

        Args:
            sources: a folder, glob, file, URL, list of these, or items found already.
            hand_out_kept: False only counts the items that an earlier run has recorded.

        Raises (when iterated):
            VisionPipeError: of scope "job", or a step that failed; the same call goes on from there.
        """
        listing = Sources(sources, self._journal, self._folder)

        def open_job(sleep: Callable[[float], object]) -> BatchJob:
            found = listing.checked(self._prompt)
            if self._sidecar is not None:
                listing.refuse_collisions(self._sidecar)
            return self._open(found, self._sleep or sleep)

        return BatchRun(open_job, self._on_event, self._on_step, self._clock, hand_out_kept=hand_out_kept)

    def _open(self, listing: Iterator[Found], sleep: Callable[[float], object]) -> BatchJob:
        setup = self._setup()
        model = self._client.settings.model_named(setup.recipe.model)
        journal = Journal(self._journal)
        try:
            killed = journal.begin(setup.recipe)
            store = BatchStore(journal.database, setup.recipe.job)
            longest = min(MOST_LINES, model.batch_queue or MOST_LINES)
            return BatchJob(
                client=self._client,
                model=model,
                sources=listing,
                journal=journal,
                triage=self._triage_of(setup, journal),
                answerer=setup.answerer,
                store=store,
                transfer=BatchTransfer(self._client, store, self._folder, sleep),
                limits=self._limits or BatchLimits(lines=longest),
                judge=self._judge or judge_of_job(self._quality, self._prompt, setup.lang, self._lang),
                schema=self._schema,
                budget=self._budget(journal, store, setup.recipe.job),
                wait=self._wait,
                policy=self._policy,
                sleep=sleep,
                killed=killed,
                close=setup.close,
            )
        except BaseException:
            journal.close()
            raise

    def _setup(self) -> JobSetup:
        return JobSetup.of_client(
            self._prompt, self._client, None, self._options, self._schema, self._lang, self._caps
        )

    def _triage_of(self, setup: JobSetup, journal: Journal) -> Triage:
        return Triage(
            journal=journal,
            recipe=setup.recipe,
            render=renderer(self._prompt, setup.lang),
            skip=self._skip,
            run=journal.run,
            retry_failed=self._retry_failed,
            force=self._force,
        )

    def _budget(self, journal: Journal, store: BatchStore, job: str) -> Budget | None:
        if self._caps is None:
            return None
        currency = self._caps.money.currency if self._caps.money is not None else None
        used = self._caps.used(journal.spent(job=job))
        return Budget(self._caps, used + store.expected(currency))
