"""Photos of 12 MP sent at half their size: a job on one processor and on two, and OpenCV alone.

    python -m benchmarks.repairs [--photos 60] [--rounds 3]

Each way is a process of its own, against a server that answers at once, and the rounds take turns; the
medians are printed. OpenCV alone decodes each photo at half its size and encodes it, on one processor. About
90 s. Linux only: elsewhere a process cannot be held to one processor.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

MODEL = "glm-4.6v"
SIDE = 2016
QUALITY = 90
GOAL_FASTER, GOAL_CPU = 1.8, 1.2


def make_photos(folder: Path, count: int) -> None:
    """Photos of 4032 x 3024, no two alike."""
    import cv2
    import numpy as np

    sample = cv2.imread(str(Path(__file__).parent.parent / "samples" / "china.jpg"))
    large = cv2.resize(sample, (4032, 3024), interpolation=cv2.INTER_CUBIC)
    rng = np.random.default_rng(1)
    grain = rng.integers(0, 16, large.shape, np.uint8)
    _, encoded = cv2.imencode(".jpg", cv2.add(large, grain), [cv2.IMWRITE_JPEG_QUALITY, 88])
    data = encoded.tobytes()
    for number in range(count):
        # A comment behind the first marker makes each file another one.
        (folder / f"{number:04}.jpg").write_bytes(data[:2] + b"\xff\xfe\x00\x0a%08d" % number + data[2:])


def job(folder: Path, url: str) -> int:
    import visionpipe as vp

    with vp.Client(MODEL, base_url=f"bigmodel+{url}", api_key="id.secret") as client:
        limiter, options = vp.Limiter(8, start=8), vp.CallOptions(max_side=SIDE)
        run = vp.Pipeline("Describe this.", client=client, limiter=limiter, options=options).run(folder)
        return sum(any(one.kind == "resized" for one in result.adjustments) for result in run)


def alone(folder: Path, url: str) -> int:
    import cv2
    import numpy as np

    cv2.setNumThreads(1)
    done = 0
    for path in sorted(folder.iterdir()):
        picture = cv2.imdecode(np.frombuffer(path.read_bytes(), np.uint8), cv2.IMREAD_REDUCED_COLOR_2)
        done += cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])[0]
    return done


def work(way: str, folder: Path, url: str) -> tuple[int, float, float]:
    """(images, seconds, CPU seconds), with everything imported and tried once."""
    if way != "two":
        os.sched_setaffinity(0, [min(os.sched_getaffinity(0))])
    does = alone if way == "alone" else job
    with tempfile.TemporaryDirectory() as name:
        first = Path(name)
        (first / "0.jpg").write_bytes(next(folder.iterdir()).read_bytes())
        does(first, url)
    before, begun = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
    done = does(folder, url)
    after = resource.getrusage(resource.RUSAGE_SELF)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return done, time.perf_counter() - begun, cpu


def main() -> int:
    parser = argparse.ArgumentParser(description="Repairs of 12 MP photos on one and on two processors.")
    parser.add_argument("--photos", type=int, default=60)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--way", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--url", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.way:
        print(json.dumps(work(given.way, given.folder, given.url)))
        return 0
    seen: dict[str, list[tuple[float, float]]] = {"one": [], "two": [], "alone": []}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_photos(folder, given.photos)
        serving = [sys.executable, "-m", "benchmarks.drain_server", "0"]
        with subprocess.Popen(serving, stdout=subprocess.PIPE, text=True) as server:
            assert server.stdout is not None
            url = f"http://127.0.0.1:{int(server.stdout.readline())}/api/paas/v4"
            try:
                for _ in range(given.rounds):
                    for way, rows in seen.items():
                        command = [sys.executable, "-m", "benchmarks.repairs", "--way", way]
                        command += ["--folder", str(folder), "--url", url]
                        told = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout
                        done, seconds, cpu = json.loads(told)
                        assert done == given.photos, f"{done} of {given.photos} were repaired"
                        rows.append((done / seconds, 1000 * cpu / done))
            finally:
                server.kill()
    medians = {
        way: [statistics.median(column) for column in zip(*rows, strict=True)] for way, rows in seen.items()
    }
    for way, (speed, cpu) in medians.items():
        print(f"{way:6} {speed:6.1f} images/s, {cpu:6.1f} ms of CPU an image")
    faster = medians["two"][0] / medians["one"][0]
    dearer = medians["one"][1] / medians["alone"][1]
    print(f"two processors: {faster:.2f}x the images/s of one; {dearer:.2f}x the CPU of OpenCV alone")
    return 0 if faster >= GOAL_FASTER and dearer <= GOAL_CPU else 1


if __name__ == "__main__":
    sys.exit(main())
