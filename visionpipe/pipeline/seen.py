"""A filter before the journal: most items of a first run are new to it, and need not be looked up.

The rule: it never says no to what was added. It may say yes to what was not; then the journal is asked.
"""

from __future__ import annotations

import zlib

_PLACES = 1 << 22


class Seen:
    """Remembers texts in 4 MB, however many; from any number of threads."""

    def __init__(self) -> None:
        # A byte a place, since storing one needs no lock; with a bit, two threads could undo each other.
        self._places = bytearray(_PLACES)

    def add(self, text: str) -> None:
        self._places[_place(text)] = 1

    def may_hold(self, text: str) -> bool:
        """False only where ``text`` was never added."""
        return self._places[_place(text)] == 1


def _place(text: str) -> int:
    return zlib.crc32(text.encode("utf-8", "surrogatepass")) & (_PLACES - 1)
