"""What happened: one record a request, and the figures made of them.

A record holds hashes of contents and of the key's id, never a content or a key. The newest records
stay in memory; a JSONL file, where asked for, gets all of them.
"""

from __future__ import annotations

import threading
import time
from collections import Counter, deque
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import orjson

from visionpipe.sandbox.received import Received

KEPT_RECORDS = 10_000
KEPT_HASHES = 100_000


@dataclass(slots=True)
class RequestRecord:
    """One request, filled in while it is on its way. ``in_flight`` counts it and those beside it; ``era`` is
    how often the log had been cleared when it came."""

    number: int
    era: int
    method: str
    path: str
    started: float = field(default_factory=time.perf_counter)
    time: float = field(default_factory=time.time)
    key: str = ""
    model: str = ""
    request_id: str = ""
    stream: bool = False
    status: int = 0
    code: str | None = None
    fault: str | None = None
    in_flight: int = 0
    bytes_in: int = 0
    bytes_out: int = 0
    ms: float = 0.0
    media: tuple[Received, ...] = ()

    def to_json(self) -> dict[str, Any]:
        return {
            "number": self.number,
            "time": round(self.time, 6),
            "method": self.method,
            "path": self.path,
            "key": self.key,
            "model": self.model,
            "request_id": self.request_id,
            "stream": self.stream,
            "status": self.status,
            "code": self.code,
            "fault": self.fault,
            "in_flight": self.in_flight,
            "bytes_in": self.bytes_in,
            "bytes_out": self.bytes_out,
            "ms": round(self.ms, 3),
            "media": [item.to_json() for item in self.media],
        }


class RequestLog:
    """Records and figures; read from other threads while the server writes.

    ``status`` 0 in a record: the connection ended before an answer was begun.
    """

    def __init__(self, path: Path | None = None) -> None:
        self._lock = threading.Lock()
        self._file: BinaryIO | None = path.open("ab") if path else None
        self._open = 0
        self._era = 0
        self._clear()

    def _clear(self) -> None:
        self._records: deque[bytes] = deque(maxlen=KEPT_RECORDS)
        self._codes: Counter[str] = Counter()
        self._statuses: Counter[int] = Counter()
        self._seen: dict[bytes, None] = {}
        self._begun = self._bytes_in = self._bytes_out = 0
        self._media = self._duplicates = 0
        self.internal_errors = 0

    def clear(self) -> None:
        """Forget everything, also what is still on its way; the file keeps what it has."""
        with self._lock:
            self._era += 1
            self._clear()

    def begin(self, method: str, path: str) -> RequestRecord:
        with self._lock:
            self._begun += 1
            self._open += 1
            return RequestRecord(self._begun, self._era, method, path)

    def end(self, record: RequestRecord) -> None:
        """Close a record: it is written, counted, and its contents are let go."""
        record.ms = (time.perf_counter() - record.started) * 1000
        # The sum is a copy: orjson's own result stays in the 8 KB buffer it was written to.
        line = orjson.dumps(record.to_json()) + b"\n"
        with self._lock:
            self._open -= 1
            if self._file:
                self._file.write(line)
                self._file.flush()
            if record.era != self._era:
                return
            self._records.append(line)
            self._statuses[record.status] += 1
            if record.code is not None:
                self._codes[record.code] += 1
            self._bytes_in += record.bytes_in
            self._bytes_out += record.bytes_out
            for item in record.media:
                self._count(item)

    def _count(self, item: Received) -> None:
        self._media += 1
        if not item.sha256:
            return
        digest = bytes.fromhex(item.sha256)
        if digest in self._seen:
            self._duplicates += 1
        elif len(self._seen) < KEPT_HASHES:
            self._seen[digest] = None

    def lines(self, newest: int | None = None) -> list[bytes]:
        """The records kept as lines of JSON, oldest first; ``newest`` takes only so many from the end."""
        with self._lock:
            kept = list(self._records)
        return kept if newest is None else kept[max(0, len(kept) - newest) :]

    def records(self) -> list[dict[str, Any]]:
        """The records kept, oldest first."""
        return [orjson.loads(line) for line in self.lines()]

    def figures(self) -> dict[str, Any]:
        """Counts since the start or the last clearing; bytes are of bodies."""
        with self._lock:
            return {
                "requests": self._begun,
                "open": self._open,
                "per_code": dict(self._codes),
                "per_status": {str(status): count for status, count in self._statuses.items()},
                "bytes_in": self._bytes_in,
                "bytes_out": self._bytes_out,
                "media": self._media,
                "duplicates": self._duplicates,
                "internal_errors": self.internal_errors,
            }

    def close(self) -> None:
        if self._file:
            self._file.close()
            self._file = None
