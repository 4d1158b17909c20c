"""Where finished spans are kept, so that a run that was killed asks for none of them again.

A span is on disk before the next one is asked for; its key says everything that its words depend
on, so a changed clip, prompt or model is another span.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Protocol, Self

from visionpipe.files import opened
from visionpipe.media import Video
from visionpipe.store.database import Database, Schema, is_text
from visionpipe.values import JSON
from visionpipe.video.timeline import Span

_STRETCH = 1 << 20


class SpanJournal(Protocol):
    """Keeps texts by key; used from several threads at once."""

    def get(self, key: str) -> str | None: ...
    def put(self, key: str, value: str) -> None: ...


SPANS = Schema(
    "journal of a clip's spans",
    0x56505350,
    ("CREATE TABLE spans (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;",),
    exclusive=False,
    unmarked=frozenset({"spans"}),
)
"""The application_id is "VPSP"; files made before it was given have none. Several runs may share a file."""


class SqliteSpanJournal:
    """A journal in one SQLite file, made where there is none.

    Raises:
        JournalError: the file cannot be used as one, now or when something is read or written.
    """

    def __init__(self, path: Path) -> None:
        self._database = Database(path, SPANS)

    def get(self, key: str) -> str | None:
        """The text under ``key``; None where there is none, or none that can be read."""
        row = self._database.one("SELECT value FROM spans WHERE key = ?", (key,))
        return row["value"] if row is not None and is_text(row["value"]) else None

    def put(self, key: str, value: str) -> None:
        """Keeps a text; it is committed when this returns."""
        self._database.write(("INSERT OR REPLACE INTO spans VALUES (?, ?)", (key, value)))

    def close(self) -> None:
        self._database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def recorded_span(text: str | None) -> Span | None:
    """The span that a journal's text stands for; None where there is none, or a damaged one."""
    if text is None:
        return None
    try:
        return Span.from_json(json.loads(text))
    except (ValueError, TypeError, KeyError, AttributeError, ArithmeticError):
        return None


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
