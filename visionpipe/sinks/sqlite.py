"""SQLite: a table ``results`` with the columns of :mod:`visionpipe.sinks.columns`, one row a path.

The rule: the schema documents itself. ``results_columns`` holds each column's type, unit and meaning, and
``PRAGMA user_version`` the schema's version. A path written again replaces its row; every write is a
transaction of its own.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from visionpipe.errors import OutputError
from visionpipe.results import ItemResult
from visionpipe.sinks.columns import COLUMNS, SCHEMA_VERSION, from_row, to_row
from visionpipe.sinks.files import disk_full, output_errors

_TYPES = {
    "text": "TEXT",
    "json": "TEXT",
    "decimal": "TEXT",
    "integer": "INTEGER",
    "boolean": "INTEGER",
    "real": "REAL",
}
_NAMES = ", ".join(column.name for column in COLUMNS)
_TABLES = (
    f"CREATE TABLE results ({', '.join(f'{c.name} {_TYPES[c.kind]}' for c in COLUMNS)}, PRIMARY KEY (path))"
    " WITHOUT ROWID",
    "CREATE INDEX results_outcome ON results (outcome)",
    "CREATE TABLE results_columns (position INTEGER PRIMARY KEY, name TEXT NOT NULL, type TEXT NOT NULL,"
    " unit TEXT NOT NULL, meaning TEXT NOT NULL)",
)
_UPSERT = f"INSERT OR REPLACE INTO results ({_NAMES}) VALUES ({', '.join('?' * len(COLUMNS))})"


class SqliteSink:
    """Keeps results in a database file.

    A result is with the operating system when ``write`` returns, so the end of the process loses nothing.

    Args:
        path: the file; what is there stays.

    Raises:
        OutputError: the file is no database, or its ``results`` table is not of this schema.
    """

    keeps_previous = True

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        with output_errors(self.path):
            self.path.parent.mkdir(parents=True, exist_ok=True)
        self._database: sqlite3.Connection | None = None
        with self._database_errors():
            self._database = sqlite3.connect(self.path, isolation_level=None, check_same_thread=False)
        try:
            with self._database_errors():
                self._prepare(self._database)
        except BaseException:
            self._database.close()
            raise

    def write(self, result: ItemResult) -> None:
        with self._database_errors():
            self._connection().execute(_UPSERT, to_row(result))

    def flush(self) -> None:
        with self._database_errors():
            self._connection().execute("PRAGMA wal_checkpoint(PASSIVE)")

    def close(self) -> None:
        if self._database is not None:
            with self._database_errors():
                # One file is left, without the -wal and -shm beside it.
                self._database.execute("PRAGMA journal_mode = DELETE")
            self._database.close()
            self._database = None

    def abort(self) -> None:
        if self._database is not None:
            self._database.close()
            self._database = None

    def _connection(self) -> sqlite3.Connection:
        if self._database is None:
            raise ValueError(f"{self.path} is closed")
        return self._database

    def _prepare(self, database: sqlite3.Connection) -> None:
        version = database.execute("PRAGMA user_version").fetchone()[0]
        tables = {name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        if "results" in tables and version != SCHEMA_VERSION:
            raise OutputError(
                f"its results table has schema {version}, this release writes schema {SCHEMA_VERSION}",
                cure="Choose another name for the output.",
                subject=str(self.path),
                code="other_schema",
            )
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA synchronous = NORMAL")
        if "results" not in tables:
            meanings = [(c.name, _TYPES[c.kind], c.unit, c.meaning) for c in COLUMNS]
            database.execute("BEGIN IMMEDIATE")
            for statement in _TABLES:
                database.execute(statement)
            database.executemany(
                "INSERT INTO results_columns (name, type, unit, meaning) VALUES (?, ?, ?, ?)", meanings
            )
            database.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
            database.execute("COMMIT")

    @contextmanager
    def _database_errors(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            if getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL:
                raise disk_full(self.path) from error
            raise OutputError(
                f"cannot be written ({error})",
                cure="Check that it is an SQLite file, its folder's permissions, and the space left.",
                subject=str(self.path),
            ) from error


def read_sqlite(path: str | Path) -> Iterator[ItemResult]:
    """The results in a database, by path."""
    with closing(sqlite3.connect(f"{Path(path).resolve().as_uri()}?mode=ro", uri=True)) as database:
        database.row_factory = sqlite3.Row
        for row in database.execute(f"SELECT {_NAMES} FROM results ORDER BY path"):
            yield from_row({name: row[name] for name in row.keys()})  # noqa: SIM118  # Row iterates values
