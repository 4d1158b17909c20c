"""A million items of tar shards through four processes into one directory of parts, answers scripted.

    python -m benchmarks.million [--items 1000000] [--shards 4] [--folder DIR]

The whole way is gone but for the network: shards, hashing, preparation, requests, replies, parts. Prints each
worker's memory, what the job cost in all and for an item, and how long the finished job takes to be looked
through again. Ends with status 1 where memory still grows after the first fifth, or an item is missing.
"""

from __future__ import annotations

import argparse
import io
import json
import subprocess
import sys
import tarfile
import tempfile
import time
from collections import Counter
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

from benchmarks.pipeline_memory import ScriptedSender, resident_mb
from visionpipe.client import Client
from visionpipe.files.stores import open_store
from visionpipe.pipeline.client_answerer import ClientAnswerer
from visionpipe.pipeline.job import Job
from visionpipe.pipeline.part_writer import PartsLedger
from visionpipe.pipeline.parts import Parts
from visionpipe.pipeline.worker import Worker
from visionpipe.sources.find import SourceListing
from visionpipe.testing.images import jpeg_bytes

TARS = 16
GROWTH_MB = 20.0


def make_tars(folder: Path, items: int) -> str:
    """``items`` JPEGs of some 700 bytes, no two alike, in 16 shards."""
    plain = jpeg_bytes(16, 12)
    for tar in range(TARS):
        with tarfile.open(folder / f"{tar:02}.tar", "w") as archive:
            for number in range(tar * items // TARS, (tar + 1) * items // TARS):
                # A comment behind the first marker makes each file another one.
                data = plain[:2] + b"\xff\xfe\x00\x0a%08d" % number + plain[2:]
                info = tarfile.TarInfo(f"{number:08}.jpg")
                info.size = len(data)
                archive.addfile(info, io.BytesIO(data))
                archive.members = []  # type: ignore[attr-defined]  # else the list grows with the tar
    return f"{folder}/{{00..{TARS - 1:02}}}.tar"


def work(sources: str, out: str, shard: int, shards: int) -> None:
    """One worker's run; prints its figures as JSON."""
    job = Job("What is it?", model="glm-4.6v", endpoint="bigmodel")
    begun, cpu = time.monotonic(), time.process_time()
    ledger = PartsLedger(out, every_s=2.0)
    samples: list[tuple[int, float]] = []
    cost, requests, ends = Decimal(0), 0, Counter[str]()
    with (
        Client("glm-4.6v", base_url="bigmodel", api_key="scripted.key", sender=ScriptedSender()) as client,
        job.open(ledger=ledger, api_key="scripted.key", concurrency=16) as opened,
    ):
        worker = Worker(replace(opened.parts, answerer=ClientAnswerer(client, {})), concurrency=16)
        listing = SourceListing(sources, shard=(shard, shards))
        for number, result in enumerate(worker.map(listing), 1):
            ends[result.outcome.value] += 1
            cost += result.cost.amount if result.cost is not None else 0
            requests += result.attempts
            if number % 5_000 == 0:
                samples.append((number, resident_mb()))
        worker.close()
    samples.append((sum(ends.values()), resident_mb()))
    figures = {
        "ends": ends,
        "cost": str(cost),
        "samples": samples,
        "cpu": time.process_time() - cpu,
        "seconds": time.monotonic() - begun,
    }
    print(json.dumps(figures))


def run(sources: str, out: str, shards: int) -> list[dict[str, Any]]:
    """All workers at once; their figures."""
    command = [sys.executable, "-m", "benchmarks.million", "--work"]
    running = [
        subprocess.Popen([*command, sources, out, str(n), str(shards)], stdout=subprocess.PIPE)
        for n in range(shards)
    ]
    return [json.loads(process.communicate()[0]) for process in running]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--items", type=int, default=1_000_000)
    parser.add_argument("--shards", type=int, default=4)
    parser.add_argument("--folder", type=Path)
    given = parser.parse_args()
    items, grown = given.items, 0.0
    with tempfile.TemporaryDirectory(dir=given.folder) as name:
        sources, out = make_tars(Path(name), items), f"{name}/out/"
        done = run(sources, out, given.shards)
        for number, worker in enumerate(done):
            count = worker["samples"][-1][0]
            early = max(mb for at, mb in worker["samples"] if at <= max(count / 5, 5_000))
            peak = max(mb for _, mb in worker["samples"])
            grown = max(grown, peak - early)
            print(
                f"worker {number}: {count:,} items, {peak:.0f} MB at most ({early:.0f} in the first fifth), "
                f"{worker['cpu'] * 1e3 / count:.2f} ms of CPU an item, "
                f"{worker['seconds']:.0f} s"
            )
        ends = sum((Counter(worker["ends"]) for worker in done), Counter[str]())
        cost = sum((Decimal(worker["cost"]) for worker in done), Decimal(0))
        seconds = max(worker["seconds"] for worker in done)
        print(f"{items:,} items: {dict(ends)}, {items / seconds:.0f} items/s, {seconds:.0f} s")
        print(f"cost: {cost.normalize():f} CNY in all, {cost / items:f} an item")
        begun = time.monotonic()
        again = run(sources, out, given.shards)
        kept = sum((Counter(worker["ends"]) for worker in again), Counter[str]())
        cpu = sum(worker["cpu"] for worker in again)
        peak = max(mb for worker in again for _, mb in worker["samples"])
        print(
            f"again: {dict(kept)} looked up in {time.monotonic() - begun:.0f} s, "
            f"{cpu * 1e3 / items:.2f} ms of CPU an item, {peak:.0f} MB at most"
        )
        parts = Parts(open_store(out))
        stored = parts.spent()
        print(
            f"stored: {len(parts.index()):,} rows in {len(parts.names):,} parts, {stored.requests:,} requests"
        )
        begun = time.monotonic()
        merged = parts.merge()
        print(f"merged: {merged.rows:,} rows in {merged.parts} parts, {time.monotonic() - begun:.0f} s")
    whole = ends["done"] == kept["done"] == merged.rows == stored.requests == items
    return 0 if whole and grown < GROWTH_MB else 1


if __name__ == "__main__":
    if sys.argv[1:2] == ["--work"]:
        work(sys.argv[2], sys.argv[3], int(sys.argv[4]), int(sys.argv[5]))
    else:
        sys.exit(main())
