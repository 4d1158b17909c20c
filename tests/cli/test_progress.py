"""What a run shows while it goes on: plain lines, JSON lines, and a bar on a terminal."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
import threading
from pathlib import Path

import orjson
import pytest

from visionpipe.cli.progress import JsonLines, PlainLines, Quiet, reporter
from visionpipe.pipeline.events import (
    Event,
    ItemEnded,
    LevelChanged,
    Progress,
    RunEnded,
    RunStarted,
    RunStopping,
    RunSummary,
    ServiceBack,
    ServiceLost,
)
from visionpipe.pipeline.progress import bar_line, progress_line
from visionpipe.results import Failure, ItemResult, Outcome

DONE = ItemResult("a.jpg", Outcome.DONE, caption="A cat.")
FAILED = ItemResult(
    "b.jpg", Outcome.FAILED, failure=Failure("BadImageError", "bad_image", "it is broken", "Mend it.")
)


def counts(
    done: int = 0,
    failed: int = 0,
    *,
    total: int | None = 40,
    rate: float | None = None,
    left: float | None = None,
) -> Progress:
    return Progress(40, total is not None, done, failed, 0, 0, 4, 2, 10.0, total, done, rate, left)


def ended(result: ItemResult, *, kept: bool = False, done: int = 20) -> ItemEnded:
    return ItemEnded(result, kept, counts(done, rate=2.0, left=10.0))


class Told:
    """Plain lines on a clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.now = 0.0
        self.lines: list[str] = []
        self.show = PlainLines(self.lines.append, lambda: self.now)


def test_an_outage_and_its_end_are_a_line_each() -> None:
    told = Told()
    told.show(ServiceLost("the host's name could not be\nresolved"))
    told.show(LevelChanged(1, False, 30.0))
    told.show(ServiceBack(1799.6))
    assert told.lines[1:] == ["the service is back after 1800 s\n"]
    assert told.lines[0].startswith("the service is out of reach (the host's name could not be")
    assert told.lines[0].endswith("resolved); waiting\n")
    assert told.lines[0].count("\n") == 1


def test_a_line_every_ten_seconds() -> None:
    told = Told()
    for moment, lines in ((1.0, 0), (9.9, 0), (10.0, 1), (19.0, 1), (20.5, 2)):
        told.now = moment
        told.show(ended(DONE))
        assert len(told.lines) == lines
    assert told.lines[0] == "20 of 40: 20 done, 0 failed, 0 skipped, 2.0/s, 10 s left\n"


def test_a_failure_is_told_at_once_and_an_old_one_is_not() -> None:
    told = Told()
    told.show(ended(FAILED, kept=True))
    told.show(ended(FAILED))
    assert told.lines == ["failed: b.jpg: it is broken. Mend it.\n"]


def test_a_stop_is_told_and_other_events_are_not() -> None:
    told = Told()
    told.now = 100.0
    for event in (RunStarted(1, 0), LevelChanged(4, True, 0.0), RunStopping("budget", 3)):
        told.show(event)
    [line] = told.lines
    assert line.startswith("stopping: ")
    assert "budget" in line
    assert line.endswith("; 3 under way\n")


@pytest.mark.parametrize(
    ("progress", "line"),
    [
        (counts(10, 10, total=None, rate=2.0), "20 of 40+: 10 done, 10 failed, 0 skipped, 2.0/s"),
        (counts(20), "20 of 40: 20 done, 0 failed, 0 skipped"),
        (counts(20, rate=1.0, left=20), "20 of 40: 20 done, 0 failed, 0 skipped, 1.0/s, 20 s left"),
        (counts(20, rate=0.01, left=7384), "20 of 40: 20 done, 0 failed, 0 skipped, 0.0/s, 2:03 h left"),
    ],
)
def test_what_is_left_is_told_only_where_it_is_known(progress: Progress, line: str) -> None:
    assert progress_line(progress) == line


@pytest.mark.parametrize(
    ("progress", "line"),
    [
        (counts(0, total=None), "0 of 40+  10 s  2 under way"),
        (counts(30, 3, rate=2.04, left=184.6), "33 of 40  2.0/s  10 s, 3:05 min left  3 failed  2 under way"),
    ],
)
def test_the_line_behind_the_bar(progress: Progress, line: str) -> None:
    assert bar_line(progress) == line


def test_json_lines_hold_the_figures_of_the_bar(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    asked = threading.Event()

    def now() -> Progress | None:
        if asked.is_set():
            told.set()
        asked.set()
        return counts(30, rate=2.0, left=5.0)

    told = threading.Event()
    with JsonLines(period=0.001) as show:
        show.follow(now)
        assert told.wait(30)
        show(RunEnded(RunSummary(seen=2)))
    lines = [orjson.loads(line) for line in capfdbinary.readouterr().out.splitlines()]
    assert lines[-1]["event"] == "summary"
    assert lines[0] == {
        "event": "progress",
        "seconds": 10.0,
        "total": 40,
        "ended": 30,
        "done": 30,
        "failed": 0,
        "skipped": 0,
        "kept": 0,
        "asked": 30,
        "under_way": 2,
        "at_once": 4,
        "rate": 2.0,
        "seconds_left": 5.0,
    }


def test_json_lines_are_results_and_a_summary(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    events: list[Event] = [
        RunStarted(1, 0),
        ended(DONE),
        ended(FAILED, kept=True),
        RunEnded(RunSummary(seen=2)),
    ]
    with JsonLines() as show:
        for event in events:
            show(event)
    lines = [orjson.loads(line) for line in capfdbinary.readouterr().out.splitlines()]
    assert [line["event"] for line in lines] == ["item", "item", "summary"]
    assert [(line["path"], line["kept"]) for line in lines[:2]] == [("a.jpg", False), ("b.jpg", True)]
    assert lines[2]["seen"] == 2


def test_the_one_that_fits(capfd: pytest.CaptureFixture[str]) -> None:
    assert isinstance(reporter(as_json=True, quiet=True), JsonLines)
    assert isinstance(reporter(as_json=False, quiet=False), PlainLines)
    with reporter(as_json=False, quiet=True) as quiet:
        quiet(ended(FAILED))
    assert type(quiet) is Quiet
    assert capfd.readouterr() == ("", "")


BAR = """
from threading import Event

from tests.cli.test_progress import DONE, FAILED, counts, ended
from visionpipe.cli.progress import TerminalBar, reporter
from visionpipe.pipeline.events import LevelChanged, RunStopping, ServiceBack, ServiceLost

show = reporter(as_json=False, quiet=False)
assert isinstance(show, TerminalBar)
show(ended(DONE))  # nothing is shown before the run begins
looked = Event()

def now():
    looked.set()
    return counts(33, rate=2.0, left=5.0)

with show:
    for event in (ended(DONE), LevelChanged(2, True, 0.0), ended(FAILED, done=21), RunStopping("budget", 1)):
        show(event)
    show(ServiceLost("nothing listens there"))
    show(ServiceBack(40.2))
    looked.clear()
    show.follow(now)
    assert looked.wait(30)  # without any event
"""


def test_a_terminal_gets_a_bar() -> None:
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-W", "error", "-c", BAR],
        cwd=Path(__file__).parent.parent.parent,
        env={**os.environ, "TERM": "xterm", "COLUMNS": "160"},
        stdout=subprocess.PIPE,
        stderr=theirs,
    ) as shown:
        os.close(theirs)
        screen = read_all(ours)
        out = shown.stdout.read() if shown.stdout else b""
    os.close(ours)
    assert shown.returncode == 0, screen
    assert out == b""
    assert "33 of 40  2.0/s  10 s, 5 s left  2 under way" in screen
    assert "slowed down by the service to 2 at once" in screen
    assert "failed: b.jpg: it is broken. Mend it." in screen
    assert "stopping: " in screen
    assert "the service is out of reach (nothing listens there); waiting" in screen
    assert "the service is back after 40 s" in screen


def read_all(terminal: int) -> str:
    """What is shown until the other end of the terminal is closed."""
    pieces: list[bytes] = []
    while True:
        try:
            piece = os.read(terminal, 4096)
        except OSError:  # how Linux tells that the other end was closed
            piece = b""
        if not piece:
            return b"".join(pieces).decode()
        pieces.append(piece)
