"""A job of 100,000 small images with scripted answers: peak memory, its course, and images a second.

    python -m benchmarks.pipeline_memory [--items 100000] [--csv rss.csv] [--plot rss.svg]
    python -m benchmarks.pipeline_memory --commands [--items 100000]

The whole way is gone but for the network: files, screening, hashing, preparation, requests, replies, journal
and JSONL. Ends with status 1 where the peak is 200 MB or more, memory still grows after the first fifth, or
journal and JSONL do not hold every image once.

``--commands`` runs ``visionpipe caption`` as whole processes instead, against a server on loopback, and
compares their peaks: 2,000 small images and all of ``--items``; then 2,000 of 0.84 MB, 64 at once answered
after 50 ms, and 256 at once after 2 s. Ends with status 1 where one of the second is more than 10 MB above
its first.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from itertools import pairwise
from multiprocessing import get_context
from pathlib import Path

from benchmarks.floor import make_images as make_large_images
from visionpipe.client import Client
from visionpipe.pipeline.pipeline import Pipeline
from visionpipe.pipeline.reading import recorded_results
from visionpipe.sinks.jsonl import JsonlSink
from visionpipe.testing.images import jpeg_bytes
from visionpipe.wire.http import ByteStream, HttpRequest, HttpResponse

PEAK_MB = 200.0
GROWTH_MB = 15.0
NEAR_MB = 10.0
ANSWER = (
    b'{"id":"1","model":"glm-4.6v","choices":[{"index":0,"finish_reason":"stop","message":{"role":"assistant",'
    b'"content":"A small plain picture in four colours."}}],"usage":{"prompt_tokens":100,'
    b'"completion_tokens":12,"total_tokens":112}}'
)


class ScriptedSender:
    """Answers every request with one text."""

    def send(self, request: HttpRequest) -> HttpResponse:
        return HttpResponse(200, {"content-type": "application/json"}, ANSWER)

    def open(self, request: HttpRequest) -> ByteStream:
        raise NotImplementedError("a job does not stream")

    def close(self) -> None:
        return


def resident_mb() -> float:
    with Path("/proc/self/statm").open() as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


def make_images(folder: Path, count: int) -> None:
    """``count`` JPEGs of about a kilobyte, no two alike, a thousand a folder."""
    plain = jpeg_bytes(64, 48)
    for number in range(count):
        path = folder / f"{number // 1000:03}" / f"{number:06}.jpg"
        if number % 1000 == 0:
            path.parent.mkdir(parents=True)
        # A comment behind the first marker makes each file another one.
        path.write_bytes(plain[:2] + b"\xff\xfe\x00\x0a%08d" % number + plain[2:])


def work(folder: Path, count: int) -> tuple[list[tuple[float, int, float]], float]:
    """Runs the job. Returns samples (seconds, items, MB) and the seconds in all."""
    samples: list[tuple[float, int, float]] = []
    sink = JsonlSink(folder / "out.jsonl")
    begun = time.monotonic()
    with Client("glm-4.6v", base_url="bigmodel", api_key="scripted.key", sender=ScriptedSender()) as client:
        job = Pipeline("What is it?", client=client, journal=folder / "out.journal", concurrency=16)
        for number, result in enumerate(job.run(folder / "images"), 1):
            sink.write(result)
            if number % max(1, count // 100) == 0:
                samples.append((time.monotonic() - begun, number, resident_mb()))
    sink.close()
    return samples, time.monotonic() - begun


def plot(samples: list[tuple[float, int, float]], path: Path) -> None:
    """Memory over items as a small SVG."""
    width, height, items, top = 640, 240, samples[-1][1], PEAK_MB
    points = [(40 + (width - 60) * n / items, height - 30 - (height - 50) * mb / top) for _, n, mb in samples]
    lines = "".join(
        f'<line x1="{a:.1f}" y1="{b:.1f}" x2="{c:.1f}" y2="{d:.1f}" stroke="#06c"/>'
        for (a, b), (c, d) in pairwise(points)
    )
    marks = "".join(
        f'<text x="2" y="{height - 26 - (height - 50) * mb / top:.0f}">{mb:.0f} MB</text>'
        for mb in (0.0, top / 2, top)
    )
    path.write_text(
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" font-size="11" '
        f'font-family="sans-serif"><rect width="100%" height="100%" fill="#fff"/>{marks}{lines}'
        f'<text x="{width - 120}" y="{height - 8}">{items:,} images</text></svg>'
    )


def peak_of(folder: Path, at_once: int, reply_s: float) -> float:
    """MB at most of a command that captions ``folder``."""
    serving = [sys.executable, "-m", "benchmarks.drain_server", str(reply_s)]
    with (
        tempfile.TemporaryDirectory() as name,
        subprocess.Popen(serving, stdout=subprocess.PIPE, text=True) as server,
    ):
        assert server.stdout is not None
        url = f"bigmodel+http://127.0.0.1:{int(server.stdout.readline())}/api/paas/v4"
        out = Path(name) / "out.jsonl"
        command = [sys.executable, "-m", "visionpipe", "caption", str(folder), "-o", str(out), "-q"]
        command += [
            "-p",
            "What is it?",
            "--base-url",
            url,
            "--model",
            "glm-4.6v",
            "--concurrency",
            str(at_once),
        ]
        worker = subprocess.Popen(command, env={**os.environ, "VISIONPIPE_API_KEY": "id.secret"})
        _, status, used = os.wait4(worker.pid, 0)
        worker.returncode = os.waitstatus_to_exitcode(status)
        server.kill()
        images = sum(1 for _ in out.open("rb"))
    peak = used.ru_maxrss / 1024
    print(f"{images:,} images, {at_once} at once, {reply_s:g} s a reply: {peak:.0f} MB at most", flush=True)
    return peak


def compare_commands(items: int) -> int:
    """The peaks of long runs beside short ones. Returns 0 where all are near."""
    with tempfile.TemporaryDirectory() as name:
        few, many, large = (Path(name) / kind for kind in ("few", "many", "large"))
        large.mkdir()
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as maker:
            # In a process of its own, since the commands begin as copies of this one.
            maker.submit(make_images, few, 2000).result()
            maker.submit(make_images, many, items).result()
            maker.submit(make_large_images, large, 2000).result()
        peaks = [
            (peak_of(few, 64, 0.05), peak_of(many, 64, 0.05)),
            (peak_of(large, 64, 0.05), peak_of(large, 256, 2.0)),
        ]
    return int(any(long > short + NEAR_MB for short, long in peaks))


def main() -> int:
    parser = argparse.ArgumentParser(description="Memory of a long job.")
    parser.add_argument("--items", type=int, default=100_000)
    parser.add_argument("--csv", type=Path)
    parser.add_argument("--plot", type=Path)
    parser.add_argument("--commands", action="store_true", help="compare the peaks of whole commands")
    given = parser.parse_args()
    if given.commands:
        return compare_commands(given.items)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_images(folder / "images", given.items)
        cpu = time.process_time()
        samples, seconds = work(folder, given.items)
        cpu = time.process_time() - cpu
        peak = max(mb for _, _, mb in samples)
        recorded = len({result.source for result in recorded_results(folder / "out.journal")})
        lines = sum(1 for _ in (folder / "out.jsonl").open("rb"))
        journal_mb = (folder / "out.journal").stat().st_size / 1e6
    early = max(mb for _, number, mb in samples if number <= given.items / 5)
    if given.csv:
        rows = "".join(f"{t:.2f},{n},{mb:.1f}\n" for t, n, mb in samples)
        given.csv.write_text(f"seconds,items,resident_mb\n{rows}")
    if given.plot:
        plot(samples, given.plot)
    print(
        f"{given.items:,} images in {seconds:.0f} s: {given.items / seconds:.0f} images/s, "
        f"{1000 * cpu / given.items:.2f} ms CPU an image"
    )
    print(f"memory: {early:.0f} MB at most in the first fifth, {peak:.0f} MB at most in all")
    print(f"journal: {recorded:,} images, {journal_mb:.0f} MB; JSONL: {lines:,} lines")
    whole = recorded == lines == given.items
    return 0 if whole and peak < PEAK_MB and peak - early < GROWTH_MB else 1


if __name__ == "__main__":
    sys.exit(main())
