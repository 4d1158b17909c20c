"""What ends a run early from outside: Ctrl-C, a request to end, a dropped line.

The rule: the first drains and saves, the second Ctrl-C or request ends at once. Nothing that a handler does
can raise, since it would come out of whatever line of the run is being executed.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Protocol

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
