"""What a job has handed to the service in batch files, kept in the journal, so that any later run goes on.

A file of lines goes through these states, each written before the next step is begun:

    writing     being written on this disk; dropped by the next run, since nobody else has seen it
    written     whole on this disk; to be uploaded
    uploaded    at the service as ``file_id``; to be made a batch of
    created     the batch ``batch_id``; to be waited for and read

A line is here from before it can be sent until its item's end is in the journal; then it is gone.
"""

from __future__ import annotations

import sqlite3
import uuid
from dataclasses import dataclass
from decimal import Decimal

import orjson

from visionpipe.pipeline.answerer import PreparedItem
from visionpipe.pipeline.budget import Amount
from visionpipe.pipeline.ledger import Key
from visionpipe.pipeline.reading import dumped, money_of
from visionpipe.store.database import Database, is_text
from visionpipe.values import Adjustment, Money


@dataclass(frozen=True, slots=True)
class StoredFile:
    """One file of lines. ``size`` in bytes."""

    number: int
    name: str
    state: str
    lines: int
    size: int
    file_id: str | None
    batch_id: str | None


@dataclass(frozen=True, slots=True)
class StoredLine:
    """One item that waits for a line's answer; ``begun`` in seconds since 1970."""

    number: int
    key: Key
    adjustments: tuple[Adjustment, ...]
    begun: float
    ended: bool


class BatchStore:
    """The files and lines of one job.

    Args:
        database: the journal's.
        job: the recipe's key.
    """

    def __init__(self, database: Database, job: str) -> None:
        self._database = database
        self._job = job

    def begin_file(self) -> StoredFile:
        """A new file, in writing."""
        name = f"visionpipe-{uuid.uuid4().hex}.jsonl"
        self._database.write(
            (
                "INSERT INTO batch_files (job, name, state, lines, size) VALUES (?, ?, 'writing', 0, 0)",
                (self._job, name),
            )
        )
        row = self._database.one("SELECT * FROM batch_files WHERE name = ?", (name,))
        assert row is not None, "it was written just now"
        file = _file(row)
        assert file is not None, "it was written just now"
        return file

    def add(
        self,
        file: int,
        custom_id: str,
        key: Key,
        begun: float,
        prepared: PreparedItem | None = None,
        cost: Money | None = None,
    ) -> None:
        """Remember an item that waits for the line ``custom_id`` of a file.

        Args:
            begun: seconds since 1970.
            prepared: the item's own; None for who shares another's line.
            cost: estimated.
        """
        changes = prepared.adjustments if prepared is not None else ()
        self._database.write(
            (
                "INSERT INTO batch_lines (file, custom_id, source, question, content, adjustments, begun, "
                "tokens, cost, currency) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    file,
                    custom_id,
                    key.source,
                    key.question,
                    key.content or "",
                    dumped([change.to_json() for change in changes]),
                    begun,
                    prepared.tokens if prepared is not None else None,
                    str(cost.amount) if cost else None,
                    cost.currency if cost else None,
                ),
            )
        )

    def written(self, file: int, lines: int, size: int) -> None:
        """The file is whole."""
        self._database.write(
            (
                "UPDATE batch_files SET state = 'written', lines = ?, size = ? WHERE file = ?",
                (lines, size, file),
            )
        )

    def uploaded(self, file: int, file_id: str) -> None:
        """The service has it."""
        self._database.write(
            ("UPDATE batch_files SET state = 'uploaded', file_id = ? WHERE file = ?", (file_id, file))
        )

    def created(self, file: int, batch_id: str) -> None:
        """It is a batch."""
        self._database.write(
            ("UPDATE batch_files SET state = 'created', batch_id = ? WHERE file = ?", (batch_id, file))
        )

    def forget(self, file: int) -> None:
        """It is over and done with, or never came to anything."""
        self._database.write(
            ("DELETE FROM batch_lines WHERE file = ?", (file,)),
            ("DELETE FROM batch_files WHERE file = ?", (file,)),
        )

    def files(self) -> list[StoredFile]:
        """Every file of the job, in the order they were begun."""
        rows = self._database.all("SELECT * FROM batch_files WHERE job = ? ORDER BY file", (self._job,))
        return [file for row in rows if (file := _file(row)) is not None]

    def file(self, number: int) -> StoredFile | None:
        """One file as it stands; None once it is forgotten."""
        row = self._database.one("SELECT * FROM batch_files WHERE file = ?", (number,))
        return None if row is None else _file(row)

    def last_line(self) -> int:
        """The greatest number that a line has, 0 where there is none."""
        row = self._database.one("SELECT max(line) AS line FROM batch_lines")
        return 0 if row is None or row["line"] is None else int(row["line"])

    def waits(self, source: str, question: str) -> int | None:
        """The number of an item's line that is under way; None where none is."""
        row = self._database.one(
            "SELECT line FROM batch_lines JOIN batch_files USING (file) "
            "WHERE job = ? AND source = ? AND question = ? AND ended = 0",
            (self._job, source, question),
        )
        return None if row is None else int(row["line"])

    def file_of(self, custom_id: str) -> int | None:
        """The file that holds a line which is under way; None where none does."""
        row = self._database.one(
            "SELECT file FROM batch_lines JOIN batch_files USING (file) "
            "WHERE job = ? AND custom_id = ? AND ended = 0",
            (self._job, custom_id),
        )
        return None if row is None else int(row["file"])

    def waiting(self, file: int, custom_id: str) -> list[StoredLine]:
        """Who waits, or waited, for a line's answer; the first one is whose line it is."""
        rows = self._database.all(
            "SELECT * FROM batch_lines WHERE file = ? AND custom_id = ? ORDER BY line", (file, custom_id)
        )
        return [line for row in rows if (line := _line(row)) is not None]

    def unanswered(self, file: int) -> list[str]:
        """The lines of a file that somebody still waits for, up to 500 at a time."""
        rows = self._database.all(
            "SELECT DISTINCT custom_id FROM batch_lines WHERE file = ? AND ended = 0 ORDER BY line LIMIT 500",
            (file,),
        )
        return [str(row["custom_id"]) for row in rows]

    def ending(self, line: int) -> None:
        """The item's end is what is recorded next, and this is written together with it."""
        self._database.later(("UPDATE batch_lines SET ended = 1 WHERE line = ?", (line,)))

    def give_up(self, line: int) -> None:
        """Nobody waits for the line any more, and its item has no end."""
        self._database.write(("UPDATE batch_lines SET ended = 1 WHERE line = ?", (line,)))

    def expected(self, currency: str | None) -> Amount:
        """What the lines under way are estimated to use; money in one currency."""
        requests, tokens, money = 0, 0, Decimal(0)
        for row in self._database.all(
            "SELECT tokens, cost, currency FROM batch_lines JOIN batch_files USING (file) "
            "WHERE job = ? AND ended = 0 AND (tokens IS NOT NULL OR cost IS NOT NULL)",
            (self._job,),
        ):
            requests += 1
            tokens += row["tokens"] if isinstance(row["tokens"], int) else 0
            cost = money_of(row["cost"], row["currency"])
            if cost is not None and cost.currency == currency:
                money += cost.amount
        return Amount(requests, tokens, money)

    def count(self) -> int:
        """Items that wait."""
        row = self._database.one(
            "SELECT count(*) AS n FROM batch_lines JOIN batch_files USING (file) WHERE job = ? AND ended = 0",
            (self._job,),
        )
        return 0 if row is None else int(row["n"])


def _file(row: sqlite3.Row) -> StoredFile | None:
    """None for a damaged row: its lines are then asked again."""
    file = StoredFile(
        row["file"], row["name"], row["state"], row["lines"], row["size"], row["file_id"], row["batch_id"]
    )
    texts = (file.name, file.state, file.file_id or "", file.batch_id or "")
    whole = all(is_text(text) for text in texts)
    return file if whole and isinstance(file.lines, int) and isinstance(file.size, int) else None


def _line(row: sqlite3.Row) -> StoredLine | None:
    """None for a damaged row: its item is then asked about again."""
    key = Key(row["source"], row["question"], row["content"])
    if not (is_text(key.source) and is_text(key.question) and isinstance(row["begun"], float)):
        return None
    try:
        changes = tuple(Adjustment(**change) for change in orjson.loads(row["adjustments"]))
    except (ValueError, TypeError):
        return None
    return StoredLine(row["line"], key, changes, row["begun"], bool(row["ended"]))
