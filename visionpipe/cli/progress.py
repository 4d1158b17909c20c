"""What a long run shows: a bar with rate and time left on a terminal, plain lines elsewhere, JSON on request.

The rule: progress goes to stderr and results to their outputs, so that either can be piped alone.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import TYPE_CHECKING, Protocol, Self

from visionpipe.cli.plain import one_line
from visionpipe.pipeline.events import (
    Event,
    ItemEnded,
    LevelChanged,
    Progress,
    RunEnded,
    RunStopping,
    ServiceBack,
    ServiceLost,
)
from visionpipe.pipeline.summary import STOP_WORDS
from visionpipe.results import Outcome

if TYPE_CHECKING:
    from rich.progress import Progress as Bar
    from rich.progress import TaskID

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
