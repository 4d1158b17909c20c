"""The program ends after the calls that are under way, and lets none begin."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import pytest

from visionpipe.local.networks import Calls

SAMPLES = Path(__file__).parent.parent.parent / "samples"


def test_the_end_waits_for_calls_and_lets_no_more_begin() -> None:
    calls, steps = Calls(lambda end: None), list[str]()
    entered, may_leave = threading.Event(), threading.Event()

    def call() -> None:
        with calls.under_way():
            entered.set()
            may_leave.wait(30)
            steps.append("left")

    def end() -> None:
        calls.end()
        steps.append("ended")

    first, ending = threading.Thread(target=call), threading.Thread(target=end)
    first.start()
    assert entered.wait(10)
    ending.start()
    may_leave.set()
    ending.join(30)
    first.join(30)
    assert steps == ["left", "ended"]
    entered.clear()
    late = threading.Thread(target=call, daemon=True)
    late.start()
    with calls.under_way():
        steps.append("the main thread goes on")
    late.join(0.05)
    assert late.is_alive()
    assert not entered.is_set()


def test_it_is_told_to_whoever_ends_the_program() -> None:
    told: list[object] = []
    calls = Calls(told.append)
    assert told == [calls.end]


@pytest.mark.parametrize("work", ["LocalEngine(reader=None).analyse(data)", "shared_reader().vector(data)"])
def test_a_program_that_leaves_threads_behind_ends_well(work: str) -> None:
    script = f"""
import threading
from pathlib import Path
from visionpipe.local.engine import LocalEngine
from visionpipe.local.likeness import shared_reader
data = Path({str(SAMPLES / "coffee.png")!r}).read_bytes()
once = threading.Barrier(4)
def work():
    {work}
    once.wait()
    while True:
        {work}
for _ in range(3):
    threading.Thread(target=work, daemon=True).start()
once.wait()
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stderr) == (0, "")
