"""An SQLite file of this library: known by its marks, migrated, and used by many threads at once.

When ``Database.write`` returns, what it wrote is committed, whole, and the death of the process, however
sudden, takes nothing of it away. (WAL with ``synchronous=NORMAL``: a loss of power may take the last moments,
never the file.) The thread that comes first commits for all that wait behind it, up to 64 calls at a time, so
that many threads cost few commits and one thread waits for none but its own.

A small file of ballast lies beside a database that is held by one run. When the disk is full it is given up,
so that the answers already under way, which are paid for, still find room.
"""

from __future__ import annotations

import os
import re
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

from visionpipe.errors import JournalError
from visionpipe.store.lock import FileId, FileLock, leave_file, refuse_folder, use_file

Statement: TypeAlias = tuple[str, Sequence[Any]]

GROUP = 64
BALLAST_BYTES = 1 << 20

_MOST_VERSIONS = 1000
"""A version beyond this is no younger program's, but a damaged head."""

_OUTER_CAUSES = (
    "SQLITE_BUSY",
    "SQLITE_LOCKED",
    "SQLITE_CANTOPEN",
    "SQLITE_PERM",
    "SQLITE_READONLY",
    "SQLITE_AUTH",
    "SQLITE_NOMEM",
    "SQLITE_INTERRUPT",
    "SQLITE_PROTOCOL",
    "SQLITE_NOLFS",
)
"""What stands for the place or another program. The statements are fixed and right, so anything else says
that the file is damaged."""

_STORABLE = frozenset((float, type(None)))
"""What any value of can be stored."""

_DAMAGE = ("SQLITE_IOERR_SHORT_READ", "SQLITE_IOERR_CORRUPTFS")

RAW_ERRORS = (sqlite3.Error, UnicodeError, OverflowError, MemoryError)
"""What a damaged file makes Python's sqlite3 raise."""

read_text = partial(str, encoding="utf-8", errors="surrogateescape")
"""Reads text that is no UTF-8 too, so that one such value does not end the reading of all rows."""


@dataclass(frozen=True, slots=True)
class Schema:
    """A kind of database.

    Attributes:
        title: its name in errors.
        application: SQLite's application_id, so that another program's file is not taken for one.
        versions: what makes version 1 of nothing, version 2 of version 1, and so on; SQL scripts.
        exclusive: held by one run at a time.
        unmarked: the tables by which a file of version 1 is known that has no application_id; none: no file.
        readable: whether a row of a table, by its name, makes sense; asked by check and repair.
    """

    title: str
    application: int
    versions: tuple[str, ...]
    exclusive: bool = True
    unmarked: frozenset[str] = frozenset()
    readable: Callable[[str, sqlite3.Row], bool] = lambda table, row: True

    @property
    def version(self) -> int:
        """The one that is written."""
        return len(self.versions)


class Database:
    """One SQLite file, or a temporary one that nobody else sees.

    Args:
        path: where; None for a private file that is gone after the run.
        schema: the kind. A file of an earlier version is migrated, a new one made.
        read_only: for reading while others write. Earlier versions are read as they are, an empty file as an
            empty database.
        durable: what was written outlasts a loss of power too, by one synchronisation of the disk a commit.
        clock: seconds since 1970.

    Raises:
        JournalError: another run holds it (``code`` "locked"); it cannot be opened or written; it is damaged
            ("damaged"), of another kind ("foreign"), or of a later version ("newer").
    """

    def __init__(
        self,
        path: Path | None,
        schema: Schema,
        *,
        read_only: bool = False,
        durable: bool = False,
        clock: Callable[[], float] = time.time,
    ) -> None:
        if path is not None:
            refuse_folder(path, schema.title)
        if read_only and path is not None and _is_empty(path):
            path, read_only = None, False
        self._path = path
        self._schema = schema
        self._pending: deque[tuple[Statement, ...]] = deque()
        self._queued = 0
        self._written = 0
        self._queue_lock = threading.Lock()
        self._lock = threading.Lock()
        self._closed = False
        self._durable = durable
        self._ballast: Path | None = None
        self._ballast_spent = ""
        held = schema.exclusive and not read_only
        with ExitStack() as opening:
            if path is not None and held:
                opening.callback(FileLock(path, clock()).close)
            with self._translated():
                self._connection = self._open(read_only)
            if path is not None:
                file = _used(path, self._connection)
                opening.callback(leave_file, file)
            opening.callback(self._connection.close)
            with self._translated():
                self._prepare(read_only)
                if path is not None and not read_only:
                    self._note_name(path)
            if path is not None and held:
                self._lay_ballast(path)
                opening.callback(self._drop_ballast)
            self._resources = opening.pop_all()

    @property
    def schema(self) -> Schema:
        """The kind of database."""
        return self._schema

    def write(self, *statements: Statement) -> None:
        """Commits the statements, in one transaction with whatever else is waiting.

        Raises:
            JournalError: the disk is full or fails. The statements are kept and tried again with the next
                write, and on closing.
        """
        self.store(self.later(*statements))

    def store(self, ticket: int) -> None:
        """Commits what ``later`` gave this ticket for, with all that waits; raises as ``write``."""
        with self._lock:
            while self._written < ticket:
                self._check_open()
                self._flush()

    def later(self, *statements: Statement) -> int:
        """Puts the statements before whatever is committed next, without waiting for it.

        Returns:
            The ticket with which to wait for it.

        Raises:
            JournalError: a value that no database can hold (code "unstorable"); nothing is put anywhere,
                since it would keep all that is written with it from being committed.
        """
        for _, values in statements:
            for value in values:
                kind = type(value)
                if kind is int:
                    storable = -(2**63) <= value < 2**63
                else:
                    storable = value.isascii() if kind is str else kind in _STORABLE
                if not storable:
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
            raise _full(self._subject, self._ballast_spent)

    def one(self, sql: str, values: Sequence[Any] = ()) -> sqlite3.Row | None:
        """The first row, of what has been committed."""
        with self._lock:
            self._check_open()
            try:
                row: sqlite3.Row | None = self._connection.execute(sql, values).fetchone()
            except RAW_ERRORS as error:
                raise self._error(error) from error
            return row

    def all(self, sql: str, values: Sequence[Any] = (), at_once: int = 500) -> Iterator[sqlite3.Row]:
        """Every row, a few hundred in memory at a time; others may write meanwhile."""
        with self._lock:
            self._check_open()
            with self._translated():
                cursor = self._connection.execute(sql, values)
        with closing(cursor):
            while True:
                with self._lock, self._translated():
                    rows = cursor.fetchmany(at_once)
                if not rows:
                    return
                yield from rows

    def has_table(self, name: str) -> bool:
        """Whether there is such a table; one opened for reading may be of a version without it."""
        found = self.one("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?", (name,))
        return found is not None

    def close(self) -> None:
        """Commits what waits, folds the log into the file, closes it, and gives the lock back."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            with self._resources:
                while self._written < self._queued:
                    self._flush()

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
            if isinstance(error, RAW_ERRORS):
                raise self._error(error) from error
            raise
        self._written += len(group)

    def _commit(self, group: list[tuple[Statement, ...]]) -> None:
        execute = self._connection.execute
        if len(group) == 1 and len(group[0]) == 1:
            # A statement alone is its own transaction, at a third of the calls.
            execute(*group[0][0])
            return
        with self._connection:  # commits, or rolls back
            execute("BEGIN IMMEDIATE")
            for statements in group:
                for sql, values in statements:
                    execute(sql, values)

    def _open(self, read_only: bool) -> sqlite3.Connection:
        target = ""
        if self._path is not None:
            # A reader that may write tidies up after itself: the last connection to close merges the log.
            mode = "rwc" if not read_only else "rw" if os.access(self._path, os.W_OK) else "ro"
            target = f"{name_with_log(self._path).absolute().as_uri()}?mode={mode}"
        connection = sqlite3.connect(
            target, uri=bool(target), isolation_level=None, check_same_thread=False, timeout=30.0
        )
        connection.row_factory = sqlite3.Row
        connection.text_factory = read_text
        return connection

    def _prepare(self, read_only: bool) -> None:
        execute = self._connection.execute
        execute("PRAGMA cache_size = -1000")
        version = self._check_kind()
        if read_only:
            execute("PRAGMA query_only = 1")
            return
        execute("PRAGMA journal_mode = WAL")
        execute(f"PRAGMA synchronous = {'FULL' if self._durable else 'NORMAL'}")
        if version == self._schema.version and self._is_marked():
            return
        with self._connection:
            execute("BEGIN IMMEDIATE")
            # Another process may have been faster.
            for script in self._schema.versions[self._check_kind() :]:
                for statement in statements_of(script):
                    execute(statement)
            execute(f"PRAGMA application_id = {self._schema.application}")
            execute(f"PRAGMA user_version = {self._schema.version}")

    def _is_marked(self) -> bool:
        found: int = self._connection.execute("PRAGMA application_id").fetchone()[0]
        return found == self._schema.application

    def _check_kind(self) -> int:
        """The version of what is there, 0 where there is nothing yet."""
        execute = self._connection.execute
        application = execute("PRAGMA application_id").fetchone()[0]
        version = execute("PRAGMA user_version").fetchone()[0]
        tables = {row[0] for row in execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        schema = self._schema
        if not tables and not application:
            return 0
        if not application and not version and schema.unmarked and schema.unmarked <= tables:
            return 1
        own = tables & tables_of(schema)
        if application == schema.application and 0 < version <= schema.version and own:
            return int(version)
        if application == schema.application and schema.version < version < _MOST_VERSIONS:
            raise JournalError(
                f"this {schema.title} was written by a later version of visionpipe (its schema is {version}, "
                f"and this version knows {schema.version})",
                cure="Update visionpipe, or choose another file.",
                subject=self._subject,
                code="newer",
            )
        if application == schema.application or len(own) > 1:
            raise damaged(schema, self._subject, "its head or its tables are not as they were written")
        raise JournalError(
            f"this is an SQLite file of another program or another kind, no {schema.title}",
            cure="Choose another file.",
            subject=self._subject,
            code="foreign",
        )

    def _note_name(self, path: Path) -> None:
        """Writes into the file itself beside which name its log lies."""
        execute = self._connection.execute
        execute("CREATE TABLE IF NOT EXISTS opened (name TEXT NOT NULL)")
        name = os.path.realpath(name_with_log(path))
        row = execute("SELECT name FROM opened").fetchone()
        if (row is not None and row[0] == name) or not is_text(name):
            return
        with self._connection:
            execute("BEGIN IMMEDIATE")
            execute("DELETE FROM opened")
            execute("INSERT INTO opened VALUES (?)", (name,))
        execute("PRAGMA wal_checkpoint(PASSIVE)")

    def _lay_ballast(self, path: Path) -> None:
        ballast = path.with_name(path.name + ".ballast")
        try:
            ballast.write_bytes(bytes(BALLAST_BYTES))
        except OSError as error:
            ballast.unlink(missing_ok=True)
            raise _full(self._subject, str(error.strerror).lower()) from error
        self._ballast = ballast

    def _drop_ballast(self) -> bool:
        if self._ballast is None or not self._ballast.exists():
            return False
        self._ballast.unlink(missing_ok=True)
        return True

    @property
    def _subject(self) -> str:
        return str(self._path) if self._path else f"the temporary {self._schema.title}"

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except RAW_ERRORS as error:
            raise self._error(error) from error

    def _error(self, error: BaseException) -> JournalError:
        if _is_disks(error):
            return _full(self._subject, str(error))
        if not _is_outer(error, self._path):
            if self._path is not None and _is_other_file(self._path, self._schema):
                return JournalError(
                    f"this is another kind of file, no {self._schema.title}",
                    cure="Choose another file.",
                    subject=self._subject,
                    code="foreign",
                )
            return damaged(self._schema, self._subject, str(error) or type(error).__name__)
        return JournalError(
            f"the {self._schema.title} cannot be used: {error}",
            cure="Check that its folder exists and may be written.",
            subject=self._subject,
        )


def _is_other_file(path: Path, schema: Schema) -> bool:
    """Whether a refused file shows nothing of ours: no database's first bytes, no mark, no table."""
    try:
        with path.open("rb") as file:
            start = file.read(1 << 16)
    except OSError:
        return False
    marked = start[68:72] == schema.application.to_bytes(4, "big")
    return not (
        marked
        or start.startswith(b"SQLite format 3\0")
        or any(f"CREATE TABLE {name} ".encode() in start for name in tables_of(schema))
    )


def damaged(schema: Schema, subject: str, words: str) -> JournalError:
    """The error for a damaged database.

    Args:
        subject: its path.
        words: what is wrong.
    """
    return JournalError(
        f"the {schema.title} is damaged: {words}",
        cure="Save what can be read (visionpipe journal repair FILE), restore a copy, or take another file.",
        subject=subject,
        code="damaged",
    )


def statements_of(script: str) -> Iterator[str]:
    """The statements of an SQL script, one by one."""
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""


def tables_of(schema: Schema) -> frozenset[str]:
    """The names of a schema's tables."""
    script = "".join(schema.versions)
    return frozenset(_TABLE.findall(script)) - frozenset(_DROPPED.findall(script))


_TABLE = re.compile(r"CREATE TABLE (?:IF NOT EXISTS )?(\w+)")
_DROPPED = re.compile(r"DROP TABLE (\w+)")


def _used(path: Path, connection: sqlite3.Connection) -> FileId:
    try:
        return use_file(path)
    except OSError as error:
        connection.close()
        raise JournalError(
            f"the file cannot be used: {(error.strerror or str(error)).lower()}",
            cure="Run again when nothing else moves it.",
            subject=str(path),
        ) from error


def _is_empty(path: Path) -> bool:
    return path.is_file() and path.stat().st_size == 0


def name_with_log(path: Path) -> Path:
    """The name of the file beside which SQLite keeps its log, where that is another than ``path``.

    SQLite finds a log by the name that a file is opened under. Opened under another one, by a hard link, what
    a killed run has left in its log would be missed, and the file be spoilt when the log is found again.

    Raises:
        JournalError: the file was moved, and its log was not.
    """
    own = Path(os.path.realpath(path))
    if not own.is_file() or _is_empty(own):
        return path
    try:
        with closing(sqlite3.connect(f"{own.as_uri()}?mode=ro&immutable=1", uri=True)) as connection:
            row = connection.execute("SELECT name FROM opened").fetchone()
    except RAW_ERRORS:
        # A version without such a note, or no database at all, which is found out next.
        return path
    if row is None or not isinstance(row[0], str) or row[0] == str(own):
        return path
    noted = Path(row[0])
    if noted.exists():
        return noted if noted.samefile(own) else path
    log = noted.with_name(f"{noted.name}-wal")
    if log.exists() and not _is_empty(log):
        raise JournalError(
            f"the file was moved here from {noted}, and what was recorded last is still in {log}",
            cure=f"Move that log to {own}-wal, or the file back.",
            subject=str(path),
            code="log_elsewhere",
        )
    return path


def _is_disks(error: BaseException) -> bool:
    """Whether the disk is full or fails, and not, say, another program holds the file."""
    name = getattr(error, "sqlite_errorname", "")
    return name.startswith(("SQLITE_FULL", "SQLITE_IOERR")) and name not in _DAMAGE


def _is_outer(error: BaseException, path: Path | None) -> bool:
    """Whether the place or another program is the cause, and not the file's content."""
    name = getattr(error, "sqlite_errorname", "")
    if name == "SQLITE_READONLY" and path is not None:
        # So a file with a damaged head is called as well, which says that it is of a later format.
        return not (os.access(path, os.W_OK) and os.access(path.parent, os.W_OK))
    return name.startswith(_OUTER_CAUSES)


def is_text(value: object) -> bool:
    """Whether a value is text, and whole: that of a damaged row may not have been UTF-8 in the file."""
    if not isinstance(value, str):
        return False
    if value.isascii():
        return True
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


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


def _full(subject: str, words: str) -> JournalError:
    return JournalError(
        f"the journal cannot be written: {words}",
        cure="Make space on the disk (or look at its health), then run the same command again; "
        "everything recorded is kept.",
        subject=subject,
        code="disk_full",
    )
