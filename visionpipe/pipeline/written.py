"""What a job's outputs wrote, kept in its journal: by this a later run knows a file as its own.

It has a connection of its own, since outputs are written while a run holds the journal, and by exports. What
was written last may be missing after a kill; then a file is known by what the journal would have written.
"""

from __future__ import annotations

import json
import os
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from dataclasses import astuple, dataclass
from pathlib import Path

from visionpipe.errors import JournalError
from visionpipe.files import FileMark
from visionpipe.pipeline.reading import JournalView
from visionpipe.pipeline.tables import JOURNAL, WRITTEN
from visionpipe.results import ItemResult
from visionpipe.store.database import name_with_log
from visionpipe.store.lock import FileId, leave_file, use_file

_UPSERT = "INSERT OR REPLACE INTO written VALUES (?, ?, ?, ?, ?, ?)"
_GROUP = 256


@dataclass(frozen=True, slots=True)
class WrittenRow:
    """One file, as the table ``written`` describes it."""

    mark: FileMark
    around: tuple[str, str] | None = None
    jobs: tuple[str, ...] = ()


class WrittenFiles:
    """The files that outputs of a journal's jobs wrote; from any number of threads.

    Args:
        journal: the file; where there is none yet nothing is known, and ``remember`` makes none.
    """

    def __init__(self, journal: Path) -> None:
        self._journal = journal
        self._folder = Path(os.path.realpath(journal.parent))
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None
        self._file: FileId | None = None
        self._view: JournalView | None = None
        self._pending: dict[bytes, WrittenRow] = {}

    def find(self, place: Path) -> WrittenRow | None:
        """What was written at ``place`` last.

        Raises:
            JournalError: the journal cannot be read.
        """
        key = self._key(place)
        with self._lock:
            if key in self._pending:
                return self._pending[key]
            connection = self._opened()
            if connection is None:
                return None
            try:
                row = connection.execute(
                    "SELECT size, modified_ns, digest, around, jobs FROM written WHERE place = ?", (key,)
                ).fetchone()
            except sqlite3.Error as error:
                raise self._error(error) from error
        if row is None:
            return None
        around = None if row[3] is None else json.loads(row[3])
        mark = FileMark(row[0], row[1], row[2])
        return WrittenRow(mark, around and (around[0], around[1]), tuple(json.loads(row[4])))

    def remember(self, place: Path, row: WrittenRow) -> None:
        """Something was written at ``place``; on disk after the next ``flush``.

        Raises:
            JournalError: the journal cannot be written.
        """
        with self._lock:
            self._pending[self._key(place)] = row
            full = len(self._pending) >= _GROUP
        if full:
            self.flush()

    def earlier(self, source: str) -> Iterator[ItemResult]:
        """Every answer that the journal holds for an item, whatever was asked."""
        if not self._journal.exists():
            return
        with self._lock:
            if self._view is None:
                self._view = JournalView.open(self._journal)
        yield from self._view.answers(source)

    def flush(self) -> None:
        """Put what was remembered into the journal.

        Raises:
            JournalError: it cannot be written.
        """
        with self._lock:
            connection = self._opened()
            if connection is None or not self._pending:
                return
            rows = [
                (key, *astuple(row.mark), _dumped(row.around), json.dumps(row.jobs))
                for key, row in self._pending.items()
            ]
            try:
                connection.execute("BEGIN IMMEDIATE")
                connection.executemany(_UPSERT, rows)
                connection.execute("COMMIT")
            except sqlite3.Error as error:
                if connection.in_transaction:
                    connection.rollback()
                raise self._error(error) from error
            self._pending.clear()

    def close(self) -> None:
        """Put what was remembered into the journal and let go of it; a further question opens it again."""
        try:
            self.flush()
        finally:
            with self._lock:
                if self._connection is not None:
                    self._connection.close()
                    self._connection = None
                if self._file is not None:
                    leave_file(self._file)
                    self._file = None
                if self._view is not None:
                    self._view.close()
                    self._view = None

    def _opened(self) -> sqlite3.Connection | None:
        """The connection; None where there is no journal yet, or one that can only be read."""
        if self._connection is None and self._journal.exists() and os.access(self._journal, os.W_OK):
            file = use_file(self._journal)
            connection = sqlite3.connect(
                name_with_log(self._journal), isolation_level=None, check_same_thread=False, timeout=30.0
            )
            try:
                connection.execute("PRAGMA synchronous = NORMAL")
                ours = connection.execute("PRAGMA application_id").fetchone()[0] == JOURNAL.application
                if ours:
                    connection.execute(WRITTEN)
            except sqlite3.DatabaseError:
                # The job itself opens the journal, too, and says what is wrong with it.
                ours = False
            if not ours:
                connection.close()
                leave_file(file)
                return None
            self._connection, self._file = connection, file
        return self._connection

    def _key(self, place: Path) -> bytes:
        return os.fsencode(place.relative_to(self._folder) if place.is_relative_to(self._folder) else place)

    def _error(self, error: sqlite3.Error) -> JournalError:
        return JournalError(
            f"what the outputs wrote cannot be noted in the journal: {error}",
            cure="Check that the journal may be written, and that no other program holds it.",
            subject=str(self._journal),
            code="unwritable",
        )


def _dumped(around: Sequence[str] | None) -> str | None:
    # JSON escapes hold halves of surrogate pairs, which stand for bytes that are no UTF-8.
    return None if around is None else json.dumps(around)
