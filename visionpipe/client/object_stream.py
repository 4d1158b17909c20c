"""Structured data while it is being written: partial documents first, the validated value at the end.

A partial document is plain JSON data and promises nothing; only ``value`` has been held against
the schema. What is finished in it is shared with the next one, so nothing in it may be changed; of a long
list not every letter is shown, so that the work stays linear in the answer's length. Nothing is asked again,
since part of the answer has been shown.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

from visionpipe.client.stream import AsyncStream, Stream
from visionpipe.errors import UnreadableAnswerError
from visionpipe.reply import Reply
from visionpipe.stages.extraction import Schema, was_cut_off
from visionpipe.stages.schema import MisfitError
from visionpipe.wire.growing_json import PartialReader

T = TypeVar("T")


def _validated(schema: Schema[T], reply: Reply) -> T:
    try:
        value, _ = schema.read(reply.text, cut_off=was_cut_off(reply))
    except MisfitError as misfit:
        raise UnreadableAnswerError(
            f"the answer does not fit the schema: {misfit}",
            cure="Ask with extract, which asks once more where an answer does not fit.",
            code="schema",
            request_id=reply.request_id,
            reply=reply,
        ) from misfit
    return value


class ObjectStream(Generic[T]):
    """Partial documents as they grow; use it as a context manager, or read it to its end."""

    def __init__(self, stream: Stream, schema: Schema[T]) -> None:
        self._stream = stream
        self._schema = schema

    def __iter__(self) -> Iterator[Any]:
        reader = PartialReader()
        for piece in self._stream:
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
        return _validated(self._schema, self.reply)

    @property
    def reply(self) -> Reply:
        """As :attr:`Stream.reply`."""
        return self._stream.reply

    def close(self) -> None:
        """End it early, from any thread."""
        self._stream.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class AsyncObjectStream(Generic[T]):
    """As :class:`ObjectStream`, with ``async for`` and ``async with``."""

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
        """As :attr:`ObjectStream.value`."""
        return _validated(self._schema, self.reply)

    @property
    def reply(self) -> Reply:
        """As :attr:`Stream.reply`."""
        return self._stream.reply

    async def close(self) -> None:
        """End it early."""
        await self._stream.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()
