"""What a long run shows, on a terminal, in plain lines or as JSON, and what ends it early.

The first drains and saves, the second Ctrl-C or request ends at once. Nothing that a handler does
can raise, since it would come out of whatever line of the run is being executed.

Progress goes to stderr and results to their outputs, so that either can be piped alone.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType, TracebackType
from typing import TYPE_CHECKING, Protocol, Self, TypeAlias

from visionpipe.cli.options import one_line
from visionpipe.pipeline.events import (
    STOP_S,
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
from visionpipe.pipeline.progress import bar_line, progress_line
from visionpipe.results import Outcome
from visionpipe.values import JSON

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.live import Live


_WORDS = b"\nstopping; what is under way is awaited. Press Ctrl-C again to end at once.\n"
_HANGUP: signal.Signals | None = getattr(signal, "SIGHUP", None)
"""Sent when the terminal is gone; not on every platform."""


class Stoppable(Protocol):
    """A run."""

    def stop(self) -> None: ...
    def abort(self) -> None: ...


@contextmanager
def draining(run: Stoppable, seconds: float = STOP_S) -> Iterator[None]:
    """SIGINT, SIGTERM and SIGHUP drain ``run`` while the block lasts; after a SIGTERM, as schedulers send it,
    for so many seconds at most.

    A hang-up that is ignored from the start (``nohup``) stays ignored; a repeated one ends nothing, since a
    shell and the terminal may both send it.
    """
    asked = 0
    ending, over = threading.Event(), threading.Event()

    def limit() -> None:
        ending.wait()
        if not over.wait(seconds):
            run.abort()

    def on_signal(number: int, frame: FrameType | None) -> None:
        nonlocal asked
        asked += 1
        if asked == 1:
            if number == signal.SIGTERM:
                ending.set()
            run.stop()
            _say_or_silence(_WORDS)
        elif number != _HANGUP:
            run.abort()

    numbers = [signal.SIGINT, signal.SIGTERM]
    if _HANGUP is not None and signal.getsignal(_HANGUP) is not signal.SIG_IGN:
        numbers.append(_HANGUP)
    # It stands ready, since a signal handler can begin no thread safely.
    threading.Thread(target=limit, name="limit of a stop", daemon=True).start()
    before = {number: signal.signal(number, on_signal) for number in numbers}
    try:
        yield
    finally:
        over.set()
        ending.set()
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
_SECONDS_BETWEEN_FIGURES = 1.0

Now: TypeAlias = Callable[[], Progress | None]
"""How far a run is at this moment; None before it has begun."""


class Reporter(Protocol):
    """Shows events; used as a context manager around a run."""

    def __enter__(self) -> Self: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...
    def __call__(self, event: Event) -> None: ...

    def follow(self, now: Now) -> None:
        """Shows how far the run is, also while nothing happens."""
        ...


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

    def follow(self, now: Now) -> None:
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
    """Each result, the figures once a second, and the summary as JSON lines on stdout.

    Args:
        period: seconds between two lines of figures.
    """

    def __init__(self, period: float = _SECONDS_BETWEEN_FIGURES) -> None:
        self._period = period
        self._lock = threading.Lock()
        self._over = threading.Event()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()

    def __call__(self, event: Event) -> None:
        if isinstance(event, ItemEnded):
            self._write({"event": "item", "kept": event.kept, **event.result.to_json()})
        elif isinstance(event, RunEnded):
            self._over.set()
            self._write({"event": "summary", **event.summary.to_json()})

    def follow(self, now: Now) -> None:
        threading.Thread(target=self._tell_figures, args=(now,), daemon=True).start()

    def _tell_figures(self, now: Now) -> None:
        # Where stdout takes no more, the run's own thread meets that too, and ends it.
        with suppress(OSError, ValueError):
            while not self._over.wait(self._period):
                progress = now()
                if progress is not None:
                    self._write({"event": "progress", **progress.to_json()})

    def _write(self, line: dict[str, JSON]) -> None:
        import orjson

        with self._lock:
            if line["event"] == "progress" and self._over.is_set():
                return
            sys.stdout.buffer.write(orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE))
            sys.stdout.buffer.flush()


class TerminalBar:
    """A bar with counts, rate, time left and what is under way at this moment; failures are printed above."""

    def __init__(self) -> None:
        self._live: Live | None = None
        self._now: Now = lambda: None
        self._latest: Progress | None = None

    def __enter__(self) -> Self:
        from rich.console import Console
        from rich.live import Live

        self._live = Live(
            get_renderable=self._shown,
            console=Console(stderr=True),
            refresh_per_second=_REFRESHES,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()

    def __call__(self, event: Event) -> None:
        if self._live is None:
            return
        match event:
            case ItemEnded():
                self._latest = event.progress
                if event.result.outcome is Outcome.FAILED and not event.kept:
                    self._print(f"failed: {failure_line(event)}")
            case LevelChanged() if event.refused:
                self._print(f"slowed down by the service to {event.level} at once")
            case ServiceLost() | ServiceBack():
                self._print(reach_line(event))
            case RunStopping():
                self._print(stopping_line(event))

    def follow(self, now: Now) -> None:
        self._now = now

    def _print(self, line: str) -> None:
        if self._live is not None:
            self._live.console.print(line, markup=False, highlight=False)

    def _shown(self) -> RenderableType:
        from rich.progress_bar import ProgressBar
        from rich.table import Table

        now = self._now() or self._latest
        if now is None:
            return ""
        row = Table.grid(padding=(0, 1))
        row.add_row(ProgressBar(total=now.total, completed=now.ended, width=_BAR_WIDTH), bar_line(now))
        return row


_REFRESHES, _BAR_WIDTH = 4, 30


def failure_line(event: ItemEnded) -> str:
    """One failed item: file, reason, cure."""
    result = event.result
    if result.failure is None:
        return one_line(result.source)
    return one_line(f"{result.source}: {result.failure.reason}. {result.failure.cure}")


def reach_line(event: ServiceLost | ServiceBack) -> str:
    """That the service is out of reach, or back."""
    who = event.server or "the service"
    if isinstance(event, ServiceBack):
        return one_line(f"{who} is back after {event.seconds:.0f} s")
    what = "waiting" if event.server is None else "the other servers go on"
    return one_line(f"{who} is out of reach ({event.reason}); {what}")


def stopping_line(event: RunStopping) -> str:
    """Why nothing new is begun, and what is still waited for."""
    awaited = f"; {event.under_way} under way" if event.under_way else ""
    return f"stopping: {STOP_WORDS.get(event.reason, event.reason)}{awaited}"
