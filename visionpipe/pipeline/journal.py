"""The journal as a run writes it: every source, attempt and result of a job, in one file.

A result counts from the moment it is committed, and only then is it handed on, so at most the
requests under way at a kill are sent twice. One run at a time. What is recorded is found again by content
and question, not by the order of a listing.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from visionpipe.pipeline.contents import Stat
from visionpipe.pipeline.ledger import Key, Sent
from visionpipe.pipeline.reading import INSERT, JournalView, Recorded, kept_good, result_row, stored_path
from visionpipe.pipeline.tables import JOURNAL
from visionpipe.results import ItemResult, Outcome
from visionpipe.stages.keys import PREPARATION, Recipe
from visionpipe.store.database import Database, Statement
from visionpipe.values import Money

_PLACES = 1 << 22


class SeenFilter:
    """Remembers texts in 4 MB, however many; from any number of threads.

    It never denies what was added. It may confirm what was not; then the journal is asked.
    """

    def __init__(self) -> None:
        # A byte a place, since storing one needs no lock; with a bit, two threads could undo each other.
        self._places = bytearray(_PLACES)

    def add(self, text: str) -> None:
        self._places[hash(text) % _PLACES] = 1

    def may_hold(self, text: str) -> bool:
        """False only where ``text`` was never added."""
        return self._places[hash(text) % _PLACES] == 1


class Journal(JournalView):
    """One run's hold on a journal.

    Args:
        path: the SQLite file, made with its folder if it is not there; None for a private one that is gone
            after the run.
        clock: seconds since 1970.

    Raises:
        JournalError: another run holds it, it cannot be written, is damaged, or of another kind or a later
            version.
    """

    def __init__(
        self, path: str | os.PathLike[str] | None, *, clock: Callable[[], float] = time.time
    ) -> None:
        self.path = None if path is None else Path(path)
        self._clock = clock
        super().__init__(Database(self.path, JOURNAL, clock=clock))
        self._run = 0
        self._job = ""
        self._preparation = PREPARATION
        self._reviewed: bool | None = None
        self._seen = SeenFilter()
        """Names and contents that this run has put in, and names of ends without a question."""
        try:
            for row in self.database.all("SELECT source FROM results WHERE question = ''"):
                self._seen.add(_unasked(str(row["source"])))
            self._was_empty = super().was_empty
        except BaseException:
            self.close()
            raise

    @property
    def was_empty(self) -> bool:
        """Whether nothing was recorded before this run."""
        return self._was_empty

    def was_touched(self, source: str) -> bool:
        """As ``JournalView.was_touched``."""
        return self._seen.may_hold(source)

    def known_content(self, source: str, location: str, stat: Stat) -> str | None:
        """As ``JournalView.known_content``."""
        return super().known_content(source, location, stat) if self._may_hold(source) else None

    def recorded(self, source: str, question: str, content: str | None = None) -> Recorded | None:
        """As ``JournalView.recorded``."""
        return super().recorded(source, question) if self._may_hold(source) else None

    def shared(self, content: str, question: str, since_run: int = 0) -> ItemResult | None:
        """As ``JournalView.shared``."""
        return super().shared(content, question, since_run) if self._may_hold(content) else None

    def _may_hold(self, text: str) -> bool:
        """Whether to ask the tables; those of a first run hold only what it has put in itself."""
        return not self._was_empty or self._seen.may_hold(text)

    @property
    def is_reviewed(self) -> bool:
        """Asked once: nobody reviews while a run has the journal."""
        if self._reviewed is None:
            self._reviewed = super().is_reviewed
        return self._reviewed

    def standing(self, result: ItemResult, content: str | None = None) -> ItemResult:
        """As ``Ledger.standing``."""
        return self.as_reviewed(result, self._job, content)

    def begin(self, recipe: Recipe) -> int:
        """Opens a run of ``recipe``.

        Returns:
            How many requests were under way when an earlier run was killed; they may have been billed.
        """
        database, now = self.database, self._clock()
        last = database.one("SELECT max(run) AS run FROM runs")
        self._run = (last["run"] or 0) + 1 if last is not None else 1
        self._job, self._preparation = recipe.job, recipe.preparation
        killed = database.one("SELECT count(*) AS n FROM sent")
        schema = None if recipe.schema is None else json.dumps(recipe.schema, ensure_ascii=False, default=str)
        parameters = json.dumps(dict(recipe.parameters), ensure_ascii=False, sort_keys=True, default=str)
        database.write(
            (
                "INSERT INTO jobs VALUES (?, ?, ?, ?, ?, ?, ?, ?) "
                "ON CONFLICT (job) DO UPDATE SET last_run = excluded.last_run, "
                "preparation = excluded.preparation",
                (
                    self._job,
                    recipe.model,
                    recipe.template,
                    parameters,
                    schema,
                    recipe.preparation,
                    self._run,
                    self._run,
                ),
            ),
            (
                "INSERT OR IGNORE INTO attempts (run, job, source, question, at, seconds, failed_with, "
                "billable, refused, tokens, cost, currency) SELECT sent.run, runs.job, source, question, at, "
                "0, 'killed', 1, 0, tokens, cost, currency FROM sent JOIN runs ON runs.run = sent.run",
                (),
            ),
            ("DELETE FROM sent", ()),
            (
                "INSERT INTO runs (run, job, pid, started) VALUES (?, ?, ?, ?)",
                (self._run, self._job, os.getpid(), now),
            ),
        )
        return killed["n"] if killed is not None else 0

    @property
    def run(self) -> int:
        """The number of this run, from 1."""
        return self._run

    def note_source(self, source: str, location: str, stat: Stat, content: str) -> None:
        """Remembers what a file's bytes were; written with the next result."""
        self._note(source, None)
        self.database.later(
            (
                "INSERT OR REPLACE INTO sources VALUES (?, ?, ?, ?, ?)",
                (source, stored_path(location), stat.size, stat.modified_ns, content),
            )
        )

    def adopt(self, source: str, question: str, job: str) -> None:
        """Counts an earlier ``job``'s result as this job's too, because its question was the same."""
        for statement in self._listed_folders(source):
            self.database.later(statement)
        if job != self._job:
            self.database.later(
                (
                    "UPDATE results SET job = ? WHERE source = ? AND question = ? AND job <> ?",
                    (self._job, source, question, self._job),
                )
            )

    def sending(self, key: Key, tokens: int | None, cost: Money | None, *, wait: bool = True) -> int:
        """As ``Ledger.sending``."""
        self.database.check_room()
        ticket = self.database.later(
            (
                "INSERT OR REPLACE INTO sent VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    key.source,
                    key.question,
                    key.content or "",
                    self._run,
                    self._clock(),
                    tokens,
                    str(cost.amount) if cost else None,
                    cost.currency if cost else None,
                ),
            )
        )
        if wait:
            self.store(ticket)
        return ticket

    def record(
        self, key: Key, result: ItemResult | None, sent: Sequence[Sent] = (), *, wait: bool = True
    ) -> int:
        """As ``Ledger.record``."""
        now = self._clock()
        self._note(key.source, key.content)
        statements: list[Statement] = [self._attempt(key, attempt, now) for attempt in sent]
        if sent:
            statements.append(
                ("DELETE FROM sent WHERE source = ? AND question = ?", (key.source, key.question))
            )
        if result is not None:
            run = self._run
            if result.outcome is Outcome.FAILED and result.failure is not None:
                known = self.recorded(key.source, key.question)
                if known is not None and known.good and known.content == key.content:
                    # Asked again by force: the good answer is not lost for a failure.
                    result, run = kept_good(known.result, result.failure), known.run
            row = result_row(
                result, question=key.question, job=self._job, run=run, recorded=now, content=key.content
            )
            statements.append((INSERT, (*row, self._preparation)))
            if not key.question:
                self._seen.add(_unasked(key.source))
            elif self._seen.may_hold(_unasked(key.source)):
                # An earlier end without a question (its prompt could not be made) is superseded.
                statements.append(("DELETE FROM results WHERE source = ? AND question = ''", (key.source,)))
            statements += self._listed_folders(key.source)
        ticket = self.database.later(*statements)
        if wait:
            self.store(ticket)
        return ticket

    def store(self, ticket: int) -> None:
        """As ``Ledger.store``."""
        self.database.store(ticket)

    def end(self, ending: str) -> None:
        """Notes how the run ended, and closes the journal."""
        try:
            self.database.write(
                ("UPDATE runs SET ended = ?, ending = ? WHERE run = ?", (self._clock(), ending, self._run))
            )
        finally:
            self.close()

    def _listed_folders(self, source: str) -> Iterator[Statement]:
        """An earlier failure to list a folder is superseded by anything met in it."""
        end = source.find("/")
        while 0 <= end < len(source) - 1:
            folder = source[: end + 1]
            if self._seen.may_hold(_unasked(folder)):
                yield (
                    "DELETE FROM results WHERE source = ? AND question = '' AND outcome = 'failed'",
                    (folder,),
                )
            end = source.find("/", end + 1)

    def _note(self, source: str, content: str | None) -> None:
        # What a damaged row holds in their place is found under no name.
        if isinstance(source, str):
            self._seen.add(source)
        if isinstance(content, str):
            self._seen.add(content)

    def _attempt(self, key: Key, sent: Sent, now: float) -> Statement:
        return (
            "INSERT INTO attempts (run, job, source, question, at, seconds, request_id, failed_with, "
            "billable, refused, tokens, cost, currency) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                self._run,
                self._job,
                key.source,
                key.question,
                now,
                sent.seconds,
                sent.request_id,
                sent.failed_with,
                int(sent.billable),
                int(sent.refused),
                sent.tokens,
                str(sent.cost.amount) if sent.cost else None,
                sent.cost.currency if sent.cost else None,
            ),
        )


def _unasked(source: str) -> str:
    """A source's mark in the filter where it has an end without a question; no path holds a zero byte."""
    return f"{source}\0"
