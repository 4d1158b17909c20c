"""One request on its way through the sandbox, with what is known of it so far, and its connection: the body
read within bounds, the answer written piece by piece, and the ways to break it.

Nothing is buffered here beyond the body that is allowed, and whoever waits also notices that the
client has gone.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from starlette.types import Message, Receive, Scope, Send

from visionpipe.sandbox.log import RequestRecord
from visionpipe.sandbox.replies import Dialect, Refusal
from visionpipe.sandbox.scenario import ErrorFault, FaultPlan, HoldFault, PlannedFault

if TYPE_CHECKING:
    from visionpipe.sandbox.call import Call
    from visionpipe.sandbox.service import Service

SMALL_BODY = 1024 * 1024
"""An unwanted body of up to this many bytes is read away, so that the connection can be used again."""

LINGER_BYTES = 64 * 1024 * 1024
LINGER_SECONDS = 2.0


class ClientGone(Exception):
    """The client closed the connection before the exchange was over."""


class BreakOff(Exception):
    """The connection is to be reset now."""


class Connection:
    """Reads and writes one exchange over ASGI, with the transport below at hand.

    The server puts the asyncio transport into ``scope["state"]["transport"]``. ``status`` is the HTTP status
    sent, 0 as long as there is none; ``bytes_in`` and ``bytes_out`` count the bodies.
    """

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._receive = receive
        self._send = send
        self._transport: asyncio.Transport | None = scope.get("state", {}).get("transport")
        self.headers: dict[bytes, bytes] = dict(scope["headers"])
        self._body_ended = False
        self._gone: asyncio.Task[None] | None = None
        self.status = 0
        self.bytes_in = 0
        self.bytes_out = 0

    def announced(self) -> int | None:
        """The body's size in bytes as the client announced it."""
        value = self.headers.get(b"content-length", b"")
        return int(value) if value.isdigit() else None

    async def read(self, limit: int, bytes_per_second: float | None = None) -> bytes:
        """The whole body; Refusal 413 as soon as it is known to be over ``limit`` bytes.

        Args:
            limit: most bytes to take.
            bytes_per_second: read no faster; the rest waits in the client.
        """
        announced = self.announced()
        if announced is not None and announced > limit:
            raise Refusal("413", f"{announced} bytes, over {limit}")
        body = bytearray()
        while not self._body_ended:
            chunk = await self._next()
            if len(body) + len(chunk) > limit:
                raise Refusal("413", f"over {limit} bytes")
            body += chunk
            if bytes_per_second is not None and chunk:
                seconds = len(chunk) / bytes_per_second
                # A pause takes in what comes, so it has to wait until the body is there.
                await (self.pause(seconds) if self._body_ended else asyncio.sleep(seconds))
        return bytes(body)

    async def _next(self) -> bytes:
        message: Message = await self._receive()
        if message["type"] == "http.disconnect":
            raise ClientGone
        chunk: bytes = message.get("body", b"")
        self._body_ended = not message.get("more_body", False)
        self.bytes_in += len(chunk)
        return chunk

    async def _discard(self, most: int) -> None:
        while not self._body_ended and most > 0:
            most -= len(await self._next())

    async def start(self, status: int, headers: Iterable[tuple[str, str]]) -> None:
        """Begin the answer. An unread body that is small is read away, one that is large ends the
        connection."""
        fields = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers]
        if not self._body_ended:
            announced = self.announced()
            if announced is None or announced <= SMALL_BODY:
                await self._discard(SMALL_BODY)
            if not self._body_ended:
                fields.append((b"connection", b"close"))
        self.status = status
        await self._send({"type": "http.response.start", "status": status, "headers": fields})

    async def write(self, data: bytes) -> None:
        """Send a piece of the answer's body."""
        self.bytes_out += len(data)
        await self._send({"type": "http.response.body", "body": data, "more_body": True})

    async def finish(self) -> None:
        """End the answer. Where the client is still sending, what comes is thrown away for a moment: a
        connection closed over unread data would reset it, and the answer would be lost on the way."""
        if not self._body_ended:
            try:
                async with asyncio.timeout(LINGER_SECONDS):
                    await self._discard(LINGER_BYTES)
            except (TimeoutError, ClientGone):
                pass  # the answer is out; that was all this wait was for
        await self._send({"type": "http.response.body", "body": b"", "more_body": False})

    async def pause(self, seconds: float | None) -> None:
        """Wait (None: for ever); ClientGone as soon as the client closes the connection."""
        if self._gone is None:
            self._gone = asyncio.ensure_future(self._until_gone())
        done, _ = await asyncio.wait({self._gone}, timeout=seconds)
        if done:
            raise ClientGone

    async def _until_gone(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass

    async def wait_for(self, event: asyncio.Event) -> None:
        """Wait for an event; ClientGone as soon as the client closes the connection."""
        waiter = asyncio.ensure_future(event.wait())
        try:
            if self._gone is None:
                self._gone = asyncio.ensure_future(self._until_gone())
            await asyncio.wait({self._gone, waiter}, return_when=asyncio.FIRST_COMPLETED)
            if not waiter.done():
                raise ClientGone
        finally:
            waiter.cancel()

    async def reset(self) -> None:
        """Break the connection with a TCP RST, and wait until it is gone; what was written has left."""
        if self._transport is None:
            raise RuntimeError("only the sandbox's own server can reset a connection")
        raw: Any = self._transport.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._transport.abort()
        with suppress(ClientGone):
            await self.pause(None)

    def close(self) -> None:
        """Let go of what waits on this connection. Nothing is awaited, so that a record is in the log
        before the server can take the client's next request."""
        if self._gone is not None:
            self._gone.cancel()


@dataclass(slots=True)
class Exchange:
    """What a piece of work is given. ``path_values`` come from the route, ``query`` from the address;
    ``fault_plan`` is that of the scenario that held when the request came; a later one leaves it alone."""

    service: Service
    connection: Connection
    record: RequestRecord
    fault_plan: FaultPlan
    dialect: Dialect
    path_values: Mapping[str, str]
    query: Mapping[str, str]
    body: bytes = b""
    planned: PlannedFault = field(default_factory=PlannedFault)
    _inside: str | None = None
    _served: bool = False

    def note(self, call: Call) -> None:
        """Write into the log what a chat request asks for."""
        self.record.model = call.model
        self.record.stream = call.parameters.stream
        self.record.media = call.conversation.media

    async def admit(self, model: str | None = None, stream: bool = False, *, limited: bool = False) -> None:
        """Let a request that is in order go on: count it in, then meet its fault's delay and error.

        Args:
            model: the model it asks for.
            stream: whether it wants a stream.
            limited: whether it counts as in flight until its answer is out.

        Raises:
            Refusal: 1302 beyond the limit, or the scenario's error.
        """
        gate = self.service.gate
        if limited and model is not None:
            gate.enter(self.record.key, model)
            self._inside = model
            await gate.serve(self.connection.wait_for)
            self._served = True
        self.record.in_flight = gate.now
        self.planned = self.fault_plan.next(self.record.path, model, stream)
        self.record.fault = self.planned.kind
        if self.planned.delay:
            await self.connection.pause(self.planned.delay)
        fault = self.planned.fault
        if isinstance(fault, HoldFault):
            await self.connection.wait_for(self.service.released)
        if isinstance(fault, ErrorFault):
            headers = {"retry-after": fault.retry_after} if fault.retry_after is not None else {}
            raise Refusal(fault.code, fault.message, status=fault.status, headers=headers)

    def leave(self) -> None:
        """Count the request out."""
        if self._served:
            self.service.gate.finish()
            self._served = False
        if self._inside is not None:
            self.service.gate.leave(self.record.key, self._inside)
            self._inside = None
