"""SQLite: a table ``results`` with the columns of ``visionpipe.sinks.columns``, one row a path.

The schema documents itself. ``results_columns`` holds each column's type, unit and meaning, and
``PRAGMA user_version`` the schema's version. A path written again replaces its row; every write is a
transaction of its own.

Structured data has a column for each of its fields (``visionpipe.sinks.fields``), so for a product's name,
price, stock and tags the table is

    CREATE TABLE results (path TEXT, outcome TEXT, caption TEXT, data TEXT, ..., seconds REAL,
        "data_name" TEXT, "data_price" REAL, "data_in_stock" INTEGER, "data_tags" TEXT, PRIMARY KEY (path))
        WITHOUT ROWID

where a boolean is 0 or 1 and a list is JSON. A table that lacks some of them gets them with the first write,
filled from the ``data`` that its rows hold; one whose column is of another type is refused and stays.
"""

from __future__ import annotations

import errno
import os
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from visionpipe.errors import OutputError
from visionpipe.files import disk_full, output_error, output_errors, resolve_link
from visionpipe.results import ItemResult
from visionpipe.sinks.columns import COLUMNS, SCHEMA_VERSION, Column, Value, from_row, to_row
from visionpipe.sinks.fields import Field, fields_of
from visionpipe.sinks.sink import encodable, load

_TYPES = {
    "text": "TEXT",
    "json": "TEXT",
    "decimal": "TEXT",
    "integer": "INTEGER",
    "boolean": "INTEGER",
    "real": "REAL",
}
_NAMES = ", ".join(column.name for column in COLUMNS)
_BESIDE_RESULTS = (
    "CREATE INDEX results_outcome ON results (outcome)",
    "CREATE TABLE results_columns (position INTEGER PRIMARY KEY, name TEXT NOT NULL, type TEXT NOT NULL,"
    " unit TEXT NOT NULL, meaning TEXT NOT NULL)",
)
_EXPLAIN = "INSERT INTO results_columns (name, type, unit, meaning) VALUES (?, ?, ?, ?)"


class SqliteSink:
    """Keeps results in a database file.

    A result is with the operating system when ``write`` returns, so the end of the process loses nothing.

    Args:
        path: the file; what is there stays.
        schema: of the results' structured data (a JSON Schema or a pydantic model): each of its fields gets a
            column after the fixed ones. Columns that an earlier schema left stay, null in new rows.

    Raises:
        OutputError: the file is no database, or its ``results`` table is not of this schema, or has a field's
            column with another type.
        ParameterError: ``schema`` is no schema.
    """

    keeps_previous = True

    def __init__(self, path: str | Path, *, schema: Any = None) -> None:
        self.path = Path(path)
        self._fields = fields_of(schema)
        self._upsert = _upsert((*COLUMNS, *(field.column for field in self._fields)))
        self._extended = False
        with output_errors(self.path):
            resolve_link(self.path).parent.mkdir(parents=True, exist_ok=True)
        self._database: sqlite3.Connection | None = None
        with _database_errors(self.path):
            self._database = sqlite3.connect(self.path, isolation_level=None, check_same_thread=False)
        try:
            with _database_errors(self.path):
                self._prepare(self._database)
        except BaseException:
            self._database.close()
            raise

    def write(self, result: ItemResult) -> None:
        row = (*to_row(result), *(field.cell(result.data) for field in self._fields))
        with _database_errors(self.path):
            database = self._connection()
            self._extend(database)
            database.execute(self._upsert, row)

    def remove(self, sources: Iterable[str]) -> None:
        """Take the rows of these items out."""
        with _database_errors(self.path):
            self._connection().executemany(
                "DELETE FROM results WHERE path = ?", ((encodable(source),) for source in sources)
            )

    def flush(self) -> None:
        with _database_errors(self.path):
            self._connection().execute("PRAGMA wal_checkpoint(PASSIVE)")

    def close(self) -> None:
        if self._database is not None:
            with _database_errors(self.path):
                self._extend(self._database)
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
        _refuse_other_schema(self.path, database, self._fields)
        there = database.execute("SELECT 1 FROM sqlite_master WHERE name = 'results'").fetchone()
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA synchronous = NORMAL")
        if not there:
            columns = (*COLUMNS, *(field.column for field in self._fields))
            definitions = ", ".join(map(_definition, columns))
            database.execute("BEGIN IMMEDIATE")
            database.execute(f"CREATE TABLE results ({definitions}, PRIMARY KEY (path)) WITHOUT ROWID")
            for statement in _BESIDE_RESULTS:
                database.execute(statement)
            database.executemany(_EXPLAIN, map(_explanation, columns))
            database.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
            database.execute("COMMIT")

    def _extend(self, database: sqlite3.Connection) -> None:
        """Add the columns that a table of an earlier run lacks. Not before something is written, since a sink
        that is only opened changes nothing."""
        if self._extended or not self._fields:
            return
        database.execute("BEGIN IMMEDIATE")
        try:
            there = _types_there(database)
            lacking = [field for field in self._fields if field.column.name.casefold() not in there]
            for field in lacking:
                database.execute(f"ALTER TABLE results ADD COLUMN {_definition(field.column)}")
            if lacking:
                database.executemany(_EXPLAIN, [_explanation(field.column) for field in lacking])
                _fill(database, lacking)
            database.execute("COMMIT")
        except BaseException:
            if database.in_transaction:
                database.execute("ROLLBACK")
            raise
        self._extended = True


def prove_database(path: str | Path, *, schema: Any = None) -> None:
    """Make sure that results can be added to the database at ``path``, which is not changed by this.

    Args:
        path: of a database that is there.
        schema: as for ``SqliteSink``.

    Raises:
        OutputError, ParameterError: as there.
    """
    path = resolve_link(Path(path))
    fields = fields_of(schema)
    with (
        _database_errors(path),
        closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as db,
    ):
        _refuse_other_schema(path, db, fields)
    if not os.access(path, os.W_OK):
        raise output_error(path, PermissionError(errno.EACCES, "Permission denied"))


def _refuse_other_schema(path: Path, database: sqlite3.Connection, fields: Sequence[Field]) -> None:
    version = database.execute("PRAGMA user_version").fetchone()[0]
    if not database.execute("SELECT 1 FROM sqlite_master WHERE name = 'results'").fetchone():
        return
    if version != SCHEMA_VERSION:
        raise OutputError(
            f"its results table has schema {version}, this release writes schema {SCHEMA_VERSION}",
            cure="Choose another name for the output.",
            subject=str(path),
            code="other_schema",
        )
    there = _types_there(database)
    for column in (field.column for field in fields):
        found, wanted = there.get(column.name.casefold()), _TYPES[column.kind]
        if found not in (None, wanted):
            raise OutputError(
                f"its column {column.name} is {found}, and the data's schema now makes it {wanted}",
                cure="Choose another name for the output.",
                subject=str(path),
                code="other_schema",
            )


@contextmanager
def _database_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        if getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL:
            raise disk_full(path) from error
        raise OutputError(
            f"cannot be written ({error})",
            cure="Check that it is an SQLite file, its folder's permissions, and the space left.",
            subject=str(path),
        ) from error


def _definition(column: Column) -> str:
    # The fixed names are plain; one of a field may be a word of SQL, and holds no quotes.
    name = column.name if column in COLUMNS else f'"{column.name}"'
    return f"{name} {_TYPES[column.kind]}"


def _explanation(column: Column) -> tuple[str, ...]:
    return (column.name, _TYPES[column.kind], column.unit, column.meaning)


def _upsert(columns: Sequence[Column]) -> str:
    """A row in the place of the one of the same path; a failure or a skip never takes an answer's place."""
    names = ", ".join(f'"{column.name}"' for column in columns)
    changes = ", ".join(f'"{column.name}" = excluded."{column.name}"' for column in columns[1:])
    return (
        f"INSERT INTO results ({names}) VALUES ({', '.join('?' * len(columns))}) "
        f"ON CONFLICT (path) DO UPDATE SET {changes} "
        f"WHERE excluded.outcome = 'done' OR results.outcome <> 'done'"
    )


def _types_there(database: sqlite3.Connection) -> dict[str, str]:
    """The types of the columns of ``results``, by their names without case."""
    found = database.execute("SELECT name, type FROM pragma_table_info('results')")
    return {name.casefold(): kind for name, kind in found}


def _fill(database: sqlite3.Connection, fields: Sequence[Field]) -> None:
    """Give the rows that are there what their ``data`` holds for new columns."""

    def value(number: int, data: str) -> Value:
        return fields[number].cell(load(data))

    database.create_function("value_of_field", 2, value, deterministic=True)
    values = ", ".join(f'"{f.column.name}" = value_of_field({n}, data)' for n, f in enumerate(fields))
    database.execute(f"UPDATE results SET {values} WHERE json_valid(data)")


def read_sqlite(path: str | Path) -> Iterator[ItemResult]:
    """The results in a database, by path."""
    with closing(sqlite3.connect(f"{Path(path).resolve().as_uri()}?mode=ro", uri=True)) as database:
        database.row_factory = sqlite3.Row
        for row in database.execute(f"SELECT {_NAMES} FROM results ORDER BY path"):
            yield from_row({name: row[name] for name in row.keys()})  # noqa: SIM118  # Row iterates values
