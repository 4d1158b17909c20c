"""Files, batches, tasks and jobs: JSON documents and contents in SQLite, in memory unless a path is given.

The rule: used from the server's one thread; a document is written whole.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson

_TABLES = """
create table if not exists document (
    kind text not null, id text not null, place integer primary key autoincrement, body blob not null,
    unique (kind, id)
);
create table if not exists content (id text primary key, data blob not null);
"""


class Store:
    """Documents by kind and id, in the order they were made; contents by id."""

    def __init__(self, path: Path | None) -> None:
        self._base = sqlite3.connect(path or ":memory:", check_same_thread=False, isolation_level=None)
        self._base.execute("pragma journal_mode = wal")
        self._base.execute("pragma synchronous = normal")
        self._base.executescript(_TABLES)

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

    def close(self) -> None:
        self._base.close()
