"""An ItemResult as a row of the journal's ``results``, and back.

The rule: what was written is what is read; a column holds one thing, and lists are JSON.
"""

from __future__ import annotations

import sqlite3
from decimal import Decimal
from typing import Any

import orjson

from visionpipe.pipeline.fingerprint import sha256_of
from visionpipe.results import Failure, ItemResult, Outcome
from visionpipe.values import Adjustment, Money, Note, Usage

COLUMNS = (
    "source, question, job, run, recorded, content, outcome, caption, data, model, local, prompt_tokens, "
    "completion_tokens, cached_tokens, reasoning_tokens, cost, currency, finish_reason, adjustments, notes, "
    "request_id, attempts, failure, retryable, reason, duplicate_of, seconds"
)
_NAMES = COLUMNS.split(", ")
INSERT = (
    f"INSERT INTO results ({COLUMNS}) VALUES ({', '.join('?' * len(_NAMES))}) "
    f"ON CONFLICT (source, question) DO UPDATE SET "
    + ", ".join(f"{name} = excluded.{name}" for name in _NAMES if name not in ("source", "question"))
)


def storable(text: str | None) -> str | None:
    """``text`` as SQLite can hold it: half a surrogate pair, which UTF-8 lacks, becomes an escape."""
    return None if text is None else text.encode("utf-8", "backslashreplace").decode()


def dumped(value: Any) -> str:
    """``value`` as JSON that SQLite can hold, as :func:`storable`."""
    try:
        return orjson.dumps(value).decode()
    except TypeError:
        # A file's name that is no UTF-8 has such halves.
        return orjson.dumps(_storable_within(value)).decode()


def _storable_within(value: Any) -> Any:
    match value:
        case str():
            return storable(value)
        case dict():
            return {_storable_within(key): _storable_within(held) for key, held in value.items()}
        case list() | tuple():
            return [_storable_within(held) for held in value]
    return value


def result_row(
    result: ItemResult, *, question: str, job: str, run: int, recorded: float, content: str | None
) -> tuple[Any, ...]:
    """The values of :data:`COLUMNS`."""
    usage, failure = result.usage, result.failure
    return (
        result.source,
        question,
        job,
        run,
        recorded,
        content,
        result.outcome.value,
        storable(result.caption),
        None if result.data is None else dumped(result.data),
        result.model,
        int(result.local),
        usage and usage.prompt_tokens,
        usage and usage.completion_tokens,
        usage and usage.cached_tokens,
        usage and usage.reasoning_tokens,
        str(result.cost.amount) if result.cost else None,
        result.cost.currency if result.cost else None,
        result.finish_reason,
        _listed([a.to_json() for a in result.adjustments]),
        _listed([n.to_json() for n in result.notes]),
        result.request_id,
        result.attempts,
        dumped(failure.to_json()) if failure else None,
        int(failure.retryable) if failure else 0,
        result.reason,
        result.duplicate_of,
        result.seconds,
    )


def result_of(row: sqlite3.Row) -> ItemResult:
    """The inverse of :func:`result_row`."""
    return ItemResult(
        source=row["source"],
        outcome=Outcome(row["outcome"]),
        caption=row["caption"],
        data=None if row["data"] is None else orjson.loads(row["data"]),
        model=row["model"],
        local=bool(row["local"]),
        usage=None
        if row["prompt_tokens"] is None
        else Usage(
            row["prompt_tokens"], row["completion_tokens"], row["cached_tokens"], row["reasoning_tokens"]
        ),
        cost=Money(Decimal(row["cost"]), row["currency"]) if row["cost"] is not None else None,
        finish_reason=row["finish_reason"],
        adjustments=tuple(Adjustment(**a) for a in _items(row["adjustments"])),
        notes=tuple(Note(**n) for n in _items(row["notes"])),
        request_id=row["request_id"],
        attempts=row["attempts"],
        failure=Failure(**orjson.loads(row["failure"])) if row["failure"] else None,
        reason=row["reason"],
        sha256=sha256_of(row["content"]),
        duplicate_of=row["duplicate_of"],
        seconds=row["seconds"],
    )


def _listed(items: list[Any]) -> str | None:
    return dumped(items) if items else None


def _items(text: str | None) -> list[dict[str, str]]:
    return orjson.loads(text) if text else []
