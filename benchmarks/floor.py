"""Real-sized images, 50 ms a reply, 64 at once: the library and its command beside the floor and the peers.

    python -m benchmarks.floor [--images 500] [--rounds 5] [--only raw,threads,library,command] [--no-pyc]

Each contestant is a process of its own, against the same server on loopback, one after the other, and the
rounds take turns. "images/s" and the CPU behind them are of the work, with everything imported, but for the
command, where they are of the whole; "whole" is from the start of the process to its end, and so are the CPU
behind it, peak memory and voluntary switches. The median round is printed, and the ratios of these medians.

raw: asyncio sockets and base64, no checks, no record. threads: http.client in threads, bodies streamed from
their files. ``--no-pyc``: every process compiles all that it imports, as the first after an installation.
500 images take about 30 s a round with the peers, 2,000 of ours and the floors about 40 s.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import http.client
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

AT_ONCE = 64
SECONDS = 0.05
PROMPT = "Describe this in one sentence."
MODEL = "glm-4.6v"
KEY = "id.secret"
BEFORE = (
    b'{"model":"glm-4.6v","messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"'
    b"data:image/jpeg;base64,"
)
BEHIND = b'"}},{"type":"text","text":"Describe this in one sentence."}]}]}'
STEP = 192 * 1024


def make_images(folder: Path, count: int) -> int:
    """Photos of about 0.8 MB, no two alike. Returns the bytes in all."""
    import cv2
    import numpy as np

    sample = cv2.imread(str(Path(__file__).parent.parent / "samples" / "china.jpg"))
    rng = np.random.default_rng(1)
    large = cv2.resize(sample, (2400, 1600), interpolation=cv2.INTER_CUBIC)
    encoded = []
    for _ in range(10):
        grain = rng.integers(0, 24, large.shape, np.uint8)
        _, data = cv2.imencode(".jpg", cv2.add(large, grain), [cv2.IMWRITE_JPEG_QUALITY, 86])
        encoded.append(data.tobytes())
    total = 0
    for number in range(count):
        # A comment behind the first marker makes each file another one.
        data = encoded[number % len(encoded)]
        data = data[:2] + b"\xff\xfe\x00\x0a%08d" % number + data[2:]
        (folder / f"{number:04}.jpg").write_bytes(data)
        total += len(data)
    return total


class Work(NamedTuple):
    """Images done, and the seconds and CPU seconds they took, with everything imported before."""

    done: int
    seconds: float
    cpu_s: float


class Watch:
    """Runs from its making."""

    def __init__(self) -> None:
        self._begun, self._cpu = time.perf_counter(), time.process_time()

    def stop(self, done: int) -> Work:
        return Work(done, time.perf_counter() - self._begun, time.process_time() - self._cpu)


def raw(folder: Path, url: str) -> Work:
    import pybase64

    where = urlsplit(url)
    files = iter(sorted(folder.iterdir()))
    done = 0

    async def connection() -> None:
        nonlocal done
        reader, writer = await asyncio.open_connection(where.hostname, where.port)
        for path in files:
            data = pybase64.b64encode(path.read_bytes())
            size = len(BEFORE) + len(data) + len(BEHIND)
            head = f"POST {where.path}/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: {size}\r\n\r\n"
            writer.writelines([head.encode(), BEFORE, data, BEHIND])
            await writer.drain()
            answer = await reader.readuntil(b"\r\n\r\n")
            length = int(answer.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
            done += bool(json.loads(await reader.readexactly(length))["choices"][0]["message"]["content"])
        writer.close()

    async def work() -> None:
        await asyncio.gather(*(connection() for _ in range(AT_ONCE)))

    watch = Watch()
    asyncio.run(work())
    return watch.stop(done)


def threads(folder: Path, url: str) -> Work:
    import pybase64

    where = urlsplit(url)
    files = iter(sorted(folder.iterdir()))
    lock = threading.Lock()

    def body(path: Path) -> Iterator[bytes]:
        yield BEFORE
        with path.open("rb", buffering=0) as file:
            while step := file.read(STEP):
                yield pybase64.b64encode(step)
        yield BEHIND

    def work(_: int) -> int:
        done = 0
        assert where.hostname is not None
        kept = http.client.HTTPConnection(where.hostname, where.port)
        while True:
            with lock:
                path = next(files, None)
            if path is None:
                kept.close()
                return done
            size = len(BEFORE) + -(-path.stat().st_size // 3) * 4 + len(BEHIND)
            kept.request("POST", f"{where.path}/chat/completions", body(path), {"Content-Length": str(size)})
            done += bool(json.loads(kept.getresponse().read())["choices"][0]["message"]["content"])

    watch = Watch()
    with ThreadPoolExecutor(AT_ONCE) as pool:
        return watch.stop(sum(pool.map(work, range(AT_ONCE))))


def library(folder: Path, url: str) -> Work:
    # The peers load their HTTP library with the import, before their clock runs; so does this.
    import visionpipe.client.twin
    import visionpipe.transport._async.http_sender
    import visionpipe.transport._sync.http_sender  # noqa: F401 (see above)
    from visionpipe.client import Client
    from visionpipe.pipeline.limiter import Limiter
    from visionpipe.pipeline.pipeline import Pipeline

    # The peers send 64 at once from the start, so here too the level is not found out first.
    limiter = Limiter(AT_ONCE, start=AT_ONCE)
    watch = Watch()
    with Client(MODEL, base_url=f"bigmodel+{url}", api_key=KEY) as client:
        job = Pipeline(
            PROMPT, client=client, journal=folder.parent / "journal", concurrency=AT_ONCE, limiter=limiter
        )
        return watch.stop(sum(result.caption is not None for result in job.run(folder)))


def zai(folder: Path, url: str) -> Work:
    from zai import ZhipuAiClient

    watch = Watch()
    client = ZhipuAiClient(api_key="id.secret", base_url=url)

    def ask(path: Path) -> bool:
        data = base64.b64encode(path.read_bytes()).decode()
        parts = [{"type": "image_url", "image_url": {"url": data}}, {"type": "text", "text": PROMPT}]
        reply = client.chat.completions.create(model=MODEL, messages=[{"role": "user", "content": parts}])
        return bool(reply.choices[0].message.content)

    with ThreadPoolExecutor(AT_ONCE) as pool:
        return watch.stop(sum(pool.map(ask, sorted(folder.iterdir()))))


def openai(folder: Path, url: str) -> Work:
    from openai import AsyncOpenAI

    async def work() -> int:
        room = asyncio.Semaphore(AT_ONCE)
        async with AsyncOpenAI(api_key="id.secret", base_url=url) as client:

            async def ask(path: Path) -> bool:
                async with room:
                    data = base64.b64encode(path.read_bytes()).decode()  # noqa: ASYNC240 (as scripts do it)
                    image = {"type": "image_url", "image_url": {"url": f"data:image/jpeg;base64,{data}"}}
                    content = [image, {"type": "text", "text": PROMPT}]
                    reply = await client.chat.completions.create(
                        model=MODEL, messages=[{"role": "user", "content": content}]
                    )
                    return bool(reply.choices[0].message.content)

            return sum(await asyncio.gather(*map(ask, paths)))

    paths = sorted(folder.iterdir())
    watch = Watch()
    return watch.stop(asyncio.run(work()))


CONTESTANTS: dict[str, Callable[[Path, str], Work]] = {
    "raw": raw,
    "threads": threads,
    "library": library,
    "zai-sdk": zai,
    "AsyncOpenAI": openai,
}
COMMAND = "command"


class Figures(NamedTuple):
    """Of one process: images/s, CPU ms an image of the work alone, whole seconds, CPU ms an image, peak MB,
    voluntary switches an image."""

    speed: float
    work_cpu_ms: float
    whole_s: float
    cpu_ms: float
    peak_mb: float
    switches: float


def measure(name: str, folder: Path, url: str, *, pyc: bool) -> Figures:
    """A contestant in a process of its own."""
    for left in [*folder.parent.glob("journal*"), *folder.parent.glob("out.jsonl*")]:
        left.unlink()
    out = folder.parent / "out.jsonl"
    if name == COMMAND:
        started = [sys.executable, "-m", "visionpipe", "caption", str(folder), "-o", str(out), "-p", PROMPT]
        started += ["--base-url", f"bigmodel+{url}", "--model", MODEL, "--concurrency", str(AT_ONCE)]
    else:
        started = [sys.executable, "-m", "benchmarks.floor", "--contest", name]
        started += ["--folder", str(folder), "--url", url]
    environment = {**os.environ, "VISIONPIPE_API_KEY": KEY, "PYTHONPYCACHEPREFIX": str(folder.parent / "pyc")}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    if not pyc:
        environment["PYTHONDONTWRITEBYTECODE"] = "1"
    begun = time.perf_counter()
    worker = subprocess.Popen(
        started, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment
    )
    assert worker.stdout is not None
    told = worker.stdout.read()
    _, status, used = os.wait4(worker.pid, 0)
    whole = time.perf_counter() - begun
    worker.returncode = os.waitstatus_to_exitcode(status)
    if name == COMMAND:
        with out.open(encoding="utf-8") as rows:
            work = Work(sum(1 for _ in rows), whole, used.ru_utime + used.ru_stime)
    else:
        work = Work(*json.loads(told.splitlines()[-1]))
    done = work.done
    cpu = 1000 * (used.ru_utime + used.ru_stime) / done
    return Figures(
        done / work.seconds, 1000 * work.cpu_s / done, whole, cpu, used.ru_maxrss / 1024, used.ru_nvcsw / done
    )


def told(images: int, medians: dict[str, Figures]) -> None:
    """The table, and the ratios that are to be shown."""
    print(
        f"{'':12} {'images/s':>9} {'CPU ms':>7} {'whole s':>8} {'CPU ms':>7} {'peak MB':>8} {'switches':>9}"
    )
    for name, seen in medians.items():
        print(
            f"{name:12} {seen.speed:9.0f} {seen.work_cpu_ms:7.2f} {seen.whole_s:8.2f} {seen.cpu_ms:7.2f} "
            f"{seen.peak_mb:8.0f} {seen.switches:9.1f}"
        )
    floor = medians.get("raw")
    for name in {"library", "command"} & medians.keys() if "raw" in medians else ():
        floor, ours = medians["raw"], medians[name]
        slower, dearer = ours.whole_s / floor.whole_s, ours.cpu_ms / floor.cpu_ms
        print(f"{name} on {images} images: {slower:.2f}x the raw floor's time, {dearer:.2f}x its CPU")
    peers = [medians[name] for name in ("zai-sdk", "AsyncOpenAI") if name in medians]
    if peers and "library" in medians:
        seen = medians["library"]
        faster = seen.speed / max(peer.speed for peer in peers)
        leaner = seen.work_cpu_ms / min(peer.work_cpu_ms for peer in peers)
        whole = seen.cpu_ms / min(peer.cpu_ms for peer in peers)
        print(
            f"library: {faster:.1f}x the better peer's images/s, {leaner:.2f} of its CPU (work); "
            f"{whole:.2f} of it with the imports (whole)"
        )
        print(f"library: peak {seen.peak_mb:.0f} MB")


def main() -> int:
    parser = argparse.ArgumentParser(description="The library beside the floor and the peers.")
    parser.add_argument("--images", type=int, default=500)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument(
        "--only", default=",".join([*CONTESTANTS, COMMAND]), help="contestants, separated by commas"
    )
    parser.add_argument("--no-pyc", action="store_true", help="every process compiles what it imports")
    parser.add_argument("--contest", choices=[*CONTESTANTS], help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--url", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.contest:
        print(json.dumps(CONTESTANTS[given.contest](given.folder, given.url)), flush=True)
        return 0
    seen: dict[str, list[Figures]] = {name: [] for name in given.only.split(",")}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "images"
        folder.mkdir()
        # In a process of its own: what this one holds would count as the contestants' peak, whose processes
        # begin as copies of it.
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as maker:
            total = maker.submit(make_images, folder, given.images).result()
        print(
            f"{given.images} images, {total / 1e6:.0f} MB, {AT_ONCE} at once, {SECONDS * 1000:.0f} ms a reply"
            f"{', nothing compiled before' if given.no_pyc else ''}"
        )
        serving = [sys.executable, "-m", "benchmarks.drain_server", str(SECONDS)]
        with subprocess.Popen(serving, stdout=subprocess.PIPE, text=True) as server:
            assert server.stdout is not None
            url = f"http://127.0.0.1:{int(server.stdout.readline())}/api/paas/v4"
            try:
                for number in range(given.rounds + 1):
                    for contestant, figures in seen.items():
                        found = measure(contestant, folder, url, pyc=not given.no_pyc)
                        if number:  # the first round compiles what is compiled
                            figures.append(found)
            finally:
                server.kill()
    told(
        given.images,
        {
            name: Figures(*(statistics.median(column) for column in zip(*rows, strict=True)))
            for name, rows in seen.items()
        },
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
