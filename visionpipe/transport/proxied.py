"""httpx's own transports behind a proxy, one connection each, so that no pool grows.

A connection stays with the process, and the event loop, that made it.
"""

from __future__ import annotations

import asyncio
import os
import ssl
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field

from visionpipe.transport.direct_async import close_with_loop, drop
from visionpipe.transport.exchange import wait_limit
from visionpipe.transport.httpx_library import httpx

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
        self._idle: deque[_Lane] = deque()

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        lane = self._take()
        try:
            response = lane.way.handle_request(request)
        except BaseException:
            lane.way.close()
            raise
        if isinstance(response.stream, httpx.SyncByteStream):
            timeouts = request.extensions["timeout"]
            response.stream = _Answer(response.stream, lane, self, timeouts, self._clock)
        return response

    def give_back(self, lane: _Lane) -> None:
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


class AsyncProxyTransport(httpx.AsyncBaseTransport):
    """The same on an event loop; a connection that was made on another one is not used."""

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
        self._idle: deque[_AsyncLane] = deque()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        lane = await self._take()
        try:
            response = await lane.way.handle_async_request(request)
        except BaseException:
            await lane.way.aclose()
            raise
        if isinstance(response.stream, httpx.AsyncByteStream):
            timeouts = request.extensions["timeout"]
            response.stream = _AsyncAnswer(response.stream, lane, self, timeouts, self._clock)
        return response

    async def give_back(self, lane: _AsyncLane) -> None:
        if len(self._idle) < self._keep:
            self._idle.append(lane)
        else:
            await lane.way.aclose()

    async def aclose(self) -> None:
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


class _Answer(httpx.SyncByteStream):
    def __init__(
        self,
        stream: httpx.SyncByteStream,
        lane: _Lane,
        home: ProxyTransport,
        timeouts: dict[str, float],
        clock: Callable[[], float],
    ) -> None:
        self._timeouts = timeouts
        self._clock = clock
        self._stream = stream
        self._lane: _Lane | None = lane
        self._home = home

    def __iter__(self) -> Iterator[bytes]:
        for piece in self._stream:
            wait_limit(self._timeouts, "read", self._clock, httpx.ReadTimeout)
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
        lane: _AsyncLane,
        home: AsyncProxyTransport,
        timeouts: dict[str, float],
        clock: Callable[[], float],
    ) -> None:
        self._timeouts = timeouts
        self._clock = clock
        self._stream = stream
        self._lane: _AsyncLane | None = lane
        self._home = home

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for piece in self._stream:
            wait_limit(self._timeouts, "read", self._clock, httpx.ReadTimeout)
            yield piece

    async def aclose(self) -> None:
        lane, self._lane = self._lane, None
        if lane is not None:
            await self._stream.aclose()
            await self._home.give_back(lane)
