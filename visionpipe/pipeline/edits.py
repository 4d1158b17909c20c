"""What people made of a job's answers: edits, choices and verdicts, kept in the journal as history.

No step is ever changed or removed; taking one back is a step of its own. What stands at the end of them is
read wherever outputs are, so a person's words win in all of them and no later run takes their place. They are
about one picture: where another one has its name since, they are told of, and not used. A step counts from
the moment ``Edits.apply`` returns; it is on the disk by then.
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
from typing import Literal, NamedTuple, TypeAlias, get_args

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
EARLIER = "earlier_picture"
NOTES = ("edited", *VERDICTS, EARLIER)
"""The kinds of note by which a result says what a person made of it."""
_COLUMNS = ("source", "shape", "content", "caption", "data", "verdict", "who", "at")


@dataclass(frozen=True, slots=True)
class Review:
    """What stands of the edits of one item; None: as the model said it, or no verdict yet.

    ``content``: the content key of the picture they are about, empty where it is not known. ``earlier``: that
    is another one than the item has now.
    """

    caption: str | None
    data: str | None
    verdict: str | None
    who: str
    at: float
    content: str = ""
    earlier: bool = False


@dataclass(frozen=True, slots=True)
class Step:
    """One change to one item. ``value`` None puts back what the model said, or takes the verdict away;
    ``content`` is that of the picture that was looked at, empty where it is not known."""

    source: str
    field: Field
    value: str | None
    kind: StepKind = "edit"
    content: str = ""


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
    content: str = ""


class EditRow(NamedTuple):
    """A step as it is stored, with the columns of the table ``edits``."""

    action: int
    at: float
    who: str
    kind: str
    source: str
    shape: str
    content: str
    field: str
    before: str | None
    after: str | None
    undoes: int | None


def shape_of(schema: str | None) -> str:
    """The kind of a job's answers: empty for text, else a digest of the schema as the journal has it."""
    return (
        "" if schema is None else hashlib.sha256(schema.encode("utf-8", "surrogateescape")).hexdigest()[:16]
    )


def standing_reviews(database: Database) -> str:
    """The table of what stands of the edits, as SQL: of this version of a journal, or of an earlier one."""
    if database.has_table("reviews"):
        return "reviews"
    if database.has_table("reviewed"):
        return "(SELECT source, shape, '' AS content, caption, data, verdict, who, at FROM reviewed)"
    names = ", ".join(f"NULL AS {name}" for name in _COLUMNS)
    return f"(SELECT {names} WHERE 0)"


def chosen_review(rows: Iterable[sqlite3.Row], content: str | None) -> Review | None:
    """Of the rows about one item, the newest first, the one about its picture, else, marked as such, one
    about an earlier picture; None where there is none.

    Args:
        content: the picture's content key; None where it was never read, which any picture may be.
    """
    earlier: Review | None = None
    for row in rows:
        found = _review_of(row)
        if found is None:
            continue
        if content is None or found.content in ("", content):
            return found
        earlier = earlier or replace(found, earlier=True)
    return earlier


def _review_of(row: sqlite3.Row) -> Review | None:
    """None for a damaged row."""
    caption, data, verdict, content = row["caption"], row["data"], row["verdict"], row["content"]
    texts = (caption, data, verdict)
    sound = all(isinstance(text, str | None) for text in texts) and isinstance(content, str)
    if not sound or not isinstance(row["at"], float):
        return None
    return Review(caption, data, verdict, str(row["who"]), row["at"], content)


def reviewed(result: ItemResult, review: Review) -> ItemResult:
    """``result`` as a person left it, with notes that say so. What a person wrote makes it done; what they
    wrote about an earlier picture is only told of."""
    notes = tuple(note for note in result.notes if note.kind not in NOTES)
    by = f"by {review.who}, {_time(review.at)}"
    if review.earlier:
        words = "reviewed" if review.caption is None and review.data is None else "edited"
        told = f"{words} {by}, as another picture had this name; look at it again"
        return replace(result, notes=(*notes, Note(EARLIER, told)))
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


def _time(at: float) -> str:
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
        with self.opened():
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
        with self.opened() as database:
            action, at = self._moment(database)
            steps = list({(step.source, step.field): step for step in steps}.values())
            rows = [
                row for step in steps if (row := self._row(database, action, at, shape, step)) is not None
            ]
            if not rows:
                return 0
            self._write(database, rows)
            return action

    def undo(self) -> tuple[int, tuple[str, ...]]:
        """Takes back the last action that was not taken back; again and again, to the first.

        Returns:
            The action's number and its sources; 0 and none where there is nothing to take back.

        Raises:
            JournalError: as for ``apply``.
        """
        with self.opened() as database:
            found = database.one(
                "SELECT max(action) AS action FROM edits WHERE kind <> 'undo' AND who = ifnull(?, who) "
                "AND action NOT IN (SELECT undoes FROM edits WHERE undoes IS NOT NULL)",
                (self._undone_of,),
            )
            if found is None or found["action"] is None:
                return 0, ()
            undone = int(found["action"])
            action, at = self._moment(database)
            taken = list(database.all("SELECT * FROM edits WHERE action = ? ORDER BY edit DESC", (undone,)))
            rows = [
                row
                for one in taken
                if (row := self._row(database, action, at, one["shape"], _back(one), undone)) is not None
            ]
            self._write(database, rows)
            return undone, tuple(dict.fromkeys(one["source"] for one in taken))

    @property
    def _undone_of(self) -> str | None:
        """Whose steps are taken back; None: anybody's, since one works on a journal at a time."""
        return None

    def _moment(self, database: Database) -> tuple[int, float]:
        """The number of the next action, and its time."""
        row = database.one("SELECT ifnull(max(action), 0) + 1 AS next FROM edits")
        if row is None:
            raise JournalError("the edits cannot be counted", cure="Check the journal.", code="damaged")
        return int(row["next"]), self._clock()

    def _row(
        self,
        database: Database,
        action: int,
        at: float,
        shape: str,
        step: Step,
        undoes: int | None = None,
    ) -> EditRow | None:
        assert step.field in FIELDS, "it becomes part of a statement"
        content, before = step.content, None
        for row in database.all(
            "SELECT * FROM reviews WHERE source = ? AND shape = ? ORDER BY at DESC", (step.source, shape)
        ):
            if not step.content or row["content"] in ("", step.content):
                content, before = step.content or row["content"], row[step.field]
                break
        if before == step.value and undoes is None:
            return None
        return EditRow(
            *(action, at, self._who, step.kind, step.source, shape),
            *(content, step.field, before, step.value, undoes),
        )

    def _write(self, database: Database, rows: Sequence[EditRow]) -> None:
        database.write(*(each for row in rows for each in (insertion_of(row), *effects_of(row))))

    @contextmanager
    def opened(self) -> Iterator[Database]:
        """The journal, to be written.

        Raises:
            JournalError: a run holds it ("locked"), or it cannot be written.
        """
        with self._lock, closing(Database(self._path, JOURNAL, durable=True, clock=self._clock)) as database:
            yield database


def history(database: Database, source: str, shape: str, most: int = 200) -> list[PastStep]:
    """The steps about one item, the newest first."""
    if not database.has_table("edits"):
        return []
    content = "content" if database.has_table("reviews") else "''"
    rows = database.all(
        f"SELECT action, at, who, kind, source, field, before, after, {content} FROM edits "
        "WHERE source = ? AND shape = ? ORDER BY at DESC, edit DESC LIMIT ?",
        (source, shape, most),
    )
    return [PastStep(*row) for row in rows]


def _back(row: sqlite3.Row) -> Step:
    return Step(row["source"], row["field"], row["before"], "undo", row["content"])


def insertion_of(row: EditRow) -> Statement:
    """What writes a step into the history."""
    return (f"INSERT INTO edits ({', '.join(EditRow._fields)}) VALUES ({', '.join('?' * len(row))})", row)


def effects_of(row: EditRow) -> Iterable[Statement]:
    """What makes a step stand, after those before it."""
    item = (row.source, row.shape)
    if row.content:
        # What was written before the picture was known is about this one.
        yield (
            "UPDATE OR IGNORE reviews SET content = ? WHERE source = ? AND shape = ? AND content = ''",
            (row.content, *item),
        )
    yield (
        f"INSERT INTO reviews (source, shape, content, {row.field}, who, at) VALUES (?, ?, ?, ?, ?, ?) "
        f"ON CONFLICT (source, shape, content) DO UPDATE SET {row.field} = excluded.{row.field}, "
        "who = excluded.who, at = excluded.at",
        (*item, row.content, row.after, row.who, row.at),
    )
    if row.after is None:
        yield (
            "DELETE FROM reviews WHERE source = ? AND shape = ? AND content = ? AND caption IS NULL "
            "AND data IS NULL AND verdict IS NULL",
            (*item, row.content),
        )
