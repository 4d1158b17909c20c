"""JSON that came damaged: what can be read of it is read, and it is said what was mended.

A paid answer is not thrown away for one bad byte. Bytes that are no UTF-8 and halves of surrogate pairs are
put together again where both parts came, in two frames of a stream too, and are U+FFFD where one is
missing; NaN and the infinities, which JSON lacks, are null.
"""

from __future__ import annotations

import json
import re
from typing import Any

import orjson

_BOM = b"\xef\xbb\xbf"
_HALF = re.compile("[\ud800-\udfff]")
_NO_BYTE = re.compile("[\ud800-\udc7f\udd00-\udfff]")
_OPEN_END = re.compile("(?:[\ud800-\udbff]|[\udc80-\udcff]{1,3})$")


class UnreadableError(ValueError):
    """It is no JSON, damaged or not."""


def read_json(body: bytes) -> tuple[Any, str]:
    """The value of a JSON text, and what was mended in it ("" for nothing).

    Bytes that are no UTF-8 and halves of surrogate pairs stand in its strings as lone surrogates, for
    :class:`Halves` or :func:`mended` to join.

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
    if _HALF.search(text):
        found.append("it is not all UTF-8")
    try:
        value = json.loads(text, parse_constant=no_number, strict=False)
    except (ValueError, RecursionError) as cause:
        raise UnreadableError(f"it is no JSON ({first})") from cause
    return value, "; ".join(
        dict.fromkeys(found)
    ) or "its text holds what JSON has to escape, or halves of characters"


def mended(value: Any) -> Any:
    """A value of :func:`read_json` with no lone surrogate left in it."""
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
