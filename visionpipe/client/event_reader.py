"""A streamed answer of an agent or an application, event by event, into texts and at last one reply.

An event that is an error ends the stream as that error; a stream that ends without a word of its
end is an interrupted answer.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Generic, Protocol, TypeVar

from visionpipe.errors import InterruptedAnswerError, ServiceError, UnreadableAnswerError, VisionPipeError
from visionpipe.wire.answers import UnreadableError, mended, read_json
from visionpipe.wire.sse import SseParser


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
        which :meth:`finish` raises."""
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
