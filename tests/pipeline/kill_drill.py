"""The drill: a job on a bad line, killed at random instants and started again with the same command.

Used by the test at a small scale and by ``benchmarks/pipeline_kills.py`` at the full one.
"""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
from collections import Counter, defaultdict
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from visionpipe.pipeline.reading import recorded_results
from visionpipe.pipeline.tables import JOURNAL
from visionpipe.results import Outcome
from visionpipe.store.database import Database
from visionpipe.testing.images import jpeg_bytes
from visionpipe.testing.sandbox import SandboxHandle, running_sandbox

ROOT = Path(__file__).parents[2]

BAD_LINE: dict[str, Any] = {
    "seed": 11,
    "rule": [
        {"path": "*/chat/completions", "fault": {"kind": "latency", "seconds": 0.05}},
        {
            "path": "*/chat/completions",
            "rate": 0.004,
            "burst": 12,
            "fault": {"kind": "error", "code": "1302"},
        },
        {"path": "*/chat/completions", "rate": 0.05, "fault": {"kind": "error", "code": "1234"}},
        {"path": "*/chat/completions", "rate": 0.01, "fault": {"kind": "reset", "when": "first_byte"}},
    ],
}


@dataclass(frozen=True)
class Drilled:
    """What came of it.

    Attributes:
        items: images with different contents.
        results: how many results the journal holds a source, counted.
        requests, faults: what the service saw, and struck.
        under_way_at_kills: requests that the journal knew to be under way when the process was killed.
        asked_after_recorded: contents that were asked again although their answer was recorded.
        kills: how often the process was killed.
        summary: of the last run.
    """

    items: int
    results: Counter[int]
    done: int
    requests: int
    faults: Counter[str]
    under_way_at_kills: int
    asked_after_recorded: list[str]
    kills: int
    summary: dict[str, Any]


def make_images(folder: Path, count: int) -> None:
    """``count`` small JPEGs, no two alike."""
    folder.mkdir(parents=True)
    plain = jpeg_bytes(48, 32)
    for number in range(count):
        # A comment behind the first marker makes each file another one.
        comment = b"\xff\xfe\x00\x0a%08d" % number
        (folder / f"{number:05}.jpg").write_bytes(plain[:2] + comment + plain[2:])


def drill(folder: Path, *, items: int, kills: int, seed: int, spread_s: float) -> Drilled:
    """Kills ``kills`` runs, each up to ``spread_s`` seconds after its first result or its start, then lets
    one run end."""
    rng = random.Random(seed)
    make_images(folder / "images", items)
    journal, log = folder / "out.journal", folder / "requests.jsonl"
    with running_sandbox(log=log) as sandbox:
        sandbox.set_scenario(BAD_LINE)
        done_kills = 0
        while done_kills < kills:
            worker = start(folder / "images", journal, sandbox)
            with worker:
                # Some are killed while they are starting, the others while they work.
                if rng.random() < 0.8:
                    wait_for_line(worker)
                wait(worker, rng.uniform(0, spread_s))
                if worker.poll() is None:
                    done_kills += 1
                worker.send_signal(signal.SIGKILL)
        summary = finish(folder / "images", journal, sandbox)
    return examine(journal, log, items, done_kills, summary)


def start(images: Path, journal: Path, sandbox: SandboxHandle) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tests.pipeline.kill_worker"]
    command += [str(images), str(journal), sandbox.base_url, sandbox.key]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)


def finish(images: Path, journal: Path, sandbox: SandboxHandle) -> dict[str, Any]:
    with start(images, journal, sandbox) as worker:
        told, _ = worker.communicate(timeout=600)
        assert worker.returncode == 0
    summary: dict[str, Any] = json.loads(told.splitlines()[-1])
    return summary


def wait_for_line(worker: subprocess.Popen[str]) -> None:
    assert worker.stdout is not None
    worker.stdout.readline()


def wait(worker: subprocess.Popen[Any], seconds: float) -> None:
    """Until the worker has ended, at most ``seconds``."""
    try:
        worker.wait(seconds)
    except subprocess.TimeoutExpired:
        return


def examine(journal: Path, log: Path, items: int, kills: int, summary: dict[str, Any]) -> Drilled:
    """Holds the journal against the service's own log."""
    per_source: Counter[str] = Counter()
    outcomes: Counter[Outcome] = Counter()
    for result in recorded_results(journal):
        per_source[result.source] += 1
        outcomes[result.outcome] += 1
    with closing(Database(journal, JOURNAL, read_only=True)) as database:
        recorded_at = {row["content"]: row["recorded"] for row in database.all("SELECT * FROM results")}
        killed = database.one("SELECT count(*) AS n FROM attempts WHERE failed_with = 'killed'")
    asked: dict[str, list[float]] = defaultdict(list)
    faults: Counter[str] = Counter()
    requests = 0
    for line in log.read_text().splitlines():
        record = json.loads(line)
        if not record["path"].endswith("/chat/completions"):
            continue
        requests += 1
        struck = record["fault"] or ""
        if struck.startswith(("error", "reset")):
            faults[struck] += 1
        for part in record["media"]:
            asked[part["sha256"]].append(record["time"])
    late = [content for content, times in asked.items() if max(times) > recorded_at.get(content, 0.0)]
    return Drilled(
        items=items,
        results=Counter(per_source.values()),
        done=outcomes[Outcome.DONE],
        requests=requests,
        faults=faults,
        under_way_at_kills=killed["n"] if killed is not None else 0,
        asked_after_recorded=late,
        kills=kills,
        summary=summary,
    )
