"""500 real-sized images, 50 ms a reply, 64 at once: visionpipe beside zai-sdk in threads and AsyncOpenAI.

    python -m benchmarks.pipeline_peers [--images 500] [--rounds 5]

Each contestant is a process of its own, against the same server on loopback, one after the other, and the
rounds take turns. Images a second are of the work, with everything imported; CPU and peak memory are of the
whole process, imports included. The median round is printed.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context
from pathlib import Path

AT_ONCE = 64
SECONDS = 0.05
PROMPT = "Describe this in one sentence."
MODEL = "glm-4.6v"
GOAL_SPEED, GOAL_CPU, GOAL_MB = 3.0, 0.5, 120.0


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


def ours(folder: Path, url: str) -> tuple[int, float]:
    # The peers load their HTTP library with the import, before their clock runs; so does this.
    import visionpipe.transport._sync.http_sender  # noqa: F401 (see above)
    from visionpipe.client import Client
    from visionpipe.pipeline.limiter import Limiter
    from visionpipe.pipeline.pipeline import Pipeline

    # The peers send 64 at once from the start, so here too the level is not found out first.
    limiter = Limiter(AT_ONCE, start=AT_ONCE)
    begun = time.perf_counter()
    with Client(MODEL, base_url=f"bigmodel+{url}", api_key="id.secret") as client:
        job = Pipeline(
            PROMPT, client=client, journal=folder.parent / "journal", concurrency=AT_ONCE, limiter=limiter
        )
        return sum(result.caption is not None for result in job.run(folder)), time.perf_counter() - begun


def zai(folder: Path, url: str) -> tuple[int, float]:
    from zai import ZhipuAiClient

    begun = time.perf_counter()
    client = ZhipuAiClient(api_key="id.secret", base_url=url)

    def ask(path: Path) -> bool:
        data = base64.b64encode(path.read_bytes()).decode()
        parts = [{"type": "image_url", "image_url": {"url": data}}, {"type": "text", "text": PROMPT}]
        reply = client.chat.completions.create(model=MODEL, messages=[{"role": "user", "content": parts}])
        return bool(reply.choices[0].message.content)

    with ThreadPoolExecutor(AT_ONCE) as pool:
        return sum(pool.map(ask, sorted(folder.iterdir()))), time.perf_counter() - begun


def openai(folder: Path, url: str) -> tuple[int, float]:
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
    begun = time.perf_counter()
    return asyncio.run(work()), time.perf_counter() - begun


CONTESTANTS: dict[str, Callable[[Path, str], tuple[int, float]]] = {
    "visionpipe": ours,
    "zai-sdk": zai,
    "AsyncOpenAI": openai,
}


def contest(name: str, folder: Path, url: str) -> None:
    """One contestant's whole process."""
    print(json.dumps(CONTESTANTS[name](folder, url)), flush=True)


def measure(name: str, folder: Path, url: str) -> tuple[float, float, float]:
    """(images/s, CPU ms an image, peak MB) of a contestant in a process of its own."""
    for left in folder.parent.glob("journal*"):
        left.unlink()
    command = [sys.executable, "-m", "benchmarks.pipeline_peers", "--contest", name]
    command += ["--folder", str(folder), "--url", url]
    worker = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert worker.stdout is not None
    told = worker.stdout.read()
    _, status, used = os.wait4(worker.pid, 0)
    worker.returncode = os.waitstatus_to_exitcode(status)
    done, seconds = json.loads(told)
    return done / seconds, 1000 * (used.ru_utime + used.ru_stime) / done, used.ru_maxrss / 1024


def main() -> int:
    parser = argparse.ArgumentParser(description="Images a second beside the usual clients.")
    parser.add_argument("--images", type=int, default=500)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--contest", choices=[*CONTESTANTS], help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--url", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.contest:
        contest(given.contest, given.folder, given.url)
        return 0
    seen: dict[str, list[tuple[float, float, float]]] = {name: [] for name in CONTESTANTS}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "images"
        folder.mkdir()
        # In a process of its own: what this one holds would count as the contestants' peak, whose processes
        # begin as copies of it.
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as maker:
            total = maker.submit(make_images, folder, given.images).result()
        print(
            f"{given.images} images, {total / 1e6:.0f} MB, {AT_ONCE} at once, {SECONDS * 1000:.0f} ms a reply"
        )
        command = [sys.executable, "-m", "benchmarks.drain_server", str(SECONDS)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
            assert server.stdout is not None
            url = f"http://127.0.0.1:{int(server.stdout.readline())}/api/paas/v4"
            try:
                for _ in range(given.rounds):
                    for contestant, figures in seen.items():
                        figures.append(measure(contestant, folder, url))
            finally:
                server.kill()
    medians = {
        name: [statistics.median(column) for column in zip(*rows, strict=True)] for name, rows in seen.items()
    }
    print(f"{'':12} {'images/s':>9} {'CPU ms':>7} {'peak MB':>8}")
    for contestant, (speed, cpu, memory) in medians.items():
        print(f"{contestant:12} {speed:9.0f} {cpu:7.1f} {memory:8.0f}")
    speed, cpu, memory = medians.pop("visionpipe")
    faster = speed / max(figures[0] for figures in medians.values())
    leaner = cpu / min(figures[1] for figures in medians.values())
    print(f"{faster:.1f}x the better peer's images/s at {leaner:.2f} of its CPU an image")
    return 0 if faster >= GOAL_SPEED and leaner <= GOAL_CPU and memory <= GOAL_MB else 1


if __name__ == "__main__":
    sys.exit(main())
