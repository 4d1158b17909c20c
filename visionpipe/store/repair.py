"""A damaged database looked through, and what can be read of it saved into a new one.

The damaged file is never changed: a copy is read, with the log that a killed run has left, and the file
itself stays beside the new one. Rows are read in ever smaller ranges around what SQLite cannot read, so a
damaged page costs its own rows and no others.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import struct
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from visionpipe.errors import JournalError
from visionpipe.files import unreadable
from visionpipe.store.database import RAW_ERRORS, Database, Schema, is_text, read_text, tables_of
from visionpipe.store.lock import FileLock

_MAGIC = b"SQLite format 3\0"
_APPLICATION, _VERSION = 68, 60
_PAGE_SIZES = tuple(1 << bits for bits in range(9, 17))
_USUAL_PAGE = 4096
_MOST_PROBLEMS = 20
_HIGHEST_ROW = 1 << 40
_GROUP = 500
_MOST_FAILURES = 5000
"""Ranges of a table's rows that are tried in vain; a damaged page costs about two for each of its rows."""


@dataclass(frozen=True, slots=True)
class DatabaseKind:
    """A schema, and whether a row of one of its tables (by name) makes sense."""

    schema: Schema
    is_readable: Callable[[str, sqlite3.Row], bool] = lambda table, row: True


@dataclass(slots=True)
class Report:
    """What was found.

    Attributes:
        title: the kind of database. version: of its schema, as the file says.
        rows: readable rows by table.
        unreadable: rows that make no sense by table. What SQLite cannot read at all is in neither.
        problems: what SQLite says is wrong with the file, and tables that are missing.
        kept_as: where the damaged file is now, after a repair.
    """

    title: str
    version: int
    rows: dict[str, int] = field(default_factory=dict)
    unreadable: dict[str, int] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    kept_as: Path | None = None

    @property
    def ok(self) -> bool:
        """Whether nothing is damaged."""
        return not self.problems and not self.unreadable


def check(path: Path, kinds: Sequence[DatabaseKind]) -> Report:
    """Looks through the database at ``path``; changes nothing. A copy beside it is read.

    Args:
        path: the file.
        kinds: what it may be.

    Raises:
        UnreadableSourceError: there is no such file.
        JournalError: a run is using it; it is of no such kind, or of a later version.
    """
    with _held(path):
        return _looked_through(path, kinds)


def repair(path: Path, kinds: Sequence[DatabaseKind]) -> Report:
    """Saves what can be read of the database at ``path`` into a new one that takes its place.

    Args:
        path: the file; where nothing is damaged it stays as it is.
        kinds: what it may be.

    Returns:
        What was saved; ``kept_as`` is None where there was nothing to repair.

    Raises:
        UnreadableSourceError: there is no such file.
        JournalError: a run is using it; it is of no such kind, or of a later version; or there is no room.
    """
    with _held(path):
        found = _looked_through(path, kinds)
        if found.ok:
            return found
        kind, version = _kind_of(path, kinds)
        report = Report(kind.schema.title, version)
        with _folder_beside(path) as folder:
            copy, new = _copied(path, Path(folder), kind.schema), Path(folder) / "new"
            with closing(Database(new, replace(_schema_of(kind, version), exclusive=False))) as database:
                for number, (table, row) in enumerate(_rows(copy, kind, report), 1):
                    names = row.keys()
                    marks = ", ".join("?" * len(names))
                    sql = f"INSERT OR IGNORE INTO {table} ({', '.join(names)}) VALUES ({marks})"
                    database.later((sql, tuple(row)))
                    if number % _GROUP == 0:
                        database.write()
            report.kept_as = _put_in_place(new, Path(os.path.realpath(path)))
        return report


@contextmanager
def _held(path: Path) -> Iterator[None]:
    _head(path)  # which says so where there is no such file
    with closing(FileLock(path, time.time())):
        yield


def _looked_through(path: Path, kinds: Sequence[DatabaseKind]) -> Report:
    kind, version = _kind_of(path, kinds)
    report = Report(kind.schema.title, version)
    with _folder_beside(path) as folder:
        copy = _copied(path, Path(folder), kind.schema)
        if _head(path) != _head(copy):
            report.problems.append("the head of the file is not as it was written")
        for _ in _rows(copy, kind, report):
            continue
        report.problems += _said_by_sqlite(copy)
    return report


def _put_in_place(new: Path, real: Path) -> Path:
    """Renames the damaged file, puts the new one in its place, and returns the damaged one's name."""
    kept = _free_name(real)
    for end in ("", "-wal"):
        there = real.with_name(real.name + end)
        if there.exists():
            there.rename(kept.with_name(kept.name + end))
    real.with_name(f"{real.name}-shm").unlink(missing_ok=True)
    new.replace(real)
    return kept


def _folder_beside(path: Path) -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="visionpipe-", dir=os.path.realpath(path.absolute().parent))


def _free_name(real: Path) -> Path:
    number = 1
    found = real.with_name(f"{real.name}.damaged")
    while found.exists():
        number += 1
        found = real.with_name(f"{real.name}.damaged-{number}")
    return found


def _head(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(100)
    except OSError as error:
        raise unreadable(error, str(path), str(path)) from error


def _kind_of(path: Path, kinds: Sequence[DatabaseKind]) -> tuple[DatabaseKind, int]:
    """What the file is, by its mark or else by the names of tables in its text, and the version it says."""
    head = _head(path).ljust(100, b"\0")
    application = struct.unpack_from(">I", head, _APPLICATION)[0]
    version = struct.unpack_from(">I", head, _VERSION)[0]
    for kind in kinds:
        schema = kind.schema
        if application == schema.application:
            if schema.version < version < 1000:
                raise JournalError(
                    f"this {schema.title} was written by a later version of visionpipe",
                    cure="Update visionpipe.",
                    subject=str(path),
                    code="newer",
                )
            return kind, version
    with path.open("rb") as file:
        text = file.read(1 << 20)
    for kind in kinds:
        tables = tables_of(kind.schema)
        found = sum(f"CREATE TABLE {name} ".encode() in text for name in tables)
        if found > len(tables) // 2:
            return kind, version
    raise JournalError(
        "this is no journal of visionpipe, or nothing of it is left",
        cure="Check the path, or restore a copy.",
        subject=str(path),
        code="foreign",
    )


def _copied(path: Path, folder: Path, schema: Schema) -> Path:
    """A copy with its log, and with the head that every database of this library has."""
    real, copy = Path(os.path.realpath(path)), folder / "copy"
    try:
        shutil.copyfile(real, copy)
        log = real.with_name(f"{real.name}-wal")
        if log.exists():
            shutil.copyfile(log, folder / "copy-wal")
    except OSError as error:
        raise unreadable(error, str(path), str(path)) from error
    size = copy.stat().st_size
    with copy.open("r+b") as file:
        head = bytearray(file.read(100).ljust(100, b"\0"))
        head[0:16] = _MAGIC
        page = struct.unpack_from(">H", head, 16)[0]
        page = 65536 if page == 1 else page
        if page not in _PAGE_SIZES or size % page:
            page = _USUAL_PAGE
            struct.pack_into(">H", head, 16, page)
        head[18:24] = bytes((2, 2, 0, 64, 32, 32))
        if struct.unpack_from(">I", head, 24) != struct.unpack_from(">I", head, 92):
            struct.pack_into(">I", head, 92, struct.unpack_from(">I", head, 24)[0])
            struct.pack_into(">I", head, 28, size // page)
        struct.pack_into(">I", head, 44, 4)
        struct.pack_into(">I", head, 56, 1)
        head[72:92] = bytes(20)
        if not 0 <= struct.unpack_from(">I", head, _VERSION)[0] <= schema.version:
            struct.pack_into(">I", head, _VERSION, schema.version)
        if not schema.unmarked:
            struct.pack_into(">I", head, _APPLICATION, schema.application)
        file.seek(0)
        file.write(head)
    return copy


def _connected(copy: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(copy, isolation_level=None)
    connection.row_factory = sqlite3.Row
    connection.text_factory = read_text
    return connection


def _said_by_sqlite(copy: Path) -> list[str]:
    with closing(_connected(copy)) as connection:
        try:
            found = [str(row[0]) for row in connection.execute(f"PRAGMA integrity_check({_MOST_PROBLEMS})")]
        except RAW_ERRORS as error:
            return [str(error)]
    return [] if found == ["ok"] else [line for text in found for line in text.splitlines()]


def _rows(copy: Path, kind: DatabaseKind, report: Report) -> Iterator[tuple[str, sqlite3.Row]]:
    """Every row that SQLite can read and that makes sense."""
    schema = _schema_of(kind, report.version)
    with closing(_connected(copy)) as connection, closing(Database(None, schema)) as fresh:
        for table in sorted(tables_of(schema)):
            known = {row["name"] for row in fresh.all(f"PRAGMA table_info({table})")}
            try:
                columns = connection.execute(f"PRAGMA table_info({table})").fetchall()
                keys = [str(column["name"]) for column in columns if column["pk"]]
            except RAW_ERRORS as error:
                report.problems.append(f"{table}: {error}")
                continue
            if not keys:
                report.problems.append(f"{table}: there is no such table")
                continue
            if not {column["name"] for column in columns} <= known:
                report.problems.append(f"{table}: its columns are not as they were made")
                continue
            for row in _read(connection, table, keys, report):
                whole = all(not isinstance(value, str) or is_text(value) for value in row)
                if whole and kind.is_readable(table, row):
                    report.rows[table] = report.rows.get(table, 0) + 1
                    yield table, row
                else:
                    report.unreadable[table] = report.unreadable.get(table, 0) + 1


def _schema_of(kind: DatabaseKind, version: int) -> Schema:
    """As it was in the file's own version, since the next one to open it brings it up to date."""
    if not 0 < version < kind.schema.version:
        return kind.schema
    return replace(kind.schema, versions=kind.schema.versions[:version])


def _read(
    connection: sqlite3.Connection, table: str, keys: Sequence[str], report: Report
) -> Iterator[sqlite3.Row]:
    """The rows of a table. Each table has a number of its rows as its key, or is without row numbers."""
    try:
        connection.execute(f"SELECT rowid FROM {table} LIMIT 0")
    except RAW_ERRORS:
        # Where SQLite breaks off there is the other end.
        for order in ("ASC", "DESC"):
            try:
                ordered = ", ".join(f"{key} {order}" for key in keys)
                yield from connection.execute(f"SELECT * FROM {table} ORDER BY {ordered}")
                return
            except RAW_ERRORS as error:
                report.problems.append(f"{table}: {error}")
        return
    sql = f"SELECT * FROM {table} NOT INDEXED WHERE rowid BETWEEN ? AND ?"
    waiting, failures = [(1, _HIGHEST_ROW)], 0
    while waiting and failures < _MOST_FAILURES:
        low, high = waiting.pop()
        try:
            for row in connection.execute(sql, (low, high)):
                yield row
                if isinstance(row[keys[0]], int):
                    low = max(low, row[keys[0]] + 1)
        except RAW_ERRORS as error:
            if not any(problem.startswith(f"{table}: ") for problem in report.problems):
                report.problems.append(f"{table}: {error}")
            failures += 1
            if low < high:
                middle = (low + high) // 2
                waiting += [(middle + 1, high), (low, middle)]
