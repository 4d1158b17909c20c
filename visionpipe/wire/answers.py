"""JSON answers: read strictly where a field is needed, loosely elsewhere, a damaged one as well as can be.

What is not the protocol's shape is an UnreadableAnswerError, never a KeyError. A paid answer is not thrown
away for one bad byte: bytes that are no UTF-8 and halves of surrogate pairs are put together again where both
parts came, in two frames of a stream too, and are U+FFFD where one is missing; NaN and the infinities, which
JSON lacks, are null. What was mended is told.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import orjson

from visionpipe.errors import UnreadableAnswerError
from visionpipe.wire.tolerant_json import DocumentReader, NoJSONError

T = TypeVar("T")


def read_object(body: bytes, what: str) -> dict[str, Any]:
    """The answer as a JSON object, read as well as it can be.

    Args:
        body: as it came.
        what: what was asked for, for the error.

    Raises:
        UnreadableAnswerError: it is none.
    """
    return read_noted(body, what)[0]


def read_noted(body: bytes, what: str) -> tuple[dict[str, Any], str]:
    """As ``read_object``, and what was mended in it ("" for nothing)."""
    try:
        answer, damage = read_json(body)
    except UnreadableError as cause:
        if read_beginning(body) is not None:
            raise UnreadableAnswerError(
                f"the answer about {what} is cut off after {len(body):,} bytes",
                cure="Ask for it again.",
                subject=what,
                code="cut_off",
            ) from cause
        raise unreadable(what, "it is no JSON") from cause
    if not isinstance(answer, dict):
        raise unreadable(what, "it is no JSON object")
    return (mended(answer) if damage else answer), damage


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


_BOM = b"\xef\xbb\xbf"
_HALF = re.compile("[\ud800-\udfff]")
_NO_BYTE = re.compile("[\ud800-\udc7f\udd00-\udfff]")
_OPEN_END = re.compile("(?:[\ud800-\udbff]|[\udc80-\udcff]{1,3})$")


class UnreadableError(ValueError):
    """It is no JSON, damaged or not."""


def read_json(body: bytes) -> tuple[Any, str]:
    """The value of a JSON text, and what was mended in it ("" for nothing).

    Bytes that are no UTF-8 and halves of surrogate pairs stand in its strings as lone surrogates, for
    ``Halves`` or ``mended`` to join.

    Raises:
        UnreadableError: it is no JSON.
    """
    try:
        return orjson.loads(body), ""
    except orjson.JSONDecodeError as cause:
        first = cause
    found: list[str] = []

    def no_number(word: str) -> None:
        found.append(f"{word} is no number of JSON")

    text = body.removeprefix(_BOM).decode("utf-8", "surrogateescape")
    if body.startswith(_BOM):
        found.append("it begins with a byte order mark")
    if _HALF.search(text):
        found.append("it is not all UTF-8")
    text = text.strip()
    try:
        value, end = json.JSONDecoder(parse_constant=no_number, strict=False).raw_decode(text)
    except (ValueError, RecursionError) as cause:
        raise UnreadableError(f"it is no JSON ({first})") from cause
    if end < len(text):
        if not isinstance(value, dict):
            raise UnreadableError(f"it is no JSON ({first})")
        found.append(f"{len(text) - end:,} characters behind its end were left out")
    return value, "; ".join(
        dict.fromkeys(found)
    ) or "its text holds what JSON has to escape, or halves of characters"


def read_beginning(body: bytes) -> tuple[Mapping[str, Any], Mapping[str, Any]] | None:
    """What there is of a JSON object that was cut off: the values in it that are whole, and these with the
    one in which it ends. None where it is no beginning of a JSON object."""
    text = body.removeprefix(_BOM).decode("utf-8", "replace").lstrip()
    if not text.startswith("{"):
        return None
    reader = DocumentReader()
    try:
        reader.feed(text)
    except NoJSONError:
        return None
    return reader.root, reader.so_far()


def mended(value: Any) -> Any:
    """A value of ``read_json`` with no lone surrogate left in it."""
    match value:
        case str():
            return _joined(value) if _HALF.search(value) else value
        case dict():
            return {mended(name): mended(held) for name, held in value.items()}
        case list():
            return [mended(held) for held in value]
    return value


class Halves:
    """A text that comes in pieces, a character of which may be cut in two."""

    __slots__ = ("_held",)

    def __init__(self) -> None:
        self._held = ""

    def feed(self, piece: str) -> str:
        """The text so far that is whole."""
        if not self._held and not _HALF.search(piece):
            return piece
        text = self._held + piece
        end = _OPEN_END.search(text)
        self._held = end.group() if end else ""
        return _joined(text[: len(text) - len(self._held)])

    def finish(self) -> str:
        """What was held back, now that nothing follows."""
        held, self._held = self._held, ""
        return _joined(held)


def _joined(text: str) -> str:
    pairs = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")
    return _NO_BYTE.sub("\ufffd", pairs).encode("utf-8", "surrogateescape").decode("utf-8", "replace")
