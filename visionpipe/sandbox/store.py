"""Files, batches, tasks and jobs: kept in SQLite (in memory unless a path is given), listed in pages, and
moved on step by step.

Used from the server's one thread, a document is written whole, and by default nothing goes on by
the clock, so that a test sees every state exactly once.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import orjson

from visionpipe.errors import ConfigurationError
from visionpipe.sandbox.replies import Refusal
from visionpipe.sandbox.scenario import Options

NO_END = 1_000_000
MOST_ON_A_PAGE = 100

_TABLES = """
create table if not exists document (
    kind text not null, id text not null, place integer primary key autoincrement, body blob not null,
    unique (kind, id)
);
create table if not exists content (id text primary key, data blob not null);
"""


class Store:
    """Documents by kind and id, in the order they were made; contents by id.

    Args:
        options: where the state is kept, and how things go on.
        clock: seconds since the epoch.

    Raises:
        ConfigurationError: the file of the state cannot be used, or is damaged.
    """

    def __init__(self, options: Options, clock: Callable[[], float]) -> None:
        self._polls = options.task_polls
        self._seconds = options.task_seconds
        self._clock = clock
        self._base = _opened(options.state)

    def put(self, kind: str, body: dict[str, Any]) -> None:
        """Write a document under its ``id``, new or changed."""
        self._base.execute(
            "insert into document (kind, id, body) values (?, ?, ?)"
            " on conflict (kind, id) do update set body = excluded.body",
            (kind, body["id"], orjson.dumps(body)),
        )

    def get(self, kind: str, identity: str) -> dict[str, Any] | None:
        """The document, or None."""
        row = self._base.execute(
            "select body from document where kind = ? and id = ?", (kind, identity)
        ).fetchone()
        return None if row is None else orjson.loads(row[0])

    def all(self, kind: str) -> Iterator[dict[str, Any]]:
        """Every document of a kind, the newest first."""
        rows = self._base.execute("select body from document where kind = ? order by place desc", (kind,))
        return (orjson.loads(body) for (body,) in rows.fetchall())

    def delete(self, kind: str, identity: str) -> None:
        self._base.execute("delete from document where kind = ? and id = ?", (kind, identity))

    def put_content(self, identity: str, data: bytes) -> None:
        self._base.execute("insert or replace into content values (?, ?)", (identity, data))

    def content(self, identity: str) -> bytes | None:
        row = self._base.execute("select data from content where id = ?", (identity,)).fetchone()
        return None if row is None else bytes(row[0])

    def delete_content(self, identity: str) -> None:
        self._base.execute("delete from content where id = ?", (identity,))

    def ask(self, document: dict[str, Any]) -> int:
        """Count one question for a stored thing, in its ``polls``; how many steps it has gone, by the
        questions before this one or by the time since its ``created`` (seconds since the epoch)."""
        before = int(document["polls"])
        document["polls"] = before + 1
        if self._seconds > 0:
            return int((self._clock() - document["created"]) / self._seconds)
        return before // self._polls if self._polls else NO_END

    def close(self) -> None:
        self._base.close()


def _opened(state: Path | None) -> sqlite3.Connection:
    base: sqlite3.Connection | None = None
    try:
        base = sqlite3.connect(state or ":memory:", check_same_thread=False, isolation_level=None)
        base.execute("pragma journal_mode = wal")
        base.execute("pragma synchronous = normal")
        base.executescript(_TABLES)
        (verdict,) = base.execute("pragma quick_check(1)").fetchone()
        if verdict != "ok":
            raise sqlite3.DatabaseError(str(verdict))
        for kind, identity, body in base.execute("select kind, id, body from document order by place"):
            if not isinstance(orjson.loads(body), dict):
                raise ValueError(f"its {kind} {identity} is no object")
        base.execute("select id, data from content limit 1").fetchone()
    except (sqlite3.Error, ValueError, TypeError) as problem:
        if base is not None:
            base.close()
        raise ConfigurationError(
            f"the sandbox's state cannot be used: {problem}",
            subject=str(state),
            cure="Give --state another file, or move this one away; a new one is made.",
        ) from problem
    return base


def page(items: Iterable[dict[str, Any]], query: Mapping[str, str], default: int = 20) -> dict[str, Any]:
    """One page of items, by ``after`` and ``limit`` in the query; Refusal 1214 where ``limit`` is no number
    from 1 to 100."""
    wanted = query.get("limit", str(default))
    if not (wanted.isascii() and wanted.isdigit() and 1 <= int(wanted) <= MOST_ON_A_PAGE):
        raise Refusal("1214", f"limit must be a number from 1 to {MOST_ON_A_PAGE}")
    rows = list(items)
    after = query.get("after")
    if after:
        start = next((place for place, item in enumerate(rows, 1) if item["id"] == after), len(rows))
        rows = rows[start:]
    shown = rows[: int(wanted)]
    return {
        "object": "list",
        "data": shown,
        "first_id": shown[0]["id"] if shown else None,
        "last_id": shown[-1]["id"] if shown else None,
        "has_more": len(rows) > len(shown),
    }
