"""Batches: made of an uploaded file of lines, asked after, cancelled.

Shapes: docs.bigmodel.cn, batch guide and OpenAPI, read 2026-04-23. The counts are an object on the page and a
number in the OpenAPI; either is read.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from visionpipe.errors import ParameterError
from visionpipe.wire.answers import (
    Page,
    needed,
    number_of,
    paged,
    read_object,
    read_page,
    segment,
    table_of,
    text_of,
)
from visionpipe.wire.batch_lines import LINE_URL
from visionpipe.wire.http import Body
from visionpipe.wire.pieces import encode_body

BATCHES_PATH = "/batches"
MOST_METADATA = 16


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
        if len(metadata) > MOST_METADATA:
            raise ParameterError(
                f"{len(metadata)} keys, and a batch keeps {MOST_METADATA}",
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
