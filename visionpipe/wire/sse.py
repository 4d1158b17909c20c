"""Server-sent events, byte by byte: chunks of a stream in, data payloads out; and those of an agent or an
application as texts and at last one reply.

Lines end at LF, CRLF or CR and nowhere else, so that a caption may hold U+2028 or U+0085; how the stream was
cut into chunks makes no difference; no bytes raise.

Events end at a blank line. As some services leave blank lines out, and the standard lets one payload span
several ``data:`` lines, a further ``data:`` line is joined to the one before (with LF) except where that
cannot be meant: the payload so far is a whole JSON object or ``[DONE]``, or the new line is.

An event that is named ``error`` comes out as ``{"error": ...}`` around its payload, since the name is all
that tells some of them from an answer. Such an event ends the stream as that error; a stream that ends
without a word of its end is an interrupted answer.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Generic, Protocol, TypeVar

import orjson

from visionpipe.errors import InterruptedAnswerError, ServiceError, UnreadableAnswerError, VisionPipeError
from visionpipe.wire.answers import UnreadableError, mended, read_json

DONE = b"[DONE]"
MOST_LOOKS = 100
"""How often an event of many lines is looked at for being whole: each look costs as much as the event is
long, and one that never ends must not cost the square of its length."""

_BOM = b"\xef\xbb\xbf"


class SseParser:
    """Takes a stream's chunks as they arrive.

    >>> SseParser().feed(b': hello\\ndata: {"a": 1}\\n\\ndata: [DO')
    [b'{"a": 1}']
    """

    __slots__ = ("_after_cr", "_line", "_looks", "_named_error", "_payload")

    def __init__(self) -> None:
        self._line: list[bytes] = []
        self._payload: list[bytes] = []
        self._looks = 0
        self._after_cr = False
        self._named_error = False

    def feed(self, chunk: bytes) -> list[bytes]:
        """The payloads that ``chunk`` completes, ``[DONE]`` among them, in order; comments, event names,
        ids and empty payloads are passed over."""
        if self._after_cr and chunk:
            self._after_cr = False
            if chunk.startswith(b"\n"):
                chunk = chunk[1:]
        if b"\r" in chunk:
            self._after_cr = chunk.endswith(b"\r")
            chunk = chunk.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        lines = chunk.split(b"\n")
        rest = lines.pop()
        if not lines:
            if rest:
                self._line.append(rest)
            return []
        if self._line:
            self._line.append(lines[0])
            lines[0] = b"".join(self._line)
        self._line = [rest] if rest else []
        out: list[bytes] = []
        for line in lines:
            if line.startswith(_BOM):
                # In front of the stream, or of one of several that a proxy has joined.
                line = line.removeprefix(_BOM)
            if not line:
                if self._payload:
                    self._end(out)
                self._named_error = False
            elif line.startswith(b"data:"):
                payload = line[6:] if line[5:6] == b" " else line[5:]
                if self._payload and self._begins_anew(payload):
                    self._end(out)
                self._payload.append(payload)
            elif line.startswith(b"event:"):
                if len(self._payload) == 1 and _whole(self._payload[0]):
                    self._end(out)
                self._named_error = line[6:].strip().lower() == b"error"
        return out

    def finish(self) -> list[bytes]:
        """The payloads left at the end of the stream: a last event needs no blank line behind it."""
        # One ends the last line, or belongs to the CR that has ended it; the other is the blank line.
        return self.feed(b"\n\n")

    def _end(self, out: list[bytes]) -> None:
        payload = self._payload[0] if len(self._payload) == 1 else b"\n".join(self._payload)
        if payload:
            out.append(_as_error(payload) if self._named_error else payload)
        self._named_error = False
        self._payload = []
        self._looks = 0

    def _begins_anew(self, payload: bytes) -> bool:
        if _whole(payload) or (len(self._payload) == 1 and _whole(self._payload[0])):
            return True
        if not (self._payload[0].startswith(b"{") and self._payload[-1].rstrip().endswith(b"}")):
            return False
        self._looks += 1
        return self._looks <= MOST_LOOKS and _whole(b"\n".join(self._payload))


def _as_error(payload: bytes) -> bytes:
    try:
        told = orjson.loads(payload)
    except orjson.JSONDecodeError:
        told = payload.decode("utf-8", "replace")
    return orjson.dumps({"error": told})


def _whole(payload: bytes) -> bool:
    """Whether this is ``[DONE]`` or a JSON object with something in it, from brace to brace."""
    text = payload.strip()
    if text == DONE:
        return True
    # An empty object alone on its line may be a stretch of a larger one that spans several.
    if not (payload.startswith(b"{") and text.endswith(b"}")) or text == b"{}":
        return False
    try:
        orjson.loads(text)
    except orjson.JSONDecodeError:
        return False
    return True


class Said(Protocol):
    """What one event says."""

    @property
    def text(self) -> str: ...
    @property
    def finish_reason(self) -> str | None: ...


R = TypeVar("R", bound=Said)


class EventReader(Generic[R]):
    """Feed it bytes as they come; it gives texts, and at the end the reply.

    Args:
        read: an event's JSON -> what it says.
        refusal: an event's JSON -> the error that it is, None where it is none.
        whole: all that was said, joined, and the last events' fields together -> the reply.
    """

    def __init__(
        self,
        read: Callable[[Mapping[str, Any]], R],
        refusal: Callable[[Mapping[str, Any]], ServiceError | None],
        whole: Callable[[str, Mapping[str, Any]], R],
    ) -> None:
        self._read = read
        self._refusal = refusal
        self._whole = whole
        self._events = SseParser()
        self._texts: list[str] = []
        self._last: dict[str, Any] = {}
        self._finished = False
        self._done = False
        self._error: VisionPipeError | None = None

    @property
    def complete(self) -> bool:
        """Whether there is nothing more to be read: the service has said that this is all, or told an error,
        which ``finish`` raises."""
        return self._done or self._error is not None

    def feed(self, chunk: bytes) -> list[str]:
        """The texts that ``chunk`` completes. An error behind some of them is kept for the next call."""
        self._raise_kept()
        return self._said(self._events.feed(chunk))

    def finish(self) -> tuple[list[str], R]:
        """At the end of the bytes: the last texts, and the reply.

        Raises:
            UnreadableAnswerError: there was no event.
            InterruptedAnswerError: the stream ended before the answer did.
        """
        self._raise_kept()
        texts = self._said(self._events.finish())
        self._raise_kept()
        if not self._last and not self._finished:
            raise UnreadableAnswerError("the answer is no stream of events", cure="Check the base URL.")
        if not self._finished:
            raise InterruptedAnswerError("the stream ended before the answer did", cure="Try again.")
        return texts, self._whole("".join(self._texts), self._last)

    def _said(self, payloads: list[bytes]) -> list[str]:
        texts = []
        for payload in payloads:
            if payload.strip() == b"[DONE]":
                self._finished = self._done = True
                continue
            try:
                event = mended(read_json(payload)[0])
            except UnreadableError:
                if not payload.lstrip().startswith(b"{"):
                    continue  # a word such as "ping"
                self._error = InterruptedAnswerError("an event is no JSON", cure="Try again.")
                break
            if not isinstance(event, dict):
                continue
            self._error = self._refusal(event)
            if self._error is not None:
                break
            said = self._read(event)
            self._last = {**self._last, **event}
            self._finished = self._finished or said.finish_reason is not None
            if said.text:
                self._texts.append(said.text)
                texts.append(said.text)
        if not texts:
            self._raise_kept()
        return texts

    def _raise_kept(self) -> None:
        if self._error is not None:
            raise self._error
