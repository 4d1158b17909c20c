"""A job of 2,000 images on a bad line (bursts of 1302, 5 % 500s, 1 % resets, 50 ms latency), killed with
SIGKILL at 20 random instants and started again each time with the same command.

    python -m benchmarks.pipeline_kills [--items 2000] [--kills 20] [--seed 1]

Ends with status 1 where an image has no result or two, an image was asked about after its answer was
recorded, or more requests were sent than items, faults and requests under way at the kills explain.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

from tests.pipeline.kill_drill import drill


def main() -> int:
    parser = argparse.ArgumentParser(description="Kill a job again and again; see that nothing is lost.")
    parser.add_argument("--items", type=int, default=2000)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    begun = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        seen = drill(Path(folder), items=given.items, kills=given.kills, seed=given.seed, spread_s=0.8)
    explained = seen.items + seen.faults.total() + seen.under_way_at_kills
    print(f"{seen.items} images, killed {seen.kills} times, {time.monotonic() - begun:.0f} s in all")
    print(f"results an image: {dict(seen.results)}, done: {seen.done}")
    print(f"asked after the answer was recorded: {len(seen.asked_after_recorded)}")
    print(
        f"requests: {seen.requests} <= {explained} = {seen.items} items + {seen.faults.total()} faults "
        f"{dict(seen.faults)} + {seen.under_way_at_kills} under way at the kills"
    )
    sound = (
        seen.results == {1: seen.items}
        and seen.done == seen.items
        and not seen.asked_after_recorded
        and seen.requests <= explained
    )
    return 0 if sound else 1


if __name__ == "__main__":
    sys.exit(main())
