"""Streamed answers as the caller holds them: iterate over the text, then look at the reply.

Whoever leaves early closes the connection, and nothing is sent again once a stream has begun.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

from visionpipe.client.threads import in_thread_async
from visionpipe.errors import InterruptedAnswerError, UnreadableAnswerError, VisionPipeError
from visionpipe.reply import Reply
from visionpipe.stages.extraction import Schema, was_cut_off
from visionpipe.stages.schema import MisfitError
from visionpipe.wire.http import AsyncByteStream
from visionpipe.wire.sse import EventReader, Said
from visionpipe.wire.stream import PartialReader, StreamReader

T = TypeVar("T")
R = TypeVar("R", bound=Said)


class AsyncStream:
    """Text pieces as they arrive. Use it as a context manager, or read it to its end, so that its
    connection is given back; ``close`` ends it early and closes the connection, with the blocking client
    from any thread. Cancelling the task that reads it closes its connection as well.

    Iterating raises InterruptedAnswerError where the stream breaks, stalls or takes longer than it may; what
    came before is in the error's ``reply``. It just ends where the stream was closed. Nothing is sent again
    once the stream has begun: a ServiceError that comes in place of a first piece says by ``retryable``
    whether to try once more.

    Args:
        source: the answer's bytes.
        reader: makes text of them.
        done: told the reply when it is whole.
        closed: told at the end of it the reply, None where it is not whole, and what broke it.
        keep: given the whole reply, to write it down.
    """

    def __init__(
        self,
        source: AsyncByteStream,
        reader: StreamReader,
        done: Callable[[Reply], None] | None = None,
        closed: Callable[[Reply | None, BaseException | None], None] | None = None,
        keep: Callable[[Reply], None] | None = None,
    ) -> None:
        self._source = source
        self._reader = reader
        self._done = done
        self._told_closed = closed
        self._keep = keep
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
                pieces = self._end(broken)
                if self._keep is not None and self._reply is not None:
                    await in_thread_async(self._keep, self._reply)
                for piece in pieces:
                    yield piece
        except VisionPipeError as error:
            if not self._closed:
                self._reader.complete_error(error)
                if self._told_closed is not None:
                    self._told_closed(None, error)
                raise
        finally:
            await self.close()

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

    async def close(self) -> None:
        """End it and free its connection; may be called again."""
        self._closed = True
        if self._told_closed is not None:
            self._told_closed(self._reply, None)
        await self._source.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()


class AsyncObjectStream(Generic[T]):
    """Structured data while it is being written: partial documents as they grow, the validated value at the
    end. Use it as a context manager, or read it to its end.

    A partial document is plain JSON data and promises nothing; only ``value`` has been held against the
    schema. What is finished in it is shared with the next one, so nothing in it may be changed; of a long
    list not every letter is shown, so that the work stays linear in the answer's length. Nothing is asked
    again, since part of the answer has been shown.
    """

    def __init__(self, stream: AsyncStream, schema: Schema[T]) -> None:
        self._stream = stream
        self._schema = schema

    async def __aiter__(self) -> AsyncIterator[Any]:
        reader = PartialReader()
        async for piece in self._stream:
            found = self._schema.shown(reader.feed(piece))
            if found is not None:
                yield found

    @property
    def value(self) -> T:
        """The whole answer as the asked-for type, once the stream has been read to its end.

        Raises:
            UnreadableAnswerError: it does not fit.
            InterruptedAnswerError: the stream has not been read to its end.
        """
        reply = self.reply
        try:
            value, _ = self._schema.read(reply.text, cut_off=was_cut_off(reply))
        except MisfitError as misfit:
            raise UnreadableAnswerError(
                f"the answer does not fit the schema: {misfit}",
                cure="Ask with extract, which asks once more where an answer does not fit.",
                code="schema",
                request_id=reply.request_id,
                reply=reply,
            ) from misfit
        return value

    @property
    def reply(self) -> Reply:
        """As ``AsyncStream.reply``."""
        return self._stream.reply

    async def close(self) -> None:
        """End it early, with the blocking client from any thread."""
        await self._stream.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()


class AsyncEventStream(Generic[R]):
    """An agent's or an application's texts as they arrive; leaving early closes the connection."""

    def __init__(self, source: AsyncByteStream, reader: EventReader[R]) -> None:
        self._source = source
        self._reader = reader
        self._reply: R | None = None

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
        """Free the connection, or close it where the answer is not read to its end."""
        await self._source.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()
