"""Which rows of many files may be about an item: one word of 8 bytes a row, sorted, found by bisection.

A word's upper bits begin the hash of what the row is about, and its lower bits are the row's number.
Beginnings may coincide, so whoever finds a row looks at the row itself; what is not found is in none.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np

Words: TypeAlias = "np.ndarray[Any, np.dtype[np.uint64]]"

OPEN_BITS = 32
"""Bits of a row's number where it is not known how many rows there will be."""


class PartIndex:
    """The rows of one or more files.

    Args:
        words: sorted.
        bits: how many of each are the row's number.
    """

    def __init__(self, words: Words, bits: int) -> None:
        self._words = words
        self.bits = bits

    @classmethod
    def of(cls, hashes: Iterable[Words]) -> PartIndex:
        """Of rows from 0 on, whose hashes come in that order. Memory holds the words once."""
        held = bytearray()
        for some in hashes:
            held += some.tobytes()
        words: Words = np.frombuffer(held, np.uint64)
        bits = max(1, (len(words) - 1).bit_length())
        for at in range(0, len(words), _AT_ONCE):
            some = words[at : at + _AT_ONCE]
            some[:] = _words(some, np.arange(at, at + len(some), dtype=np.uint64), bits)
        words.sort()
        return cls(words, bits)

    @classmethod
    def of_numbered(cls, rows: Mapping[int, Sequence[int]]) -> PartIndex:
        """Of some rows: from a hash to the numbers of its rows."""
        pairs = [(hashed, number) for hashed, numbers in rows.items() for number in numbers]
        hashes, numbers = (np.array([pair[at] for pair in pairs], np.uint64) for at in (0, 1))
        words = _words(hashes, numbers, OPEN_BITS)
        words.sort()
        return cls(words, OPEN_BITS)

    def __len__(self) -> int:
        return len(self._words)

    def joined(self, other: PartIndex) -> PartIndex:
        """Both; their numbers have the same bits."""
        words = np.concatenate([self._words, other._words])
        words.sort(kind="stable")
        return PartIndex(words, self.bits)

    def rows(self, wanted: int) -> list[int]:
        """The numbers of the rows that may be about what has this hash."""
        mask = (1 << self.bits) - 1
        low, high = np.uint64(wanted & ~mask), np.uint64(wanted | mask)
        begin = int(np.searchsorted(self._words, low))
        end = int(np.searchsorted(self._words, high, "right"))
        return [int(word) & mask for word in self._words[begin:end]]

    def shared(self, at_once: int) -> Iterator[Words]:
        """The numbers of rows that may be about one thing with another row, in groups of about ``at_once``;
        rows about one thing are in one group."""
        if len(self._words) < 2:
            return
        mask = np.uint64((1 << self.bits) - 1)
        alike = np.zeros(len(self._words) + 1, bool)
        for begin in range(0, len(self._words) - 1, _AT_ONCE):
            some = self._words[begin : begin + _AT_ONCE + 1] | mask
            alike[begin + 1 : begin + len(some)] = some[1:] == some[:-1]
        # A row is one of several where it is like the one before it, or the next is like it.
        places = np.flatnonzero(alike[:-1] | alike[1:])
        begin = 0
        while begin < len(places):
            end = min(begin + at_once, len(places))
            while end < len(places) and alike[places[end]]:
                end += 1
            yield np.sort(self._words[places[begin:end]] & mask)
            begin = end


_AT_ONCE = 1 << 16


def _words(hashes: Words, numbers: Words, bits: int) -> Words:
    mask = np.uint64((1 << bits) - 1)
    found: Words = (hashes & ~mask) | numbers
    return found
