"""What people made of a job's answers: edits, choices and verdicts, kept in the journal as history.

No step is ever changed or removed; taking one back is a step of its own. What stands at the end of them is
read wherever outputs are, so a person's words win in all of them and no later run takes their place. A step
counts from the moment ``Edits.apply`` returns; it is on the disk by then.
"""

from __future__ import annotations

import hashlib
import json
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, TypeAlias, get_args

from visionpipe.errors import JournalError
from visionpipe.pipeline.tables import JOURNAL
from visionpipe.results import ItemResult, Outcome
from visionpipe.store.database import Database, Statement
from visionpipe.store.lock import holder
from visionpipe.values import JSON, Note

Field: TypeAlias = Literal["caption", "data", "verdict"]
FIELDS: tuple[Field, ...] = get_args(Field)
StepKind: TypeAlias = Literal["edit", "choose", "accept", "reject", "reopen", "undo"]
VERDICTS = ("accepted", "rejected")
NOTES = ("edited", *VERDICTS)
"""The kinds of note by which a result says what a person made of it."""


@dataclass(frozen=True, slots=True)
class Review:
    """What stands of the edits of one item; None: as the model said it, or no verdict yet."""

    caption: str | None
    data: str | None
    verdict: str | None
    who: str
    at: float


@dataclass(frozen=True, slots=True)
class Step:
    """One change to one item. ``value`` None puts back what the model said, or takes the verdict away."""

    source: str
    field: Field
    value: str | None
    kind: StepKind = "edit"


@dataclass(frozen=True, slots=True)
class PastStep:
    """A step as the history has it."""

    action: int
    at: float
    who: str
    kind: str
    source: str
    field: str
    before: str | None
    after: str | None


def shape_of(schema: str | None) -> str:
    """The kind of a job's answers: empty for text, else a digest of the schema as the journal has it."""
    return (
        "" if schema is None else hashlib.sha256(schema.encode("utf-8", "surrogateescape")).hexdigest()[:16]
    )


def review_of(row: sqlite3.Row) -> Review | None:
    """A row of ``reviewed``; None where it is damaged."""
    caption, data, verdict = row["caption"], row["data"], row["verdict"]
    texts = (caption, data, verdict)
    if not all(isinstance(text, str | None) for text in texts) or not isinstance(row["at"], float):
        return None
    return Review(caption, data, verdict, str(row["who"]), row["at"])


def reviewed(result: ItemResult, review: Review) -> ItemResult:
    """``result`` as a person left it, with notes that say so. What a person wrote makes it done."""
    notes = tuple(note for note in result.notes if note.kind not in NOTES)
    by = f"by {review.who}, {_moment(review.at)}"
    caption, data = review.caption, _data(review.data)
    if data is not None and caption is None:
        caption = json.dumps(data, ensure_ascii=False)
    if caption is not None:
        result = replace(
            result,
            outcome=Outcome.DONE,
            caption=caption,
            data=result.data if data is None else data,
            failure=None,
            reason=None,
        )
        notes = (*notes, Note("edited", by))
    if review.verdict in VERDICTS:
        notes = (*notes, Note(review.verdict, by))
    return replace(result, notes=notes)


def _data(text: str | None) -> JSON:
    if text is None:
        return None
    try:
        value: JSON = json.loads(text)
    except ValueError:
        return None
    return value


def _moment(at: float) -> str:
    try:
        return datetime.fromtimestamp(at, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    except (ValueError, OverflowError, OSError):
        return "at no known time"


class Edits:
    """Writes what a person does, from any number of threads; the journal is held only for the moment of it.

    Args:
        path: the journal. One of an earlier version is migrated by the first step.
        who: whose steps these are.
        clock: seconds since 1970.
    """

    def __init__(
        self, path: str | os.PathLike[str], who: str, *, clock: Callable[[], float] = time.time
    ) -> None:
        self._path = Path(path)
        self._who = who
        self._clock = clock
        self._lock = threading.Lock()

    def prepare(self) -> None:
        """Makes the tables of edits where an earlier version has none.

        Raises:
            JournalError: a run holds the journal ("locked"), or it cannot be written.
        """
        with self._opened():
            pass

    @property
    def is_held(self) -> bool:
        """Whether a run has the journal to itself, so that nothing can be changed now."""
        with self._lock:
            return holder(self._path) is not None

    def apply(self, shape: str, steps: Sequence[Step]) -> int:
        """Takes the steps, all or none; they are on the disk when this returns.

        Args:
            shape: the kind of the answers, see ``shape_of``.

        Returns:
            The action's number; 0 where no step changes anything.

        Raises:
            JournalError: a run holds the journal ("locked"), or it cannot be written.
        """
        with self._opened() as database:
            action = _next_action(database)
            written = [
                statement
                for step in {(step.source, step.field): step for step in steps}.values()
                for statement in self._statements(database, action, shape, step, None)
            ]
            if not written:
                return 0
            database.write(*written)
            return action

    def undo(self) -> tuple[int, tuple[str, ...]]:
        """Takes back the last action that was not taken back; again and again, to the first.

        Returns:
            The action's number and its sources; 0 and none where there is nothing to take back.

        Raises:
            JournalError: as for ``apply``.
        """
        with self._opened() as database:
            found = database.one(
                "SELECT max(action) AS action FROM edits WHERE kind <> 'undo' AND action NOT IN "
                "(SELECT undoes FROM edits WHERE undoes IS NOT NULL)"
            )
            if found is None or found["action"] is None:
                return 0, ()
            undone, action = int(found["action"]), _next_action(database)
            rows = list(database.all("SELECT * FROM edits WHERE action = ? ORDER BY edit DESC", (undone,)))
            statements: list[Statement] = []
            for row in rows:
                step = Step(row["source"], row["field"], row["before"], "undo")
                statements += self._statements(database, action, row["shape"], step, undone)
            database.write(*statements)
            return undone, tuple(dict.fromkeys(row["source"] for row in rows))

    def _statements(
        self, database: Database, action: int, shape: str, step: Step, undoes: int | None
    ) -> Iterable[Statement]:
        assert step.field in FIELDS, "it becomes part of a statement"
        row = database.one("SELECT * FROM reviewed WHERE source = ? AND shape = ?", (step.source, shape))
        before = None if row is None else row[step.field]
        if before == step.value and undoes is None:
            return
        now = self._clock()
        yield (
            "INSERT INTO edits (action, at, who, kind, source, shape, field, before, after, undoes) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (action, now, self._who, step.kind, step.source, shape, step.field, before, step.value, undoes),
        )
        yield (
            f"INSERT INTO reviewed (source, shape, {step.field}, who, at) VALUES (?, ?, ?, ?, ?) "
            f"ON CONFLICT (source, shape) DO UPDATE SET {step.field} = excluded.{step.field}, "
            "who = excluded.who, at = excluded.at",
            (step.source, shape, step.value, self._who, now),
        )
        if step.value is None:
            yield (
                "DELETE FROM reviewed WHERE source = ? AND shape = ? AND caption IS NULL AND data IS NULL "
                "AND verdict IS NULL",
                (step.source, shape),
            )

    @contextmanager
    def _opened(self) -> Iterator[Database]:
        with self._lock, closing(Database(self._path, JOURNAL, durable=True, clock=self._clock)) as database:
            yield database


def history(database: Database, source: str, shape: str, most: int = 200) -> list[PastStep]:
    """The steps about one item, the newest first."""
    if not database.has_table("edits"):
        return []
    rows = database.all(
        "SELECT action, at, who, kind, source, field, before, after FROM edits "
        "WHERE source = ? AND shape = ? ORDER BY edit DESC LIMIT ?",
        (source, shape, most),
    )
    return [PastStep(*row) for row in rows]


def _next_action(database: Database) -> int:
    row = database.one("SELECT ifnull(max(action), 0) + 1 AS next FROM edits")
    if row is None:
        raise JournalError("the edits cannot be counted", cure="Check the journal.", code="damaged")
    return int(row["next"])
