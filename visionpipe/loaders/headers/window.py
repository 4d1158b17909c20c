"""The bytes a header parser looks at, and the facts it returns.

The rule: a parser asks for a few bytes at an offset. What is not in memory is read there and then, so a
header costs one short read however large the file, unless its own structure points further.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NoReturn, TypeAlias

from visionpipe.errors import BadImageError

ReadAt: TypeAlias = Callable[[int, int], bytes]
"""(offset, length) -> the bytes there, fewer only at the end of the file."""

TRUNCATED_CURE = "Copy or download the file again; its end is missing."
CORRUPT_CURE = "Export or download the picture again; this copy is damaged."

_STEP = 512  # a miss reads this much: a segment's or chunk's head and what usually follows it


@dataclass(frozen=True, slots=True)
class Header:
    """What an encoded image says of itself; the fields mean what those of ``media.Image`` mean.

    ``complete`` is False where the structure leaves room for doubt (bytes after the end, an unusual
    coding), so that only decoding can tell. ``body`` is the offset of the coded pixels in bytes, 0 where
    it was not needed.
    """

    format: str
    width: int
    height: int
    orientation: int
    colour: str
    bits: int
    alpha: bool
    frames: int
    complete: bool = True
    body: int = 0


class Window:
    """Bytes of one file by absolute offset.

    ``head`` is what was given to begin with: loops over many small pieces look there first, because a call
    for each piece is what costs most.

    Args:
        data: the file's first bytes, or all of them.
        size: the whole file's size in bytes; ``len(data)`` where not given.
        read: reads what ``data`` does not hold; not needed where ``data`` is all.
        name: the subject of errors.
    """

    __slots__ = ("_data", "_read", "_start", "head", "name", "size")

    def __init__(
        self, data: bytes, *, size: int | None = None, read: ReadAt | None = None, name: str = "image"
    ) -> None:
        self.size = len(data) if size is None else size
        self.name = name
        self.head = data
        self._data = data
        self._start = 0
        self._read = read

    def peek(self, offset: int, length: int, step: int = _STEP) -> bytes:
        """Up to ``length`` bytes at ``offset``; fewer only at the end of the file."""
        begin = offset - self._start
        if begin >= 0:
            found = self._data[begin : begin + length]
            if len(found) == length:
                return found
        if self._read is None:
            return self._data[max(begin, 0) : max(begin + length, 0)]
        if offset >= self.size:
            return b""
        self._data = self._read(offset, max(length, step))
        self._start = offset
        return self._data[:length]

    def at(self, offset: int, length: int) -> bytes:
        """Exactly ``length`` bytes at ``offset``.

        Raises:
            BadImageError: the file ends before (``truncated``).
        """
        found = self.peek(offset, length)
        if len(found) != length:
            self.truncated()
        return found

    def truncated(self) -> NoReturn:
        raise BadImageError(
            f"the image is cut off after {self.size:,} bytes",
            cure=TRUNCATED_CURE,
            subject=self.name,
            code="truncated",
        )

    def corrupt(self, reason: str) -> NoReturn:
        raise BadImageError(reason, cure=CORRUPT_CURE, subject=self.name, code="corrupt")
