"""Where finished spans are kept, so that a run that was killed asks for none of them again.

A span is on disk before the next one is asked for; its key says everything that its words depend
on, so a changed clip, prompt or model is another span.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
import threading
from pathlib import Path
from typing import Protocol, Self

from visionpipe.errors import ConfigurationError
from visionpipe.files import opened
from visionpipe.media import Video
from visionpipe.values import JSON

_STRETCH = 1 << 20


class SpanJournal(Protocol):
    """Keeps texts by key; used from several threads at once."""

    def get(self, key: str) -> str | None: ...
    def put(self, key: str, value: str) -> None: ...


class SqliteSpanJournal:
    """A journal in one SQLite file, made where there is none.

    Raises:
        ConfigurationError: the file cannot be used as one.
    """

    def __init__(self, path: Path) -> None:
        self._lock = threading.Lock()
        try:
            self._connection = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        except sqlite3.Error as problem:
            raise _unusable(path, problem) from problem
        try:
            self._connection.execute("PRAGMA journal_mode=WAL")
            self._connection.execute("PRAGMA synchronous=NORMAL")
            self._connection.execute(
                "CREATE TABLE IF NOT EXISTS spans (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID"
            )
        except sqlite3.Error as problem:
            self._connection.close()
            raise _unusable(path, problem) from problem

    def get(self, key: str) -> str | None:
        with self._lock:
            row = self._connection.execute("SELECT value FROM spans WHERE key = ?", (key,)).fetchone()
        return None if row is None else str(row[0])

    def put(self, key: str, value: str) -> None:
        with self._lock:
            self._connection.execute("INSERT OR REPLACE INTO spans VALUES (?, ?)", (key, value))

    def close(self) -> None:
        with self._lock:
            self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def clip_fingerprint(video: Video) -> str:
    """A clip's identity: its size and three stretches of 1 MiB (beginning, middle, end), hashed, in hex."""
    digest = hashlib.sha256(str(video.size).encode())
    content = video.content
    starts = (0, content.size // 2, max(0, content.size - _STRETCH))
    with opened(content) as file:
        for start in starts:
            file.seek(start)
            digest.update(file.read(_STRETCH))
    return digest.hexdigest()


def span_key(**parts: JSON) -> str:
    """One key from everything that a span's words depend on."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True, ensure_ascii=False).encode()).hexdigest()


def _unusable(path: Path, problem: sqlite3.Error) -> ConfigurationError:
    return ConfigurationError(
        f"the journal cannot be used ({problem})",
        cure="Name another file, or delete it to begin again.",
        subject=str(path),
    )
