"""Lets items that several threads work on pass one point in the order of the listing.

The rule: whoever has a number leaves, however it ends, so nobody waits for one that never comes.
"""

from __future__ import annotations

import threading


class Turnstile:
    """Numbers count up from 1, without gaps, in the order in which threads take them."""

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._gone = 0
        self._left_early: set[int] = set()

    def wait(self, number: int) -> None:
        """Returns when everybody with a lower number has left."""
        with self._condition:
            while self._gone < number - 1:
                self._condition.wait()

    def leave(self, number: int) -> None:
        """``number`` is past the point, or never comes there. May be said twice."""
        with self._condition:
            if number <= self._gone:
                return
            self._left_early.add(number)
            while self._gone + 1 in self._left_early:
                self._gone += 1
                self._left_early.discard(self._gone)
            self._condition.notify_all()
