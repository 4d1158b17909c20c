"""What `extract_stream` costs as the answer grows: CPU for lists of 2,000 and 8,000 rows. Linear work makes
that 4 times as much; at most 5 is wanted.

    python -m benchmarks.extract_stream
"""

from __future__ import annotations

import asyncio
import threading
import time

import orjson
from pydantic import BaseModel

import visionpipe as vp

LETTERS_A_PIECE = 4
PIXEL = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010802000000907753de0000000c4944415408d763f8ffff3f"
    "0005fe02fedccc59e70000000049454e44ae426082"
)


class Row(BaseModel):
    """One line of a price list."""

    name: str
    price: float
    tags: list[str]


def answer(rows: int) -> bytes:
    """A whole answer over HTTP, streamed in pieces of a few letters."""
    listed = [
        {"name": f"Tea no. {row}", "price": row + 0.5, "tags": ["green", "loose"]} for row in range(rows)
    ]
    text = orjson.dumps(listed).decode()
    frames = [
        b"data: "
        + orjson.dumps({"choices": [{"index": 0, "delta": {"content": text[at : at + LETTERS_A_PIECE]}}]})
        for at in range(0, len(text), LETTERS_A_PIECE)
    ]
    frames.append(b'data: {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}')
    body = b"\n\n".join([*frames, b"data: [DONE]", b""])
    head = f"Content-Type: text/event-stream\r\nConnection: close\r\nContent-Length: {len(body)}\r\n\r\n"
    return b"HTTP/1.1 200 OK\r\n" + head.encode() + body


def served(bodies: list[bytes]) -> str:
    """The address of a server that gives one body after the other."""
    ready = threading.Event()
    port: list[int] = []

    async def serve() -> None:
        async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            head = await reader.readuntil(b"\r\n\r\n")
            length = next(
                int(line[15:]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")
            )
            await reader.readexactly(length)
            writer.write(bodies.pop(0))
            await writer.drain()
            writer.close()

        server = await asyncio.start_server(handle, "127.0.0.1", 0)
        port.append(server.sockets[0].getsockname()[1])
        ready.set()
        await server.serve_forever()

    threading.Thread(target=lambda: asyncio.run(serve()), daemon=True).start()
    ready.wait(10)
    return f"http://127.0.0.1:{port[0]}"


def main() -> None:
    """Print one line a length, and the ratio."""
    sizes = (200, 2000, 8000)
    url = served([answer(rows) for rows in sizes])
    spent = []
    with vp.Client(
        base_url=f"openai+{url}", api_key="none", model="benchmark", timeouts=vp.Timeouts(total=600)
    ) as client:
        for rows in sizes:
            began = time.process_time()
            with client.extract_stream(list[Row], PIXEL) as stream:
                shown = sum(1 for _ in stream)
                assert len(stream.value) == rows
            spent.append(time.process_time() - began)
            print(f"{rows:,} rows: {spent[-1]:.2f} s of CPU, shown {shown:,} times")
    print(f"8,000 rows cost {spent[2] / spent[1]:.1f} times as much as 2,000 (wanted: at most 5)")


if __name__ == "__main__":
    main()
