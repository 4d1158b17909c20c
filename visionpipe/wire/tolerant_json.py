"""JSON out of what a model wrote: in fences, in prose, with a comma too many, or not finished yet.

Wrapping is taken off and trailing commas are forgiven, since neither can change the data; what is
cut off or misspelt is never guessed at. A text that opens bracket after bracket (a model that repeats itself)
is given up in good time.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import orjson

_FENCE = re.compile(r"```[ \t]*(?:[\w+-]+[ \t]*)?\r?\n(.*?)```", re.DOTALL)
_STRING = r'"[^"\\]*(?:\\.[^"\\]*)*"?'
_SIGN = re.compile(rf"{_STRING}|[\[\]{{}}]", re.DOTALL)
_TRAILING = re.compile(rf"({_STRING})|,(?=\s*[\]}}])", re.DOTALL)
_OPENERS = {"{": "}", "[": "]"}

MOST_WORK = 1_000_000
"""Brackets and strings looked at in one text, and a 32nd of the characters: under a second."""


class NoJSONError(ValueError):
    """The text holds no whole JSON document."""


@dataclass(slots=True)
class _Work:
    """What may still be done for one text."""

    left: int = MOST_WORK


def read_tolerant(text: str) -> Any:
    """The first whole JSON object or array in ``text``; a bare JSON scalar only where it is all there is.

    Args:
        text: an answer, its think and box tags already taken off.

    Raises:
        NoJSONError: there is none, or it is cut off.
    """
    work = _Work()
    for found, value in _candidates(text, work):
        if found:
            return value
    raise NoJSONError("the answer holds no whole JSON document")


def _candidates(text: str, work: _Work) -> Iterator[tuple[bool, Any]]:
    yield _load(text.strip())
    for block in _FENCE.findall(text):
        yield _load(block.strip())
        yield from _documents(block, work)
    yield from _documents(text, work)


def _documents(text: str, work: _Work) -> Iterator[tuple[bool, Any]]:
    """Every stretch from an opening bracket to the one that closes it, outermost first."""
    # Prose may hold brackets of its own, so a stretch that is no JSON is looked into.
    for opener in re.finditer(r"[{\[]", text):
        end = _end_of_document(text, opener.start(), work)
        if work.left <= 0:
            return
        if end is not None:
            work.left -= (end - opener.start()) // 32
            yield _load(text[opener.start() : end])


def _end_of_document(text: str, begin: int, work: _Work) -> int | None:
    """The index behind the bracket that closes the one at ``begin``; None where it stays open, or there is
    no more work to be done."""
    expected: list[str] = []
    end = begin
    try:
        for sign in _SIGN.finditer(text, begin):
            end = sign.end()
            work.left -= 1
            char = sign.group()[0]
            if char in _OPENERS:
                expected.append(_OPENERS[char])
            elif char in "}]":
                if char != expected.pop() or work.left <= 0:
                    return None
                if not expected:
                    return end
        return None
    finally:
        work.left -= (end - begin) // 32


def _load(text: str) -> tuple[bool, Any]:
    try:
        return True, orjson.loads(text)
    except orjson.JSONDecodeError:
        pass  # perhaps only for its commas
    try:
        return True, orjson.loads(_TRAILING.sub(r"\1", text))
    except orjson.JSONDecodeError:
        return False, None


_NOTHING = object()


class PartialReader:
    """Fed with an answer's text as it grows.

    >>> reader = PartialReader()
    >>> reader.feed('Here: {"name": "Te')
    {'name': 'Te'}
    """

    def __init__(self) -> None:
        self._text = ""
        self._last: Any = _NOTHING

    def feed(self, piece: str) -> Any:
        """The document so far, its last string perhaps unfinished; None where ``piece`` changed nothing.

        Only the first object or array in the text counts, as in
        :func:`visionpipe.wire.tolerant_json.read_tolerant`; what follows it is passed over.
        """
        import pydantic_core

        self._text += piece
        begin = min((at for at in (self._text.find("{"), self._text.find("[")) if at >= 0), default=None)
        if begin is None:
            return None
        try:
            found = pydantic_core.from_json(self._text[begin:], allow_partial="trailing-strings")
        except ValueError:
            # No JSON, or prose behind a whole document: there is nothing new in it.
            return None
        if found == self._last:
            return None
        self._last = found
        return found
