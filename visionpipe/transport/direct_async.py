"""The transport for asyncio: connections kept open on a loop.

The rules are those of ``direct_sync``: a connection is used again only when nothing has arrived on it since
its last answer, and a server that answers while the body is still going out is heard. Cancelling a request
closes its connection, and so does the end of its loop.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import ssl
import time
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Protocol
from weakref import WeakSet

import h11

from visionpipe.transport.direct_sync import KEPT_IDLE_S, READ_BYTES, TURN_S, keep_alive, wait_for_socket
from visionpipe.transport.errors import AnswerCutError
from visionpipe.transport.exchange import Exchange, Step, wait_limit
from visionpipe.transport.httpx_library import httpx
from visionpipe.transport.messages import AsyncAnswer, RawAnswer, RawRequest

HEAR_BYTES = 1 << 20
"""Bytes after which a sender looks whether the server has answered already, though the socket takes more."""


TLS_BYTES = 32 * 1024
"""What a TLS connection encrypts, and receives, at a time."""

SENDING = 8
"""Bodies that go out at once. A full socket leaves up to a chunk of each in memory, and more of them would
only share the same line."""


class Closable(Protocol):
    """What may be left open."""

    async def aclose(self) -> None: ...


@dataclass(slots=True)
class _Left:
    """What is open on one loop: somebody's still, or nobody's and about to be closed."""

    used: WeakSet[Closable] = field(default_factory=WeakSet)
    dropped: set[Closable] = field(default_factory=set)
    closing: set[asyncio.Task[None]] = field(default_factory=set)
    waiter: AsyncGenerator[None, None] | None = None


_loops: dict[asyncio.AbstractEventLoop, _Left] = {}
_foreign: list[Closable] = []


async def close_with_loop(one: Closable) -> None:
    """Have ``one`` closed when the running loop ends, if it is still there."""
    loop = asyncio.get_running_loop()
    if loop not in _loops:
        for ended in [other for other in _loops if other.is_closed()]:
            del _loops[ended]
        left = _loops[loop] = _Left()
        left.waiter = _until_the_end(loop, left)
        await anext(left.waiter)
    _loops[loop].used.add(one)


async def _until_the_end(loop: asyncio.AbstractEventLoop, left: _Left) -> AsyncGenerator[None, None]:
    try:
        yield
    finally:
        _loops.pop(loop, None)
        await _close_all([*left.dropped, *left.used])
        if left.closing:
            await asyncio.wait(left.closing)


async def _close_all(connections: Sequence[Closable]) -> None:
    for connection in connections:
        await connection.aclose()
    await asyncio.sleep(0)  # the loop closes sockets at its next turn


def drop(connection: Closable, loop: asyncio.AbstractEventLoop, process: int) -> None:
    """Close what nobody will close any more; from any thread, and from a finalizer.

    Args:
        connection: made on ``loop``.
        process: in which it was made. In a forked one it is left alone, because taking it off the loop would
            take it off the other process's loop too.
    """
    if process != os.getpid():
        _foreign.append(connection)
        return
    left = _loops.get(loop)
    if left is None or loop.is_closed():
        return
    left.dropped.add(connection)  # held until it is closed: a loop that ends cancels the task that does it

    def begin() -> None:
        task = loop.create_task(_close_all([connection]))
        left.closing.add(task)
        task.add_done_callback(ended)

    def ended(task: asyncio.Task[None]) -> None:
        left.closing.discard(task)
        if not task.cancelled() and task.exception() is None:
            left.dropped.discard(connection)

    with contextlib.suppress(RuntimeError):  # it was closed just now, and has closed everything itself
        loop.call_soon_threadsafe(begin)


class AsyncioTransport:
    """Connections to one origin, the last used first; for tasks of one loop at a time.

    Args: as ``SocketTransport``.
    """

    def __init__(
        self,
        url: httpx.URL,
        *,
        ssl_context: ssl.SSLContext | None,
        keep: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._host = url.raw_host.decode("ascii").strip("[]")
        self._port = url.port or (443 if url.scheme == "https" else 80)
        self._ssl_context = ssl_context if url.scheme == "https" else None
        self._clock = clock
        self._idle: deque[_Connection] = deque()
        self._keep = keep
        self._closed = False
        self._turns = _Turns()

    async def send(self, request: RawRequest) -> AsyncAnswer:
        """As ``SocketTransport.send``."""
        timeouts = request.timeouts
        connection = await self._take(wait_limit(timeouts, "connect", self._clock, httpx.ConnectTimeout)[0])
        try:
            status, headers = await connection.exchange(request)
        except BaseException:
            connection.close()
            raise
        free = partial(self.give_back, connection)
        return RawAnswer(status, headers, connection.body(timeouts), timeouts, free, connection.current)

    async def give_back(self, connection: _Connection) -> None:
        """After an answer has been read to its end, or given up."""
        if not connection.reusable or self._closed or len(self._idle) >= self._keep:
            connection.close()
        else:
            connection.idle_since = self._clock()
            self._idle.append(connection)

    async def close(self) -> None:
        self._closed = True
        while self._idle:
            self._idle.pop().close()
        await asyncio.sleep(0)  # the loop closes sockets at its next turn

    def __del__(self) -> None:
        # A client that nobody closed holds idle connections; they are closed as soon as it is dropped.
        for connection in getattr(self, "_idle", ()):
            drop(connection, connection.loop, connection.process)

    async def _take(self, seconds: float) -> _Connection:
        loop = asyncio.get_running_loop()
        while self._idle:
            connection = self._idle.pop()
            fresh = self._clock() - connection.idle_since < KEPT_IDLE_S
            if connection.loop is loop and fresh and not connection.readable():
                return connection
            connection.close()
        try:
            async with asyncio.timeout(seconds):
                transport, connection = await loop.create_connection(
                    lambda: _Connection(loop, self._clock, self._turns),
                    self._host,
                    self._port,
                    ssl=self._ssl_context,
                    server_hostname=self._host if self._ssl_context else None,
                )
        except TimeoutError as error:
            raise httpx.ConnectTimeout(str(error)) from error
        except (OSError, ValueError) as error:
            raise httpx.ConnectError(str(error)) from error
        _shrink_buffer(transport)
        await close_with_loop(connection)
        return connection


def _shrink_buffer(transport: object) -> None:
    """A TLS connection of asyncio's takes 256 KB for what it receives before anything has come, and an answer
    has one or two. There is no option for that; where these attributes are other ones, all stays as it is."""
    tls: Any = getattr(transport, "_ssl_protocol", None)
    if hasattr(tls, "max_size") and hasattr(tls, "_ssl_buffer_view"):
        tls.max_size = TLS_BYTES
        tls._ssl_buffer = bytearray(TLS_BYTES)
        tls._ssl_buffer_view = memoryview(tls._ssl_buffer)


class _Turns:
    """Of the bodies that go out; behind slow ones nobody waits longer than ``TURN_S``."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._free = asyncio.Semaphore(SENDING)

    async def begin(self) -> Callable[[], None]:
        """Waits for a turn; what it returns is to be called at its end."""
        loop = asyncio.get_running_loop()
        if self._loop is not loop:
            self._loop, self._free = loop, asyncio.Semaphore(SENDING)
        try:
            async with asyncio.timeout(TURN_S):
                await self._free.acquire()
        except TimeoutError:
            return _nothing
        return self._free.release


def _nothing() -> None:
    return


class _Connection(asyncio.Protocol):
    """One socket as the loop serves it, and the exchange on it."""

    def __init__(self, loop: asyncio.AbstractEventLoop, clock: Callable[[], float], turns: _Turns) -> None:
        self.loop = loop
        self._turns = turns
        self._clock = clock
        self.process = os.getpid()
        self.idle_since = 0.0
        self._transport: asyncio.Transport | None = None
        self._exchange = Exchange()
        self._arrived: deque[bytes] = deque()
        self._arrived_bytes = 0
        self._over = False
        self._error: Exception | None = None
        self._paused = self._encrypted = False
        self._waiter: asyncio.Future[None] | None = None

    # What the loop calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._encrypted = transport.get_extra_info("ssl_object") is not None
        keep_alive(transport.get_extra_info("socket"))

    def data_received(self, data: bytes) -> None:
        self._arrived.append(bytes(data))
        self._arrived_bytes += len(data)
        if self._arrived_bytes > 4 * READ_BYTES and self._transport is not None:
            self._transport.pause_reading()
        self._wake()

    def eof_received(self) -> None:
        self._over = True
        self._wake()

    def connection_lost(self, error: Exception | None) -> None:
        if error is not None and not self._arrived:
            self._rescue()
        self._over = True
        self._error = self._error or error
        self._paused = False
        self._wake()

    def _rescue(self) -> None:
        """Read what the loop has not: it gives a socket up when a write fails, though the answer that the
        server sent before it hung up is still in there. Not so under TLS, where a failed write ends all."""
        if self._transport is None or self._transport.get_extra_info("ssl_object") is not None:
            return
        try:
            number = os.dup(self._transport.get_extra_info("socket").fileno())
            with socket.socket(fileno=number) as left:
                left.setblocking(False)
                while data := left.recv(READ_BYTES):
                    self._arrived.append(data)
                    self._arrived_bytes += len(data)
        except OSError:
            return  # all is read, or there was nothing

    def pause_writing(self) -> None:
        self._paused = True

    def resume_writing(self) -> None:
        self._paused = False
        self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    # What the transport calls.

    @property
    def current(self) -> Exchange:
        """The exchange under way, or the last one."""
        return self._exchange

    @property
    def reusable(self) -> bool:
        return self._exchange.reusable and not self._over

    def readable(self) -> bool:
        """Whether anything, a close included, has arrived unasked."""
        if self._arrived or self._over or self._transport is None:
            return True
        return wait_for_socket(self._transport.get_extra_info("socket"), False, 0)[0]

    def close(self) -> None:
        if self.process != os.getpid():
            drop(self, self.loop, self.process)
        elif self._transport is not None and not self.loop.is_closed():
            self._transport.abort()

    async def aclose(self) -> None:
        self.close()

    async def exchange(self, request: RawRequest) -> tuple[int, dict[str, str]]:
        """Send the request and read the answer's head."""
        exchange = self._exchange = Exchange()
        timeouts = request.timeouts
        try:
            head = exchange.request(request.method.encode("ascii"), request.target, request.headers)
        except h11.LocalProtocolError as error:
            raise httpx.LocalProtocolError(str(error)) from error
        if await self._send(head, request.chunks, timeouts):
            exchange.end()
        while True:
            try:
                answer = exchange.head()
            except h11.RemoteProtocolError as error:
                raise httpx.RemoteProtocolError(str(error)) from error
            if answer is not None:
                return answer
            try:
                data = await self._receive(timeouts)
            except httpx.ReadError as error:
                if exchange.started:
                    raise AnswerCutError(str(error)) from error
                raise
            if not data:
                if exchange.started:
                    raise AnswerCutError("the connection was closed inside the answer's head")
                raise httpx.ReadError("the connection was closed without an answer")
            exchange.receive(data)

    async def body(self, timeouts: dict[str, float]) -> AsyncIterator[bytes]:
        """The answer's body as it arrives, with at most ``read`` seconds between two pieces."""
        exchange = self._exchange
        while True:
            try:
                piece = exchange.body()
                if piece is Step.END:
                    return
                if piece is Step.MORE:
                    exchange.receive(await self._receive(timeouts))
                elif isinstance(piece, bytes):
                    yield piece
            except h11.RemoteProtocolError as error:
                raise httpx.RemoteProtocolError(str(error)) from error

    async def _send(self, head: bytes, chunks: Iterable[bytes], timeouts: dict[str, float]) -> bool:
        """Whether all of it was sent: not where the server has answered or hung up before."""
        if self._exchange.announced <= READ_BYTES:
            return await self._send_in_turn(head, chunks, timeouts)
        end = await self._turns.begin()
        try:
            return await self._send_in_turn(head, chunks, timeouts)
        finally:
            end()

    async def _send_in_turn(self, head: bytes, chunks: Iterable[bytes], timeouts: dict[str, float]) -> bool:
        unheard = 0
        for chunk in chunks:
            self._exchange.given += len(chunk)
            if head and len(chunk) < READ_BYTES:
                chunk = head + chunk
            elif head and not self._write(head):
                return False
            head = b""
            if not self._write(chunk):
                return False
            unheard += len(chunk)
            if self._paused or unheard >= HEAR_BYTES:
                await self._hear(timeouts)
                unheard = 0
        if head and not self._write(head):
            return False
        await self._hear(timeouts)
        return True

    def _write(self, data: bytes) -> bool:
        if self._arrived or self._over or self._transport is None:
            return False
        if not self._encrypted:
            self._transport.write(data)
            return True
        # What is encrypted at a time stays as large in memory as long as the connection lasts.
        view = memoryview(data)
        for start in range(0, len(view), TLS_BYTES):
            self._transport.write(view[start : start + TLS_BYTES])
        return True

    async def _hear(self, timeouts: dict[str, float]) -> None:
        """Gives the loop a turn to see what has arrived, even where the socket takes all; and waits until it
        takes more."""
        await asyncio.sleep(0)
        while self._paused and not self._arrived and not self._over:
            await self._wait(*wait_limit(timeouts, "write", self._clock, httpx.WriteTimeout))

    async def _receive(self, timeouts: dict[str, float]) -> bytes:
        # Looked at even where something has arrived: it may go on arriving for ever.
        limits = wait_limit(timeouts, "read", self._clock, httpx.ReadTimeout)
        while not self._arrived:
            if self._error is not None:
                raise httpx.ReadError(str(self._error)) from self._error
            if self._over:
                return b""
            await self._wait(*limits)
        data = self._arrived.popleft()
        self._arrived_bytes -= len(data)
        if not self._arrived and self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()
        return data

    async def _wait(self, seconds: float, error: Callable[[], httpx.TimeoutException]) -> None:
        """Until the loop has news."""
        self._waiter = self.loop.create_future()
        timer = self.loop.call_later(seconds, self._expire, self._waiter, error)
        try:
            await self._waiter
        finally:
            timer.cancel()
            self._waiter = None

    @staticmethod
    def _expire(waiter: asyncio.Future[None], error: Callable[[], httpx.TimeoutException]) -> None:
        if not waiter.done():
            waiter.set_exception(error())
