"""The flat, stable schema that CSV, Parquet and SQLite share: one row an item.

A column's name, type, unit and meaning do not change within a schema version; new columns are
added at the end, and after them stand those of a job's own data (``visionpipe.sinks.fields``).
``from_row`` is the inverse of ``to_row``, and leaves these alone, since ``data`` holds them all.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from visionpipe.results import ItemResult
from visionpipe.sinks.sink import dump, encodable, load
from visionpipe.values import JSON

SCHEMA_VERSION = 1

Kind: TypeAlias = Literal["text", "integer", "real", "boolean", "decimal", "json"]
Value: TypeAlias = str | int | float | bool | None


@dataclass(frozen=True, slots=True)
class Column:
    """One column. ``unit`` is empty where a value has none; "json" is JSON as text, "decimal" an exact
    number as text. ``items``: of which kind a JSON list's items are, where all are of one."""

    name: str
    kind: Kind
    unit: str
    meaning: str
    items: Kind | None = None


COLUMNS: tuple[Column, ...] = (
    Column("path", "text", "", "The item's path or URL, with forward slashes"),
    Column("outcome", "text", "", "done, failed or skipped"),
    Column("caption", "text", "", "The answer's text; null unless done"),
    Column("data", "json", "", "Structured data where a schema was asked for"),
    Column("model", "text", "", "The model id the service reports"),
    Column("local", "boolean", "", "Whether the embedded engine answered"),
    Column("prompt_tokens", "integer", "tokens", "Tokens sent, as the service counted them"),
    Column("completion_tokens", "integer", "tokens", "Tokens answered"),
    Column("cached_tokens", "integer", "tokens", "Of the tokens sent, those the service had cached"),
    Column("reasoning_tokens", "integer", "tokens", "Of the tokens answered, those of thinking"),
    Column("cost_amount", "decimal", "cost_currency", "Cost from usage and the registry's prices"),
    Column("cost_currency", "text", "ISO 4217", "Currency of the cost"),
    Column("finish_reason", "text", "", "stop, length, or what else the service says"),
    Column("adjustments", "json", "", "What was changed between what was given and what was sent"),
    Column("notes", "json", "", "What is worth knowing about the answer"),
    Column("request_id", "text", "", "Id of the attempt that was answered"),
    Column("attempts", "integer", "requests", "How often the item was sent"),
    Column("error", "text", "", "The error's class; null unless failed"),
    Column("error_code", "text", "", "The error's code"),
    Column("error_reason", "text", "", "What went wrong"),
    Column("error_cure", "text", "", "What to do next"),
    Column("error_retryable", "boolean", "", "Whether it may succeed later, unchanged"),
    Column("error_scope", "text", "", "item or job"),
    Column("error_request_id", "text", "", "Id of the attempt that failed"),
    Column("reason", "text", "", "Why the item was skipped; null unless skipped"),
    Column("sha256", "text", "hex", "SHA-256 of the source's bytes"),
    Column("duplicate_of", "text", "", "The item whose answer was shared"),
    Column("seconds", "real", "s", "From preparation to answer"),
)

_TOKENS = ("prompt_tokens", "completion_tokens", "cached_tokens", "reasoning_tokens")
_FAILURE = ("code", "reason", "cure", "retryable", "scope", "request_id")


def to_row(result: ItemResult) -> tuple[Value, ...]:
    """The result as one value for each of ``COLUMNS``."""
    record: dict[str, Any] = result.to_json()
    usage, cost, failure = record["usage"] or {}, record["cost"] or {}, record["error"] or {}
    row = {
        **record,
        "data": _dumped(record["data"]) if record["data"] is not None else None,
        "adjustments": _dumped(record["adjustments"]),
        "notes": _dumped(record["notes"]),
        **{name: usage.get(name) for name in _TOKENS},
        "cost_amount": cost.get("amount"),
        "cost_currency": cost.get("currency"),
        "error": failure.get("error"),
        **{f"error_{name}": failure.get(name) for name in _FAILURE},
    }
    values = (row[column.name] for column in COLUMNS)
    return tuple(encodable(value) if isinstance(value, str) else value for value in values)


def from_row(row: Mapping[str, Any]) -> ItemResult:
    """The result a row was made of.

    Args:
        row: values by column name, of the column's kind or as text; blank texts count as null.
    """
    values = {column.name: _parsed(column, row.get(column.name)) for column in COLUMNS}
    usage = {name: values[name] for name in _TOKENS}
    amount = values["cost_amount"]
    error = values["error"]
    return ItemResult.from_json(
        {
            **values,
            "usage": usage if usage["prompt_tokens"] is not None else None,
            "cost": None if amount is None else {"amount": amount, "currency": values["cost_currency"]},
            "error": None
            if error is None
            else {"error": error, **{name: values[f"error_{name}"] for name in _FAILURE}},
        }
    )


_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def plain_cell(text: str) -> str:
    """The text as a cell that no spreadsheet runs as a formula: one that begins like a formula (``=``, ``+``,
    ``-``, ``@``, a tab or a carriage return) has an apostrophe before it."""
    return f"'{text}" if text.startswith(_FORMULA) else text


def _dumped(value: JSON) -> str:
    return dump(value).decode()


def _parsed(column: Column, value: Any) -> Any:
    if value is None or value == "":
        return None
    match column.kind:
        case "integer":
            return int(value)
        case "real":
            return float(value)
        case "boolean":
            return value.lower() == "true" if isinstance(value, str) else bool(value)
        case "json":
            return load(value)
        case "text" | "decimal":
            return str(value)
