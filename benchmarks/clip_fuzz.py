"""Damaged clips of ten codecs through load, frames, scenes, split, remux, transcode and watch.

    python -m benchmarks.clip_fuzz [CLIPS]

Prints, for each codec, how many of its clips came through each step and how many were refused with one of the
library's own errors; any other exception is printed and counted, and makes the exit status 1.
"""

from __future__ import annotations

import sys
import time
import traceback
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.clips.mutations import CODECS, mutated, put_through


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 300
    came_out = 0
    slowest = 0.0
    began = time.perf_counter()
    for codec in CODECS:
        done: Counter[str] = Counter()
        tried: Counter[str] = Counter()
        for seed in range(count // len(CODECS)):
            at = time.perf_counter()
            with TemporaryDirectory() as folder:
                try:
                    outcomes = put_through(mutated(codec, seed), Path(folder))
                except Exception:
                    came_out += 1
                    print(f"{codec} {seed}: {traceback.format_exc()}")
                    continue
            slowest = max(slowest, time.perf_counter() - at)
            tried.update(outcomes.keys())
            done.update(name for name, outcome in outcomes.items() if outcome == "done")
        print(f"{codec:8}" + "  ".join(f"{name} {done[name]}/{tried[name]}" for name in tried))
    total = count // len(CODECS) * len(CODECS)
    print(f"{total} clips, {came_out} with another exception, {time.perf_counter() - began:.0f} s, ", end="")
    print(f"slowest {slowest:.1f} s")
    sys.exit(came_out > 0)


if __name__ == "__main__":
    main()
