"""The cheapest service there can be: reads a request's body, waits, and sends one fixed answer.

    python -m benchmarks.drain_server SECONDS

Prints its port. It looks at nothing, so that a benchmark measures its clients.
"""

from __future__ import annotations

import asyncio
import sys

BODY = (
    b'{"id":"1","created":1,"object":"chat.completion","model":"glm-4.6v","choices":[{"index":0,'
    b'"finish_reason":"stop","message":{"role":"assistant","content":"A photo."}}],'
    b'"usage":{"prompt_tokens":1000,"completion_tokens":10,"total_tokens":1010}}'
)
ANSWER = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%s" % (
    len(BODY),
    BODY,
)


class Drain(asyncio.BufferedProtocol):
    """One connection; requests with a content-length, one after the other."""

    buffer = bytearray(1 << 18)
    seconds = 0.0

    def __init__(self) -> None:
        self._head = b""
        self._missing: int | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def get_buffer(self, sizehint: int) -> bytearray:
        return self.buffer

    def buffer_updated(self, nbytes: int) -> None:
        if self._missing is None:
            self._head += bytes(self.buffer[:nbytes])
            end = self._head.find(b"\r\n\r\n")
            if end < 0:
                return
            lines = self._head[:end].lower().split(b"\r\n")
            length = next(int(line[15:]) for line in lines if line.startswith(b"content-length:"))
            self._missing = length - (len(self._head) - end - 4)
            self._head = b""
        else:
            self._missing -= nbytes
        if self._missing == 0:
            self._missing = None
            asyncio.get_running_loop().call_later(self.seconds, self._answer)

    def _answer(self) -> None:
        if not self._transport.is_closing():
            self._transport.write(ANSWER)


async def serve() -> None:
    Drain.seconds = float(sys.argv[1])
    server = await asyncio.get_running_loop().create_server(Drain, "127.0.0.1", 0, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve())
