"""Answers kept from one run of a program to the next: a question that was asked before, in the same words
about the same bytes at the same endpoint, is answered from a file and costs nothing.

An answer is kept only where it is whole and good: no error, no refusal, no loop, nothing cut off, filtered or
damaged on its way, and nothing that rests on tools. The file holds hashes of questions and the answers to
them; no prompt, image, header or key. Whatever is wrong with the file while it is used costs a line in the
log, and the question is asked.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

from visionpipe.client.settings import Settings
from visionpipe.errors import JournalError, ParameterError
from visionpipe.files import sha256_of_content
from visionpipe.logs import logger, tell
from visionpipe.registry.dialects import dialects
from visionpipe.reply import CachedAnswer, Reply
from visionpipe.request import Request
from visionpipe.stages.keys import digest
from visionpipe.stages.quality import assess
from visionpipe.store.database import Database, Schema, is_text
from visionpipe.values import ABSTAINED, Money, Note, Usage
from visionpipe.wire.chat import chat_fields
from visionpipe.wire.http import with_media_as
from visionpipe.wire.reply import image_names
from visionpipe.wire.secrets import masked

_LOG = logger("cache")
_TOUCHED_AFTER_S = 3600.0
"""When an answer was last used is known to the hour, so that reading seldom writes."""
_PRUNED_TO = 0.9
_DAMAGED = frozenset({ABSTAINED, "truncated", "content_filter", "damaged", "frame_skipped", "stream_end"})
_POOR = frozenset({"refusal", "repetition", "truncated", "empty", "thinking_only"})

CACHE = Schema(
    "cache of answers",
    0x56504143,
    (
        """
CREATE TABLE answers (
    key TEXT PRIMARY KEY,
    value TEXT NOT NULL,
    checksum TEXT NOT NULL,
    size INTEGER NOT NULL,
    answered REAL NOT NULL,
    used REAL NOT NULL
);
CREATE INDEX answers_used ON answers (used);
CREATE TABLE held (bytes INTEGER NOT NULL);
INSERT INTO held VALUES (0);
CREATE TRIGGER answer_added AFTER INSERT ON answers BEGIN
    UPDATE held SET bytes = bytes + NEW.size;
END;
CREATE TRIGGER answer_replaced AFTER UPDATE OF size ON answers BEGIN
    UPDATE held SET bytes = bytes + NEW.size - OLD.size;
END;
CREATE TRIGGER answer_removed AFTER DELETE ON answers BEGIN
    UPDATE held SET bytes = bytes - OLD.size;
END;
""",
    ),
    exclusive=False,
)
"""The application_id is "VPAC". Any number of threads and processes may use one file at a time."""


class AnswerCache:
    """A file of answers, for ``Client(cache=...)``. Any number of clients, threads and processes may share
    it; each process opens its own. Close it, or use it as a context manager.

    Args:
        path: of the SQLite file, made where there is none.
        max_bytes: of answers held; beyond it, those go that were not used for the longest time.
        max_age: seconds after which an answer is asked for anew; None: never.
        clock: seconds since 1970.

    Raises:
        ParameterError: a limit that is none.
        JournalError: the file cannot be opened or written, or is another program's, or damaged.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        max_bytes: int = 256 * 1024**2,
        max_age: float | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        for name, value in (("max_bytes", max_bytes), ("max_age", max_age)):
            if value is not None and not value > 0:
                raise ParameterError(f"{value!r} is no limit", cure="Give a number above 0.", subject=name)
        self.path = Path(path)
        self._max_bytes = max_bytes
        self._max_age = max_age
        self._clock = clock
        try:
            self._database = Database(self.path, CACHE)
        except JournalError as error:
            if error.code != "damaged":
                raise
            raise JournalError(
                error.reason,
                cure="Remove the file: it holds only copies of answers, and a new one is made.",
                subject=str(self.path),
                code=error.code,
            ) from error

    def __len__(self) -> int:
        """How many answers it holds."""
        row = self._database.one("SELECT count(*) FROM answers")
        return int(row[0]) if row is not None else 0

    @property
    def size(self) -> int:
        """Bytes of the answers that it holds."""
        row = self._database.one("SELECT bytes FROM held")
        return int(row[0]) if row is not None else 0

    def prune(self, *, max_bytes: int | None = None, older_than: float | None = None) -> int:
        """Drop answers, and return how many.

        Args:
            max_bytes: keep so many bytes of those used last; 0 drops all.
            older_than: drop those that were given more than so many seconds ago.

        Raises:
            JournalError: the file cannot be written.
        """
        before = len(self)
        if older_than is not None:
            at = self._clock() - older_than
            self._database.write(("DELETE FROM answers WHERE answered < ?", (at,)))
        if max_bytes is not None:
            self._database.write((_BEYOND, (max_bytes,)))
        return before - len(self)

    def now(self) -> float:
        """Seconds since 1970, by its clock."""
        return self._clock()

    def close(self) -> None:
        """Give the file back. Answers are kept when they are had, so that nothing is lost without it."""
        self._database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"AnswerCache({str(self.path)!r})"

    def recall(self, key: str) -> Mapping[str, Any] | None:
        """The record under ``key``; None where there is none, it is too old, or it cannot be read."""
        try:
            row = self._database.one("SELECT * FROM answers WHERE key = ?", (key,))
        except JournalError as error:
            _unusable(error)
            return None
        if row is None or self._is_old(row["answered"]):
            return None
        value = row["value"]
        if not is_text(value) or _checksum(value) != row["checksum"]:
            _LOG.warning("an answer in %s is damaged; the question is asked again", self.path)
            return None
        found: Mapping[str, Any] = json.loads(value)
        self._touch(key, row["used"])
        return found

    def keep(self, key: str, record: Mapping[str, Any]) -> None:
        """Hold ``record`` under ``key``; where the file takes it not, the log says so."""
        value = json.dumps(record, separators=(",", ":"))
        size, now = len(value), self._clock()
        if size > self._max_bytes:
            return
        try:
            self._database.write((_KEEP, (key, value, _checksum(value), size, now, now)))
            if self.size > self._max_bytes:
                self.prune(max_bytes=int(self._max_bytes * _PRUNED_TO))
        except JournalError as error:
            _unusable(error)

    def _is_old(self, answered: object) -> bool:
        if self._max_age is None:
            return False
        return not isinstance(answered, float) or answered < self._clock() - self._max_age

    def _touch(self, key: str, used: object) -> None:
        now = self._clock()
        if isinstance(used, float) and now - used < _TOUCHED_AFTER_S:
            return
        # Committed with the next answer that is kept, or on closing.
        self._database.later(("UPDATE answers SET used = ? WHERE key = ?", (now, key)))


_KEEP = """
INSERT INTO answers (key, value, checksum, size, answered, used) VALUES (?, ?, ?, ?, ?, ?)
ON CONFLICT (key) DO UPDATE SET value = excluded.value, checksum = excluded.checksum, size = excluded.size,
    answered = excluded.answered, used = excluded.used
"""
_BEYOND = """
DELETE FROM answers WHERE key IN (
    SELECT key FROM (SELECT key, sum(size) OVER (ORDER BY used DESC, key) AS held FROM answers)
    WHERE held > ?
)
"""


def _checksum(value: str) -> str:
    return hashlib.sha256(value.encode()).hexdigest()


def _unusable(error: JournalError) -> None:
    _LOG.warning("the cache of answers is not used: %s", error)


@dataclass(frozen=True, slots=True)
class CachedQuestion:
    """One question before a cache: the answer that is there, and where a new one goes.

    Attributes:
        cache: the file.
        request: what is asked.
        settings: of the client that asks.
    """

    cache: AnswerCache
    request: Request
    settings: Settings

    @property
    def key(self) -> str:
        """What the answer depends on: the endpoint, and all that is sent but for ids and headers, images and
        clips by their SHA-256."""
        endpoint = self.settings.endpoint
        sent = with_media_as(
            lambda media: {"sha256": sha256_of_content(media.content), "before": media.prefix},
            chat_fields(self.request, endpoint),
        )
        address = urlsplit(endpoint.base_url)
        return digest(["answer", endpoint.id, address.hostname, address.port, address.path, sent])

    def recall(self) -> Reply | None:
        """The reply that was kept, saying so; None where the question has to be asked."""
        if self.request.cache == "refresh":
            return None
        record = self.cache.recall(self.key)
        if record is None:
            return None
        try:
            reply = _reply_of(record, self.request)
        except (KeyError, TypeError, ValueError, ArithmeticError, AttributeError):
            _LOG.warning("an answer in %s is of another form; the question is asked again", self.cache.path)
            return None
        tell(_LOG, logging.DEBUG, "recalled", endpoint=self.settings.endpoint.id, model=reply.model)
        return reply

    def keep(self, reply: Reply) -> None:
        """Hold the reply for the next time, where it is whole and good."""
        if not _is_good(reply):
            return
        record = _record_of(reply, self.cache.now())
        secrets = [key for key in (self.settings.api_key,) if key]
        text = json.dumps(record)
        if masked(text, secrets) != text:
            return  # a service that quotes its key back
        self.cache.keep(self.key, record)


def question_for(cache: AnswerCache | None, request: Request, settings: Settings) -> CachedQuestion | None:
    """The question before the cache; None where there is no cache, or none is wanted: what rests on tools
    may be another thing the next time."""
    if cache is None or request.cache == "off" or request.tools:
        return None
    return CachedQuestion(cache, request, settings)


def _is_good(reply: Reply) -> bool:
    if reply.tool_calls or dialects().ending(reply.finish_reason) != "complete":
        return False
    if any(note.kind in _DAMAGED for note in reply.notes):
        return False
    found = assess(reply.text, finish_reason=reply.finish_reason, structured=reply.text.lstrip()[:1] in "{[")
    return not any(note.kind in _POOR for note in found)


def _record_of(reply: Reply, now: float) -> dict[str, Any]:
    return {
        "at": now,
        "text": reply.text,
        "model": reply.model,
        "usage": reply.usage.to_json() if reply.usage else None,
        "cost": reply.cost.to_json() if reply.cost else None,
        "request_id": reply.request_id,
        "finish_reason": reply.finish_reason,
        "reasoning": reply.reasoning,
        "notes": [note.to_json() for note in reply.notes],
        "local": reply.local,
        "raw": dict(reply.raw),
    }


def _reply_of(record: Mapping[str, Any], request: Request) -> Reply:
    usage = record["usage"]
    cost = record["cost"]
    paid = Money(Decimal(cost["amount"]), cost["currency"]) if cost else None
    at = datetime.fromtimestamp(record["at"], UTC)
    cached = CachedAnswer(
        at, Usage(**{k: int(v) for k, v in usage.items() if k != "total_tokens"}) if usage else None, paid
    )
    return Reply(
        text=_text(record["text"]),
        model=_text(record["model"]),
        usage=Usage(),
        cost=replace(paid, amount=Decimal(0)) if paid else None,
        request_id=_text(record["request_id"]),
        finish_reason=_text(record["finish_reason"]),
        reasoning=_text(record["reasoning"]),
        adjustments=request.adjustments,
        notes=(*(Note(**note) for note in record["notes"]), Note("cached", str(cached))),
        local=bool(record["local"]),
        raw=dict(record["raw"]),
        cached=cached,
        images=image_names(request),
    )


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{type(value).__name__} is no text")
    return value
