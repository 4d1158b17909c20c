"""JSON out of what a model wrote: in fences, with prose around it, with a comma too many.

The rule: wrapping is taken off and trailing commas are forgiven, since neither can change the data; what is
cut off or misspelt is never guessed at.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import orjson

_FENCE = re.compile(r"```[ \t]*[\w+-]*[ \t]*\r?\n(.*?)```", re.DOTALL)
_OPENERS = {"{": "}", "[": "]"}


class NoJSONError(ValueError):
    """The text holds no whole JSON document."""


def read_tolerant(text: str) -> Any:
    """The first whole JSON object or array in ``text``; a bare JSON scalar only where it is all there is.

    Args:
        text: an answer, its think and box tags already taken off.

    Raises:
        NoJSONError: there is none, or it is cut off.
    """
    for candidate in _candidates(text):
        found, value = _load(candidate)
        if found:
            return value
    raise NoJSONError("the answer holds no whole JSON document")


def _candidates(text: str) -> Iterator[str]:
    yield text.strip()
    for block in _FENCE.findall(text):
        yield block.strip()
        yield from _documents(block)
    yield from _documents(text)


def _documents(text: str) -> Iterator[str]:
    """Every stretch from an opening bracket to the one that closes it, outermost first."""
    at = 0
    while at < len(text):
        if text[at] in _OPENERS:
            end = _end_of_document(text, at)
            if end is None:
                at += 1
                continue
            candidate = text[at:end]
            yield candidate
            # Prose may hold brackets of its own, so a stretch that is no JSON is looked into.
            at = end if _load(candidate)[0] else at + 1
        else:
            at += 1


def _end_of_document(text: str, begin: int) -> int | None:
    """The index behind the bracket that closes the one at ``begin``; None where it stays open."""
    expected: list[str] = []
    in_string = False
    at = begin
    while at < len(text):
        char = text[at]
        if in_string:
            if char == "\\":
                at += 1
            elif char == '"':
                in_string = False
        elif char == '"':
            in_string = True
        elif char in _OPENERS:
            expected.append(_OPENERS[char])
        elif char in "}]":
            if char != expected.pop():
                return None
            if not expected:
                return at + 1
        at += 1
    return None


def _load(text: str) -> tuple[bool, Any]:
    try:
        return True, orjson.loads(text)
    except orjson.JSONDecodeError:
        pass  # perhaps only for its commas
    try:
        return True, orjson.loads(_without_trailing_commas(text))
    except orjson.JSONDecodeError:
        return False, None


def _without_trailing_commas(text: str) -> str:
    out: list[str] = []
    in_string = False
    for at, char in enumerate(text):
        if in_string:
            # A quote behind an odd number of backslashes is part of the string.
            slashes = at - len(text[:at].rstrip("\\"))
            in_string = char != '"' or slashes % 2 == 1
        elif char == '"':
            in_string = True
        elif char == "," and text[at + 1 :].lstrip()[:1] in ("}", "]"):
            continue
        out.append(char)
    return "".join(out)
