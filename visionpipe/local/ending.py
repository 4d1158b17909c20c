"""Calls into OpenCV that daemon threads may be in when the program ends.

The rule: the program ends after them. A thread that comes back from OpenCV while the interpreter is being
taken down takes the whole process with it (SIGABRT, "terminate called without an active exception"); so at
the end calls under way are awaited, for a few seconds at most, and no new one begins.
"""

from __future__ import annotations

import atexit
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

LONGEST_WAIT_S = 10.0


class Calls:
    """Counts the calls under way.

    Args:
        at_end: is given what has to run when the program ends.
    """

    def __init__(self, at_end: Callable[[Callable[[], None]], object] = atexit.register) -> None:
        self._changed = threading.Condition()
        self._count = 0
        self._over = False
        at_end(self.end)

    @contextmanager
    def under_way(self) -> Iterator[None]:
        """For the length of a ``with`` block the end waits. After it only the main thread, which is the one
        that ends, may still enter; others stay here."""
        with self._changed:
            while self._over and threading.current_thread() is not threading.main_thread():
                self._changed.wait()
            self._count += 1
        try:
            yield
        finally:
            with self._changed:
                self._count -= 1
                self._changed.notify_all()

    def end(self) -> None:
        """Waits for the calls under way, and lets no more begin."""
        with self._changed:
            self._over = True
            self._changed.wait_for(lambda: self._count == 0, LONGEST_WAIT_S)


calls = Calls()
"""Those of this process."""
