"""How far a run is, in words, and shown where a program runs: a bar in a notebook, one line on a terminal, a
line every ten seconds elsewhere. Results are the program's own; this goes to stderr, or below the cell.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from html import escape
from importlib import import_module
from typing import Any, Protocol

from visionpipe.pipeline.events import Event, ItemEnded, Progress, RunEnded

_SECONDS_BETWEEN_BARS = 0.25
_SECONDS_BETWEEN_LINES = 10.0
_CLEAR_LINE = "\r\x1b[2K"


class Shown(Protocol):
    """A place that a notebook shows, as IPython hands it out."""

    def update(self, obj: Any) -> None: ...


def progress_display() -> Callable[[Event], object]:
    """What shows a run's events: by where the program runs."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    if getattr(shell, "kernel", None) is not None:
        return NotebookBar()
    return TerminalLine() if sys.stderr.isatty() else ProgressLines()


class NotebookBar:
    """A bar below the cell, which is written anew as the run goes on.

    Args:
        clock: monotonic seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._next = 0.0
        self._shown: Shown | None = None
        self._latest: Progress | None = None

    def __call__(self, event: Event) -> None:
        if isinstance(event, ItemEnded):
            self._latest = event.progress
            if self._clock() >= self._next:
                self._next = self._clock() + _SECONDS_BETWEEN_BARS
                self._show()
        elif isinstance(event, RunEnded):
            self._show()

    def _show(self) -> None:
        if self._latest is None:
            return
        # Of the notebook that the program runs in; a program without one needs no IPython.
        notebook: Any = import_module("IPython.display")
        html = notebook.HTML(bar_html(self._latest))
        if self._shown is None:
            self._shown = notebook.display(html, display_id=True)
        else:
            self._shown.update(html)


class TerminalLine:
    """One line on a terminal, written over itself."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._next = 0.0

    def __call__(self, event: Event) -> None:
        if isinstance(event, ItemEnded) and self._clock() >= self._next:
            self._next = self._clock() + _SECONDS_BETWEEN_BARS
            sys.stderr.write(f"{_CLEAR_LINE}{bar_line(event.progress)}")
            sys.stderr.flush()
        elif isinstance(event, RunEnded):
            sys.stderr.write(_CLEAR_LINE)
            sys.stderr.flush()


class ProgressLines:
    """A line every ten seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._next = clock() + _SECONDS_BETWEEN_LINES

    def __call__(self, event: Event) -> None:
        if isinstance(event, ItemEnded) and self._clock() >= self._next:
            self._next = self._clock() + _SECONDS_BETWEEN_LINES
            sys.stderr.write(f"{progress_line(event.progress)}\n")


def bar_html(now: Progress) -> str:
    """The bar and its words."""
    most = f' max="{now.total}"' if now.total else ""
    value = f' value="{now.ended}"' if now.total else ""
    return (
        f'<div><progress{value}{most} style="width:16rem" aria-label="progress"></progress> '
        f"<span>{escape(progress_line(now))}</span></div>"
    )


def bar_line(now: Progress) -> str:
    """What stands behind the bar."""
    failed = f"  {now.failed} failed" if now.failed else ""
    left = "" if now.left is None else f", {duration(now.left)} left"
    return f"{_of_total(now)}  {_rate(now)}{duration(now.seconds)}{left}{failed}  {now.busy} under way"


def progress_line(now: Progress) -> str:
    """The state of a run in one plain line."""
    left = "" if now.left is None else f"{duration(now.left)} left"
    rate = "" if now.rate is None else f"{now.rate:.1f}/s"
    ends = (f"{now.done} done", f"{now.failed} failed", f"{now.skipped} skipped", rate, left)
    return f"{_of_total(now)}: {', '.join(filter(None, ends))}"


def duration(seconds: float) -> str:
    """Seconds as ``7 s``, ``3:05 min`` or ``2:05 h``."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60}:{whole % 60:02} min"
    return f"{whole // 3600}:{whole % 3600 // 60:02} h"


def _of_total(now: Progress) -> str:
    return f"{now.ended} of {now.total}" if now.total is not None else f"{now.ended} of {now.seen}+"


def _rate(now: Progress) -> str:
    return "" if now.rate is None else f"{now.rate:.1f}/s  "
