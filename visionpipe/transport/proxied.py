"""httpx's own transports behind a proxy, one connection each, so that no pool grows; the only place where its
requests and answers are made.

A connection stays with the process, and the event loop, that made it.
"""

from __future__ import annotations

import asyncio
import os
import ssl
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial

from visionpipe.transport.direct_async import close_with_loop, drop
from visionpipe.transport.exchange import read_headers, wait_limit
from visionpipe.transport.httpx_library import httpx
from visionpipe.transport.messages import Answer, AsyncAnswer, RawAnswer, RawRequest

_ONE = httpx.Limits(max_connections=1)


class ProxyTransport:
    """Blocking; thread-safe. ``url`` is the origin that requests are for, ``keep`` how many idle connections
    are kept. A request's deadline is looked at between two pieces of its answer."""

    def __init__(
        self,
        url: httpx.URL,
        proxy: httpx.Proxy,
        ssl_context: ssl.SSLContext,
        keep: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._url = url
        self._clock = clock
        self._proxy = proxy
        self._ssl_context = ssl_context
        self._keep = keep
        self._idle: deque[_Lane] = deque()

    def send(self, request: RawRequest) -> Answer:
        lane = self._take()
        try:
            response = lane.way.handle_request(_for_httpx(self._url, request))
        except BaseException:
            lane.way.close()
            raise
        headers, timeouts = read_headers(response.headers.raw), request.timeouts
        pieces = self._pieces(response, timeouts)
        free = partial(self._give_back, lane, response)
        return RawAnswer(response.status_code, headers, pieces, timeouts, free)

    def _pieces(self, response: httpx.Response, timeouts: dict[str, float]) -> Iterator[bytes]:
        for piece in response.iter_raw():
            wait_limit(timeouts, "read", self._clock, httpx.ReadTimeout)
            yield piece

    def _give_back(self, lane: _Lane, response: httpx.Response) -> None:
        response.close()
        if len(self._idle) < self._keep:
            self._idle.append(lane)
        else:
            lane.way.close()

    def close(self) -> None:
        while self._idle:
            try:
                self._idle.pop().way.close()
            except IndexError:
                break

    def __del__(self) -> None:
        # A client that nobody closed holds idle connections; they are closed as soon as it is dropped.
        if hasattr(self, "_idle"):
            self.close()

    def _take(self) -> _Lane:
        while True:
            try:
                lane = self._idle.pop()
            except IndexError:
                return _Lane(httpx.HTTPTransport(verify=self._ssl_context, proxy=self._proxy, limits=_ONE))
            if lane.process == os.getpid():
                return lane
            lane.way.close()


class AsyncProxyTransport:
    """The same on an event loop; a connection that was made on another one is not used."""

    def __init__(
        self,
        url: httpx.URL,
        proxy: httpx.Proxy,
        ssl_context: ssl.SSLContext,
        keep: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._url = url
        self._clock = clock
        self._proxy = proxy
        self._ssl_context = ssl_context
        self._keep = keep
        self._idle: deque[_AsyncLane] = deque()

    async def send(self, request: RawRequest) -> AsyncAnswer:
        lane = await self._take()
        try:
            response = await lane.way.handle_async_request(_for_httpx(self._url, request))
        except BaseException:
            await lane.way.aclose()
            raise
        headers, timeouts = read_headers(response.headers.raw), request.timeouts
        pieces = self._pieces(response, timeouts)
        free = partial(self._give_back, lane, response)
        return RawAnswer(response.status_code, headers, pieces, timeouts, free)

    async def _pieces(self, response: httpx.Response, timeouts: dict[str, float]) -> AsyncIterator[bytes]:
        async for piece in response.aiter_raw():
            wait_limit(timeouts, "read", self._clock, httpx.ReadTimeout)
            yield piece

    async def _give_back(self, lane: _AsyncLane, response: httpx.Response) -> None:
        await response.aclose()
        if len(self._idle) < self._keep:
            self._idle.append(lane)
        else:
            await lane.way.aclose()

    async def close(self) -> None:
        loop = asyncio.get_running_loop()
        while self._idle:
            lane = self._idle.pop()
            if lane.is_usable(loop):
                await lane.way.aclose()
            else:
                lane.drop()

    def __del__(self) -> None:
        for lane in getattr(self, "_idle", ()):
            lane.drop()

    async def _take(self) -> _AsyncLane:
        loop = asyncio.get_running_loop()
        while self._idle:
            lane = self._idle.pop()
            if lane.is_usable(loop):
                return lane
            lane.drop()
        way = httpx.AsyncHTTPTransport(verify=self._ssl_context, proxy=self._proxy, limits=_ONE)
        await close_with_loop(way)
        return _AsyncLane(way, loop)


@dataclass(frozen=True, slots=True)
class _Lane:
    """One connection; only the process that made it may use it, or each would read the other's answers."""

    way: httpx.HTTPTransport
    process: int = field(default_factory=os.getpid)


@dataclass(frozen=True, slots=True)
class _AsyncLane:
    """The same, for the loop that made it."""

    way: httpx.AsyncHTTPTransport
    loop: asyncio.AbstractEventLoop
    process: int = field(default_factory=os.getpid)

    def is_usable(self, loop: asyncio.AbstractEventLoop) -> bool:
        return self.loop is loop and self.process == os.getpid()

    def drop(self) -> None:
        drop(self.way, self.loop, self.process)


def _for_httpx(url: httpx.URL, request: RawRequest) -> httpx.Request:
    return httpx.Request(
        request.method,
        url.copy_with(raw_path=request.target),
        headers=request.headers,
        stream=_Chunks(request.chunks),
        extensions={"timeout": request.timeouts},
    )


class _Chunks(httpx.SyncByteStream, httpx.AsyncByteStream):
    """A request's body, for either of them."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._chunks = chunks

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._chunks)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for chunk in self._chunks:
            yield chunk
