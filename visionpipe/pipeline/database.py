"""The journal's file: opened, written in groups, and read, from any number of threads.

The rule of durability: when :meth:`Database.write` returns, what it wrote is committed, whole, and the death
of the process, however sudden, takes nothing of it away. (WAL with ``synchronous=NORMAL``: a loss of power
may take the last moments, never the file.) Whoever comes first commits for everybody who waits behind, up to
64 calls at a time, so that many threads cost few commits and one thread waits for none but its own.

A small file of ballast lies beside the journal. When the disk is full it is given up, so that the answers
already under way, which are paid for, still find room.
"""

from __future__ import annotations

import os
import sqlite3
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, TypeAlias

from visionpipe.errors import JournalError
from visionpipe.pipeline.schema import TABLES, VERSION

Statement: TypeAlias = tuple[str, Sequence[Any]]

GROUP = 64
BALLAST_BYTES = 1 << 20
_APPLICATION = 0x56504A4C  # "VPJL", so that another program's database is not taken for a journal


class Database:
    """One SQLite file, or a temporary one that nobody else sees.

    Args:
        path: where; None for a private file that is gone after the run.
        read_only: for exports, also while a run is writing.

    Raises:
        JournalError: it cannot be opened, or is not a journal of this version.
    """

    def __init__(self, path: Path | None, *, read_only: bool = False) -> None:
        self._path = path
        self._pending: deque[tuple[Statement, ...]] = deque()
        self._queued = 0
        self._written = 0
        self._queue_lock = threading.Lock()
        self._lock = threading.Lock()
        self._closed = False
        self._ballast_spent = ""
        try:
            self._connection = self._open(read_only)
            self._prepare(read_only)
        except sqlite3.Error as error:
            raise self._journal_error(error) from error
        self._ballast = path.with_name(path.name + ".ballast") if path and not read_only else None
        self._lay_ballast()

    def write(self, *statements: Statement) -> None:
        """Commits the statements, in one transaction with whatever else is waiting.

        Raises:
            JournalError: the disk is full or fails. The statements are kept and tried again with the next
                write, and on closing.
        """
        ticket = self.later(*statements)
        with self._lock:
            while self._written < ticket:
                self._check_open()
                self._flush()

    def later(self, *statements: Statement) -> int:
        """Puts the statements before whatever is committed next, without waiting for it.

        Raises:
            JournalError: a value that no journal can hold (code "unstorable"); nothing is put anywhere, since
                it would keep all that is written with it from being committed.
        """
        for _, values in statements:
            for value in values:
                if not (value.isascii() if isinstance(value, str) else isinstance(value, float | None)):
                    _check_storable(value)
        with self._queue_lock:
            self._pending.append(statements)
            self._queued += 1
            return self._queued

    def check_room(self) -> None:
        """To be called before anything is begun that has to be written later.

        Raises:
            JournalError: the disk was full, and only the ballast's room is left for what is under way.
        """
        if self._ballast_spent:
            raise _full(self._path, self._ballast_spent)

    def one(self, sql: str, values: Sequence[Any] = ()) -> sqlite3.Row | None:
        """The first row, of what has been committed."""
        with self._lock:
            self._check_open()
            try:
                row: sqlite3.Row | None = self._connection.execute(sql, values).fetchone()
            except sqlite3.Error as error:
                raise self._journal_error(error) from error
            return row

    def all(self, sql: str, values: Sequence[Any] = (), at_once: int = 500) -> Iterator[sqlite3.Row]:
        """Every row, a few hundred in memory at a time; others may write meanwhile."""
        with self._lock:
            self._check_open()
            try:
                cursor = self._connection.execute(sql, values)
            except sqlite3.Error as error:
                raise self._journal_error(error) from error
        with closing(cursor):
            while True:
                with self._lock:
                    try:
                        rows = cursor.fetchmany(at_once)
                    except sqlite3.Error as error:
                        raise self._journal_error(error) from error
                if not rows:
                    return
                yield from rows

    def close(self) -> None:
        """Commits what waits, folds the log into the file and closes it."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            try:
                while self._written < self._queued:
                    self._flush()
            finally:
                self._connection.close()
                if self._ballast is not None:
                    self._ballast.unlink(missing_ok=True)

    def _check_open(self) -> None:
        if self._closed:
            # Only a thread that an abort left behind comes here.
            raise JournalError(
                "the run has ended", cure="Run again; what was recorded is kept.", code="closed"
            )

    def _flush(self) -> None:
        with self._queue_lock:
            group = [self._pending.popleft() for _ in range(min(GROUP, len(self._pending)))]
        try:
            try:
                self._commit(group)
            except sqlite3.OperationalError as error:
                if not _is_disks(error) or not self._drop_ballast():
                    raise
                self._ballast_spent = str(error)
                self._commit(group)
        except BaseException as error:
            with self._queue_lock:
                self._pending.extendleft(reversed(group))
            if isinstance(error, sqlite3.Error):
                raise self._journal_error(error) from error
            raise
        self._written += len(group)

    def _commit(self, group: list[tuple[Statement, ...]]) -> None:
        execute = self._connection.execute
        if len(group) == 1 and len(group[0]) == 1:
            # A statement alone is its own transaction, at a third of the calls.
            execute(*group[0][0])
            return
        execute("BEGIN IMMEDIATE")
        try:
            for statements in group:
                for sql, values in statements:
                    execute(sql, values)
            execute("COMMIT")
        except BaseException:
            if self._connection.in_transaction:
                self._connection.rollback()
            raise

    def _open(self, read_only: bool) -> sqlite3.Connection:
        target = (
            "" if self._path is None else f"{self._path.absolute().as_uri()}?mode={self._mode(read_only)}"
        )
        connection = sqlite3.connect(
            target, uri=bool(target), isolation_level=None, check_same_thread=False, timeout=30.0
        )
        connection.row_factory = sqlite3.Row
        return connection

    def _mode(self, read_only: bool) -> str:
        if not read_only or self._path is None:
            return "rwc"
        # A reader that may write tidies up after itself: the last connection to close merges the log.
        return "rw" if os.access(self._path, os.W_OK) else "ro"

    def _prepare(self, read_only: bool) -> None:
        execute = self._connection.execute
        execute("PRAGMA cache_size = -8000")
        found = execute("PRAGMA application_id").fetchone()[0]
        version = execute("PRAGMA user_version").fetchone()[0]
        empty = execute("SELECT count(*) FROM sqlite_master").fetchone()[0] == 0
        if not empty and (found, version) != (_APPLICATION, VERSION):
            raise JournalError(
                "this file is no journal of this version",
                cure="Choose another journal, or remove the file if it is not needed.",
                subject=str(self._path),
                code="damaged",
            )
        if read_only:
            execute("PRAGMA query_only = 1")
            return
        execute("PRAGMA journal_mode = WAL")
        execute("PRAGMA synchronous = NORMAL")
        if empty:
            self._connection.executescript(
                f"BEGIN; {TABLES} PRAGMA application_id = {_APPLICATION}; "
                f"PRAGMA user_version = {VERSION}; COMMIT;"
            )

    def _lay_ballast(self) -> None:
        if self._ballast is None:
            return
        try:
            self._ballast.write_bytes(bytes(BALLAST_BYTES))
        except OSError as error:
            self._ballast.unlink(missing_ok=True)
            self._connection.close()
            raise _full(self._path, str(error.strerror).lower()) from error

    def _drop_ballast(self) -> bool:
        if self._ballast is None or not self._ballast.exists():
            return False
        self._ballast.unlink(missing_ok=True)
        return True

    def _journal_error(self, error: sqlite3.Error) -> JournalError:
        name = getattr(error, "sqlite_errorname", "")
        if _is_disks(error):
            return _full(self._path, str(error))
        damaged = isinstance(error, sqlite3.DatabaseError) and name.startswith(
            ("SQLITE_NOTADB", "SQLITE_CORRUPT")
        )
        return JournalError(
            f"the journal cannot be used: {error}",
            cure="Restore it or choose another journal."
            if damaged
            else "Check that its folder exists and may be written.",
            subject=str(self._path) if self._path else "the temporary journal",
            code="damaged" if damaged else "unwritable",
        )


def _is_disks(error: sqlite3.Error) -> bool:
    """Whether the disk is full or fails, and not, say, another program holds the file."""
    return getattr(error, "sqlite_errorname", "").startswith(("SQLITE_FULL", "SQLITE_IOERR"))


def _check_storable(value: object) -> None:
    try:
        if isinstance(value, int) and not -(2**63) <= value < 2**63:
            raise OverflowError(f"{value} has more than 64 bits")
        if isinstance(value, str) and not value.isascii():
            value.encode()
    except (OverflowError, UnicodeEncodeError) as error:
        raise JournalError(
            f"the journal cannot hold {ascii(value)[:200]}",
            cure="Give names and prompts that are whole Unicode text.",
            code="unstorable",
        ) from error


def _full(path: Path | None, words: str) -> JournalError:
    return JournalError(
        f"the journal cannot be written: {words}",
        cure="Make space on the disk (or look at its health), then run the same command again; "
        "everything recorded is kept.",
        subject=str(path) if path else "the temporary journal",
        code="disk_full",
    )
