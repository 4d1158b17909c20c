"""A service that bears 8 requests at once, then 3, then 20: how fast and how well a job follows.

    python -m benchmarks.pipeline_limits [--seconds 20] [--latency 0.05] [--serves 4 16 64]

With ``--serves``: services that refuse nothing, answer so many at once and let the rest wait, each beside a
job held at exactly that many: the throughput (at least 90 % of the held job's) and the requests under way (at
most twice its), after 30 s.

Figures are the service's own: requests under way on average (the goal: within 20 % of the limit), seconds
until they were first so (a few), and the share refused with 1302 after settling (at most 2 %).
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from tests.pipeline.limit_drill import Followed, Phase, drill

SETTLE_S = 5.0


FIND_OUT_S = 30.0


def queueing(serves: int, seconds: float, latency: float) -> int:
    """One service that answers ``serves`` at once. Returns 0 where both aims are met."""
    phase = Phase(serves, FIND_OUT_S + seconds, FIND_OUT_S, queues=True)
    free, held = (measured(phase, latency, ceiling) for ceiling in (64, serves))
    print(
        f"serves {serves:2}: {free.answered:.1f} answers/s, {free.answered / held.answered:.0%} of a job's "
        f"held at {serves}; {free.mean:.1f} under way, {free.mean / held.mean:.2f} times as many"
    )
    return int(free.answered < 0.9 * held.answered or free.mean > 2 * held.mean)


def measured(phase: Phase, latency: float, ceiling: int) -> Followed:
    with tempfile.TemporaryDirectory() as folder:
        return drill(Path(folder), [phase], latency=latency, ceiling=ceiling)[0]


def main() -> int:
    parser = argparse.ArgumentParser(description="Change a service's limit under a running job.")
    parser.add_argument("--seconds", type=float, default=20.0, help="length of each phase")
    parser.add_argument("--latency", type=float, default=0.05, help="of an answer, in seconds")
    parser.add_argument("--serves", type=int, nargs="+", help="services that let requests wait")
    given = parser.parse_args()
    if given.serves:
        return max(queueing(serves, given.seconds, given.latency) for serves in given.serves)
    phases = [Phase(limit, given.seconds, SETTLE_S) for limit in (8, 3, 20)]
    with tempfile.TemporaryDirectory() as folder:
        seen = drill(Path(folder), phases, latency=given.latency, ceiling=64)
    for phase in seen:
        print(
            f"limit {phase.limit:2}: within 20 % after {phase.within_s:.2f} s, then {phase.mean:.1f} under "
            f"way on average, {phase.refused:.2%} of {phase.requests} requests refused"
        )
    good = all(
        phase.within_s < SETTLE_S
        and abs(phase.mean - phase.limit) <= 0.2 * phase.limit
        and phase.refused <= 0.02
        for phase in seen
    )
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
