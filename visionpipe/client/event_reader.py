"""A streamed answer of an agent or an application, event by event, into texts and at last one reply.

An event that is an error ends the stream as that error; a stream that ends without a word of its
end is an interrupted answer.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from types import TracebackType
from typing import Any, Generic, Protocol, Self, TypeVar

import orjson

from visionpipe.errors import InterruptedAnswerError, ServiceError, UnreadableAnswerError
from visionpipe.transport.sender import AsyncByteStream, ByteStream
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

    @property
    def complete(self) -> bool:
        """Whether the service has said that this is all."""
        return self._done

    def feed(self, chunk: bytes) -> list[str]:
        """The texts that ``chunk`` completes."""
        return self._said(self._events.feed(chunk))

    def finish(self) -> tuple[list[str], R]:
        """At the end of the bytes: the last texts, and the reply.

        Raises:
            UnreadableAnswerError: there was no event.
            InterruptedAnswerError: the stream ended before the answer did.
        """
        texts = self._said(self._events.finish())
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
                event = orjson.loads(payload)
            except orjson.JSONDecodeError as cause:
                raise InterruptedAnswerError("an event is no JSON", cure="Try again.") from cause
            if not isinstance(event, dict):
                continue
            refusal = self._refusal(event)
            if refusal is not None:
                raise refusal
            said = self._read(event)
            self._last = {**self._last, **event}
            self._finished = self._finished or said.finish_reason is not None
            if said.text:
                self._texts.append(said.text)
                texts.append(said.text)
        return texts


class _Ended(Generic[R]):
    _reply: R | None = None

    @property
    def reply(self) -> R:
        """The whole reply, once the stream has been read to its end.

        Raises:
            InterruptedAnswerError: it has not.
        """
        if self._reply is None:
            raise InterruptedAnswerError(
                "the stream was not read to its end", cure="Iterate over it first, then ask for its reply."
            )
        return self._reply


class EventStream(_Ended[R]):
    """Texts as they arrive; leaving early closes the connection."""

    def __init__(self, source: ByteStream, reader: EventReader[R]) -> None:
        self._source = source
        self._reader = reader

    def __iter__(self) -> Iterator[str]:
        try:
            for chunk in self._source:
                yield from self._reader.feed(chunk)
                if self._reader.complete:
                    break
            texts, self._reply = self._reader.finish()
            yield from texts
        finally:
            self.close()

    def close(self) -> None:
        self._source.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class AsyncEventStream(_Ended[R]):
    """As :class:`EventStream`, with ``async for`` and ``async with``."""

    def __init__(self, source: AsyncByteStream, reader: EventReader[R]) -> None:
        self._source = source
        self._reader = reader

    async def __aiter__(self) -> AsyncIterator[str]:
        try:
            async for chunk in self._source:
                for text in self._reader.feed(chunk):
                    yield text
                if self._reader.complete:
                    break
            texts, self._reply = self._reader.finish()
            for text in texts:
                yield text
        finally:
            await self.close()

    async def close(self) -> None:
        await self._source.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()
