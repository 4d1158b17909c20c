"""Runs that are broken off at awkward moments: nothing hangs, and nothing stays locked."""

from __future__ import annotations

import asyncio
import math
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from tests.pipeline.answering import Scripted, numbered
from visionpipe.errors import ConfigurationError
from visionpipe.pipeline.channel import Channel
from visionpipe.pipeline.journal import Journal
from visionpipe.pipeline.limiter import Limiter, Permit
from visionpipe.pipeline.pipeline import Pipeline
from visionpipe.sources.find import Source, SourceListing


def job(answerer: Scripted, **arguments: Any) -> Pipeline:
    return Pipeline("What is it?", **{"answerer": answerer, "model": "m", "concurrency": 2, **arguments})


def in_time(work: Callable[[], object]) -> None:
    """Does the work in a thread, because what hangs shall fail and not hang the tests."""
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(20)
    assert not thread.is_alive()


@pytest.mark.parametrize("act", ["force", "close"])
def test_a_signal_handler_may_interrupt_its_own_threads_taking(act: str) -> None:
    channel: Channel[int] = Channel(4)
    channel.put(1)

    def handler(frame: FrameType, event: str, argument: object) -> None:
        if frame.f_code.co_name == "_taken":
            sys.settrace(None)
            channel.force(2) if act == "force" else channel.close()

    def take() -> None:
        before = sys.gettrace()
        sys.settrace(handler)
        try:
            channel.take_now()
        finally:
            sys.settrace(before)

    in_time(take)


def test_what_a_signal_handler_adds_just_before_the_wait_is_found() -> None:
    channel: Channel[int] = Channel(4)
    taken: list[int] = []

    def handler(frame: FrameType, event: str, argument: object) -> None:
        if frame.f_code.co_name == "wait":
            sys.settrace(None)
            channel.force(2)

    def take() -> None:
        before = sys.gettrace()
        sys.settrace(handler)
        try:
            taken.extend(channel.take_all())
        finally:
            sys.settrace(before)

    in_time(take)
    assert taken == [2]


def test_threads_that_the_system_refuses_end_the_run_with_a_cure(tmp_path: Path) -> None:
    folder = numbered(tmp_path / "in", 3)
    refused: list[str] = []

    def work() -> None:
        run = job(Scripted(), journal=tmp_path / "j").run(folder)
        before = threading.stack_size(1 << 46)
        try:
            list(run)
        except ConfigurationError as error:
            refused.append(error.code)
        finally:
            threading.stack_size(before)

    in_time(work)
    assert refused == ["threads"]
    assert len(list(job(Scripted(), journal=tmp_path / "j").run(folder))) == 3


def test_an_abort_ends_the_counting_of_what_is_left(tmp_path: Path) -> None:
    numbered(tmp_path / "in", 3)
    left: list[int] = []

    class Listing(SourceListing):
        def found(self, *, unique: bool = True) -> Iterator[Source]:
            for number in range(1000):
                if run.summary is None and stopped.is_set():
                    left.append(1)
                    run.abort()
                yield Source(f"{number}.jpg", str(tmp_path / "in" / "0.jpg"))

    stopped = threading.Event()
    run = job(Scripted()).run(Listing(tmp_path / "in"))
    for _ in run:
        run.stop()
        stopped.set()
    assert run.summary is not None
    assert run.summary.stopped == "stopped"
    assert run.summary.seen < 1000


def test_a_run_cancelled_while_it_is_opened_gives_its_journal_back(tmp_path: Path) -> None:
    folder = numbered(tmp_path / "in", 3)
    begun, held = threading.Event(), threading.Event()

    def sidecar(name: str) -> str:
        begun.set()
        held.wait(20)
        return f"{name}.txt"

    async def consume() -> None:
        async for _ in job(Scripted(), journal=tmp_path / "j", sidecar=sidecar).arun(folder):
            pass

    async def cancelled() -> None:
        task = asyncio.create_task(consume())
        await asyncio.to_thread(begun.wait, 20)
        for _ in range(3):
            # However often: the run ends when nothing holds its journal any more.
            task.cancel()
            await asyncio.sleep(0)
            assert not task.done()
        held.set()
        with pytest.raises(asyncio.CancelledError):
            await task
        Journal(tmp_path / "j").close()

    asyncio.run(cancelled())
    assert len(list(job(Scripted(), journal=tmp_path / "j").run(folder))) == 3


def test_a_run_cancelled_twice_waits_for_nothing(tmp_path: Path) -> None:
    folder = numbered(tmp_path / "in", 3)
    begun, held = threading.Event(), threading.Event()

    def script(name: str, number: int) -> str | None:
        begun.set()
        held.wait(20)
        return None

    async def consume() -> None:
        async for _ in job(Scripted(script), journal=tmp_path / "j").arun(folder):
            pass

    async def cancelled() -> None:
        task = asyncio.create_task(consume())
        await asyncio.to_thread(begun.wait, 20)
        for _ in range(2):
            task.cancel()
            for _ in range(5):
                await asyncio.sleep(0)
        with pytest.raises(asyncio.CancelledError):
            await task

    in_time(lambda: asyncio.run(cancelled()))
    assert not held.is_set()
    held.set()
    assert len(list(job(Scripted(), journal=tmp_path / "j").run(folder))) == 3


def test_a_pause_longer_than_any_clock_can_wait_is_kept_and_can_be_left() -> None:
    limiter = Limiter(4, start=2)
    permit = limiter.try_enter()
    assert isinstance(permit, Permit)
    limiter.leave_refused(permit, math.inf)
    stopped = threading.Event()
    got: list[Permit | None] = []
    thread = threading.Thread(target=lambda: got.append(limiter.enter(stopped.is_set)))
    thread.start()
    stopped.set()
    limiter.wake()
    thread.join(20)
    assert got == [None]
    assert limiter.state.pause_s == math.inf
