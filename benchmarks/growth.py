"""What a job costs an item as it grows: first run, resume, check, export and start.

    python -m benchmarks.growth [--sizes 20000,200000,1000000] [--at /tmp/growth]

Tiny files, no network: answers come at once from a scripted answerer, so that only the library's own work is
measured. The first run is measured at the smallest size; of larger jobs the journal is filled through the
journal's own calls, and two items are left to be asked about, the first and the last of the listing. Each
step is a process of its own. 1,000,000 items need about 5 GB on the disk, and some ten minutes to lay out.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

PROMPT, MODEL = "Describe this.", "m"
FOLDER = 1000
"""Files in one folder."""


def data_of(number: int) -> bytes:
    return b"\xff\xd8\xff\xe0%09d" % number


def place_of(number: int) -> str:
    return f"{number // FOLDER:05}/{number:08}.jpg"


def lay_out(images: Path, count: int) -> None:
    for number in range(count):
        if number % FOLDER == 0:
            (images / place_of(number)).parent.mkdir(parents=True)
        (images / place_of(number)).write_bytes(data_of(number))


def pipeline(at: Path) -> object:
    from visionpipe.pipeline.answerer import Answer, PreparedItem
    from visionpipe.pipeline.pipeline import Pipeline
    from visionpipe.reply import Reply
    from visionpipe.sources.find import Source
    from visionpipe.values import Money, Usage

    cost = Money(Decimal("0.000123"), "CNY")

    class Scripted:
        def prepare(self, source: Source, prompt: str) -> PreparedItem:
            return PreparedItem(source.name, 1100, cost, size=13)

        def answer(self, prepared: PreparedItem, seconds: float | None) -> Answer:
            text = f"A photo of a street in the rain, number {prepared.request}, with people and umbrellas."
            return Answer(
                Reply(text, MODEL, usage=Usage(1000, 100), cost=cost, request_id="2026-0001-abcdef")
            )

    return Pipeline(PROMPT, answerer=Scripted(), model=MODEL, journal=at / "journal", concurrency=16)


def fill(at: Path, count: int) -> None:
    """The journal of a run that has answered all items but the first and the last."""
    from visionpipe.pipeline.contents import stat_of
    from visionpipe.pipeline.journal import Journal
    from visionpipe.pipeline.ledger import Key, Sent
    from visionpipe.results import ItemResult, Outcome
    from visionpipe.stages.keys import Recipe
    from visionpipe.values import Money, Usage

    recipe = Recipe(MODEL, PROMPT)
    journal = Journal(at / "journal")
    journal.begin(recipe)
    question, cost = recipe.question(PROMPT), Money(Decimal("0.000123"), "CNY")
    for number in range(1, count - 1):
        name, digest = place_of(number), hashlib.sha256(data_of(number)).hexdigest()
        location = str(at / "images" / name)
        journal.note_source(name, location, stat_of(location), digest)
        result = ItemResult(
            name,
            Outcome.DONE,
            caption=f"A photo of a street in the rain, number {name}, with people and umbrellas.",
            model=MODEL,
            usage=Usage(1000, 100),
            cost=cost,
            finish_reason="stop",
            request_id="2026-0001-abcdef",
            attempts=1,
            sha256=digest,
            seconds=1.25,
        )
        journal.record(Key(name, question, digest), result, [Sent(1.25, "r", None, True, 1100, cost)])
    journal.end("complete")


def run(at: Path, count: int) -> dict[str, float]:
    begun = time.perf_counter()
    first: float | None = None
    items = 0
    for result in pipeline(at).run(at / "images"):  # type: ignore[attr-defined]  # as its function says
        items += 1
        if first is None and result.source == place_of(0):
            first = time.perf_counter() - begun
    return {"items": items, "seconds": time.perf_counter() - begun, "first": first or 0.0}


def check(at: Path, count: int) -> dict[str, float]:
    begun = time.perf_counter()
    items = sum(1 for _ in pipeline(at).plan(at / "images"))  # type: ignore[attr-defined]  # as above
    return {"items": items, "seconds": time.perf_counter() - begun}


def written(at: Path, count: int, kind: str) -> dict[str, float]:
    from visionpipe.pipeline.reading import recorded_results
    from visionpipe.sinks.opening import open_sink
    from visionpipe.sinks.sink import export

    begun = time.perf_counter()
    items, _ = export(recorded_results(at / "journal"), open_sink(str(at / f"out.{kind}")))
    return {"items": items, "seconds": time.perf_counter() - begun}


def start(at: Path, count: int) -> dict[str, float]:
    """The journal opened, and what the job has used up summed."""
    from visionpipe.pipeline.journal import Journal

    begun = time.perf_counter()
    journal = Journal(at / "journal")
    journal.spent()
    journal.close()
    return {"items": count, "seconds": time.perf_counter() - begun}


STEPS: dict[str, Callable[[Path, int], dict[str, float]]] = {
    "run": run,
    "check": check,
    "export JSONL": lambda at, count: written(at, count, "jsonl"),
    "export CSV": lambda at, count: written(at, count, "csv"),
    "start": start,
}


def measure(step: str, at: Path, count: int, title: str) -> None:
    command = [
        sys.executable,
        "-m",
        "benchmarks.growth",
        "--step",
        step,
        "--at",
        str(at),
        "--sizes",
        str(count),
    ]
    worker = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert worker.stdout is not None
    told = worker.stdout.read()
    _, status, used = os.wait4(worker.pid, 0)
    worker.returncode = os.waitstatus_to_exitcode(status)
    seen = json.loads(told)
    cpu = used.ru_utime + used.ru_stime
    items = int(seen["items"])
    first = (
        f", first new answer after {seen['first']:.1f} s" if "first" in seen and title != "first run" else ""
    )
    print(
        f"  {title:14} {1e6 * seen['seconds'] / items:7.1f} us an item ({1e6 * cpu / items:6.1f} of CPU, "
        f"start and all), {seen['seconds']:7.1f} s, peak {used.ru_maxrss / 1024:4.0f} MB{first}",
        flush=True,
    )


def main() -> int:
    parser = argparse.ArgumentParser(description="What a job costs an item as it grows.")
    parser.add_argument("--sizes", default="20000,200000,1000000")
    parser.add_argument("--at", type=Path, help="a folder to lay the items out in")
    parser.add_argument("--keep", action="store_true", help="leave what was laid out")
    parser.add_argument("--step", choices=[*STEPS], help=argparse.SUPPRESS)
    given = parser.parse_args()
    sizes = [int(size) for size in given.sizes.split(",")]
    if given.step:
        print(json.dumps(STEPS[given.step](given.at, sizes[0])))
        return 0
    for size in sizes:
        at = Path(tempfile.mkdtemp(dir=given.at))
        try:
            lay_out(at / "images", size)
            print(f"{size} items")
            if size == min(sizes):
                measure("run", at, size, "first run")
                (at / "journal").unlink()
            begun = time.perf_counter()
            fill(at, size)
            journal = (at / "journal").stat().st_size
            print(
                f"  journal {journal / 1e6:.0f} MB, filled in {time.perf_counter() - begun:.0f} s", flush=True
            )
            measure("start", at, size, "start")
            measure("export JSONL", at, size, "export JSONL")
            measure("export CSV", at, size, "export CSV")
            measure("check", at, size, "check")
            measure("run", at, size, "resume")
        finally:
            if given.keep:
                print(f"  kept in {at}")
            else:
                shutil.rmtree(at)
    return 0


if __name__ == "__main__":
    sys.exit(main())
