"""A streamed answer as the caller holds it: iterate over its text, then look at its reply."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from types import TracebackType
from typing import Self

from visionpipe.errors import InterruptedAnswerError, VisionPipeError
from visionpipe.reply import Reply
from visionpipe.transport.sender import AsyncByteStream, ByteStream
from visionpipe.wire.stream import StreamReader


class _Reading:
    """The reply at the end, or the reason why there is none. ``done`` is told the reply when it is whole."""

    def __init__(self, reader: StreamReader, done: Callable[[Reply], None] | None) -> None:
        self._reader = reader
        self._done = done
        self._reply: Reply | None = None
        self._closed = False

    @property
    def reply(self) -> Reply:
        """The whole reply, once the stream has been read to its end.

        Raises:
            InterruptedAnswerError: it has not; what came so far is in the error's ``reply``.
        """
        if self._reply is None:
            raise self._reader.interrupted(
                "the stream was not read to its end", cure="Iterate over it first, then ask for its reply."
            )
        return self._reply

    def _end(self, broken: str) -> list[str]:
        """At the end of the bytes: the last pieces; from here on there is a reply."""
        pieces, self._reply = self._reader.finish(broken)
        if self._done is not None:
            self._done(self._reply)
        return pieces

    def _break(self, error: InterruptedAnswerError) -> str:
        """How the stream broke, where the answer was whole before that; else ``error`` is the end of it."""
        if not self._reader.ended:
            raise error
        return error.reason


class Stream(_Reading):
    """Text pieces as they arrive. Use it as a context manager, or read it to its end, so that its
    connection is given back; :meth:`close` ends it early, from any thread, and closes the connection.

    Iterating raises InterruptedAnswerError where the stream breaks, stalls or takes longer than it may; what
    came before is in the error's ``reply``. It just ends where the stream was closed. Nothing is sent again
    once the stream has begun: a ServiceError that comes in place of a first piece says by ``retryable``
    whether to try once more.
    """

    def __init__(
        self, source: ByteStream, reader: StreamReader, done: Callable[[Reply], None] | None = None
    ) -> None:
        super().__init__(reader, done)
        self._source = source

    def __iter__(self) -> Iterator[str]:
        broken = ""
        try:
            try:
                for chunk in self._source:
                    for piece in self._reader.feed(chunk):
                        yield piece
                        if self._closed:
                            return
                    if self._reader.complete:
                        break
            except InterruptedAnswerError as error:
                broken = self._break(error)
            if not self._closed:
                yield from self._end(broken)
        except VisionPipeError as error:
            if not self._closed:
                self._reader.complete_error(error)
                raise
        finally:
            self.close()

    def close(self) -> None:
        """End it and free its connection; may be called again."""
        self._closed = True
        self._source.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class AsyncStream(_Reading):
    """As :class:`Stream`, with ``async for`` and ``async with``. Cancelling the task that reads it closes
    its connection."""

    def __init__(
        self, source: AsyncByteStream, reader: StreamReader, done: Callable[[Reply], None] | None = None
    ) -> None:
        super().__init__(reader, done)
        self._source = source

    async def __aiter__(self) -> AsyncIterator[str]:
        broken = ""
        try:
            try:
                async for chunk in self._source:
                    for piece in self._reader.feed(chunk):
                        yield piece
                        if self._closed:
                            return
                    if self._reader.complete:
                        break
            except InterruptedAnswerError as error:
                broken = self._break(error)
            if not self._closed:
                for piece in self._end(broken):
                    yield piece
        except VisionPipeError as error:
            if not self._closed:
                self._reader.complete_error(error)
                raise
        finally:
            await self.close()

    async def close(self) -> None:
        """End it and free its connection; may be called again."""
        self._closed = True
        await self._source.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()
