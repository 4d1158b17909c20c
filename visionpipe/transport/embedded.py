"""The sender where there is no API key: it answers chat requests on this machine.

Nothing here opens a connection. To everything above it is one more Sender, so a request takes the
same way with a key and without.
"""

from __future__ import annotations

import asyncio
import threading
import time
import uuid
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from urllib.parse import urlsplit

import orjson

from visionpipe.local.chat import EmbeddedAnswer, EmbeddedEngine, RefusedRequest, answer, read_call
from visionpipe.wire.http import HttpRequest, HttpResponse, chunks_of

CHAT_PATH = "/chat/completions"
_JSON = {"content-type": "application/json; charset=utf-8"}
_EVENTS = {"content-type": "text/event-stream; charset=utf-8"}


class EmbeddedStream:
    """An answer of the embedded engine, read as it is written out."""

    oddities: tuple[str, ...] = ()

    def __init__(self, status: int, headers: Mapping[str, str], chunks: Iterable[bytes]) -> None:
        self._status = status
        self._headers = headers
        self._chunks = iter(chunks)
        self._closed = False

    @property
    def status(self) -> int:
        return self._status

    @property
    def headers(self) -> Mapping[str, str]:
        return self._headers

    def __iter__(self) -> Iterator[bytes]:
        while not self._closed:
            chunk = next(self._chunks, None)
            if chunk is None:
                return
            yield chunk

    def close(self) -> None:
        self._closed = True


class AsyncEmbeddedStream:
    """As ``EmbeddedStream``, awaited."""

    oddities: tuple[str, ...] = ()

    def __init__(self, stream: EmbeddedStream) -> None:
        self._stream = stream

    @property
    def status(self) -> int:
        return self._stream.status

    @property
    def headers(self) -> Mapping[str, str]:
        return self._stream.headers

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for chunk in self._stream:
            yield chunk

    async def close(self) -> None:
        self._stream.close()


class EmbeddedSender:
    """Answers ``POST /chat/completions`` with the embedded engine, from any number of threads.

    Everything else is answered with 404. The answers have the service's JSON form, with the model
    ``visionpipe-local`` and a field ``local`` that lists the facts behind the text.

    Args:
        engine: what describes the images; None makes a LocalEngine at the first request.
        clock: seconds since the epoch, for the field ``created``.
    """

    def __init__(
        self, engine: EmbeddedEngine | None = None, *, clock: Callable[[], float] = time.time
    ) -> None:
        self._engine = engine
        self._clock = clock
        self._making = threading.Lock()

    def send(self, request: HttpRequest) -> HttpResponse:
        """Answer ``request``; raises UnreadableSourceError where a file of its body is gone or changed."""
        stream = self.open(request)
        return HttpResponse(stream.status, stream.headers, b"".join(stream))

    def open(self, request: HttpRequest) -> EmbeddedStream:
        """As ``send``, event by event where the request asks for a stream."""
        try:
            streamed, reply = self._answer(request)
        except RefusedRequest as refusal:
            return EmbeddedStream(refusal.status, _JSON, [refusal.body])
        if streamed:
            return EmbeddedStream(200, _EVENTS, reply.frames())
        return EmbeddedStream(200, _JSON, [reply.whole()])

    def close(self) -> None:
        """Let go of the engine and its networks; a later request makes a new one."""
        with self._making:
            self._engine = None

    def _answer(self, request: HttpRequest) -> tuple[bool, EmbeddedAnswer]:
        if request.method != "POST" or not _is_chat(request.url):
            raise RefusedRequest(
                f"{request.method} {request.url}: the embedded engine answers only POST {CHAT_PATH}",
                code="1222",
                status=404,
            )
        if request.body is None:
            raise RefusedRequest("the request has no body", code="1213")
        asked = request.body.made_of
        if asked is None:
            try:
                asked = orjson.loads(b"".join(chunks_of(request.body)))
            except ValueError as error:
                raise RefusedRequest(f"the body is no JSON ({error})") from error
        call = read_call(asked)
        reply = answer(call, self._ready(), id=f"local-{uuid.uuid4().hex}", created=int(self._clock()))
        return call.stream, reply

    def _ready(self) -> EmbeddedEngine:
        with self._making:
            if self._engine is None:
                # OpenCV and NumPy come with it, and cost the start of every program.
                from visionpipe.local.engine import LocalEngine

                self._engine = LocalEngine()
            return self._engine


class AsyncEmbeddedSender:
    """As ``EmbeddedSender``, with the work done in a thread so that the event loop stays free."""

    def __init__(
        self, engine: EmbeddedEngine | None = None, *, clock: Callable[[], float] = time.time
    ) -> None:
        self._sender = EmbeddedSender(engine, clock=clock)

    async def send(self, request: HttpRequest) -> HttpResponse:
        """Answer ``request``; raises UnreadableSourceError where a file of its body is gone or changed."""
        return await asyncio.to_thread(self._sender.send, request)

    async def open(self, request: HttpRequest) -> AsyncEmbeddedStream:
        """As ``send``, event by event where the request asks for a stream."""
        return AsyncEmbeddedStream(await asyncio.to_thread(self._sender.open, request))

    async def close(self) -> None:
        """Let go of the engine and its networks; a later request makes a new one."""
        self._sender.close()


def _is_chat(url: str) -> bool:
    path = urlsplit(url).path
    return path == CHAT_PATH or (
        "://" in url and path.endswith(CHAT_PATH) and not path.endswith(f"/async{CHAT_PATH}")
    )
