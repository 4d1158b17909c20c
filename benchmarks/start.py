"""How long a command takes before anything is heard of it, as multiples of the bare interpreter's start.

    python -m benchmarks.start [--rounds 9]

``--help``; ``describe`` of a small image, with a fixed answer at once; ``caption`` of one image, to its end.
Everything is compiled before, the rounds take turns, and the medians are printed. About 20 s.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

GOALS = {"--help": 6.0, "describe": 25.0}
KEY = "id.secret"


def measure(command: list[str], environment: dict[str, str]) -> tuple[float, float]:
    """(seconds, CPU seconds) of a process."""
    begun = time.perf_counter()
    worker = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment)
    _, status, used = os.wait4(worker.pid, 0)
    worker.returncode = os.waitstatus_to_exitcode(status)
    if worker.returncode:
        raise SystemExit(f"{' '.join(command)} ended with status {worker.returncode}")
    return time.perf_counter() - begun, used.ru_utime + used.ru_stime


def main() -> int:
    parser = argparse.ArgumentParser(description="The start of the commands beside the bare interpreter's.")
    parser.add_argument("--rounds", type=int, default=9)
    given = parser.parse_args()
    seen: dict[str, list[tuple[float, float]]] = {}
    with tempfile.TemporaryDirectory() as name:
        at = Path(name)
        image = Path(__file__).parent.parent / "samples" / "horse.png"
        (at / "in").mkdir()
        (at / "in" / image.name).write_bytes(image.read_bytes())
        environment = {**os.environ, "VISIONPIPE_API_KEY": KEY, "PYTHONPYCACHEPREFIX": str(at / "pyc")}
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        serving = [sys.executable, "-m", "benchmarks.drain_server", "0"]
        with subprocess.Popen(serving, stdout=subprocess.PIPE, text=True) as server:
            assert server.stdout is not None
            url = f"bigmodel+http://127.0.0.1:{int(server.stdout.readline())}/api/paas/v4"
            asked = ["--base-url", url, "--model", "glm-4.6v"]
            ours = [sys.executable, "-m", "visionpipe"]
            # A shim or a link that finds the interpreter first would be part of the measure.
            commands = {
                "interpreter": [os.path.realpath(sys.executable), "-c", "pass"],
                "--help": [*ours, "--help"],
                "describe": [*ours, "describe", str(image), *asked],
                "caption": [*ours, "caption", str(at / "in"), "-o", str(at / "out.jsonl"), *asked],
            }
            try:
                for number in range(given.rounds + 1):
                    for title, command in commands.items():
                        for left in at.glob("out*"):
                            left.unlink()
                        figures = measure(command, environment)
                        if number:  # the first round compiles
                            seen.setdefault(title, []).append(figures)
            finally:
                server.kill()
    bare = [statistics.median(column) for column in zip(*seen["interpreter"], strict=True)]
    met = True
    for title, rows in seen.items():
        seconds, cpu = (statistics.median(column) for column in zip(*rows, strict=True))
        ratio = seconds / bare[0]
        met = met and ratio <= GOALS.get(title, ratio)
        print(
            f"{title:12} {1000 * seconds:6.0f} ms, {ratio:5.1f}x the interpreter; "
            f"CPU {1000 * cpu:6.0f} ms, {cpu / bare[1]:5.1f}x"
        )
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
