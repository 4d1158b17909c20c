"""The seam to the outside: whatever can send an HttpRequest.

A sender raises only the library's own errors (ConnectionFailedError, ReplyTimeoutError,
InterruptedAnswerError for a stream that breaks off, InputError where a body's file changed), answers every
HTTP status as a value, never retries, and never shows the key.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping
from typing import Protocol

from visionpipe.wire.http import HttpRequest, HttpResponse


class ByteStream(Protocol):
    """An answer that is read as it arrives; closing it early closes its connection."""

    @property
    def status(self) -> int: ...
    @property
    def headers(self) -> Mapping[str, str]: ...
    @property
    def oddities(self) -> tuple[str, ...]:
        """What of its head was not as HTTP wants it, and was read all the same."""

    def __iter__(self) -> Iterator[bytes]: ...
    def close(self) -> None: ...


class Sender(Protocol):
    """Sends from any number of threads at once."""

    def send(self, request: HttpRequest) -> HttpResponse: ...
    def open(self, request: HttpRequest) -> ByteStream: ...
    def close(self) -> None: ...


class AsyncByteStream(Protocol):
    """As ByteStream, awaited."""

    @property
    def status(self) -> int: ...
    @property
    def headers(self) -> Mapping[str, str]: ...
    @property
    def oddities(self) -> tuple[str, ...]:
        """See :class:`ByteStream`."""

    def __aiter__(self) -> AsyncIterator[bytes]: ...
    async def close(self) -> None: ...


class AsyncSender(Protocol):
    """Sends from any number of tasks of one event loop at once."""

    async def send(self, request: HttpRequest) -> HttpResponse: ...
    async def open(self, request: HttpRequest) -> AsyncByteStream: ...
    async def close(self) -> None: ...
