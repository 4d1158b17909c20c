"""The sender over HTTP.

What leaves here is bytes, statuses and the library's own errors; a body goes from its file to the
socket without ever being whole in memory. With asyncio its file is read in the loop, a step at a time: each
read takes less time than handing it to a thread would.
"""

from __future__ import annotations

import ssl
import time
from collections.abc import AsyncIterator, Callable, Mapping

from visionpipe.errors import UnreadableAnswerError
from visionpipe.transport.auth import Auth, NoAuth
from visionpipe.transport.direct_async import AsyncioTransport
from visionpipe.transport.errors import before_answer, in_answer, in_whole_answer, too_long
from visionpipe.transport.exchange import Decoder
from visionpipe.transport.httpx_library import httpx
from visionpipe.transport.messages import AsyncAnswer
from visionpipe.transport.proxied import AsyncProxyTransport
from visionpipe.transport.requests import MAX_ANSWER_BYTES, endpoint, route
from visionpipe.wire.http import HttpRequest, HttpResponse, check_files


class AsyncHttpSender:
    """Sends requests to one endpoint, as an ``AsyncSender`` does.

    The blocking one is for any number of threads; the asyncio one for any number of tasks of a loop.
    Cancelling a call of that closes its connection. Close it before its loop ends; it may then be used in
    another.

    Args:
        base_url: http or https, host, port and path; requests are below it.
        auth: adds the key.
        headers: go with every request.
        connections: idle connections kept for the next request. More may be open at once.
        ssl_context: for https; by default one that trusts the public authorities.
        proxy: the proxy's URL; by default the environment's, where ``trust_env``.
        trust_env: whether HTTPS_PROXY, NO_PROXY, SSL_CERT_FILE and kin are heeded.
        max_answer_bytes: the longest answer ``send`` takes, decoded.
        clock: seconds, monotonic.

    Raises:
        ConfigurationError: the base URL, a header or the proxy's address cannot be used.
    """

    def __init__(
        self,
        base_url: str,
        *,
        auth: Auth | None = None,
        headers: Mapping[str, str] | None = None,
        connections: int = 64,
        ssl_context: ssl.SSLContext | None = None,
        proxy: str | None = None,
        trust_env: bool = True,
        max_answer_bytes: int = MAX_ANSWER_BYTES,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._auth = auth or NoAuth()
        self._endpoint = endpoint(base_url, self._auth, headers)
        self._max_answer_bytes = max_answer_bytes
        self._clock = clock
        way = route(self._endpoint.base, ssl_context=ssl_context, proxy=proxy, trust_env=trust_env)
        self._transport: AsyncioTransport | AsyncProxyTransport
        if way.proxy is None or way.ssl_context is None:
            self._transport = AsyncioTransport(
                self._endpoint.base, ssl_context=way.ssl_context, keep=connections, clock=clock
            )
        else:
            self._transport = AsyncProxyTransport(
                self._endpoint.base, way.proxy, way.ssl_context, connections, clock
            )

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self._endpoint.base)!r})"

    async def send(self, request: HttpRequest) -> HttpResponse:
        """Send, and read the whole answer, whatever its status.

        Raises:
            ConnectionFailedError: no byte of an answer came.
            ReplyTimeoutError: none came within ``timeouts.first_byte``, or not all within ``timeouts.total``.
            InterruptedAnswerError: the answer broke off or stalled over ``timeouts.idle``.
            UnreadableAnswerError: not HTTP, damaged compression, or too long.
            UnreadableSourceError: a file of the body vanished or changed.
        """
        answer = await self._begin(request)
        parts: list[bytes] = []
        size = 0
        try:
            decoder = self._decoder(answer)
            async for raw in answer.pieces:
                for part in decoder.feed(raw):
                    size += len(part)
                    if size > self._max_answer_bytes:
                        raise too_long(self._endpoint.host, self._max_answer_bytes)
                    parts.append(part)
        except httpx.HTTPError as error:
            told = in_whole_answer(error, self._endpoint.host, self._endpoint.secrets())
            if not answer.is_whole(parts):
                raise told from error
            oddities = (*answer.oddities, f"it is whole, though {told.reason}")
        else:
            parts, oddities = answer.with_rest(parts)
        finally:
            await answer.close()
        return HttpResponse(answer.status, answer.headers, b"".join(parts), oddities)

    async def open(self, request: HttpRequest) -> AsyncHttpByteStream:
        """Send, and return as soon as the answer's head is there. Raises as ``send``; its errors after the
        head come out of the iteration."""
        answer = await self._begin(request)
        if isinstance(self._transport, AsyncioTransport):
            answer.timeouts["read"] = answer.timeouts["first_token"]
        try:
            decoder = self._decoder(answer)
        except UnreadableAnswerError:
            await answer.close()
            raise
        return AsyncHttpByteStream(answer, decoder, self._endpoint.host, self._endpoint.secrets())

    async def close(self) -> None:
        """Close idle connections; those in use close when they are done. May be called again."""
        await self._transport.close()

    def _decoder(self, answer: AsyncAnswer) -> Decoder:
        coding = answer.headers.get("content-encoding", "")
        return Decoder(coding, self._endpoint.host, answer.timeouts, self._clock)

    async def _begin(self, request: HttpRequest) -> AsyncAnswer:
        if request.body is not None:
            check_files(request.body)
        built = self._endpoint.build(request)
        timeouts = built.timeouts
        timeouts["deadline"] = self._clock() + request.timeouts.total
        try:
            answer = await self._transport.send(built)
        except httpx.HTTPError as error:
            raise before_answer(error, self._endpoint.host, self._endpoint.secrets()) from error
        timeouts["read"] = timeouts["idle"]
        return answer


class AsyncHttpByteStream:
    """An answer read as it arrives."""

    def __init__(self, answer: AsyncAnswer, decoder: Decoder, host: str, secrets: tuple[str, ...]) -> None:
        self._answer = answer
        self._decoder = decoder
        self._host = host
        self._secrets = secrets
        self._closed = False
        self.status = answer.status
        self.headers: Mapping[str, str] = answer.headers
        self.oddities = answer.oddities

    async def __aiter__(self) -> AsyncIterator[bytes]:
        if self._closed:
            return
        try:
            timeouts = self._answer.timeouts
            async for raw in self._answer.pieces:
                timeouts["read"] = timeouts["idle"]
                for piece in self._decoder.feed(raw):
                    yield piece
        except httpx.HTTPError as error:
            raise in_answer(error, self._host, self._secrets) from error
        finally:
            await self.close()

    async def close(self) -> None:
        """Free the connection, or close it where the answer is not read to its end."""
        if not self._closed:
            self._closed = True
            await self._answer.close()
