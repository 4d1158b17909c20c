"""The blocking transport: sockets kept open, for threads.

A connection is used again only when nothing has arrived on it since its last answer; a server
that answers while the body is still going out is heard; bodies go from the iterator to the socket. httpx's
own pool inspects every connection at every step, which costs more than the rest of a request once dozens
are open at once.
"""

from __future__ import annotations

import contextlib
import os
import select
import socket
import ssl
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import TypeAlias

import h11

from visionpipe.transport.errors import AnswerCutError
from visionpipe.transport.exchange import Exchange, Step, wait_limit
from visionpipe.transport.httpx_library import httpx
from visionpipe.transport.messages import Answer, RawAnswer, RawRequest

KEPT_IDLE_S = 30.0
"""Seconds after which an unused connection is closed rather than used again."""

READ_BYTES = 64 * 1024

TURN_S = 0.2
"""The longest that a thread waits for its turn to send: behind a slow disk all go on at once."""

Dial: TypeAlias = Callable[[tuple[str, int], float], socket.socket]
"""Takes (host or address, port) and seconds, gives a connected socket."""


class SocketTransport:
    """Connections to one origin, the last used first; thread-safe.

    Args:
        url: scheme, host and port of the origin.
        ssl_context: for https; shared by all connections.
        keep: how many idle connections are kept. How many are open at once is the caller's matter.
        clock: seconds, monotonic.
        address: the IP address to connect to, where it is not to be looked up.
        dial: makes the connection.
    """

    def __init__(
        self,
        url: httpx.URL,
        *,
        ssl_context: ssl.SSLContext | None,
        keep: int,
        clock: Callable[[], float] = time.monotonic,
        address: str | None = None,
        dial: Dial = socket.create_connection,
    ) -> None:
        self._host = url.raw_host.decode("ascii").strip("[]")
        self._port = url.port or (443 if url.scheme == "https" else 80)
        self._ssl_context = ssl_context if url.scheme == "https" else None
        self._clock = clock
        self._address = address or self._host
        self._dial = dial
        self._idle: deque[_Connection] = deque()
        self._keep = keep
        self._closed = False
        self._turn = threading.Lock()

    def send(self, request: RawRequest) -> Answer:
        """The answer, once its head is there.

        Raises:
            httpx.HTTPError: it did not come; AnswerCutError where a part of its head did.
        """
        timeouts = request.timeouts
        connection = self._take(wait_limit(timeouts, "connect", self._clock, httpx.ConnectTimeout)[0])
        try:
            status, headers = connection.exchange(request)
        except BaseException:
            connection.close()
            raise
        free = partial(self.give_back, connection)
        return RawAnswer(status, headers, connection.body(timeouts), timeouts, free, connection.current)

    def give_back(self, connection: _Connection) -> None:
        """After an answer has been read to its end, or given up."""
        if not connection.reusable or len(self._idle) >= self._keep:
            connection.close()
            return
        connection.idle_since = self._clock()
        self._idle.append(connection)
        if self._closed:
            self.close()

    def close(self) -> None:
        self._closed = True
        while self._idle:
            try:
                self._idle.pop().close()
            except IndexError:
                break

    def __del__(self) -> None:
        # A client that nobody closed holds idle connections; they are closed as soon as it is dropped.
        if hasattr(self, "_idle"):
            self.close()

    def _take(self, timeout: float) -> _Connection:
        while True:
            try:
                connection = self._idle.pop()
            except IndexError:
                break
            fresh = connection.is_own and self._clock() - connection.idle_since < KEPT_IDLE_S
            if fresh and not connection.readable():
                return connection
            connection.close()
        return _Connection(self._connect(timeout), self._clock, _Turn(self._turn))

    def _connect(self, timeout: float) -> socket.socket:
        try:
            plain = self._dial((self._address, self._port), timeout)
        except TimeoutError as error:
            raise httpx.ConnectTimeout(str(error)) from error
        except (OSError, UnicodeError) as error:
            raise httpx.ConnectError(str(error)) from error
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        keep_alive(plain)
        if self._ssl_context is None:
            return plain
        try:
            return self._ssl_context.wrap_socket(plain, server_hostname=self._host)
        except TimeoutError as error:
            plain.close()
            raise httpx.ConnectTimeout(str(error)) from error
        except (OSError, ValueError) as error:
            plain.close()
            raise httpx.ConnectError(str(error)) from error


class _Turn:
    """One thread's turn to put a body together and into its socket, which takes a millisecond.

    Dozens of threads that do so at once take the interpreter from each other at every step, which costs a
    sixth of all the CPU of a request. So one does it at a time, until its socket takes no more.
    """

    def __init__(self, lock: threading.Lock) -> None:
        self._lock = lock
        self._has_it = False

    def begin(self) -> None:
        self._has_it = self._lock.acquire(timeout=TURN_S)

    def end(self) -> None:
        if self._has_it:
            self._has_it = False
            self._lock.release()


class _Connection:
    """One socket and the exchange on it."""

    def __init__(self, sock: socket.socket, clock: Callable[[], float], turn: _Turn) -> None:
        self._turn = turn
        self._socket = sock
        self._clock = clock
        self._exchange = Exchange()
        self._early: list[bytes] = []
        self._process = os.getpid()
        self.idle_since = 0.0

    @property
    def is_own(self) -> bool:
        """False in a forked process: on a socket of both, each would read the other's answers."""
        return self._process == os.getpid()

    @property
    def current(self) -> Exchange:
        """The exchange under way, or the last one."""
        return self._exchange

    @property
    def reusable(self) -> bool:
        return self._exchange.reusable

    def readable(self) -> bool:
        """Whether anything, a close included, has arrived unasked."""
        return wait_for_socket(self._socket, False, 0)[0]

    def close(self) -> None:
        # A thread that waits for this socket would not hear of its close. The plain socket's own method,
        # because that of a TLS socket takes the ground from under such a thread.
        if self.is_own:
            with contextlib.suppress(OSError):
                socket.socket.shutdown(self._socket, socket.SHUT_RDWR)
        self._socket.close()

    def exchange(self, request: RawRequest) -> tuple[int, dict[str, str]]:
        """Send the request and read the answer's head."""
        exchange = self._exchange = Exchange()
        timeouts = request.timeouts
        try:
            head = exchange.request(request.method.encode("ascii"), request.target, request.headers)
        except h11.LocalProtocolError as error:
            raise httpx.LocalProtocolError(str(error)) from error
        if self._send(head, request.chunks, timeouts):
            exchange.end()
        while True:
            try:
                data = self._receive(timeouts)
            except httpx.ReadError as error:
                if exchange.started:
                    raise AnswerCutError(str(error)) from error
                raise
            if not data:
                if exchange.started:
                    raise AnswerCutError("the connection was closed inside the answer's head")
                raise httpx.ReadError("the connection was closed without an answer")
            try:
                exchange.receive(data)
                answer = exchange.head()
            except h11.RemoteProtocolError as error:
                raise httpx.RemoteProtocolError(str(error)) from error
            if answer is not None:
                return answer

    def body(self, timeouts: dict[str, float]) -> Iterator[bytes]:
        """The answer's body as it arrives, with at most ``read`` seconds between two pieces."""
        exchange = self._exchange
        while True:
            try:
                piece = exchange.body()
                if piece is Step.END:
                    return
                if piece is Step.MORE:
                    exchange.receive(self._receive(timeouts))
                elif isinstance(piece, bytes):
                    yield piece
            except h11.RemoteProtocolError as error:
                raise httpx.RemoteProtocolError(str(error)) from error

    def _send(self, head: bytes, chunks: Iterable[bytes], timeouts: dict[str, float]) -> bool:
        """Whether all of it was sent: not where the server has answered or hung up before."""
        self._socket.settimeout(0)
        self._turn.begin()
        try:
            return self._send_in_turn(head, chunks, timeouts)
        finally:
            self._turn.end()

    def _send_in_turn(self, head: bytes, chunks: Iterable[bytes], timeouts: dict[str, float]) -> bool:
        for chunk in chunks:
            self._exchange.given += len(chunk)
            if head and len(chunk) < READ_BYTES:
                chunk = head + chunk
            elif head and not self._write(head, timeouts):
                return False
            head = b""
            if not self._write(chunk, timeouts):
                return False
        return not head or self._write(head, timeouts)

    def _write(self, data: bytes, timeouts: dict[str, float]) -> bool:
        view = memoryview(data)
        while view:
            try:
                view = view[self._socket.send(view) :]
                continue
            except (BlockingIOError, ssl.SSLWantWriteError, ssl.SSLWantReadError):
                pass
            except OSError:
                return False  # what the server said before it hung up is still there to be read
            seconds, error = wait_limit(timeouts, "write", self._clock, httpx.WriteTimeout)
            self._turn.end()
            readable, writable = wait_for_socket(self._socket, True, seconds)
            self._turn.begin()
            if readable and self._answered():
                return False
            if not readable and not writable:
                raise error()
        return True

    def _answered(self) -> bool:
        """Whether what has arrived belongs to an answer (in TLS it may be a session ticket)."""
        try:
            data = self._socket.recv(READ_BYTES)
        except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return False
        except OSError as error:
            raise httpx.WriteError(str(error)) from error
        if not data:
            raise httpx.WriteError("the connection was closed while the request was being sent")
        self._early.append(data)
        return True

    def _receive(self, timeouts: dict[str, float]) -> bytes:
        if self._early:
            return self._early.pop()
        seconds, expired = wait_limit(timeouts, "read", self._clock, httpx.ReadTimeout)
        try:
            # A buffer is taken once there is something to put into it, not for as long as a model thinks.
            # What TLS has read already does not show at the socket.
            waits = not isinstance(self._socket, ssl.SSLSocket) or not self._socket.pending()
            if waits and not wait_for_socket(self._socket, False, seconds)[0]:
                raise expired()
            self._socket.settimeout(seconds)
            return self._socket.recv(READ_BYTES)
        except TimeoutError as error:
            raise expired() from error
        except (OSError, ValueError) as error:  # ValueError: closed meanwhile
            raise httpx.ReadError(str(error)) from error


def keep_alive(sock: socket.socket) -> None:
    """A server may think for minutes; routers on the way forget connections that are silent that long."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)


def wait_for_socket(sock: socket.socket, write: bool, timeout: float) -> tuple[bool, bool]:
    """(readable, writable) within ``timeout`` seconds; closed and failed sockets count as readable."""
    if hasattr(select, "poll"):
        poll = select.poll()
        poll.register(sock, select.POLLIN | (select.POLLOUT if write else 0))
        found = 0
        for _, event in poll.poll(timeout * 1000):
            found |= event
        return bool(found & ~select.POLLOUT), bool(found & select.POLLOUT)
    readable, writable, _ = select.select([sock], [sock] if write else [], [], timeout)
    return bool(readable), bool(writable)
