"""Batches: files of lines written, divided and read back; made, asked after, cancelled.

Limits and shapes: docs.bigmodel.cn, batch guide and OpenAPI, read 2026-04-23: at most 50,000 lines and 100 MB
a file (base64 counts; "MB" is read as 1,000,000 bytes), one model a file, unique ids.

A line's size is known before a byte of it is written, and results are told by their custom_id,
never by their order.

Shapes: docs.bigmodel.cn, batch guide and OpenAPI, read 2026-04-23. The counts are an object on the page and a
number in the OpenAPI; either is read.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import orjson

from visionpipe.errors import MediaLimitError, ParameterError, UnreadableAnswerError, VisionPipeError
from visionpipe.files import GrowingFile
from visionpipe.registry.records import BATCH_ID_LENGTH, BATCH_LINES, BATCH_METADATA, EndpointRecord
from visionpipe.reply import Reply
from visionpipe.request import Request
from visionpipe.wire.answers import (
    Page,
    needed,
    number_of,
    paged,
    read_beginning,
    read_noted,
    read_object,
    read_page,
    segment,
    table_of,
    text_of,
    unreadable,
)
from visionpipe.wire.chat import chat_fields
from visionpipe.wire.files import LARGEST
from visionpipe.wire.http import Body, chunks_of, encode_body

_BODY = re.compile(rb'"body"\s*:\s*\{')
"""The key of an answer within a line: inside a text its quotes would be escaped."""

LINE_URL = "/v4/chat/completions"
MOST_BYTES = LARGEST["batch"]


def custom_id(*parts: str) -> str:
    """An id of 35 characters that is the same whenever the parts are (the service asks for 6 or more)."""
    text = "\0".join(parts)
    return f"vp-{hashlib.sha256(text.encode('utf-8', 'surrogatepass')).hexdigest()[:32]}"


def encode_line(identity: str, request: Request, endpoint: EndpointRecord) -> Body:
    """One request as a line, its line end included; media are pieces, encoded while they are written.

    Raises:
        ParameterError: an id that the service would refuse.
    """
    if len(identity) < BATCH_ID_LENGTH:
        raise ParameterError(
            f"{identity!r} has fewer than {BATCH_ID_LENGTH} characters",
            cure="Give each line a longer id.",
            subject="custom_id",
        )
    line = {
        "custom_id": identity,
        "method": "POST",
        "url": LINE_URL,
        "body": chat_fields(request, endpoint),
    }
    body = encode_body(line)
    return Body((*body.pieces, b"\n"), "application/jsonl")


@dataclass(frozen=True, slots=True)
class BatchLimits:
    """The most that one file may hold."""

    lines: int = BATCH_LINES
    size: int = MOST_BYTES


class Splitter:
    """Divides lines over files: greedily in their order, one open file a model.

    Args:
        limits: of each file.
    """

    def __init__(self, limits: BatchLimits | None = None) -> None:
        self._limits = limits or BatchLimits()
        self._open: dict[str, tuple[int, int, int]] = {}
        self._files = 0

    def place(self, model: str, size: int) -> int:
        """The number of the file that a line goes into, from 0.

        Args:
            model: that the line asks.
            size: of the line in bytes.

        Raises:
            MediaLimitError: the line alone is over the limit.
        """
        if size > self._limits.size:
            raise MediaLimitError(
                f"a request of {size:,} bytes, and a batch file may have {self._limits.size:,}",
                cure="Send fewer or smaller images in one request, or send links.",
                subject="batch file",
                code="bytes",
            )
        number, lines, filled = self._open.get(model, (-1, 0, 0))
        if number < 0 or lines >= self._limits.lines or filled + size > self._limits.size:
            number, lines, filled = self._files, 0, 0
            self._files += 1
        self._open[model] = number, lines + 1, filled + size
        return number


@dataclass(frozen=True, slots=True)
class ResultLine:
    """One line of an output or error file: what the request would have been answered with by itself.

    ``status`` is an HTTP status, ``body`` the JSON of the answer or of the error; ``oddities``: what was
    mended in it, each for a note.
    """

    custom_id: str
    status: int
    body: bytes
    oddities: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class BatchAnswer:
    """What became of one line: a reply, or the error in its place."""

    custom_id: str
    reply: Reply | None = None
    error: VisionPipeError | None = None


def read_line(line: bytes) -> ResultLine:
    """Read one line. Of one that was cut off inside its answer, ``body`` is what there is of that.

    Raises:
        UnreadableAnswerError: it is no result, or does not say whose.
    """
    what = "a batch's line"
    try:
        entry, damage = read_noted(line, what)
    except UnreadableAnswerError:
        cut = _cut_off(line)
        if cut is None:
            raise
        return cut
    odd = (damage,) if damage else ()
    identity = needed(entry, "custom_id", what)
    response = table_of(entry, "response")
    body: Any = response.get("body")
    if isinstance(body, str) and body.lstrip().startswith("{"):
        # Some gateways give the answer as a text.
        return ResultLine(identity, number_of(response, "status_code") or 200, body.encode(), odd)
    if not isinstance(body, dict):
        error = entry.get("error") or response.get("error")
        if not isinstance(error, dict):
            raise unreadable(f"{what} for {identity}", "it has neither an answer nor an error")
        body = {"error": error}
    status = number_of(response, "status_code") or (400 if "error" in body else 200)
    # What was mended may hold whole numbers of any length, which orjson does not write.
    written = json.dumps(body).encode() if damage else orjson.dumps(body)
    return ResultLine(identity, status, written, odd)


def _cut_off(line: bytes) -> ResultLine | None:
    """What there is of a line that ends inside its answer; None where it is something else."""
    begun = read_beginning(line)
    body = _BODY.search(line)
    if begun is None or body is None:
        return None
    entry, _ = begun
    identity = text_of(entry, "custom_id")
    status = number_of(table_of(entry, "response"), "status_code") or 200
    return None if identity is None else ResultLine(identity, status, line[body.end() - 1 :])


BATCHES_PATH = "/batches"


class BatchStatus(StrEnum):
    """The service's words. Any other word counts as under way."""

    VALIDATING = "validating"
    IN_PROGRESS = "in_progress"
    FINALIZING = "finalizing"
    COMPLETED = "completed"
    FAILED = "failed"
    EXPIRED = "expired"
    CANCELLING = "cancelling"
    CANCELLED = "cancelled"


FINAL = frozenset({BatchStatus.COMPLETED, BatchStatus.FAILED, BatchStatus.EXPIRED, BatchStatus.CANCELLED})


@dataclass(frozen=True, slots=True)
class BatchRecord:
    """One batch as it stands.

    Attributes:
        output_file_id, error_file_id: files of the answers and of the refused lines; None while, or if, there
            is none.
        total, completed, failed: lines; None where the service does not say.
        errors: why the whole batch failed, a sentence each.
        metadata: as given when it was made.
    """

    id: str
    status: BatchStatus
    input_file_id: str | None = None
    output_file_id: str | None = None
    error_file_id: str | None = None
    total: int | None = None
    completed: int | None = None
    failed: int | None = None
    errors: tuple[str, ...] = ()
    metadata: Mapping[str, str] = field(default_factory=dict)

    @property
    def done(self) -> bool:
        """Whether nothing more will come of it."""
        return self.status in FINAL


def batch_path(batch_id: str) -> str:
    """Where a batch is."""
    return f"{BATCHES_PATH}/{segment(batch_id)}"


def cancel_path(batch_id: str) -> str:
    """Where a batch is cancelled."""
    return f"{batch_path(batch_id)}/cancel"


def list_path(*, after: str | None, limit: int | None) -> str:
    """Where a page of the list is."""
    return paged(BATCHES_PATH, after=after, limit=limit)


def encode_batch(input_file_id: str, metadata: Mapping[str, str] | None, *, delete_input: bool) -> Body:
    """What makes a batch of an uploaded file.

    Raises:
        ParameterError: more metadata than the service keeps.
    """
    fields: dict[str, Any] = {
        "input_file_id": input_file_id,
        "endpoint": LINE_URL,
        "auto_delete_input_file": delete_input,
    }
    if metadata:
        if len(metadata) > BATCH_METADATA:
            raise ParameterError(
                f"{len(metadata)} keys, and a batch keeps {BATCH_METADATA}",
                cure="Give fewer.",
                subject="metadata",
            )
        fields["metadata"] = dict(metadata)
    return encode_body(fields)


def read_batch(body: bytes) -> BatchRecord:
    """A batch. Raises UnreadableAnswerError."""
    return batch_of(read_object(body, "a batch"))


def read_batches(body: bytes) -> Page[BatchRecord]:
    """A page of the list. Raises UnreadableAnswerError."""
    return read_page(body, "the batches", batch_of, lambda batch: batch.id)


def batch_of(answer: Mapping[str, Any]) -> BatchRecord:
    """One batch's record. Raises UnreadableAnswerError where it has no id or status."""
    word = needed(answer, "status", "a batch")
    known = {status.value: status for status in BatchStatus}
    counts = table_of(answer, "request_counts")
    return BatchRecord(
        id=needed(answer, "id", "a batch"),
        status=known.get(word, BatchStatus.IN_PROGRESS),
        input_file_id=text_of(answer, "input_file_id"),
        output_file_id=text_of(answer, "output_file_id"),
        error_file_id=text_of(answer, "error_file_id"),
        total=number_of(counts, "total") if counts else number_of(answer, "request_counts"),
        completed=number_of(counts, "completed"),
        failed=number_of(counts, "failed"),
        errors=_errors(answer.get("errors")),
        metadata={str(key): str(value) for key, value in table_of(answer, "metadata").items()},
    )


def _errors(errors: Any) -> tuple[str, ...]:
    entries = errors.get("data") if isinstance(errors, dict) else errors
    if not isinstance(entries, list):
        return ()
    said = []
    for entry in entries:
        if isinstance(entry, dict):
            line = number_of(entry, "line")
            place = f"line {line}: " if line is not None else ""
            said.append(f"{place}{text_of(entry, 'message') or text_of(entry, 'code') or 'no reason given'}")
    return tuple(said)


class BatchFile(GrowingFile):
    """A file of lines that is being written; ``lines`` and ``size`` (bytes) say how far it is.

    Args:
        path: made anew.

    Raises:
        OutputError: it cannot be written.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path, make_folder=False)
        self.lines = 0
        self._unsynced = 1  # all of it is on the disk once it is closed

    def add_line(self, line: Body) -> None:
        """Write one line, whole or not at all.

        Raises:
            UnreadableSourceError: a file in it vanished or changed.
            OutputError: the disk is full or fails; the file is of no use then.
        """
        self.add_pieces(chunks_of(line))
        self.lines += 1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
