"""What became of one item of a batch: the value that the pipeline yields, the journal keeps and the sinks
write. Its ``to_json`` is the JSONL schema."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum
from typing import Any

from visionpipe.errors import VisionPipeError
from visionpipe.values import JSON, Adjustment, Money, Note, Usage, notebook_html


class Outcome(StrEnum):
    """The three ends an item can come to."""

    DONE = "done"
    FAILED = "failed"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class Failure:
    """Why an item failed: the error's class name, its code, and what to do next."""

    error: str
    code: str
    reason: str
    cure: str
    retryable: bool = False
    scope: str = "item"
    request_id: str | None = None

    @classmethod
    def of(cls, error: VisionPipeError) -> Failure:
        return cls(
            error=type(error).__name__,
            code=error.code,
            reason=error.reason,
            cure=error.cure,
            retryable=error.retryable,
            scope=error.scope,
            request_id=error.request_id,
        )

    @property
    def by_a_limit(self) -> bool:
        """Whether a limit refused it that may be set otherwise now, so that the item is looked at anew."""
        return self.code == "bomb"

    def to_json(self) -> dict[str, JSON]:
        return {
            "error": self.error,
            "code": self.code,
            "reason": self.reason,
            "cure": self.cure,
            "retryable": self.retryable,
            "scope": self.scope,
            "request_id": self.request_id,
        }


@dataclass(frozen=True, slots=True)
class ItemResult:
    """One source and its end.

    Attributes:
        source: the path or URL as the caller may recognise it (posix separators).
        outcome: done, failed or skipped.
        caption: the answer's text; None unless done.
        data: structured data where a schema was asked for.
        failure: set when failed.
        reason: why it was skipped; None unless skipped.
        sha256: of the source's bytes, hex; None where they were never read.
        duplicate_of: the source whose answer was shared.
        seconds: from preparation to answer.
        folder: where ``source`` lies, for a notebook that shows it; None: it is a path itself. It is recorded
            nowhere.
    """

    source: str
    outcome: Outcome
    caption: str | None = None
    data: JSON = None
    model: str | None = None
    local: bool = False
    usage: Usage | None = None
    cost: Money | None = None
    finish_reason: str | None = None
    adjustments: tuple[Adjustment, ...] = ()
    notes: tuple[Note, ...] = ()
    request_id: str | None = None
    attempts: int = 0
    failure: Failure | None = None
    reason: str | None = None
    sha256: str | None = None
    duplicate_of: str | None = None
    seconds: float = 0.0
    folder: str | None = field(default=None, repr=False, compare=False)

    def _repr_html_(self) -> str:
        by = "local analysis, nothing left the machine" if self.local else self.model
        facts = (self.source, self.outcome.value, by, self.cost)
        why = f"{self.failure.reason}. {self.failure.cure}" if self.failure else self.reason
        text = self.caption if self.caption is not None else why or ""
        return notebook_html(
            text,
            facts,
            (*self.notes, *self.adjustments),
            failed=self.outcome is Outcome.FAILED,
            pictures=(self.source if self.folder is None else f"{self.folder}/{self.source}",),
        )

    def to_json(self) -> dict[str, JSON]:
        """The item as one JSON object; keys that have nothing to say are null, so every line is alike."""
        return {
            "path": self.source,
            "outcome": self.outcome.value,
            "caption": self.caption,
            "data": self.data,
            "model": self.model,
            "local": self.local,
            "usage": self.usage.to_json() if self.usage else None,
            "cost": self.cost.to_json() if self.cost else None,
            "finish_reason": self.finish_reason,
            "adjustments": [a.to_json() for a in self.adjustments],
            "notes": [n.to_json() for n in self.notes],
            "request_id": self.request_id,
            "attempts": self.attempts,
            "error": self.failure.to_json() if self.failure else None,
            "reason": self.reason,
            "sha256": self.sha256,
            "duplicate_of": self.duplicate_of,
            "seconds": round(self.seconds, 3),
        }

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> ItemResult:
        """The inverse of ``to_json``; raises KeyError or TypeError on a record of another shape."""
        usage, cost, failure = record["usage"], record["cost"], record["error"]
        return cls(
            source=record["path"],
            outcome=Outcome(record["outcome"]),
            caption=record["caption"],
            data=record["data"],
            model=record["model"],
            local=record["local"],
            usage=Usage(**{k: v for k, v in usage.items() if k != "total_tokens"}) if usage else None,
            cost=Money(Decimal(cost["amount"]), cost["currency"]) if cost else None,
            finish_reason=record["finish_reason"],
            adjustments=tuple(Adjustment(**a) for a in record["adjustments"]),
            notes=tuple(Note(**n) for n in record["notes"]),
            request_id=record["request_id"],
            attempts=record["attempts"],
            failure=Failure(**failure) if failure else None,
            reason=record["reason"],
            sha256=record["sha256"],
            duplicate_of=record["duplicate_of"],
            seconds=record["seconds"],
        )
