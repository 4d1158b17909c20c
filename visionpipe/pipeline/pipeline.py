"""Many items, one question: plan it, run it, stop it, and go on where it ended.

    for result in Pipeline(presets.alt_text, journal="alt.journal").run("photos/"):
        print(result.source, result.caption)

Everything a run needs is given here once; the same arguments on the same journal go on with the
same job, in calls or through the service's batch files, whichever it was before.
"""

from __future__ import annotations

import os
import time
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any, Literal

from visionpipe.client import Client
from visionpipe.client.options import CallOptions
from visionpipe.errors import ParameterError
from visionpipe.pipeline.answerer import Answerer, Judge, Skip
from visionpipe.pipeline.budget import Budget, Caps
from visionpipe.pipeline.client_answerer import ClientAnswerer
from visionpipe.pipeline.engine import Engine
from visionpipe.pipeline.events import Event
from visionpipe.pipeline.job_setup import (
    BatchOptions,
    JobSetup,
    Prompt,
    named_judge,
    renderer,
    schema_asked,
)
from visionpipe.pipeline.journal import Journal
from visionpipe.pipeline.limiter import MOST_AT_ONCE, Limiter
from visionpipe.pipeline.listing import Listing, Sources
from visionpipe.pipeline.near_duplicates import near_rule
from visionpipe.pipeline.outage import LONGEST_OUTAGE_S
from visionpipe.pipeline.pace import AheadCount
from visionpipe.pipeline.plan import ASSUMED_AT_ONCE, ASSUMED_SECONDS, Plan, PlanTotals
from visionpipe.pipeline.pool import local_gate
from visionpipe.pipeline.reading import JournalView
from visionpipe.pipeline.run import CallRun, Opened, Run
from visionpipe.pipeline.tables import JOURNAL
from visionpipe.pipeline.triage import Triage
from visionpipe.pipeline.worker import WorkerParts
from visionpipe.prompts.presets import Language, Preset, together
from visionpipe.prompts.template import Template
from visionpipe.results import ItemResult
from visionpipe.sources.find import Found
from visionpipe.stages.extraction import Schema
from visionpipe.stages.quality_policy import STANDARD, QualityPolicy
from visionpipe.store.database import Database

if TYPE_CHECKING:
    from visionpipe.pipeline.batch.work import BatchJob

# Repairs leave the interpreter free, and a slow disk leaves the processor free.
_PREPARERS = 4


class Pipeline:
    """A job over many images.

    Args:
        prompt: words, a ``Template`` with fields, a preset, or a list of
            presets that are asked in one request (``together``).
        client: what asks; default one made of ``model`` and the environment, and closed after the run.
        model: with the default client: the model; with ``answerer``: its name in the records.
        options: for every call, see ``CallOptions``.
        schema: of structured data to ask for, as in ``Client.extract``; default
            the preset's.
        answerer: asks in the client's place.
        journal: the SQLite file that keeps the job; None keeps it for the run only.
        concurrency: most requests at once; fewer where the service refuses more, or only lets them wait.
        rpm: most requests a minute, where the account has such a limit.
        tpm: most tokens a minute, likewise.
        limiter: shared with other pipelines on the same endpoint and model, in place of the three above. Of
            several servers each has one of its own, with these rates.
        budget: caps; they count the job, not one run.
        near_duplicates: which pictures share one answer. A number: those whose dHash differs in no more than
            so many of 64 bits (0 to 11), the same picture scaled or re-encoded. ``"features"``: those that
            look alike to the embedded network, also cropped, mirrored, at another exposure or a moment
            later, with a cosine of 0.9, or another as in ``"features:0.95"`` (0.5 to 1). None: only
            identical files. Forms filled in differently look alike to both.
        quality: what to do about poor answers; None takes them as they come, refusals included.
        judge: judges answers in place of ``quality``; or the name of one that an installed package has.
        skip: says why not to ask about an item (``"sidecar present"``).
        sidecar: from a source's name to its sidecar's; names that collide are found before anything runs.
        retry_failed: ask again about recorded failures that may pass.
        force: ask again about everything.
        item_seconds: the longest an item may take to answer, waiting for the limiter not counted.
        job_seconds: after this long nothing new is begun.
        outage_seconds: how long to wait where answers came and the service is then out of reach (no
            connection, or 5xx for five items in a row), in which no item fails; then the run stops. None: for
            ever. Where no answer ever came, the run stops at once.
        preparers: most threads that read and repair images; one does it alone while that is quick.
        lang: the language of a preset's prompt and of its answers; default the client's.
        on_event: told what happens, in the thread or on the event loop that takes the results.
        clock: monotonic seconds.
        via: "calls", or "batch" for the service's batch files: half the price, and answers within a day. It
            needs a journal. Nobody is asked again within a batch; the limits of calls (concurrency, rates,
            seconds) do not apply, and near duplicates are not looked for.
        batch: more about batch files, with ``via="batch"``.

    Raises:
        ParameterError: arguments that do not go together, or out of range.
        UnsupportedError: ``via="batch"``, and the client's endpoint or model takes no batches.
    """

    def __init__(
        self,
        prompt: Prompt | Sequence[Preset],
        *,
        client: Client | None = None,
        model: str | None = None,
        options: CallOptions | None = None,
        schema: Any = None,
        answerer: Answerer | None = None,
        journal: str | os.PathLike[str] | None = None,
        concurrency: int = MOST_AT_ONCE,
        rpm: float | None = None,
        tpm: float | None = None,
        limiter: Limiter | None = None,
        budget: Caps | None = None,
        near_duplicates: int | str | None = None,
        quality: QualityPolicy | None = STANDARD,
        judge: Judge | str | None = None,
        skip: Skip | None = None,
        sidecar: Callable[[str], str] | None = None,
        retry_failed: bool = False,
        force: bool = False,
        item_seconds: float | None = None,
        job_seconds: float | None = None,
        outage_seconds: float | None = LONGEST_OUTAGE_S,
        preparers: int | None = None,
        lang: Language | None = None,
        on_event: Callable[[Event], object] | None = None,
        clock: Callable[[], float] = time.monotonic,
        via: Literal["calls", "batch"] = "calls",
        batch: BatchOptions | None = None,
    ) -> None:
        _check_way(
            via,
            batch,
            journal,
            answerer=answerer,
            rpm=rpm,
            tpm=tpm,
            limiter=limiter,
            near_duplicates=near_duplicates,
            item_seconds=item_seconds,
            job_seconds=job_seconds,
            preparers=preparers,
            outage_seconds=None if outage_seconds == LONGEST_OUTAGE_S else outage_seconds,
        )
        _check_positive(concurrency=concurrency, preparers=preparers, rpm=rpm, tpm=tpm)
        _check_positive(item_seconds=item_seconds, job_seconds=job_seconds, outage_seconds=outage_seconds)
        if answerer is not None and (client is not None or model is None):
            raise ParameterError(
                "an answerer takes the client's place, and needs a name",
                cure="Give answerer with model and without client.",
                subject="answerer",
                scope="job",
            )
        if via == "batch" and client is not None:
            from visionpipe.pipeline.batch.job import check_batches

            check_batches(client, (options or {}).get("model"))
        self._batch = (batch or BatchOptions()) if via == "batch" else None
        self._prompt: Prompt = prompt if isinstance(prompt, str | Template | Preset) else together(*prompt)
        self._client = client
        self._model = model
        self._options: CallOptions = options or {}
        self._schema: Schema[Any] | None = schema_asked(self._prompt, schema)
        self._answerer = answerer
        self._journal = journal
        self._concurrency = concurrency
        self._rpm, self._tpm = rpm, tpm
        self._limiter = limiter
        self._caps = budget
        self._near = near_rule(near_duplicates)
        self._quality = quality
        self._judge = named_judge(judge) if isinstance(judge, str) else judge
        self._skip = skip
        self._sidecar = sidecar
        self._retry_failed = retry_failed
        self._force = force
        self._item_seconds = item_seconds
        self._job_seconds = job_seconds
        self._outage_seconds = outage_seconds
        self._preparers = preparers or _PREPARERS
        self._lang = lang
        self._on_event = on_event
        self._clock = clock

    @property
    def job(self) -> str:
        """The key of this job in its journal; exports name it."""
        setup = self._setup()
        try:
            return setup.recipe.job
        finally:
            setup.close()

    def check(self, sources: Listing) -> None:
        """Finds what the whole job would meet, as far as that shows without an item; asks and writes nothing.

        Args:
            sources: as for ``run``, which checks the same before it begins.

        Raises:
            VisionPipeError: a source that is not there, or one of scope "job".
        """
        self._sources(sources).checked(self._prompt)
        self._setup().close()

    def run(self, sources: Listing, *, hand_out_kept: bool = True, progress: bool = False) -> Run:
        """A pass over ``sources``: iterate it with ``for`` or ``async for``.

        Every item comes out once, and its result is in the journal by then. Nothing is opened before the
        first result is asked for. Through batch files, results come as each batch ends.

        Args:
            sources: a folder, glob, file, URL, list of these, or items found already. The journal and what
                belongs to it are passed over in folders.
            hand_out_kept: False only counts the items that an earlier run has recorded.
            progress: show how far it is: a bar in a notebook, a line on a terminal, else a line every ten
                seconds on stderr.

        Raises (when iterated):
            VisionPipeError: of scope "job", what stopped the run; items' own errors are in their results.
        """
        given = self._sources(sources)
        if self._batch is not None:
            return self._batch_run(given, self._batch, hand_out_kept, progress)
        return CallRun(
            lambda: self._open(given),
            self._told(progress),
            self._clock,
            hand_out_kept=hand_out_kept,
            folder=_folder(sources),
        )

    def arun(self, sources: Listing, *, progress: bool = False) -> AsyncGenerator[ItemResult, None]:
        """As ``run``, for ``async for``."""
        return self.run(sources, progress=progress).__aiter__()

    def _told(self, progress: bool) -> Callable[[Event], object] | None:
        """What is told of a run's events: the caller's own, and a display where one is wanted."""
        if not progress:
            return self._on_event
        from visionpipe.pipeline.progress import progress_display

        shown, own = progress_display(), self._on_event

        def both(event: Event) -> None:
            shown(event)
            if own is not None:
                own(event)

        return both

    def plan(self, sources: Listing, *, count: bool = False) -> Plan:
        """What ``run`` would do; asks nothing, and writes nothing.

        Args:
            sources: as for ``run``.
            count: have the service count tokens where it can, for which pictures are sent; else nothing is.

        Raises:
            OutputError: two items would write to one sidecar.
            VisionPipeError: of scope "job", what would stop the run.
        """
        listing = self._sources(sources)
        found = listing.checked(self._prompt)
        if self._sidecar is not None:
            listing.refuse_collisions(self._sidecar)
        setup = self._setup()
        answerer = setup.answerer
        if count and isinstance(answerer, ClientAnswerer):
            answerer = answerer.counting()
        view = JournalView.open(self._journal)
        private = Database(None, JOURNAL)
        mean = view.mean_seconds()
        totals = PlanTotals(
            min(self._concurrency, ASSUMED_AT_ONCE), mean or ASSUMED_SECONDS, measured=mean is not None
        )

        def close() -> None:
            private.close()
            view.close()
            setup.close()

        triage = self._triage_of(setup, view, 0)
        if listing.repeatable and not view.was_empty:
            found = triage.recalling(found)
        return Plan(
            found,
            triage,
            view,
            answerer,
            totals,
            None if self._near is None else self._near.over(private, view.database),
            close,
        )

    def _sources(self, given: Listing) -> Sources:
        if self._batch is None or self._journal is None:
            return Sources(given, self._journal)
        return Sources(given, self._journal, self._batch.folder_for(self._journal))

    def _open(self, sources: Sources) -> Opened:
        listing = self._checked(sources)
        with self._begun() as (setup, journal, killed, ends):
            ahead = None
            if sources.repeatable:
                recorded = journal.recorded_count(setup.recipe.job)
                ahead = AheadCount(sources.to_count, recorded, journal.known_count)
            parts = self._parts(setup, journal)
            if sources.repeatable and not journal.was_empty:
                # Of what comes one by one nothing is read ahead: who gives it may wait for an answer.
                listing = parts.triage.recalling(listing)
            engine = Engine(
                listing,
                parts,
                journal,
                resemblance=self._near.over(journal.database) if self._near is not None else None,
                at_once=self._concurrency,
                preparers=self._preparers,
                deadline=None if self._job_seconds is None else self._clock() + self._job_seconds,
            )
            return Opened(engine, journal, ahead, killed, ends.pop_all().close)

    def _batch_run(self, sources: Sources, batch: BatchOptions, hand_out_kept: bool, progress: bool) -> Run:
        from visionpipe.pipeline.batch.job import BatchRun, batch_job

        def open_job(sleep: Callable[[float], object]) -> BatchJob:
            listing = self._checked(sources)
            assert self._journal is not None, "checked when the pipeline was made"
            with self._begun() as (setup, journal, killed, ends):
                job = batch_job(
                    setup,
                    journal,
                    killed,
                    listing,
                    batch=batch,
                    folder=batch.folder_for(self._journal),
                    triage=self._triage_of(setup, journal, journal.run),
                    judge=self._judge_of(setup),
                    schema=self._schema,
                    caps=self._caps,
                    sleep=sleep,
                )
                ends.pop_all()
                return job

        return BatchRun(
            open_job, self._told(progress), batch.on_step, batch.clock, hand_out_kept=hand_out_kept
        )

    def _checked(self, sources: Sources) -> Iterator[Found]:
        """What is not there is found before a journal is made for it."""
        listing = sources.checked(self._prompt)
        if self._sidecar is not None:
            sources.refuse_collisions(self._sidecar)
        return listing

    @contextmanager
    def _begun(self) -> Iterator[tuple[JobSetup, Journal, int, ExitStack]]:
        """The setup and the journal of a run, how many requests were found under way, and what closes both:
        at the end of the block, unless it was taken over."""
        with ExitStack() as ends:
            setup = self._setup()
            ends.callback(setup.close)
            journal = Journal(self._journal)
            ends.callback(journal.close)
            yield setup, journal, journal.begin(setup.recipe), ends

    def _parts(self, setup: JobSetup, journal: Journal) -> WorkerParts:
        budget = None
        if self._caps is not None:
            budget = Budget(self._caps, self._caps.used(journal.spent(job=setup.recipe.job)))

        def limited() -> Limiter:
            return self._limiter or Limiter(
                self._concurrency, start=setup.concurrency, rpm=self._rpm, tpm=self._tpm, clock=self._clock
            )

        return WorkerParts(
            answerer=setup.answerer,
            ledger=journal,
            triage=self._triage_of(setup, journal, journal.run),
            gate=local_gate(setup.servers, limited, budget),
            judge=self._judge_of(setup),
            judge_is_quick=self._judge is None,
            item_seconds=self._item_seconds,
            outage_seconds=self._outage_seconds,
            clock=self._clock,
        )

    def _triage_of(self, setup: JobSetup, journal: JournalView, run: int) -> Triage:
        return Triage(
            journal=journal,
            recipe=setup.recipe,
            render=renderer(self._prompt, setup.lang),
            skip=self._skip,
            run=run,
            retry_failed=self._retry_failed,
            force=self._force,
            view=journal,
        )

    def _judge_of(self, setup: JobSetup) -> Judge | None:
        if self._judge is not None:
            return self._judge
        # Here, because a job that takes answers as they come has no use for it.
        from visionpipe.pipeline.job_setup import judge_of_job

        return judge_of_job(self._quality, self._prompt, setup.lang, self._lang)

    def _setup(self) -> JobSetup:
        if self._answerer is not None:
            return JobSetup.given(self._answerer, self._prompt, self._model, self._options, self._lang)
        setup = JobSetup.of_client(
            self._prompt, self._client, self._model, self._options, self._schema, self._lang, self._caps
        )
        if self._limiter is not None and setup.servers is not None:
            setup.close()
            raise ParameterError(
                "each of several servers has a limiter of its own",
                cure="Leave it out, or name one server.",
                subject="limiter",
                scope="job",
            )
        return setup


def _check_way(
    via: str, batch: BatchOptions | None, journal: str | os.PathLike[str] | None, **of_calls: object
) -> None:
    """Holds arguments to the way that is asked by.

    Args:
        of_calls: arguments without a meaning in batch files; None where they were not given.
    """
    reason, cure, subject = "", "", ""
    meaningless = [name for name, value in of_calls.items() if value is not None]
    if via not in ("calls", "batch"):
        reason, cure, subject = f"{via!r} is no way to ask", "Use calls or batch.", "via"
    elif via == "calls" and batch is not None:
        reason, cure, subject = "it is about batch files only", 'Leave it out, or give via="batch".', "batch"
    elif via == "batch" and journal is None:
        reason, cure, subject = "batch files need a journal to go on with", "Name a file.", "journal"
    elif via == "batch" and meaningless:
        cure = 'Leave it out, or give via="calls".'
        reason, subject = "a batch file knows no such option", meaningless[0]
    if reason:
        raise ParameterError(reason, cure=cure, subject=subject, scope="job")


def _check_positive(**values: float | None) -> None:
    for name, value in values.items():
        if value is not None and value <= 0:
            raise ParameterError(f"{value} is not more than 0", cure="Give more.", subject=name, scope="job")


def _folder(sources: Listing) -> str | None:
    """The one folder whose files' names are told from it on; None where names are paths."""
    if not isinstance(sources, str | os.PathLike):
        return None
    path = os.fspath(sources)
    return path if isinstance(path, str) and os.path.isdir(path) else None  # noqa: PTH112 (may be no path)
