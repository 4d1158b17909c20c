"""The chunks of a WebP file: lossy, lossless and extended.

The rule: the extended header's flags say what to look for; EXIF stands last and is found by seeking.
"""

from __future__ import annotations

from visionpipe.loaders.headers.exif import read_orientation
from visionpipe.loaders.headers.window import Header, Window

_MOST_CHUNKS = 20_000
_ANIMATED, _EXIF, _ALPHA = 0x02, 0x08, 0x10


def read_webp(window: Window) -> Header:
    """Facts of the WebP in ``window``.

    Raises:
        BadImageError: the file is shorter than it says, or its first chunk is no picture.
    """
    end = 8 + int.from_bytes(window.at(4, 4), "little")
    if end > window.size:
        window.truncated()
    first = window.at(12, 4)
    if first == b"VP8X":
        return _extended(window, end)
    if first == b"VP8 ":
        width, height = _lossy_size(window)
        alpha = False
    elif first == b"VP8L":
        bits = int.from_bytes(window.at(20, 5), "little")
        if bits & 0xFF != 0x2F:
            window.corrupt("the WebP's lossless picture has no signature")
        width, height = (bits >> 8 & 0x3FFF) + 1, (bits >> 22 & 0x3FFF) + 1
        alpha = bool(bits >> 36 & 1)
    else:
        window.corrupt("the WebP does not begin with a picture")
    if 20 + int.from_bytes(window.at(16, 4), "little") > end:
        window.truncated()
    return Header("webp", width, height, 1, "rgb", 8, alpha, 1)


def _lossy_size(window: Window) -> tuple[int, int]:
    frame = window.at(20, 10)
    if frame[0] & 1 or frame[3:6] != b"\x9d\x01\x2a":
        window.corrupt("the WebP's picture does not begin with a key frame")
    width = int.from_bytes(frame[6:8], "little") & 0x3FFF
    height = int.from_bytes(frame[8:10], "little") & 0x3FFF
    if not width or not height:
        window.corrupt(f"the WebP says it is {width}x{height} pixels")
    return width, height


def _extended(window: Window, end: int) -> Header:
    head = window.at(16, 14)
    flags = head[4]
    width = int.from_bytes(head[8:11], "little") + 1
    height = int.from_bytes(head[11:14], "little") + 1
    offset = 20 + _padded(int.from_bytes(head[:4], "little"))
    frames = pictures = 0
    orientation = 1
    for _ in range(_MOST_CHUNKS):
        if offset + 8 > end:
            break
        chunk = window.at(offset, 8)
        name, length = chunk[:4], int.from_bytes(chunk[4:], "little")
        if offset + 8 + length > end:
            window.truncated()
        if name == b"ANMF":
            frames += 1
        elif name in (b"VP8 ", b"VP8L"):
            pictures += 1
        elif name == b"EXIF" and flags & _EXIF:
            start = offset + 8
            # Some writers keep the prefix that belongs to JPEG.
            prefix = 6 if window.peek(start, 6) == b"Exif\0\0" else 0
            orientation = read_orientation(window, start + prefix, start + length)
        offset += 8 + _padded(length)
    if not frames + pictures:
        window.corrupt("the WebP holds no picture")
    animated = bool(flags & _ANIMATED) and frames > 0
    return Header(
        "webp", width, height, orientation, "rgb", 8, bool(flags & _ALPHA), frames if animated else 1
    )


def _padded(length: int) -> int:
    return length + (length & 1)
