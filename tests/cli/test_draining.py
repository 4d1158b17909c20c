"""Signals around a run: the first drains, the second ends at once, a hang-up never does more than drain."""

from __future__ import annotations

import os
import signal
import sys
import threading
from pathlib import Path

import pytest

from visionpipe.cli.progress import draining


class Run:
    def __init__(self) -> None:
        self.heard: list[str] = []

    def stop(self) -> None:
        self.heard.append("stop")

    def abort(self) -> None:
        self.heard.append("abort")


@pytest.mark.parametrize(
    ("sent", "heard"),
    [
        ([signal.SIGINT, signal.SIGINT], ["stop", "abort"]),
        ([signal.SIGTERM, signal.SIGINT], ["stop", "abort"]),
        ([signal.SIGHUP, signal.SIGHUP], ["stop"]),
        ([signal.SIGHUP, signal.SIGTERM], ["stop", "abort"]),
    ],
)
def test_what_signals_do(sent: list[signal.Signals], heard: list[str]) -> None:
    run = Run()
    before = {number: signal.getsignal(number) for number in sent}
    with draining(run):
        for number in sent:
            signal.raise_signal(number)
    assert run.heard == heard
    assert {number: signal.getsignal(number) for number in sent} == before


def test_nohup_is_respected() -> None:
    run = Run()
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with draining(run):
            signal.raise_signal(signal.SIGHUP)
    finally:
        signal.signal(signal.SIGHUP, before)
    assert run.heard == []


def test_the_words_go_past_a_stream_that_is_being_written_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Busy:
        """As a buffered stream is, when a signal arrives in the middle of its write."""

        def __init__(self, descriptor: int) -> None:
            self._descriptor = descriptor

        def fileno(self) -> int:
            return self._descriptor

        def write(self, text: str) -> int:
            raise RuntimeError("reentrant call")

    log = tmp_path / "log"
    with log.open("wb") as file:
        monkeypatch.setattr(sys, "stderr", Busy(file.fileno()))
        with draining(Run()):
            signal.raise_signal(signal.SIGTERM)
    assert b"under way is awaited" in log.read_bytes()


def test_what_a_lost_terminal_is_told_goes_nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    reading, writing = os.pipe()
    os.close(reading)  # as a line that has dropped: every write fails
    with os.fdopen(writing, "w") as lost:
        monkeypatch.setattr(sys, "stderr", lost)
        with draining(Run()):
            signal.raise_signal(signal.SIGHUP)
        lost.write("later\n")
        lost.flush()
        assert os.fstat(lost.fileno()).st_rdev == os.stat(os.devnull).st_rdev  # noqa: PTH116 - by descriptor too


class EndedRun(Run):
    """``ended`` once it was aborted."""

    def __init__(self) -> None:
        super().__init__()
        self.ended = threading.Event()

    def abort(self) -> None:
        super().abort()
        self.ended.set()


def test_after_sigterm_what_is_under_way_is_awaited_for_so_long_and_no_longer() -> None:
    run = EndedRun()
    with draining(run, seconds=0.05):
        signal.raise_signal(signal.SIGTERM)
        assert run.ended.wait(60)
    assert run.heard == ["stop", "abort"]


def test_a_run_that_ends_in_time_is_not_aborted() -> None:
    run = EndedRun()
    with draining(run, seconds=0.2):
        signal.raise_signal(signal.SIGTERM)
    assert not run.ended.wait(0.4)


def test_after_ctrl_c_what_is_under_way_is_awaited_to_its_end() -> None:
    run = EndedRun()
    with draining(run, seconds=0.0):
        signal.raise_signal(signal.SIGINT)
        assert not run.ended.wait(0.2)
