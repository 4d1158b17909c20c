"""How many requests a second the sandbox takes, with its memory while it does.

    python benchmarks/sandbox_throughput.py [--seconds 10] [--rate 200] [--kilobytes 200] [--connections 32]

The server runs in a process of its own with scripted answers; this process sends chat requests that each hold
one image of other bytes as base64, over kept connections, at the given rate (0: as fast as it goes), and
prints what was reached, the latencies, CPU time a request, and the server's memory over the run.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import os
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass, field

import orjson
import psutil

from visionpipe.sandbox.scenario import DEFAULT_KEY
from visionpipe.testing.images import jpeg_bytes

SERVER = """
import sys
from visionpipe.sandbox.scenario import Options
from visionpipe.sandbox.scenario import parse_scenario
from visionpipe.sandbox.loopback import bind
from visionpipe.sandbox.server import serve
from visionpipe.sandbox.service import Service
scenario = parse_scenario('[[answer]]\\ntext = "A cat on a sofa."')
listener = bind()
print(listener.getsockname()[1], flush=True)
serve(Service(Options(answers="script", scenario=scenario)), listener)
"""


@dataclass
class Tally:
    """What came of the run."""

    latencies: list[float] = field(default_factory=list)
    failures: int = 0
    late: float = 0.0


def request_of(size: int, number: int) -> bytes:
    """A chat request whose body has about ``size`` bytes, with an image like no other."""
    image = jpeg_bytes(320, 240)
    padding = number.to_bytes(8, "big") + os.urandom(64)
    image += (padding * (size // len(padding) + 1))[: max(0, size * 3 // 4 - len(image))]
    parts = [
        {"type": "image_url", "image_url": {"url": base64.b64encode(image).decode()}},
        {"type": "text", "text": "Describe it."},
    ]
    body = orjson.dumps({"model": "glm-4.6v", "messages": [{"role": "user", "content": parts}]})
    head = (
        "POST /api/paas/v4/chat/completions HTTP/1.1\r\nHost: sandbox\r\n"
        f"Authorization: Bearer {DEFAULT_KEY}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


async def worker(port: int, turns: asyncio.Queue[float | None], requests: list[bytes], tally: Tally) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    number = 0
    while (due := await turns.get()) is not None:
        request = requests[number % len(requests)]
        number += 1
        tally.late = max(tally.late, time.perf_counter() - due)
        writer.write(request)
        await writer.drain()
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
        answer = await reader.readexactly(length)
        tally.latencies.append(time.perf_counter() - due)
        tally.failures += not (head.startswith(b"HTTP/1.1 200") and b"A cat on a sofa." in answer)
    writer.close()
    await writer.wait_closed()


async def load(port: int, options: argparse.Namespace, requests: list[bytes], server: psutil.Process) -> None:
    tally = Tally()
    turns: asyncio.Queue[float | None] = asyncio.Queue(maxsize=options.connections if not options.rate else 0)
    workers = [asyncio.create_task(worker(port, turns, requests, tally)) for _ in range(options.connections)]
    cpu = sum(server.cpu_times()[:2])
    begun = time.perf_counter()
    memory: list[tuple[float, float]] = []
    sent = 0
    while (now := time.perf_counter() - begun) < options.seconds:
        if not memory or now - memory[-1][0] >= options.seconds / 8:
            memory.append((now, server.memory_info().rss / 1e6))
        if options.rate:
            while sent < now * options.rate:
                turns.put_nowait(begun + sent / options.rate)
                sent += 1
            await asyncio.sleep(0.002)
        else:
            await turns.put(time.perf_counter())
            sent += 1
    for _ in workers:
        await turns.put(None)
    await asyncio.gather(*workers)
    took = time.perf_counter() - begun
    cpu = sum(server.cpu_times()[:2]) - cpu
    memory.append((took, server.memory_info().rss / 1e6))
    done = len(tally.latencies)
    p50, p99 = statistics.quantiles(tally.latencies, n=100)[49::49]
    print(
        f"requests   {done} of {len(requests[0]) / 1000:.0f} kB in {took:.1f} s: {done / took:.0f} a second"
    )
    print(f"failures   {tally.failures}")
    print(f"latency    median {p50 * 1000:.1f} ms, 99th percentile {p99 * 1000:.1f} ms")
    print(f"server     {cpu / done * 1000:.2f} ms of CPU a request, {cpu / took * 100:.0f} % of one core")
    print("memory     " + ", ".join(f"{at:.0f} s: {size:.0f} MB" for at, size in memory))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--rate", type=float, default=200, help="requests a second; 0: as fast as it goes")
    parser.add_argument("--kilobytes", type=int, default=200)
    parser.add_argument("--connections", type=int, default=32)
    options = parser.parse_args()
    requests = [request_of(options.kilobytes * 1000, number) for number in range(64)]
    with subprocess.Popen([sys.executable, "-c", SERVER], stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            port = int(process.stdout.readline())
            asyncio.run(load(port, options, requests, psutil.Process(process.pid)))
        finally:
            process.terminate()


if __name__ == "__main__":
    main()
