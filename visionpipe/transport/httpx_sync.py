"""The blocking sender: requests over HTTP for any number of threads.

The rule: what leaves here is bytes, statuses and the library's own errors; a body goes from its file to the
socket without ever being whole in memory.
"""

from __future__ import annotations

import ssl
from collections import deque
from collections.abc import Iterator, Mapping

import httpx

from visionpipe.errors import VisionPipeError
from visionpipe.transport.auth import Auth, NoAuth
from visionpipe.transport.body import check_files, iterate
from visionpipe.transport.direct_sync import SocketTransport
from visionpipe.transport.errors import before_answer, in_answer, too_long
from visionpipe.transport.requests import MAX_ANSWER_BYTES, endpoint, proxy_for, proxy_settings
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
    ) -> None:
        self._auth = auth or NoAuth()
        self._endpoint = endpoint(base_url, self._auth, headers)
        self._max_answer_bytes = max_answer_bytes
        base = self._endpoint.base
        if proxy is None and trust_env:
            proxy = proxy_for(base)
        if ssl_context is None and (base.scheme == "https" or proxy):
            ssl_context = httpx.create_ssl_context(trust_env=trust_env)
        self._transport: httpx.BaseTransport
        if proxy is None:
            self._transport = SocketTransport(base, ssl_context=ssl_context, keep=connections)
        else:
            self._transport = _ProxyTransport(proxy_settings(proxy), ssl_context, connections)

    def __repr__(self) -> str:
        return f"HttpSender({str(self._endpoint.base)!r})"

    def send(self, request: HttpRequest) -> HttpResponse:
        """Send, and read the whole answer, whatever its status.

        Raises:
            ConnectionFailedError: no byte of an answer came.
            ReplyTimeoutError: none came within ``timeouts.first_byte``.
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
            raise in_answer(error, self._endpoint.host, self._auth.secrets()) from error
        finally:
            response.close()
        return HttpResponse(response.status_code, dict(response.headers), b"".join(parts))

    def open(self, request: HttpRequest) -> HttpByteStream:
        """Send, and return as soon as the answer's head is there. Raises as ``send``; its errors after the
        head come out of the iteration."""
        return HttpByteStream(self._begin(request), self._endpoint.host, self._auth.secrets())

    def close(self) -> None:
        """Close idle connections; those in use close when they are done. May be called again."""
        self._transport.close()

    def _begin(self, request: HttpRequest) -> httpx.Response:
        if request.body is not None:
            check_files(request.body)
        built = self._endpoint.build(request, _BodyStream(request.body))
        try:
            response = self._transport.handle_request(built)
        except VisionPipeError:
            raise
        except httpx.HTTPError as error:
            raise before_answer(error, self._endpoint.host, self._auth.secrets()) from error
        response.request = built
        timeouts = built.extensions["timeout"]
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
            yield from self._response.iter_bytes()
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


class _ProxyTransport(httpx.BaseTransport):
    """httpx's own transports, one connection each, so that no pool grows."""

    def __init__(self, proxy: httpx.Proxy, ssl_context: ssl.SSLContext | None, keep: int) -> None:
        self._proxy = proxy
        self._ssl_context = ssl_context or True
        self._keep = keep
        self._idle: deque[httpx.HTTPTransport] = deque()

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        try:
            lane = self._idle.pop()
        except IndexError:
            lane = httpx.HTTPTransport(
                verify=self._ssl_context, proxy=self._proxy, limits=httpx.Limits(max_connections=1)
            )
        try:
            response = lane.handle_request(request)
        except BaseException:
            lane.close()
            raise
        stream = response.stream
        if isinstance(stream, httpx.SyncByteStream):
            response.stream = _LaneAnswer(stream, lane, self)
        return response

    def give_back(self, lane: httpx.HTTPTransport) -> None:
        if len(self._idle) < self._keep:
            self._idle.append(lane)
        else:
            lane.close()

    def close(self) -> None:
        while self._idle:
            self._idle.pop().close()


class _LaneAnswer(httpx.SyncByteStream):
    def __init__(
        self, stream: httpx.SyncByteStream, lane: httpx.HTTPTransport, home: _ProxyTransport
    ) -> None:
        self._stream = stream
        self._lane: httpx.HTTPTransport | None = lane
        self._home = home

    def __iter__(self) -> Iterator[bytes]:
        yield from self._stream

    def close(self) -> None:
        lane, self._lane = self._lane, None
        if lane is not None:
            self._stream.close()
            self._home.give_back(lane)
