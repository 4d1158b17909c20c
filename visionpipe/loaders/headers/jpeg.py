"""The header of a JPEG: its segments up to the first scan, and its last two bytes.

The rule: every segment before the scan is looked at, because EXIF may stand after the frame header; none
is read whole.
"""

from __future__ import annotations

from visionpipe.loaders.headers.exif import read_orientation
from visionpipe.loaders.headers.window import Header, Window

END_OF_IMAGE = b"\xff\xd9"

_MOST_STEPS = 20_000  # segments, fill and stray bytes; real files have a few dozen
_STANDALONE = frozenset([0x01, *range(0xD0, 0xD9)])
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_ORDINARY_FRAMES = frozenset([0xC0, 0xC1, 0xC2])  # baseline, extended and progressive Huffman
_COLOURS = {1: "grey", 3: "rgb", 4: "cmyk"}


def read_jpeg(window: Window) -> Header:
    """Facts of the JPEG in ``window``.

    Raises:
        BadImageError: truncated, or no frame or scan where one must be.
    """
    at, head = window.at, window.head
    held = len(head) - 4
    offset = 2
    orientation = 0
    frame: bytes | None = None
    ordinary = True
    for _ in range(_MOST_STEPS):
        mark = head[offset : offset + 4] if offset <= held else at(offset, 2)
        code = mark[1]
        if mark[0] != 0xFF or code == 0:
            ordinary = False  # stray bytes between segments, which decoders step over
            offset += 1
            continue
        if code == 0xFF:
            offset += 1  # fill
            continue
        if code in _STANDALONE:
            offset += 2
            continue
        if code == 0xD9:
            window.corrupt("the JPEG ends before its picture begins")
        length = mark[2] << 8 | mark[3] if len(mark) == 4 else int.from_bytes(at(offset + 2, 2), "big")
        if length < 2:
            window.corrupt(f"a JPEG segment says it is {length} bytes long")
        if code == 0xDA:
            break
        if code in _FRAMES and frame is None:
            frame = at(offset + 4, 6)
            ordinary = ordinary and code in _ORDINARY_FRAMES
        elif code == 0xE1 and not orientation and window.peek(offset + 4, 6) == b"Exif\0\0":
            orientation = read_orientation(window, offset + 10, offset + 2 + length)
        offset += 2 + length
    else:
        window.corrupt("no picture within the first segments of the JPEG")
    if frame is None:
        window.corrupt("the JPEG has no frame header")
    bits, height, width, components = (
        frame[0],
        int.from_bytes(frame[1:3], "big"),
        int.from_bytes(frame[3:5], "big"),
        frame[5],
    )
    if not width or not height:
        window.corrupt(f"the JPEG says it is {width}x{height} pixels")
    colour = _COLOURS.get(components, "other")
    ended = window.peek(window.size - 2, 2) == END_OF_IMAGE
    return Header(
        "jpeg",
        width,
        height,
        orientation or 1,
        colour,
        bits,
        False,
        1,
        ended and ordinary and bits == 8 and colour != "other",
        offset,
    )
