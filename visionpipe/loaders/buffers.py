"""Buffers that are used again by whoever reads next.

The rule: a block of this size taken anew goes back to the system after each use, and fetching it again, page
by page, costs more than what is done with it; one that was just used is still in the processor's cache. So
the last one given back is the first one taken.
"""

from __future__ import annotations

from collections import deque

_KEPT = 4
"""How many wait to be used again; more are in use only while more threads read at the same moment."""


class BufferPool:
    """Buffers of ``size`` bytes; thread-safe."""

    def __init__(self, size: int) -> None:
        self.size = size
        self._free: deque[memoryview] = deque(maxlen=_KEPT)

    def take(self) -> memoryview:
        """A writable buffer, with whatever it held before."""
        try:
            return self._free.pop()
        except IndexError:
            return memoryview(bytearray(self.size))

    def give_back(self, buffer: memoryview) -> None:
        """Takes back what :meth:`take` gave; the caller uses it no more."""
        self._free.append(buffer)
