"""A service that bears 8 requests at once, then 3, then 20: how fast and how well a job follows.

    python -m benchmarks.pipeline_limits [--seconds 20] [--latency 0.05]

Figures are the service's own: requests under way on average (the goal: within 20 % of the limit), seconds
until they were first so (a few), and the share refused with 1302 after settling (at most 2 %).
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from tests.pipeline.limit_drill import Phase, drill

SETTLE_S = 5.0


def main() -> int:
    parser = argparse.ArgumentParser(description="Change a service's limit under a running job.")
    parser.add_argument("--seconds", type=float, default=20.0, help="length of each phase")
    parser.add_argument("--latency", type=float, default=0.05, help="of an answer, in seconds")
    given = parser.parse_args()
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
