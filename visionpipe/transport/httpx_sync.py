"""The blocking sender: requests over HTTP for any number of threads.

What leaves here is bytes, statuses and the library's own errors; a body goes from its file to the
socket without ever being whole in memory.
"""

from __future__ import annotations

import ssl
import time
from collections.abc import Callable, Iterator, Mapping

import httpx

from visionpipe.transport.auth import Auth, NoAuth
from visionpipe.transport.body import check_files, iterate
from visionpipe.transport.direct_sync import SocketTransport
from visionpipe.transport.errors import before_answer, in_answer, in_whole_answer, too_long
from visionpipe.transport.proxied import ProxyTransport
from visionpipe.transport.requests import MAX_ANSWER_BYTES, endpoint, route
from visionpipe.wire.http import Body, HttpRequest, HttpResponse


class HttpSender:
    """Sends requests to one endpoint; a ``Sender``.

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
        self._transport: httpx.BaseTransport
        if way.proxy is None or way.ssl_context is None:
            self._transport = SocketTransport(
                self._endpoint.base, ssl_context=way.ssl_context, keep=connections, clock=clock
            )
        else:
            self._transport = ProxyTransport(way.proxy, way.ssl_context, connections, clock)

    def __repr__(self) -> str:
        return f"HttpSender({str(self._endpoint.base)!r})"

    def send(self, request: HttpRequest) -> HttpResponse:
        """Send, and read the whole answer, whatever its status.

        Raises:
            ConnectionFailedError: no byte of an answer came.
            ReplyTimeoutError: none came within ``timeouts.first_byte``, or not all within ``timeouts.total``.
            InterruptedAnswerError: the answer broke off or stalled over ``timeouts.idle``.
            UnreadableAnswerError: not HTTP, damaged compression, or too long.
            UnreadableSourceError: a file of the body vanished or changed.
        """
        response = self._begin(request)
        parts: list[bytes] = []
        size = 0
        try:
            for part in response.iter_bytes():
                size += len(part)
                if size > self._max_answer_bytes:
                    raise too_long(self._endpoint.host, self._max_answer_bytes)
                parts.append(part)
        except httpx.HTTPError as error:
            raise in_whole_answer(error, self._endpoint.host, self._auth.secrets()) from error
        finally:
            response.close()
        return HttpResponse(response.status_code, dict(response.headers), b"".join(parts))

    def open(self, request: HttpRequest) -> HttpByteStream:
        """Send, and return as soon as the answer's head is there. Raises as ``send``; its errors after the
        head come out of the iteration."""
        response = self._begin(request)
        if isinstance(self._transport, SocketTransport):
            timeouts = response.request.extensions["timeout"]
            timeouts["read"] = timeouts["first_token"]
        return HttpByteStream(response, self._endpoint.host, self._auth.secrets())

    def close(self) -> None:
        """Close idle connections; those in use close when they are done. May be called again."""
        self._transport.close()

    def _begin(self, request: HttpRequest) -> httpx.Response:
        if request.body is not None:
            check_files(request.body)
        built = self._endpoint.build(request, _BodyStream(request.body))
        timeouts = built.extensions["timeout"]
        timeouts["deadline"] = self._clock() + request.timeouts.total
        try:
            response = self._transport.handle_request(built)
        except httpx.HTTPError as error:
            raise before_answer(error, self._endpoint.host, self._auth.secrets()) from error
        response.request = built
        timeouts["read"] = timeouts["idle"]
        return response


class HttpByteStream:
    """An answer read as it arrives; a ``ByteStream``."""

    def __init__(self, response: httpx.Response, host: str, secrets: tuple[str, ...]) -> None:
        self._response = response
        self._host = host
        self._secrets = secrets
        self._closed = False
        self.status = response.status_code
        self.headers: Mapping[str, str] = dict(response.headers)

    def __iter__(self) -> Iterator[bytes]:
        if self._closed:
            return
        try:
            timeouts = self._response.request.extensions["timeout"]
            for piece in self._response.iter_bytes():
                timeouts["read"] = timeouts["idle"]
                yield piece
        except httpx.HTTPError as error:
            raise in_answer(error, self._host, self._secrets) from error
        finally:
            self.close()

    def close(self) -> None:
        """Free the connection, or close it where the answer is not read to its end."""
        self._closed = True
        self._response.close()


class _BodyStream(httpx.SyncByteStream):
    def __init__(self, body: Body | None) -> None:
        self._body = body

    def __iter__(self) -> Iterator[bytes]:
        if self._body is not None:
            yield from iterate(self._body)
