"""The drill: a service whose limit of requests at once changes while a job runs.

Used by the test at a small scale and by ``benchmarks/pipeline_limits.py`` at the full one.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from tests.pipeline.kill_drill import ROOT, wait
from visionpipe.testing.sandbox import SandboxHandle, running_sandbox


@dataclass(frozen=True)
class Phase:
    """``limit`` requests at once for ``seconds``; the first ``settle`` of them are for finding out.

    ``queues``: what is more waits, instead of being refused.

    ``requests`` and ``settle_requests`` hold both back until the service has met so many in this phase, so
    that what is measured does not hang on how fast the machine is.
    """

    limit: int
    seconds: float = 0.0
    settle: float = 0.0
    requests: int = 0
    settle_requests: int = 0
    queues: bool = False

    def set(self, sandbox: SandboxHandle) -> None:
        if self.queues:
            sandbox.set_limits(serves=self.limit)
        else:
            sandbox.set_limits(per_model=self.limit)


@dataclass(frozen=True)
class Followed:
    """What the service saw in a phase.

    Attributes:
        within_s: seconds until the requests under way were first within 20 % of the limit.
        settled_s: seconds after which the rest is measured.
        mean: requests under way, on average over time, after settling.
        refused: share of requests met by a 1302, after settling.
        requests: after settling; ``answered`` a second.
    """

    limit: int
    within_s: float
    settled_s: float
    mean: float
    refused: float
    requests: int
    answered: float


@dataclass(frozen=True)
class Span:
    """One request at the service."""

    begun: float
    ended: float
    refused: bool


def drill(folder: Path, phases: Sequence[Phase], *, latency: float, ceiling: int) -> list[Followed]:
    """Runs a job without end, in a process of its own, through the phases."""
    images, log = folder / "images", folder / "requests.jsonl"
    images.mkdir()
    changes: list[float] = []
    with running_sandbox(log=log, answers="script") as sandbox:
        sandbox.set_scenario(
            {
                "answer": [{"text": "A plain picture."}],
                "rule": [{"fault": {"kind": "latency", "seconds": latency}}],
            }
        )
        phases[0].set(sandbox)
        command = [sys.executable, "-m", "tests.pipeline.endless_worker"]
        command += [str(images), sandbox.base_url, sandbox.key, str(ceiling)]
        with subprocess.Popen(command, cwd=ROOT) as worker:
            try:
                while sandbox.stats()["requests"] == 0:
                    wait(worker, 0.05)
                for phase in phases:
                    met = sandbox.stats()["requests"]
                    phase.set(sandbox)
                    changes.append(time.time())
                    wait(worker, phase.seconds)
                    while worker.poll() is None and sandbox.stats()["requests"] - met < phase.requests:
                        wait(worker, 0.05)
                changes.append(time.time())
            finally:
                worker.kill()
    spans = read_spans(log)
    return [
        follow(phase, begun, ended, spans)
        for phase, (begun, ended) in zip(phases, pairwise(changes), strict=True)
    ]


def read_spans(log: Path) -> list[Span]:
    records = [json.loads(line) for line in log.read_text().splitlines()]
    return [Span(r["time"], r["time"] + r["ms"] / 1000, r["code"] == "1302") for r in records]


def follow(phase: Phase, begun: float, ended: float, spans: Sequence[Span]) -> Followed:
    """The service's view of one phase."""
    first = begun + phase.settle
    met = sorted(span.begun for span in spans if begun <= span.begun < ended)
    if phase.settle_requests:
        first = max(first, met[phase.settle_requests - 1])
    steps: list[tuple[float, int]] = []
    for span in spans:
        if not span.refused:
            steps += [(span.begun, 1), (span.ended, -1)]
    steps.sort()
    level, within, area, last = 0, float("inf"), 0.0, first
    for moment, change in steps:
        if last < moment < ended:
            area += level * (moment - last)
            last = moment
        level += change
        near = abs(level - phase.limit) <= 0.2 * phase.limit
        if begun <= moment < ended and near and within == float("inf"):
            within = moment - begun
    settled = [span for span in spans if first <= span.begun < ended]
    return Followed(
        limit=phase.limit,
        within_s=within,
        settled_s=first - begun,
        mean=area / (last - first),
        refused=sum(span.refused for span in settled) / len(settled),
        requests=len(settled),
        answered=sum(first <= span.ended < last and not span.refused for span in spans) / (last - first),
    )
