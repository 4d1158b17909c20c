"""A streamed answer as the caller holds it: iterate over its text, then look at its reply."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from types import TracebackType
from typing import Self

from visionpipe.errors import AnswerError, InterruptedAnswerError
from visionpipe.reply import Reply
from visionpipe.stages.read_stream import StreamReader
from visionpipe.transport.sender import AsyncByteStream, ByteStream


class _Finished:
    """The reply at the end, or the reason why there is none."""

    _reply: Reply | None = None

    @property
    def reply(self) -> Reply:
        """The whole reply, once the stream has been read to its end.

        Raises:
            InterruptedAnswerError: it has not.
        """
        if self._reply is None:
            raise InterruptedAnswerError(
                "the stream was not read to its end", cure="Iterate over it first, then ask for its reply."
            )
        return self._reply


class Stream(_Finished):
    """Text pieces as they arrive. Use it as a context manager, or read it to its end, so that its
    connection is given back; leaving early closes the connection.

    Iterating raises InterruptedAnswerError where the stream breaks or stalls; what came before is in the
    error's ``reply``.
    """

    def __init__(self, source: ByteStream, reader: StreamReader) -> None:
        self._source = source
        self._reader = reader

    def __iter__(self) -> Iterator[str]:
        try:
            for chunk in self._source:
                yield from self._reader.feed(chunk)
                if self._reader.complete:
                    break
            pieces, self._reply = self._reader.finish()
            yield from pieces
        except AnswerError as error:
            raise _with_partial(error, self._reader) from error.__cause__
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


class AsyncStream(_Finished):
    """As :class:`Stream`, with ``async for`` and ``async with``."""

    def __init__(self, source: AsyncByteStream, reader: StreamReader) -> None:
        self._source = source
        self._reader = reader

    async def __aiter__(self) -> AsyncIterator[str]:
        try:
            async for chunk in self._source:
                for piece in self._reader.feed(chunk):
                    yield piece
                if self._reader.complete:
                    break
            pieces, self._reply = self._reader.finish()
            for piece in pieces:
                yield piece
        except AnswerError as error:
            raise _with_partial(error, self._reader) from error.__cause__
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


def _with_partial(error: AnswerError, reader: StreamReader) -> AnswerError:
    """The transport knows that a stream broke, the reader what came of it."""
    return error if error.reply is not None else reader.interrupted(error.reason)
