"""httpx's own transports behind a proxy, one connection each, so that no pool grows."""

from __future__ import annotations

import ssl
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator

import httpx

from visionpipe.transport.patience import patience

_ONE = httpx.Limits(max_connections=1)


class ProxyTransport(httpx.BaseTransport):
    """Blocking; thread-safe. ``keep`` is how many idle connections are kept. A request's deadline is looked
    at between two pieces of its answer."""

    def __init__(
        self,
        proxy: httpx.Proxy,
        ssl_context: ssl.SSLContext,
        keep: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._clock = clock
        self._proxy = proxy
        self._ssl_context = ssl_context
        self._keep = keep
        self._idle: deque[httpx.HTTPTransport] = deque()

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        try:
            lane = self._idle.pop()
        except IndexError:
            lane = httpx.HTTPTransport(verify=self._ssl_context, proxy=self._proxy, limits=_ONE)
        try:
            response = lane.handle_request(request)
        except BaseException:
            lane.close()
            raise
        if isinstance(response.stream, httpx.SyncByteStream):
            timeouts = request.extensions["timeout"]
            response.stream = _Answer(response.stream, lane, self, timeouts, self._clock)
        return response

    def give_back(self, lane: httpx.HTTPTransport) -> None:
        if len(self._idle) < self._keep:
            self._idle.append(lane)
        else:
            lane.close()

    def close(self) -> None:
        while self._idle:
            self._idle.pop().close()


class AsyncProxyTransport(httpx.AsyncBaseTransport):
    """The same on an event loop."""

    def __init__(
        self,
        proxy: httpx.Proxy,
        ssl_context: ssl.SSLContext,
        keep: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._clock = clock
        self._proxy = proxy
        self._ssl_context = ssl_context
        self._keep = keep
        self._idle: deque[httpx.AsyncHTTPTransport] = deque()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if self._idle:
            lane = self._idle.pop()
        else:
            lane = httpx.AsyncHTTPTransport(verify=self._ssl_context, proxy=self._proxy, limits=_ONE)
        try:
            response = await lane.handle_async_request(request)
        except BaseException:
            await lane.aclose()
            raise
        if isinstance(response.stream, httpx.AsyncByteStream):
            timeouts = request.extensions["timeout"]
            response.stream = _AsyncAnswer(response.stream, lane, self, timeouts, self._clock)
        return response

    async def give_back(self, lane: httpx.AsyncHTTPTransport) -> None:
        if len(self._idle) < self._keep:
            self._idle.append(lane)
        else:
            await lane.aclose()

    async def aclose(self) -> None:
        while self._idle:
            await self._idle.pop().aclose()


class _Answer(httpx.SyncByteStream):
    def __init__(
        self,
        stream: httpx.SyncByteStream,
        lane: httpx.HTTPTransport,
        home: ProxyTransport,
        timeouts: dict[str, float],
        clock: Callable[[], float],
    ) -> None:
        self._timeouts = timeouts
        self._clock = clock
        self._stream = stream
        self._lane: httpx.HTTPTransport | None = lane
        self._home = home

    def __iter__(self) -> Iterator[bytes]:
        for piece in self._stream:
            patience(self._timeouts, "read", self._clock, httpx.ReadTimeout)
            yield piece

    def close(self) -> None:
        lane, self._lane = self._lane, None
        if lane is not None:
            self._stream.close()
            self._home.give_back(lane)


class _AsyncAnswer(httpx.AsyncByteStream):
    def __init__(
        self,
        stream: httpx.AsyncByteStream,
        lane: httpx.AsyncHTTPTransport,
        home: AsyncProxyTransport,
        timeouts: dict[str, float],
        clock: Callable[[], float],
    ) -> None:
        self._timeouts = timeouts
        self._clock = clock
        self._stream = stream
        self._lane: httpx.AsyncHTTPTransport | None = lane
        self._home = home

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for piece in self._stream:
            patience(self._timeouts, "read", self._clock, httpx.ReadTimeout)
            yield piece

    async def aclose(self) -> None:
        lane, self._lane = self._lane, None
        if lane is not None:
            await self._stream.aclose()
            await self._home.give_back(lane)
