"""A small HTTP/1.1 server on loopback that does as it is told; stdlib only.

Each request takes the next answer from the script (the last one stays), or asks a callable. Everything that
arrives is recorded.
"""

from __future__ import annotations

import hashlib
import json
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Seen:
    """A request as it arrived. ``body`` is empty where the server was told to keep only its hash."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    size: int
    sha256: str
    connection: int

    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True)
class Answer:
    """What to do with a request.

    Args:
        status: HTTP status.
        body: bytes, or chunks to drip one by one (sent with chunked encoding).
        headers: sent besides Content-Length or Transfer-Encoding.
        wait: the server waits for this event before the first byte.
        gate: called before each chunk of a dripped body but the first; with ``gate_first``, before that too.
        reset: "before" resets the connection instead of answering, "close" closes it quietly instead,
            "head" inside the head, "middle" half-way through the body (a dripped one: after its chunks).
        early: answer before the request's body is read; "keep" leaves it unread and the connection open,
            "close" closes at once.
        close: close the connection after the answer, unannounced.
        raw: sent as it is, instead of all else.
    """

    status: int = 200
    body: bytes | Sequence[bytes] = b"{}"
    headers: Mapping[str, str] = field(default_factory=dict)
    wait: threading.Event | None = None
    gate: Callable[[int], object] | None = None
    gate_first: bool = False
    reset: str = ""
    early: str = ""
    close: bool = False
    raw: bytes | None = None


Script = Sequence[Answer] | Callable[[Seen], Answer]


class Loopback:
    """The server; ``url`` is its base URL."""

    def __init__(
        self,
        *answers: Answer,
        answer: Callable[[Seen], Answer] | None = None,
        ssl_context: ssl.SSLContext | None = None,
    ) -> None:
        self.requests: list[Seen] = []
        self.connections = 0
        self.keep_bodies = True
        self.ended = threading.Semaphore(0)
        """Released each time a connection is over."""
        self._answers: list[Answer] = list(answers)
        self._answer = answer
        self._ssl_context = ssl_context
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self._threads: list[threading.Thread] = []
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        self.port: int = self._listener.getsockname()[1]
        scheme = "https" if ssl_context else "http"
        self.host = f"127.0.0.1:{self.port}"
        self.url = f"{scheme}://{'localhost' if ssl_context else '127.0.0.1'}:{self.port}/v1"
        self._start(self._accept)

    def script(self, *answers: Answer, answer: Callable[[Seen], Answer] | None = None) -> None:
        """Answer like this from now on."""
        with self._lock:
            self._answers, self._answer = list(answers), answer

    def close(self) -> None:
        # A shutdown wakes the accepting thread; closing alone would leave it waiting.
        with self._lock:
            ends = [self._listener, *self._open]
        for end in ends:
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue  # not connected, or gone already
        for thread in self._threads:
            thread.join(5)
        self._listener.close()

    def hang_up(self) -> None:
        """Close every open connection now."""
        with self._lock:
            ends = list(self._open)
        for end in ends:
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue

    def _start(self, target: Callable[..., None], *args: object) -> None:
        thread = threading.Thread(target=target, args=args, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with self._lock:
                self.connections += 1
                number = self.connections
                self._open.add(connection)
            self._start(self._serve, connection, number)

    def _serve(self, connection: socket.socket, number: int) -> None:
        plain = connection
        try:
            if self._ssl_context is not None:
                connection = self._ssl_context.wrap_socket(connection, server_side=True)
                with self._lock:
                    self._open.add(connection)
            with connection.makefile("rb") as incoming:
                while self._one(connection, incoming, number):
                    pass
        except (OSError, ValueError):
            pass  # the client went away, which is its right
        finally:
            with self._lock:
                self._open -= {connection, plain}
            connection.close()
            self.ended.release()

    def _one(self, connection: socket.socket, incoming: Any, number: int) -> bool:
        line = incoming.readline()
        if not line:
            return False
        if not line.rstrip().endswith(b"HTTP/1.1"):
            connection.sendall(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
            return False
        method, path, _ = line.decode("latin-1").split()
        headers: dict[str, str] = {}
        while header := incoming.readline().decode("latin-1").strip():
            name, _, value = header.partition(":")
            headers[name.lower()] = value.strip()
        length = int(headers.get("content-length", 0))
        with self._lock:
            first = self._answers[0] if self._answers else Answer()
        digest, parts, size = hashlib.sha256(), [], 0
        if not (first.early and self._answer is None):
            while size < length:
                part = incoming.read(min(1 << 16, length - size))
                if not part:
                    return False
                size += len(part)
                digest.update(part)
                if self.keep_bodies:
                    parts.append(part)
        seen = Seen(method, path, headers, b"".join(parts), size, digest.hexdigest(), number)
        with self._lock:
            self.requests.append(seen)
            answer = first
            if self._answer is None and len(self._answers) > 1:
                self._answers.pop(0)
        if self._answer is not None:
            answer = self._answer(seen)
        return self._say(connection, incoming, answer)

    def _say(self, connection: socket.socket, incoming: Any, answer: Answer) -> bool:
        if answer.wait is not None:
            answer.wait.wait(30)
        if answer.reset == "before":
            _reset(connection)
            return False
        if answer.reset == "close":
            return False
        if answer.raw is not None:
            connection.sendall(answer.raw)
            return not answer.close
        dripped = not isinstance(answer.body, bytes)
        head = f"HTTP/1.1 {answer.status} Whatever\r\n"
        fields = {"Content-Type": "application/json", **answer.headers}
        if dripped:
            fields["Transfer-Encoding"] = "chunked"
        else:
            fields["Content-Length"] = str(len(answer.body))
        head += "".join(f"{name}: {value}\r\n" for name, value in fields.items()) + "\r\n"
        if answer.reset == "head":
            connection.sendall(head[: len(head) // 2].encode())
            return False
        if isinstance(answer.body, bytes):
            sent = answer.body[: len(answer.body) // 2] if answer.reset == "middle" else answer.body
            connection.sendall(head.encode() + sent)
            if answer.reset == "middle":
                return False
        else:
            connection.sendall(head.encode())
            for number, chunk in enumerate(answer.body):
                if (number or answer.gate_first) and answer.gate is not None:
                    answer.gate(number)
                connection.sendall(b"%x\r\n%b\r\n" % (len(chunk), chunk))
            if answer.reset == "middle":
                return False
            connection.sendall(b"0\r\n\r\n")
        if answer.early == "keep":
            # Nothing is read any more; the client's next bytes fill the buffers until it hangs up.
            while connection.fileno() >= 0 and not _gone(connection):
                pass
            return False
        return not (answer.close or answer.early)


def _gone(connection: socket.socket) -> bool:
    import select

    poll = select.poll()
    poll.register(connection, select.POLLRDHUP)
    return bool(poll.poll(100))


def _reset(connection: socket.socket) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


@contextmanager
def serving(
    *answers: Answer,
    answer: Callable[[Seen], Answer] | None = None,
    ssl_context: ssl.SSLContext | None = None,
) -> Iterator[Loopback]:
    """A server for the length of a with-block."""
    server = Loopback(*answers, answer=answer, ssl_context=ssl_context)
    try:
        yield server
    finally:
        server.close()
