"""JSON answers of the service's other calls: read strictly where a field is needed, loosely elsewhere.

What is not the protocol's shape is an UnreadableAnswerError, never a KeyError.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import orjson

from visionpipe.errors import UnreadableAnswerError

T = TypeVar("T")


def read_object(body: bytes, what: str) -> dict[str, Any]:
    """The answer as a JSON object.

    Args:
        body: as it came.
        what: what was asked for, for the error.

    Raises:
        UnreadableAnswerError: it is none.
    """
    try:
        answer = orjson.loads(body)
    except orjson.JSONDecodeError as cause:
        raise unreadable(what, "it is no JSON") from cause
    if not isinstance(answer, dict):
        raise unreadable(what, "it is no JSON object")
    return answer


def needed(answer: Mapping[str, Any], name: str, what: str) -> str:
    """A text field (a number is taken as its digits) without which the answer is of no use.

    Raises:
        UnreadableAnswerError: it is missing or empty.
    """
    value = answer.get(name)
    if isinstance(value, bool) or not isinstance(value, str | int) or value == "":
        raise unreadable(what, f"it has no {name}")
    return str(value)


def text_of(answer: Mapping[str, Any], name: str) -> str | None:
    """A text field that may be missing, empty or null."""
    value = answer.get(name)
    if isinstance(value, bool) or not isinstance(value, str | int) or value == "":
        return None
    return str(value)


def number_of(answer: Mapping[str, Any], name: str) -> int | None:
    """A whole number that may be missing or null."""
    value = answer.get(name)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def table_of(answer: Mapping[str, Any], name: str) -> dict[str, Any]:
    """An object that may be missing or null; then empty."""
    value = answer.get(name)
    return value if isinstance(value, dict) else {}


def unreadable(what: str, reason: str) -> UnreadableAnswerError:
    """The error for an answer that is not the protocol's."""
    return UnreadableAnswerError(
        f"the answer about {what} cannot be read: {reason}",
        cure="Check that the base URL is that of the service's API, not a web page or a proxy.",
        subject=what,
    )


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """A stretch of a list. ``after``: what to pass on for the next one; None where this is the last."""

    items: tuple[T, ...]
    after: str | None = None


def read_page(
    body: bytes, what: str, read: Callable[[Mapping[str, Any]], T], id_of: Callable[[T], str]
) -> Page[T]:
    """A page of the service's lists: ``{"data": [...], "has_more": false}``.

    Raises:
        UnreadableAnswerError: it is no list, or one of its entries cannot be read.
    """
    answer = read_object(body, what)
    data = answer.get("data")
    if not isinstance(data, list):
        raise unreadable(what, "it has no list")
    items = tuple(read(entry) for entry in data if isinstance(entry, dict))
    more = bool(answer.get("has_more")) and bool(items)
    return Page(items, id_of(items[-1]) if more else None)


def paged(path: str, **query: str | int | None) -> str:
    """``path`` with the query's fields that are set."""
    from urllib.parse import urlencode

    given = {name: value for name, value in query.items() if value is not None}
    return f"{path}?{urlencode(given)}" if given else path


def segment(identity: str) -> str:
    """An id as one step of a path."""
    from urllib.parse import quote

    return quote(identity, safe="")
