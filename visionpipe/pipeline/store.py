"""The journal's file: locked for one run, opened, written in groups, and read, from any number of threads.

``content`` is a file's SHA-256 in hexadecimal, or ``url:`` and a digest for a link. ``question`` and ``job``
are the keys of visionpipe.pipeline.keys. A NULL means: not known, or does not apply.

The lock is the operating system's and dies with its process, whatever kills it; the file's text
(pid and start) only tells the second run whom it has met.

The rule of durability: when :meth:`Database.write` returns, what it wrote is committed, whole, and the death
of the process, however sudden, takes nothing of it away. (WAL with ``synchronous=NORMAL``: a loss of power
may take the last moments, never the file.) Whoever comes first commits for everybody who waits behind, up to
64 calls at a time, so that many threads cost few commits and one thread waits for none but its own.

A small file of ballast lies beside the journal. When the disk is full it is given up, so that the answers
already under way, which are paid for, still find room.
"""

from __future__ import annotations

import json
import os
import sqlite3
import sys
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeAlias

from visionpipe.errors import JournalError

VERSION = 1

TABLES = """
CREATE TABLE jobs (              -- one row for each recipe that was ever run on this journal
  job         TEXT PRIMARY KEY,
  model       TEXT NOT NULL,
  template    TEXT NOT NULL,     -- the prompt before an item's fields are put in
  parameters  TEXT NOT NULL,     -- JSON object
  schema      TEXT,              -- JSON schema
  preparation INTEGER NOT NULL,  -- version of how images are made ready
  first_run   INTEGER NOT NULL,
  last_run    INTEGER NOT NULL
) WITHOUT ROWID;

CREATE TABLE runs (              -- one row for each start of the program
  run      INTEGER PRIMARY KEY,
  job      TEXT NOT NULL,
  pid      INTEGER NOT NULL,
  started  REAL NOT NULL,
  ended    REAL,                 -- NULL: under way, or killed
  ending   TEXT                  -- complete, or what stopped it
);

CREATE TABLE sources (           -- every file that was ever read, so that it is not read again unchanged
  source      TEXT PRIMARY KEY,
  location    TEXT NOT NULL,
  size        INTEGER NOT NULL,  -- bytes
  modified_ns INTEGER NOT NULL,  -- nanoseconds since 1970
  content     TEXT NOT NULL
) WITHOUT ROWID;

CREATE TABLE sent (              -- requests under way; what is left here after a kill may have been billed
  source   TEXT NOT NULL,
  question TEXT NOT NULL,
  content  TEXT NOT NULL,
  run      INTEGER NOT NULL,
  at       REAL NOT NULL,
  tokens   INTEGER,              -- estimated, prompt and answer
  cost     TEXT,                 -- estimated
  currency TEXT,
  PRIMARY KEY (source, question)
) WITHOUT ROWID;

CREATE TABLE attempts (          -- every request that was sent
  attempt           INTEGER PRIMARY KEY,
  run               INTEGER NOT NULL,
  job               TEXT NOT NULL,
  source            TEXT NOT NULL,
  question          TEXT NOT NULL,
  at                REAL NOT NULL,     -- when it ended
  seconds           REAL NOT NULL,
  request_id        TEXT,
  failed_with       TEXT,              -- the error's code; NULL: answered; 'killed': the run ended before it
  billable          INTEGER NOT NULL,  -- 1: answered, or may have been billed
  refused           INTEGER NOT NULL,  -- 1: too many at once (429), sent again later
  tokens            INTEGER,           -- as billed; estimated where killed or timed out
  cost              TEXT,
  currency          TEXT
);

CREATE TABLE results (           -- the one end that each source came to, for each question
  result            INTEGER PRIMARY KEY,
  source            TEXT NOT NULL,
  question          TEXT NOT NULL,
  job               TEXT NOT NULL,
  run               INTEGER NOT NULL,
  recorded          REAL NOT NULL,
  content           TEXT,
  outcome           TEXT NOT NULL,     -- done, failed, skipped
  caption           TEXT,
  data              TEXT,              -- JSON, where a schema was asked for
  model             TEXT,
  local             INTEGER NOT NULL,  -- 1: answered by the embedded engine
  prompt_tokens     INTEGER,
  completion_tokens INTEGER,
  cached_tokens     INTEGER,           -- part of prompt_tokens
  reasoning_tokens  INTEGER,           -- part of completion_tokens
  cost              TEXT,
  currency          TEXT,              -- ISO 4217
  finish_reason     TEXT,
  adjustments       TEXT,              -- JSON array of {kind, subject, detail}
  notes             TEXT,              -- JSON array of {kind, detail}
  request_id        TEXT,
  attempts          INTEGER NOT NULL,
  failure           TEXT,              -- JSON {error, code, reason, cure, retryable, scope, request_id}
  retryable         INTEGER NOT NULL,  -- 1: failed in a way that may pass
  reason            TEXT,              -- why it was skipped
  duplicate_of      TEXT,              -- the source whose answer is shared
  seconds           REAL NOT NULL,
  UNIQUE (source, question)
);
CREATE INDEX results_by_content ON results (content, question);

CREATE TABLE looks (             -- perceptual hashes, where near duplicates were asked for
  content TEXT PRIMARY KEY,
  source  TEXT NOT NULL,         -- the first source with this content
  dhash   INTEGER NOT NULL,      -- 64 bits, as a signed number
  band0   INTEGER NOT NULL,      -- its four runs of 16 bits, the highest first
  band1   INTEGER NOT NULL,
  band2   INTEGER NOT NULL,
  band3   INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX looks_band0 ON looks (band0);
CREATE INDEX looks_band1 ON looks (band1);
CREATE INDEX looks_band2 ON looks (band2);
CREATE INDEX looks_band3 ON looks (band3);
"""

FEATURES = """
CREATE TABLE features (          -- what pictures look like, where near duplicates by features were asked for
  id      INTEGER PRIMARY KEY,
  content TEXT NOT NULL UNIQUE,
  source  TEXT NOT NULL,         -- the first source with this content
  version INTEGER NOT NULL,      -- of how vectors are made; others cannot be compared
  first   INTEGER NOT NULL,      -- 1: like none before it; later ones are compared with it
  vector  BLOB NOT NULL          -- one signed byte a number
)"""
"""Younger than the other tables: a journal that lacks it is given it when it is needed."""

TABLES += FEATURES + ";\n"


if sys.platform == "win32":
    import msvcrt

    def _try_lock(descriptor: int) -> None:
        # A byte far behind the text, because Windows keeps others from reading what is locked.
        os.lseek(descriptor, 1 << 20, os.SEEK_SET)
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        os.lseek(descriptor, 0, os.SEEK_SET)
else:
    import fcntl

    def _try_lock(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


class JournalLock:
    """Holds ``path`` until closed.

    Raises:
        JournalError: another run holds it (``code`` "locked"), or the file cannot be written.
    """

    def __init__(self, path: Path, started_at: float) -> None:
        self._path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        except OSError as error:
            raise JournalError(
                f"the journal's lock cannot be written: {(error.strerror or str(error)).lower()}",
                cure="Check that its folder can be made and written to.",
                subject=str(path),
            ) from error
        try:
            _try_lock(self._descriptor)
        except (BlockingIOError, PermissionError) as error:
            owner = self._owner()
            os.close(self._descriptor)
            raise JournalError(
                f"another run is using this journal ({owner})",
                cure="Wait for it to end or stop it; or choose another output.",
                subject=str(path.with_suffix("")),
                code="locked",
            ) from error
        except OSError as error:
            os.close(self._descriptor)
            raise JournalError(
                f"the journal cannot be locked here: {(error.strerror or str(error)).lower()}",
                cure="Keep it on a file system with locks; most network shares have none.",
                subject=str(path.with_suffix("")),
            ) from error
        started = datetime.fromtimestamp(started_at, UTC).isoformat(timespec="seconds")
        os.ftruncate(self._descriptor, 0)
        os.write(self._descriptor, json.dumps({"pid": os.getpid(), "started": started}).encode())

    def _owner(self) -> str:
        try:
            os.lseek(self._descriptor, 0, os.SEEK_SET)
            owner = json.loads(os.read(self._descriptor, 4096))
            return f"pid {owner['pid']}, started {owner['started']}"
        except (OSError, ValueError, KeyError, TypeError):
            return "its pid is not written yet"

    @staticmethod
    def path_for(journal: Path) -> Path:
        """The lock's file for a journal."""
        return journal.with_name(journal.name + ".lock")

    def close(self) -> None:
        """Gives the lock back. The file stays: removing it would let two runs hold two files."""
        os.close(self._descriptor)


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
