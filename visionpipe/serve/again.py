"""Asking again about some of a job's items, with another model or another prompt, under a budget.

The answers are gathered in a journal of their own beside the job's (NAME.asked), so that none that was paid
for is lost whatever happens, and the job's own stays free to be edited. When all are there they become
further answers in the job's journal, to be chosen from; what outputs show does not change by them. Over a
directory of parts each answer is stored there as it comes, by a writer of its own.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

from visionpipe.client import Client
from visionpipe.client.options import CallOptions
from visionpipe.errors import ConfigurationError, ParameterError, VisionPipeError
from visionpipe.pipeline.budget import Budget, Caps
from visionpipe.pipeline.gate import LocalGate
from visionpipe.pipeline.job_setup import JobSetup, judge_of_job, renderer, schema_asked
from visionpipe.pipeline.ledger import Ledger
from visionpipe.pipeline.limiter import Limiter
from visionpipe.pipeline.pipeline import Pipeline
from visionpipe.pipeline.reading import COLUMNS, INSERT
from visionpipe.pipeline.tables import JOURNAL
from visionpipe.pipeline.triage import Triage
from visionpipe.pipeline.worker import Worker, WorkerParts
from visionpipe.prompts.presets import Preset, named, preset_recorded
from visionpipe.prompts.template import Template
from visionpipe.results import ItemResult, Outcome
from visionpipe.serve.review import Reviewer
from visionpipe.sources.walking import Source
from visionpipe.stages.quality_policy import STANDARD
from visionpipe.store.database import Database, Statement
from visionpipe.values import JSON

AT_ONCE = 8
"""Requests at once over a directory of parts, as a job's."""

_ATTEMPT = (
    "run, job, source, question, at, seconds, request_id, failed_with, billable, refused, tokens, cost, "
    "currency"
)
_INSERT = INSERT.replace(" job = excluded.job,", "").replace(" run = excluded.run,", "")
"""Where the question was asked before, its answer stays that of the job it belongs to."""
_JOB = "job, model, template, parameters, schema, preparation"


class AskingAgain:
    """What is asked again from a review, one lot at a time.

    Args:
        reviewer: of the job.
        make_client: from a model's name, None for the default, to a client.
        make_caps: from money, tokens and requests, each None where it was not given, to a budget.
        presets: of the user's own, by name.
        parts: opens a writer of the directory of parts that is reviewed; None: a journal is.
        after: called when all answers are stored.
    """

    def __init__(
        self,
        reviewer: Reviewer,
        make_client: Callable[[str | None], Client],
        make_caps: Callable[[str | None, int | None, int | None], Caps | None],
        presets: Mapping[str, Preset],
        parts: Callable[[], Ledger] | None = None,
        after: Callable[[], object] = lambda: None,
    ) -> None:
        self._reviewer = reviewer
        self._make_client = make_client
        self._make_caps = make_caps
        self._presets = presets
        self._parts = parts
        self._after = after
        self._asked = reviewer.journal.with_name(f"{reviewer.journal.name}.asked")
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._stopped = threading.Event()
        self._state: dict[str, JSON] = {"done": 0, "total": 0, "ended": True, "error": None}
        if parts is None and self._asked.exists() and not reviewer.edits.is_held:
            # Left by a review that was killed.
            _take(self._asked, reviewer.journal)

    @property
    def state(self) -> dict[str, JSON]:
        """How far it is."""
        with self._lock:
            return dict(self._state)

    def start(self, reviewer: Reviewer, asked: Mapping[str, Any]) -> dict[str, JSON]:
        """Begins to ask; answers come while the review goes on.

        Args:
            asked: ``sources`` (None: all that ``filter`` has), ``model``, ``preset`` or ``prompt`` (blank: as
                the job has it), ``requests`` and ``money`` (blank: no such cap).

        Raises:
            ParameterError: something is asked already, or there is no such preset, or a cap is none.
            VisionPipeError: the client cannot be had.
        """
        wanted = reviewer.filter(asked["filter"])
        caps = self._make_caps(asked.get("money") or None, None, _count(asked.get("requests")))
        prompt, schema = self._prompt(asked, wanted.job)
        sources = reviewer.sources(wanted, asked.get("sources"))
        if not sources:
            raise ParameterError("nothing is selected", cure="Select some items.", subject="sources")
        with self._lock:
            if self._thread is not None and self._thread.is_alive():
                raise ParameterError("something is asked already", cure="Wait for it to end.")
            client = self._make_client(asked.get("model") or None)
            self._state = {"done": 0, "total": len(sources), "ended": False, "error": None}
            if self._parts is None:
                pipeline = Pipeline(prompt, client=client, schema=schema, journal=self._asked, budget=caps)
                answers = self._into_journal(pipeline, sources)
            else:
                answers = self._into_parts(self._parts, client, prompt, schema, caps, sources)
            self._stopped.clear()
            self._thread = threading.Thread(
                target=self._run, args=(answers, client), name="visionpipe-asking"
            )
            self._thread.start()
            return dict(self._state)

    def close(self) -> None:
        """Stops asking, and waits for what is under way."""
        self._stopped.set()
        if self._thread is not None:
            self._thread.join()

    def _prompt(self, asked: Mapping[str, Any], job: str) -> tuple[Any, Any]:
        if str(asked.get("prompt") or "").strip():
            return Template(str(asked["prompt"])), self._reviewer.schema(job)
        if asked.get("preset"):
            return named(str(asked["preset"]), self._presets), None
        template, schema = self._reviewer.template(job), self._reviewer.schema(job)
        preset = preset_recorded(template, schema, self._presets)
        return (Template(template), schema) if preset is None else (preset, None)

    def _run(self, answers: Iterator[ItemResult], client: Client) -> None:
        error: str | None = None
        done = 0
        try:
            with closing(client):
                for result in answers:
                    done += result.outcome is Outcome.DONE
                    with self._lock:
                        self._state["done"] = done
                    if result.failure is not None:
                        error = f"{result.source}: {result.failure.reason}. {result.failure.cure}"
        except VisionPipeError as found:
            error = str(found)
        try:
            if self._parts is None:
                _take(self._asked, self._reviewer.journal)
            self._after()
        except VisionPipeError as found:
            kept = f"the answers are in {self._asked} for the next review: " if self._parts is None else ""
            error = error or f"{kept}{found}"
        with self._lock:
            self._state |= {"ended": True, "error": error}

    def _into_journal(self, pipeline: Pipeline, sources: Sequence[Source]) -> Iterator[ItemResult]:
        run = pipeline.run(sources)
        for result in run:
            yield result
            if self._stopped.is_set():
                run.stop()
        if run.summary is not None and run.summary.stopped is not None and not self._stopped.is_set():
            raise ConfigurationError(f"it ended early: {run.summary.stopped}", cure="Raise the budget.")

    def _into_parts(
        self,
        parts: Callable[[], Ledger],
        client: Client,
        prompt: Any,
        schema: Any,
        caps: Caps | None,
        sources: Sequence[Source],
    ) -> Iterator[ItemResult]:
        asked = schema_asked(prompt, schema)
        with ExitStack() as ends:
            setup = JobSetup.of_client(prompt, client, None, CallOptions(), asked, None, caps)
            ends.callback(setup.close)
            ledger = parts()
            ends.callback(ledger.close)
            ledger.begin(setup.recipe)
            render = renderer(prompt, setup.lang)
            limiter = Limiter(AT_ONCE, start=setup.concurrency)
            worker = Worker(
                WorkerParts(
                    answerer=setup.answerer,
                    ledger=ledger,
                    triage=Triage(ledger, setup.recipe, render, retry_failed=True),
                    gate=LocalGate(limiter, None if caps is None else Budget(caps)),
                    judge=judge_of_job(STANDARD, prompt, setup.lang, None),
                ),
                concurrency=AT_ONCE,
            )
            ends.enter_context(worker)
            for result in worker.map_unordered(sources):
                yield result
                if self._stopped.is_set():
                    return


def _count(text: object) -> int | None:
    if text in (None, ""):
        return None
    try:
        return int(str(text))
    except ValueError as error:
        raise ParameterError(f"{text!r} is no number", cure="Give 1 or more.", subject="requests") from error


def _take(asked: Path, journal: Path) -> None:
    """Puts what was gathered into the job's journal, and removes the journal it was gathered in."""
    with closing(Database(asked, JOURNAL)) as other:
        statements: list[Statement] = [
            (
                f"INSERT OR IGNORE INTO jobs ({_JOB}, first_run, last_run) VALUES (?, ?, ?, ?, ?, ?, 0, 0)",
                tuple(row),
            )
            for row in other.all(f"SELECT {_JOB} FROM jobs")
        ]
        names = COLUMNS.split(", ")
        for row in other.all("SELECT * FROM results WHERE outcome = 'done' ORDER BY result"):
            values = [0 if name == "run" else row[name] for name in names]
            statements.append((_INSERT, (*values, row["preparation"])))
        statements += [
            (f"INSERT INTO attempts ({_ATTEMPT}) VALUES (?{', ?' * 12})", (0, *tuple(row)[1:]))
            for row in other.all(f"SELECT {_ATTEMPT} FROM attempts")
        ]
        if statements:
            with closing(Database(journal, JOURNAL, durable=True)) as database:
                database.write(*statements)
    for end in ("", "-wal", "-shm"):
        asked.with_name(asked.name + end).unlink(missing_ok=True)
