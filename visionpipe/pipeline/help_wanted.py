"""Whether preparation needs more than one thread.

The rule: an image that is sent as it lies is ready in a millisecond, most of it spent in the interpreter, and
a second thread would only get in the way of those that send. One that is decoded and repaired, or comes from
a slow disk, leaves the interpreter free for tens of them: then all help is wanted.
"""

from __future__ import annotations

import threading

MORE_ABOVE_S, FEWER_BELOW_S = 0.012, 0.006
_WEIGHT = 0.2


class HelpWanted:
    """Told how long items took to prepare; threads beyond the first wait on it between two items."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._wanted = threading.Event()
        self._mean_s: float | None = None
        self._over = False

    @property
    def wanted(self) -> bool:
        return self._wanted.is_set()

    def took(self, seconds: float) -> None:
        """One item was ready after ``seconds``."""
        with self._lock:
            mean = seconds if self._mean_s is None else self._mean_s + _WEIGHT * (seconds - self._mean_s)
            self._mean_s = mean
            if self._over or mean > MORE_ABOVE_S:
                self._wanted.set()
            elif mean < FEWER_BELOW_S:
                self._wanted.clear()

    def wait(self) -> None:
        """Returns when help is wanted, or it is all over."""
        self._wanted.wait()

    def release(self) -> None:
        """Lets every waiting thread go, for good. May be called from a signal handler."""
        with self._lock:
            if self._over:
                return
            self._over = True
            self._wanted.set()
