"""Fine-tuning jobs. By application only, and a tuned model cannot be downloaded (the platform's FAQ).

Shapes: official SDK zhipuai 2.1.5.20250825, read 2026-09; the 2026 documentation has no page for them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from visionpipe.values import JSON
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
from visionpipe.wire.http import Body, encode_body

JOBS_PATH = "/fine_tuning/jobs"
FINAL = frozenset({"succeeded", "failed", "cancelled"})


@dataclass(frozen=True, slots=True)
class TuningJob:
    """One job as it stands.

    Attributes:
        status: the service's word; succeeded, failed and cancelled are final.
        model: the base.
        tuned_model: the new model's id, once it exists.
        error: why it failed.
    """

    id: str
    status: str
    model: str | None = None
    tuned_model: str | None = None
    training_file: str | None = None
    trained_tokens: int | None = None
    error: str | None = None

    @property
    def done(self) -> bool:
        return self.status in FINAL


@dataclass(frozen=True, slots=True)
class TuningEvent:
    """Something a job tells of itself; ``created_at`` in seconds since 1970."""

    id: str
    message: str
    created_at: int | None = None


def job_path(job_id: str) -> str:
    """Where a job is."""
    return f"{JOBS_PATH}/{segment(job_id)}"


def cancel_path(job_id: str) -> str:
    """Where a job is cancelled."""
    return f"{job_path(job_id)}/cancel"


def events_path(job_id: str, *, after: str | None, limit: int | None) -> str:
    """Where a page of a job's events is."""
    return paged(f"{job_path(job_id)}/events", after=after, limit=limit)


def list_path(*, after: str | None, limit: int | None) -> str:
    """Where a page of the list is."""
    return paged(JOBS_PATH, after=after, limit=limit)


def encode_job(
    model: str,
    training_file: str,
    *,
    validation_file: str | None,
    suffix: str | None,
    hyperparameters: Mapping[str, JSON] | None,
    request_id: str,
) -> Body:
    """What makes a job; fields that are not set are not sent."""
    fields: dict[str, Any] = {
        "model": model,
        "training_file": training_file,
        "validation_file": validation_file,
        "suffix": suffix,
        "hyperparameters": dict(hyperparameters) if hyperparameters else None,
        "request_id": request_id,
    }
    return encode_body({name: value for name, value in fields.items() if value is not None})


def read_job(body: bytes) -> TuningJob:
    """A job. Raises UnreadableAnswerError."""
    return job_of(read_object(body, "a fine-tuning job"))


def read_jobs(body: bytes) -> Page[TuningJob]:
    """A page of the list. Raises UnreadableAnswerError."""
    return read_page(body, "the fine-tuning jobs", job_of, lambda job: job.id)


def read_events(body: bytes) -> Page[TuningEvent]:
    """A page of events. Raises UnreadableAnswerError."""
    return read_page(body, "a job's events", _event, lambda event: event.id)


def job_of(answer: Mapping[str, Any]) -> TuningJob:
    """One job's record. Raises UnreadableAnswerError where it has no id or status."""
    what = "a fine-tuning job"
    return TuningJob(
        id=needed(answer, "id", what),
        status=needed(answer, "status", what),
        model=text_of(answer, "model"),
        tuned_model=text_of(answer, "fine_tuned_model"),
        training_file=text_of(answer, "training_file"),
        trained_tokens=number_of(answer, "trained_tokens"),
        error=text_of(table_of(answer, "error"), "message"),
    )


def catalog_entry(tuned_model: str, base: str) -> str:
    """A tuned model on its base's limits, as TOML for a catalog file."""
    # A JSON string is a TOML string.
    return f"[[model]]\nid = {json.dumps(tuned_model)}\nbase = {json.dumps(base)}\n"


def _event(answer: Mapping[str, Any]) -> TuningEvent:
    return TuningEvent(
        text_of(answer, "id") or "", text_of(answer, "message") or "", number_of(answer, "created_at")
    )
