"""What a long run shows, on a terminal, in plain lines or as JSON, and what ends it early.

The first drains and saves, the second Ctrl-C or request ends at once. Nothing that a handler does
can raise, since it would come out of whatever line of the run is being executed.

Progress goes to stderr and results to their outputs, so that either can be piped alone.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType, TracebackType
from typing import TYPE_CHECKING, Protocol, Self

from visionpipe.cli.plain import one_line
from visionpipe.pipeline.events import (
    STOP_WORDS,
    Event,
    ItemEnded,
    LevelChanged,
    Progress,
    RunEnded,
    RunStopping,
    ServiceBack,
    ServiceLost,
)
from visionpipe.results import Outcome

if TYPE_CHECKING:
    from rich.progress import Progress as Bar
    from rich.progress import TaskID


_WORDS = b"\nstopping; what is under way is awaited. Press Ctrl-C again to end at once.\n"
_HANGUP: signal.Signals | None = getattr(signal, "SIGHUP", None)
"""Sent when the terminal is gone; not on every platform."""


class Stoppable(Protocol):
    """A run."""

    def stop(self) -> None: ...
    def abort(self) -> None: ...


@contextmanager
def draining(run: Stoppable) -> Iterator[None]:
    """SIGINT, SIGTERM and SIGHUP drain ``run`` while the block lasts.

    A hang-up that is ignored from the start (``nohup``) stays ignored; a repeated one ends nothing, since a
    shell and the terminal may both send it.
    """
    asked = 0

    def on_signal(number: int, frame: FrameType | None) -> None:
        nonlocal asked
        asked += 1
        if asked == 1:
            run.stop()
            _say_or_silence(_WORDS)
        elif number != _HANGUP:
            run.abort()

    numbers = [signal.SIGINT, signal.SIGTERM]
    if _HANGUP is not None and signal.getsignal(_HANGUP) is not signal.SIG_IGN:
        numbers.append(_HANGUP)
    before = {number: signal.signal(number, on_signal) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _say_or_silence(words: bytes) -> None:
    """Past sys.stderr, which may be in the middle of a write. Where nothing can be written, as to a terminal
    that is gone, what is said from now on goes nowhere instead of ending the run."""
    with suppress(OSError, ValueError):
        descriptor = sys.stderr.fileno()
        try:
            os.write(descriptor, words)
        except OSError:
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, descriptor)
            os.close(nowhere)


_SECONDS_BETWEEN_LINES = 10.0


class Reporter(Protocol):
    """Shows events; used as a context manager around a run."""

    def __enter__(self) -> Self: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...
    def __call__(self, event: Event) -> None: ...


def reporter(*, as_json: bool, quiet: bool, plain: bool = False) -> Reporter:
    """The one that fits: JSON lines on stdout, nothing, a bar on a terminal, plain lines otherwise.

    Args:
        as_json, quiet: what was asked for.
        plain: no bar, since results go to the terminal too.
    """
    if as_json:
        return JsonLines()
    if quiet:
        return Quiet()
    return TerminalBar() if sys.stderr.isatty() and not plain else PlainLines()


class Quiet:
    """Says nothing until the end."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None

    def __call__(self, event: Event) -> None:
        return None


class PlainLines(Quiet):
    """A line for each failure, and one every ten seconds."""

    def __init__(
        self, write: Callable[[str], object] | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._write = write or sys.stderr.write
        self._clock = clock
        self._next = clock() + _SECONDS_BETWEEN_LINES

    def __call__(self, event: Event) -> None:
        match event:
            case ItemEnded(result=result, kept=False) if result.failure is not None:
                self._say(f"failed: {failure_line(event)}\n")
            case ServiceLost() | ServiceBack():
                self._say(f"{reach_line(event)}\n")
            case RunStopping():
                self._say(f"{stopping_line(event)}\n")
        if isinstance(event, ItemEnded) and self._clock() >= self._next:
            self._next = self._clock() + _SECONDS_BETWEEN_LINES
            self._say(f"{progress_line(event.progress)}\n")

    def _say(self, line: str) -> None:
        # A log that is full is no reason to end a night's work; the exit status still tells that it is.
        with suppress(OSError):
            self._write(line)


class JsonLines(Quiet):
    """Each result and the summary as JSON lines on stdout."""

    def __call__(self, event: Event) -> None:
        import orjson

        if isinstance(event, ItemEnded):
            line = {"event": "item", "kept": event.kept, **event.result.to_json()}
        elif isinstance(event, RunEnded):
            line = {"event": "summary", **event.summary.to_json()}
        else:
            return
        sys.stdout.buffer.write(orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE))
        sys.stdout.buffer.flush()


class TerminalBar:
    """A bar with counts, rate and time left; failures are printed above it."""

    def __init__(self) -> None:
        self._bar: Bar | None = None
        self._task: TaskID | None = None

    def __enter__(self) -> Self:
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            TextColumn,
            TimeElapsedColumn,
            TimeRemainingColumn,
        )
        from rich.progress import Progress as Bar

        self._bar = Bar(
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[detail]}"),
            console=Console(stderr=True),
            transient=True,
        )
        self._task = self._bar.add_task("", total=None, rate="", detail="")
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def __call__(self, event: Event) -> None:
        if self._bar is None or self._task is None:
            return
        match event:
            case ItemEnded():
                now = event.progress
                if event.result.outcome is Outcome.FAILED and not event.kept:
                    self._bar.console.print(f"failed: {failure_line(event)}", markup=False, highlight=False)
                detail = f"{now.failed} failed, {now.busy} under way of {now.level}"
                self._bar.update(
                    self._task,
                    completed=now.ended,
                    total=now.seen if now.listed else None,
                    rate=rate_text(now),
                    detail=detail,
                )
            case LevelChanged() if event.refused:
                self._bar.update(self._task, detail=f"slowed down by the service to {event.level} at once")
            case ServiceLost() | ServiceBack():
                self._bar.console.print(reach_line(event), markup=False, highlight=False)
            case RunStopping():
                self._bar.console.print(stopping_line(event), markup=False, highlight=False)


def failure_line(event: ItemEnded) -> str:
    """One failed item: file, reason, cure."""
    result = event.result
    if result.failure is None:
        return one_line(result.source)
    return one_line(f"{result.source}: {result.failure.reason}. {result.failure.cure}")


def reach_line(event: ServiceLost | ServiceBack) -> str:
    """That the service is out of reach, or back."""
    if isinstance(event, ServiceBack):
        return f"the service is back after {event.seconds:.0f} s"
    return one_line(f"the service is out of reach ({event.reason}); waiting")


def stopping_line(event: RunStopping) -> str:
    """Why nothing new is begun, and what is still waited for."""
    awaited = f"; {event.under_way} under way" if event.under_way else ""
    return f"stopping: {STOP_WORDS.get(event.reason, event.reason)}{awaited}"


def rate_text(now: Progress) -> str:
    """New items a second; those kept from earlier runs took no time."""
    fresh = now.ended - now.kept
    return f"{fresh / now.seconds:.1f}/s" if now.seconds > 0 else ""


def progress_line(now: Progress) -> str:
    """The state of a run in one plain line."""
    total = str(now.seen) if now.listed else f"{now.seen}+"
    fresh = now.ended - now.kept
    left = ""
    if now.listed and fresh and now.seconds > 0:
        left = f", {(now.seen - now.ended) * now.seconds / fresh:.0f} s left"
    return (
        f"{now.ended} of {total}: {now.done} done, {now.failed} failed, {now.skipped} skipped, "
        f"{rate_text(now)}{left}"
    )
