"""What the boxes of a HEIC or AVIF file say of its first picture, read without decoding.

The decoders turn a picture as its transform boxes say, and leave an orientation in its EXIF alone;
which of the two is written decides who turns it, so that it is turned once.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from visionpipe.images.metadata import Window, read_orientation

_MOST_BOXES = 4096
_SHORTEST = 6  # bytes in a box of those looked into
_TRANSFORMS = frozenset([b"irot", b"imir"])


@dataclass(frozen=True, slots=True)
class HeifFacts:
    """``transformed``: turned or mirrored by boxes, which the decoder obeys. ``orientation`` is what EXIF
    states, 0 where it states none. ``bits`` are per channel. ``code_points`` are the colours' primaries and
    transfer characteristics (ITU-T H.273), None where there are none."""

    transformed: bool = False
    orientation: int = 0
    bits: int = 8
    code_points: tuple[int, int] | None = None


def heif_facts(data: bytes) -> HeifFacts:
    """The facts of the primary picture; of an unusual or broken structure as much as can be read."""
    meta = next((span for kind, *span in _boxes(data, 0, len(data)) if kind == b"meta"), None)
    if meta is None:
        return HeifFacts()
    inner = {
        kind: (start, end)
        for kind, start, end in _boxes(data, meta[0] + 4, meta[1])
        if end - start >= _SHORTEST
    }
    properties = _properties(data, inner)
    code_points, bits = None, 8
    for kind, start, end in properties:
        body = data[start:end]
        if kind == b"colr" and body[:4] == b"nclx" and len(body) >= 8:
            code_points = int.from_bytes(body[4:6], "big"), int.from_bytes(body[6:8], "big")
        elif kind == b"pixi" and len(body) > 5:
            bits = max(body[5:])
        elif kind == b"av1C" and len(body) > 2 and bits == 8:
            bits = 12 if body[2] & 0x20 else 10 if body[2] & 0x40 else 8
        elif kind == b"hvcC" and len(body) > 17 and bits == 8:
            bits = 8 + (body[17] & 7)
    transformed = any(kind in _TRANSFORMS for kind, _, _ in properties)
    return HeifFacts(transformed, _exif_orientation(data, inner), bits, code_points)


def boxes_fit(data: bytes) -> bool:
    """Whether the chain of boxes ends exactly where the file does."""
    offset = 0
    while offset + 8 <= len(data):
        length = int.from_bytes(data[offset : offset + 4], "big")
        if length == 1:
            length = int.from_bytes(data[offset + 8 : offset + 16], "big")
        if length == 0:
            return True
        if length < 8:
            return False
        offset += length
    return offset == len(data)


def _boxes(data: bytes, start: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """(type, start, end) of the contents of each box, as long as they make sense."""
    for _ in range(_MOST_BOXES):
        if start + 8 > end:
            return
        length, head = int.from_bytes(data[start : start + 4], "big"), 8
        if length == 1:
            length, head = int.from_bytes(data[start + 8 : start + 16], "big"), 16
        stop = end if length == 0 else start + length
        if (length not in (0, 1) and length < head) or stop > end:
            return
        yield data[start + 4 : start + 8], start + head, stop
        start = stop


def _properties(data: bytes, inner: dict[bytes, tuple[int, int]]) -> list[tuple[bytes, int, int]]:
    """The property boxes that belong to the primary item."""
    if b"pitm" not in inner or b"iprp" not in inner:
        return []
    start, _ = inner[b"pitm"]
    primary = int.from_bytes(data[start + 4 : start + (8 if data[start] else 6)], "big")
    parts = {kind: (begin, end) for kind, begin, end in _boxes(data, *inner[b"iprp"])}
    if b"ipco" not in parts or parts.get(b"ipma", (0, 0))[1] - parts.get(b"ipma", (0, 0))[0] < _SHORTEST:
        return []
    every = list(_boxes(data, *parts[b"ipco"]))
    found = _associations(data, *parts[b"ipma"], primary)
    return [every[index - 1] for index in found if 1 <= index <= len(every)]


def _associations(data: bytes, start: int, end: int, item: int) -> list[int]:
    wide_item, wide_index = data[start] >= 1, bool(data[start + 3] & 1)
    count = int.from_bytes(data[start + 4 : start + 8], "big")
    place = start + 8
    for _ in range(min(count, _MOST_BOXES)):
        size = 4 if wide_item else 2
        if place + size + 1 > end:
            break
        number = int.from_bytes(data[place : place + size], "big")
        entries = data[place + size]
        place += size + 1
        width = 2 if wide_index else 1
        mask = 0x7FFF if wide_index else 0x7F
        indices = [
            int.from_bytes(data[place + i * width : place + (i + 1) * width], "big") & mask
            for i in range(entries)
        ]
        if number == item:
            return indices
        place += entries * width
    return []


def _exif_orientation(data: bytes, inner: dict[bytes, tuple[int, int]]) -> int:
    if b"iinf" not in inner or b"iloc" not in inner:
        return 0
    start, end = inner[b"iinf"]
    for kind, begin, stop in _boxes(data, start + (8 if data[start] else 6), end):
        version = data[begin] if begin < stop else 0
        if kind != b"infe" or version < 2:
            continue
        width = 4 if version > 2 else 2
        place = begin + 4 + width + 2
        if data[place : place + 4] == b"Exif":
            number = int.from_bytes(data[begin + 4 : begin + 4 + width], "big")
            block = _item(data, inner, number)
            if len(block) < 4:
                return 0
            skipped = 4 + int.from_bytes(block[:4], "big")
            return read_orientation(Window(block), skipped, len(block))
    return 0


def _item(data: bytes, inner: dict[bytes, tuple[int, int]], wanted: int) -> bytes:
    """The first extent of an item that lies in the file or in the idat box."""
    start, end = inner[b"iloc"]
    place = start

    def take(size: int) -> int:
        nonlocal place
        place += size
        return int.from_bytes(data[place - size : place], "big")

    version = take(1)
    take(3)
    sizes = take(2)
    offset_size, length_size, base_size = sizes >> 12, sizes >> 8 & 15, sizes >> 4 & 15
    index_size = sizes & 15 if version else 0
    for _ in range(min(take(4 if version == 2 else 2), _MOST_BOXES)):
        number = take(4 if version == 2 else 2)
        method = take(2) & 15 if version else 0
        take(2)
        base = take(base_size)
        spans = []
        for _ in range(min(take(2), _MOST_BOXES)):
            take(index_size)
            spans.append((base + take(offset_size), take(length_size)))
        if place > end:
            return b""
        if number == wanted and spans and method <= 1:
            offset, length = spans[0]
            if method:
                offset += inner.get(b"idat", (len(data), 0))[0]
            return data[offset : offset + length]
    return b""
