"""The orientation tag of an EXIF block, wherever the block stands.

The rule: a broken or absent tag means upright; EXIF is never a reason to refuse a picture.
"""

from __future__ import annotations

import struct

from visionpipe.loaders.headers.window import Window

_ORIENTATION = 0x0112
_INTEGERS = {1: 1, 3: 2, 4: 4}  # BYTE, SHORT, LONG -> bytes
_MOST_ENTRIES = 512


def read_orientation(window: Window, start: int, end: int) -> int:
    """The EXIF orientation (1 to 8) of the TIFF block that lies at ``start`` up to ``end`` (bytes)."""
    head = window.peek(start, 8)
    if head[:4] == b"II*\0":
        little = True
    elif head[:4] == b"MM\0*":
        little = False
    else:
        return 1
    if len(head) < 8:
        return 1
    order = "<" if little else ">"
    directory = start + int.from_bytes(head[4:8], "little" if little else "big")
    if directory + 2 > end:
        return 1
    count_bytes = window.peek(directory, 2)
    if len(count_bytes) < 2:
        return 1
    (count,) = struct.unpack(order + "H", count_bytes)
    room = max(0, (end - directory - 2) // 12)
    entries = window.peek(directory + 2, 12 * min(count, room, _MOST_ENTRIES))
    entries = entries[: len(entries) // 12 * 12]
    for tag, kind, _, value in struct.iter_unpack(order + "HHI4s", entries):
        if tag == _ORIENTATION:
            width = _INTEGERS.get(kind, 0)
            orientation = int.from_bytes(value[:width], "little" if little else "big")
            return orientation if 1 <= orientation <= 8 else 1
    return 1
