"""A bounded queue between threads that can be closed, read without waiting, and pushed back into.

A close wakes whoever waits. A signal handler may add and close while its own thread is taking.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

T = TypeVar("T")

_POLL_S = 0.5
"""What a signal handler adds between a check and the wait behind it wakes nobody, so it is checked again."""


class Closed(Exception):
    """The channel is closed, and empty where one wanted to take from it."""


class Channel(Generic[T]):
    """Holds up to ``size`` values.

    Args:
        size: how many ``put`` lets in before it waits.
        on_change: called (outside the lock) after a value came in and after the close; must not block.
    """

    def __init__(self, size: int, on_change: Callable[[], None] | None = None) -> None:
        self._size = size
        self._values: deque[T] = deque()
        self._lock = threading.RLock()
        self._filled = threading.Condition(self._lock)
        self._emptied = threading.Condition(self._lock)
        self._closed = False
        self.on_change = on_change

    def put(self, value: T) -> None:
        """Adds at the end, waiting for room. Raises Closed."""
        with self._lock:
            while len(self._values) >= self._size and not self._closed:
                self._emptied.wait()
            if self._closed:
                raise Closed
            self._values.append(value)
            self._filled.notify()
        self._tell()

    def put_all(self, values: Sequence[T]) -> None:
        """Adds several at the end at once, as soon as there is room for one. Raises Closed."""
        with self._lock:
            while len(self._values) >= self._size and not self._closed:
                self._emptied.wait()
            if self._closed:
                raise Closed
            self._values.extend(values)
            self._filled.notify(len(values))
        self._tell()

    def offer(self, value: T) -> bool:
        """As ``put`` where there is room, else False. Raises Closed."""
        with self._lock:
            if self._closed:
                raise Closed
            if len(self._values) >= self._size:
                return False
            self._values.append(value)
            self._filled.notify()
        self._tell()
        return True

    def take_all(self) -> list[T]:
        """Everything that is in, waiting for something. Raises Closed once closed and empty."""
        with self._lock:
            while not self._values:
                if self._closed:
                    raise Closed
                self._filled.wait(_POLL_S)
            return self.drain()

    def force(self, value: T, *, first: bool = False) -> None:
        """Adds without waiting for room, at the end or in front. Raises Closed."""
        with self._lock:
            if self._closed:
                raise Closed
            if first:
                self._values.appendleft(value)
            else:
                self._values.append(value)
            self._filled.notify()
        self._tell()

    def take_now(self) -> T | None:
        """The first value; None where there is none at the moment. Raises Closed once closed and empty."""
        with self._lock:
            if self._values:
                return self._taken()
            if self._closed:
                raise Closed
            return None

    def __len__(self) -> int:
        return len(self._values)

    @property
    def closed(self) -> bool:
        """Whether no more comes in."""
        return self._closed

    def close(self) -> None:
        """No more comes in; what is in can still be taken."""
        with self._lock:
            self._closed = True
            self._filled.notify_all()
            self._emptied.notify_all()
        self._tell()

    def drain(self) -> list[T]:
        """Takes everything out."""
        with self._lock:
            values = list(self._values)
            self._values.clear()
            self._emptied.notify_all()
            return values

    def _taken(self) -> T:
        value = self._values.popleft()
        # Who puts in is woken for many values at a time, not for each.
        if len(self._values) <= self._size // 2:
            self._emptied.notify()
        return value

    def _tell(self) -> None:
        # Read once: whoever listens may leave meanwhile.
        tell = self.on_change
        if tell is not None:
            tell()
