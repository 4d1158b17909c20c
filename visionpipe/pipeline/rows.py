"""A result as an Arrow struct, one for done, failed and skipped: ``RESULT_TYPE``. Needs the extra
``parquet``."""

from __future__ import annotations

import json
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from visionpipe.errors import missing_extra
from visionpipe.results import Failure, ItemResult, Outcome
from visionpipe.values import JSON, Adjustment, Money, Note, Usage

try:
    import pyarrow as pa
except ImportError as error:
    raise missing_extra("rows of results need pyarrow", "parquet") from error

COST = pa.decimal128(38, 18)
RESULT_TYPE: pa.DataType = pa.struct(
    [
        *((name, pa.string()) for name in ("outcome", "caption", "data", "model")),
        ("local", pa.bool_()),
        *(
            (name, pa.int64())
            for name in ("prompt_tokens", "completion_tokens", "cached_tokens", "reasoning_tokens")
        ),
        ("cost", COST),
        *((name, pa.string()) for name in ("currency", "finish_reason")),
        ("notes", pa.list_(pa.struct([("kind", pa.string()), ("detail", pa.string())]))),
        (
            "adjustments",
            pa.list_(pa.struct([("kind", pa.string()), ("subject", pa.string()), ("detail", pa.string())])),
        ),
        *((name, pa.string()) for name in ("error", "code", "reason", "cure", "scope")),
        ("retryable", pa.bool_()),
        ("request_id", pa.string()),
        ("attempts", pa.int32()),
        *((name, pa.string()) for name in ("sha256", "duplicate_of")),
        ("seconds", pa.float64()),
    ]
)
"""The Arrow type of a result. ``data`` is JSON text; ``reason`` is why it was skipped, or why it failed, and
``error``, ``code``, ``cure``, ``scope`` and ``retryable`` belong to failures; ``seconds`` from preparation to
answer."""


def to_struct(result: ItemResult) -> dict[str, Any]:
    """The value of ``RESULT_TYPE``; the source's name stands beside it."""
    failure, usage, cost = result.failure, result.usage, result.cost
    return {
        "outcome": result.outcome.value,
        "caption": _text(result.caption),
        "data": None if result.data is None else _text(json.dumps(result.data, ensure_ascii=False)),
        "model": result.model,
        "local": result.local,
        "prompt_tokens": usage and usage.prompt_tokens,
        "completion_tokens": usage and usage.completion_tokens,
        "cached_tokens": usage and usage.cached_tokens,
        "reasoning_tokens": usage and usage.reasoning_tokens,
        "cost": cost and cost.amount.quantize(Decimal("1e-18")),
        "currency": cost and cost.currency,
        "finish_reason": result.finish_reason,
        "notes": [_texts(note.to_json()) for note in result.notes],
        "adjustments": [_texts(adjustment.to_json()) for adjustment in result.adjustments],
        "error": failure and failure.error,
        "code": failure and failure.code,
        "reason": _text(result.reason if failure is None else failure.reason),
        "cure": failure and _text(failure.cure),
        "scope": failure and failure.scope,
        "retryable": None if failure is None else failure.retryable,
        "request_id": result.request_id,
        "attempts": result.attempts,
        "sha256": result.sha256,
        "duplicate_of": _text(result.duplicate_of),
        "seconds": result.seconds,
    }


def from_struct(source: str, row: Mapping[str, Any]) -> ItemResult:
    """The inverse of ``to_struct``."""
    failure = None
    if row["error"] is not None:
        failure = Failure(
            row["error"],
            row["code"],
            row["reason"],
            row["cure"],
            row["retryable"],
            row["scope"],
            row["request_id"],
        )
    tokens = [row[f"{kind}_tokens"] for kind in ("prompt", "completion", "cached", "reasoning")]
    return ItemResult(
        source=source,
        outcome=Outcome(row["outcome"]),
        caption=row["caption"],
        data=None if row["data"] is None else json.loads(row["data"]),
        model=row["model"],
        local=row["local"],
        usage=None if tokens[0] is None else Usage(*tokens),
        cost=None if row["cost"] is None else Money(row["cost"].normalize(), row["currency"]),
        finish_reason=row["finish_reason"],
        adjustments=tuple(Adjustment(**each) for each in row["adjustments"]),
        notes=tuple(Note(**each) for each in row["notes"]),
        request_id=row["request_id"],
        attempts=row["attempts"],
        failure=failure,
        reason=row["reason"] if failure is None else None,
        sha256=row["sha256"],
        duplicate_of=row["duplicate_of"],
        seconds=row["seconds"],
    )


def _texts(said: Mapping[str, JSON]) -> dict[str, JSON]:
    return {name: _text(value) if isinstance(value, str) else value for name, value in said.items()}


def _text(text: str | None) -> str | None:
    """Half of a surrogate pair is no Unicode, and Arrow takes none."""
    return None if text is None else text.encode("utf-8", "replace").decode("utf-8")
