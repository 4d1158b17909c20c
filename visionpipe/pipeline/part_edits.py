"""What people made of the answers in a directory of parts, in parts of its own: one more writer.

Each reviewer stores ``edits/<writer>/<number>.parquet``, a row a step, and none is changed. What stands is
what the last step about an item says, whoever took it; a step counts when its part is stored. The recipes of
the jobs lie in ``jobs/<job>.json``. Needs the extra ``parquet``.
"""

from __future__ import annotations

import io
import json
import time
import uuid
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from visionpipe.errors import OutputError, UnreadableSourceError
from visionpipe.files.stores import Store
from visionpipe.pipeline.edits import (
    EditRow,
    Edits,
    chosen_review,
    effects_of,
    reviewed,
    shape_of,
)
from visionpipe.pipeline.rows import from_struct
from visionpipe.pipeline.tables import JOURNAL
from visionpipe.results import ItemResult
from visionpipe.stages.keys import Recipe
from visionpipe.store.database import Database

SCHEMA = pa.schema(
    [
        ("action", pa.int64()),
        ("at", pa.float64()),
        *((name, pa.string()) for name in ("who", "kind", "source", "shape", "content", "field")),
        ("before", pa.string()),
        ("after", pa.string()),
        ("undoes", pa.int64()),
    ]
)
"""The columns of ``EditRow``. ``action`` is the time in nanoseconds at which it was made, so that those of
several reviewers are told apart; ``at`` is in seconds, and later than that of every step it follows."""

FEW_PARTS = 8
_ROWS_A_PART = 100_000
_AT_ONCE = 1_000
_TRIES = 3
_IN_ORDER = "SELECT * FROM edits ORDER BY at, action, edit"
_TAKE = (
    f"INSERT INTO edits ({', '.join(EditRow._fields)}) SELECT {', '.join('?' * len(EditRow._fields))} "
    "WHERE NOT EXISTS (SELECT 1 FROM edits WHERE action = ?1 AND source = ?5 AND shape = ?6 AND field = ?8)"
)


def note_recipe(store: Store, recipe: Recipe) -> None:
    """Stores what a job asks, once, for whoever reads its results.

    Raises:
        OutputError, ConnectionFailedError: it cannot be stored.
    """
    made = {
        "model": recipe.model,
        "template": recipe.template,
        "parameters": dict(recipe.parameters),
        "schema": recipe.schema,
    }
    data = orjson.dumps(made, default=str, option=orjson.OPT_NON_STR_KEYS)
    store.put(f"jobs/{recipe.job}.json", data, new=True)


def recipes(store: Store) -> dict[str, Recipe]:
    """What was noted of each job, by its key."""
    found = {}
    for one in store.find("jobs"):
        if one.name.endswith(".json"):
            said = orjson.loads(store.read(one.name))
            recipe = Recipe(said["model"], said["template"], said["parameters"], said["schema"])
            found[one.name.rpartition("/")[2].removesuffix(".json")] = recipe
    return found


def shapes(store: Store) -> dict[str, str]:
    """The kind of each job's answers, as edits note it."""
    return {job: shape_of(schema_text(recipe)) for job, recipe in recipes(store).items()}


def schema_text(recipe: Recipe) -> str | None:
    """A recipe's schema as a journal has it."""
    if recipe.schema is None:
        return None
    return json.dumps(recipe.schema, ensure_ascii=False, default=str)


class EditParts:
    """The steps in a store, as they are taken into a journal's tables.

    Args:
        store: the directory of parts.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._seen: set[str] = set()

    def names(self) -> list[str]:
        """The parts that are there."""
        return [one.name for one in self._store.find("edits") if one.name.endswith(".parquet")]

    def take_into(self, database: Database) -> bool:
        """Puts the steps that came since the last time into the tables; returns whether there were any.

        Raises:
            OutputError: a part cannot be read.
            ConnectionFailedError: the store is out of reach.
        """
        for number in range(_TRIES):
            fresh = [name for name in self.names() if name not in self._seen]
            try:
                return self._take(database, fresh)
            except UnreadableSourceError:
                # Somebody has put it together with others since it was listed.
                if number == _TRIES - 1:
                    raise
        return False

    def _take(self, database: Database, names: Sequence[str]) -> bool:
        last = _number(database, "SELECT max(at) FROM edits")
        first: float | None = None
        for name in names:
            rows = read_steps(self._store, name)
            for some in _batched(rows, _AT_ONCE):
                database.write(*((_TAKE, row) for row in some))
            if rows:
                first = (
                    min(row.at for row in rows) if first is None else min(first, *(row.at for row in rows))
                )
            self._seen.add(name)
        if first is None:
            return False
        if last is not None and first <= last:
            # Somebody's steps arrive late: all are gone through again in their order.
            database.write(("DELETE FROM reviews", ()))
            steps = database.all(_IN_ORDER)
        else:
            steps = database.all(_IN_ORDER.replace("ORDER", "WHERE at >= ? ORDER"), (first,))
        rows_in_order = (EditRow(*(row[name] for name in EditRow._fields)) for row in steps)
        for some in _batched(rows_in_order, _AT_ONCE):
            database.write(*(each for row in some for each in effects_of(row)))
        return True

    def put(self, name: str, rows: Iterable[EditRow]) -> None:
        """Stores steps as a part; they are there when this returns."""
        self._store.put(name, _parquet(rows))
        self._seen.add(name)


def read_steps(store: Store, name: str) -> list[EditRow]:
    """The steps in a part.

    Raises:
        UnreadableSourceError: it is there no more.
        OutputError: it is damaged.
    """
    data = store.read(name)
    try:
        table = pq.read_table(pa.BufferReader(data), columns=list(EditRow._fields))
    except (pa.ArrowException, OSError) as error:
        raise OutputError(
            f"this part cannot be read ({error})",
            cure="Take it away: what people did in it is lost, the rest is not.",
            subject=f"{store.address.rstrip('/')}/{name}",
        ) from error
    return [EditRow(**row) for row in table.to_pylist()]


def merge_edits(store: Store, *, now: Callable[[], float] = time.time) -> int:
    """Puts many small parts of steps together; returns how many there were, 0 where they are few.

    Everything is in the new ones before the first old one goes, and readers take no step twice.
    """
    parts = EditParts(store)
    names = parts.names()
    if len(names) <= FEW_PARTS:
        return 0
    folder = f"edits/{int(now())}-{uuid.uuid4().hex}"
    with closing(Database(None, JOURNAL)) as database:
        parts.take_into(database)
        rows = (EditRow(*(row[name] for name in EditRow._fields)) for row in database.all(_IN_ORDER))
        for number, some in enumerate(_batched(rows, _ROWS_A_PART)):
            parts.put(f"{folder}/{number:06}.parquet", some)
    for name in names:
        store.remove(name)
    return len(names)


class PartReviews:
    """What stands of the steps in a store, as it was when this was made.

    Args:
        store: the directory of parts.
    """

    def __init__(self, store: Store) -> None:
        self._database: Database | None = None
        self._shapes: dict[str, str] = {}
        parts = EditParts(store)
        if parts.names():
            self._database = Database(None, JOURNAL)
            weakref.finalize(self, self._database.close)
            self._shapes = shapes(store)
            parts.take_into(self._database)

    def standing(self, result: ItemResult, job: str, content: str | None) -> ItemResult:
        """``result``, an end of an item of ``job``, as a person left it."""
        if self._database is None:
            return result
        rows = self._database.all(
            "SELECT * FROM reviews WHERE source = ? AND shape = ? ORDER BY at DESC",
            (result.source.encode("utf-8", "replace").decode(), self._shapes.get(job, "")),
        )
        review = chosen_review(rows, content)
        return result if review is None else reviewed(result, review)

    def standing_row(self, row: Mapping[str, Any]) -> ItemResult:
        """The result in a row of a part, with columns key, job, content and result, as a person left it."""
        return self.standing(from_struct(row["key"], row["result"]), row["job"], row["content"])


class PartEdits(Edits):
    """Writes what a person does into a directory of parts, and into a journal that mirrors it.

    Args:
        store: the directory.
        mirror: the journal, which nobody else writes.
        who: whose steps these are. Only these are taken back.
        clock: seconds since 1970.
    """

    def __init__(
        self, store: Store, mirror: Path, who: str, *, clock: Callable[[], float] = time.time
    ) -> None:
        super().__init__(mirror, who, clock=clock)
        self._parts = EditParts(store)
        self._writer = f"{int(clock())}-{uuid.uuid4().hex}"
        self._number = 0

    @property
    def is_held(self) -> bool:
        """False: whoever else writes has parts of their own."""
        return False

    def refresh(self) -> bool:
        """Takes in what others have done since; returns whether there was anything."""
        with self.opened() as database:
            return self._parts.take_into(database)

    @property
    def _undone_of(self) -> str | None:
        return self._who

    def _moment(self, database: Database) -> tuple[int, float]:
        """Later than every step that is known, whatever the clocks of others say."""
        last = _number(database, "SELECT max(action) FROM edits") or 0
        at = _number(database, "SELECT max(at) FROM edits") or 0.0
        now = self._clock()
        return max(int(last) + 1, int(now * 1e9)), max(now, at + 1e-5)

    def _write(self, database: Database, rows: Sequence[EditRow]) -> None:
        if rows:
            self._parts.put(f"edits/{self._writer}/{self._number:06}.parquet", rows)
            self._number += 1
        super()._write(database, rows)


def _number(database: Database, query: str) -> Any:
    row = database.one(query)
    return None if row is None else row[0]


def _parquet(rows: Iterable[EditRow]) -> bytes:
    out = io.BytesIO()
    pq.write_table(pa.Table.from_pylist([row._asdict() for row in rows], SCHEMA), out, compression="zstd")
    return out.getvalue()


def _batched(rows: Iterable[EditRow], size: int) -> Iterator[list[EditRow]]:
    left = iter(rows)
    while some := list(islice(left, size)):
        yield some
