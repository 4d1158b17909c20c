"""The drill: several writers of one directory of parts in an object store, stopped and started again.

Used by the test at a small scale and by ``benchmarks/beyond_one_machine.py`` at the full one.
"""

from __future__ import annotations

import io
import json
import os
import random
import signal
import subprocess
import sys
import tarfile
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from visionpipe.files.stores import open_store
from visionpipe.pipeline.parts import Parts
from visionpipe.results import Outcome
from visionpipe.testing.images import jpeg_bytes
from visionpipe.testing.sandbox import running_sandbox

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Stopped:
    """What came of it.

    Attributes:
        done: how often each item stands in the merge with an answer.
        items: how many there are.
        asked: requests that reached the service.
        asked_twice: pictures that it was shown more than once, counted each time more.
        stops: how often a writer was stopped.
        statuses: that the writers ended with.
    """

    done: Counter[str]
    items: int
    asked: int
    asked_twice: int
    stops: int
    statuses: Counter[int]


def make_shards(folder: Path, items: int, shards: int) -> str:
    """``items`` pictures, no two alike, in so many tars."""
    plain = jpeg_bytes(32, 24)
    for shard in range(shards):
        with tarfile.open(folder / f"{shard}.tar", "w") as archive:
            for number in range(shard, items, shards):
                # A comment behind the first marker makes each file another one.
                data = plain[:2] + b"\xff\xfe\x00\x0a%08d" % number + plain[2:]
                info = tarfile.TarInfo(f"{number}.jpg")
                info.size = len(data)
                archive.addfile(info, io.BytesIO(data))
    return f"{folder}/{{0..{shards - 1}}}.tar"


def stop_and_go_on(
    folder: Path,
    address: str,
    environment: dict[str, str],
    *,
    items: int,
    writers: int,
    stops: int,
    with_signal: signal.Signals,
    concurrency: int = 4,
    latency_s: float = 0.3,
    seed: int = 7,
) -> Stopped:
    """Runs the job, stops a writer at random ``stops`` times, starts it again, and merges in the end.

    Args:
        folder: for the shards.
        address: of the directory of parts.
        environment: in which the address is enough.
        items, writers: how many; each writer has a shard of its own.
        stops: how often one is stopped, each time after it had an answer.
        with_signal: what stops it.
        concurrency: of each writer.
        latency_s: of the service, in seconds.
        seed: of the choice.
    """
    chance = random.Random(seed)
    sources, log = make_shards(folder, items, writers), folder / "requests.jsonl"
    command = [sys.executable, "-m", "visionpipe", "caption", sources, "-o", address, "-q", "--json"]
    command += ["--model", "glm-4.6v", "--concurrency", str(concurrency)]
    statuses: Counter[int] = Counter()
    with running_sandbox(answers="saw", log=log) as sandbox:
        sandbox.set_scenario({"rule": [{"fault": {"kind": "latency", "seconds": latency_s}}]})
        words = {
            "VISIONPIPE_API_KEY": sandbox.key,
            "VISIONPIPE_BASE_URL": sandbox.base_url,
            "PYTHONPATH": str(ROOT),
        }

        def begin(number: int) -> subprocess.Popen[bytes]:
            with (folder / f"{number}.told").open("wb") as told:
                return subprocess.Popen(
                    [*command, "--shard", f"{number}/{writers}"],
                    env={**os.environ, **environment, **words},
                    stdout=told,
                    stderr=subprocess.DEVNULL,
                )

        running = [begin(number) for number in range(writers)]
        stopped = 0
        while stopped < stops and any(process.poll() is None for process in running):
            number = chance.randrange(writers)
            while running[number].poll() is None and not (folder / f"{number}.told").stat().st_size:
                time.sleep(0.02)
            time.sleep(chance.uniform(0.0, 2 * latency_s))
            if running[number].poll() is None:
                running[number].send_signal(with_signal)
                statuses[running[number].wait()] += 1
                running[number] = begin(number)
                stopped += 1
        for process in running:
            statuses[process.wait()] += 1
    shown = Counter(
        media["sha256"]
        for line in log.read_text("utf-8").splitlines()
        for media in json.loads(line).get("media", ())
    )
    parts = Parts(open_store(address))
    parts.merge()
    done = Counter(result.source for result in parts.results() if result.outcome is Outcome.DONE)
    return Stopped(done, items, shown.total(), shown.total() - len(shown), stopped, statuses)
