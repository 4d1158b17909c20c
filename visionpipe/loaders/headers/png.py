"""The chunks of a PNG, from its header to its end.

The rule: chunk heads are walked to the last, never their contents. That finds EXIF wherever it stands and
proves that no byte is missing; whether the pixels are sound only decoding tells.
"""

from __future__ import annotations

import struct
import zlib

from visionpipe.loaders.headers.exif import read_orientation
from visionpipe.loaders.headers.window import Header, Window

_MOST_CHUNKS = 200_000
_DEPTHS = {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}
_COLOURS = {0: "grey", 2: "rgb", 3: "palette", 4: "grey", 6: "rgb"}
_CHUNK = struct.Struct(">I4s")
_HEADER = struct.Struct(">IIBBBBB")


def read_png(window: Window) -> Header:
    """Facts of the PNG in ``window``.

    Raises:
        BadImageError: a chunk is cut off or missing, or the header contradicts itself.
    """
    width, height, bits, kind = _image_header(window)
    alpha = kind in (4, 6)
    orientation = 1
    frames = 1
    pixels = False
    offset = 33
    at, unpack, head, size = window.at, _CHUNK.unpack_from, window.head, window.size
    held = len(head) - 8
    for _ in range(_MOST_CHUNKS):
        length, name = unpack(head, offset) if offset <= held else unpack(at(offset, 8))
        if name == b"IDAT":
            pixels = True
        elif name == b"IEND":
            break
        elif name == b"tRNS":
            alpha = True
        elif name == b"eXIf":
            orientation = read_orientation(window, offset + 8, offset + 8 + length)
        elif name == b"acTL" and not pixels:
            frames = max(1, int.from_bytes(at(offset + 8, 4), "big"))
        offset += length + 12
        if offset > size:
            window.truncated()
    else:
        window.corrupt("the PNG has no end among its first chunks")
    if not pixels:
        window.corrupt("the PNG holds no pixels")
    return Header("png", width, height, orientation, _COLOURS[kind], bits, alpha, frames)


def _image_header(window: Window) -> tuple[int, int, int, int]:
    chunk = window.at(8, 25)
    if chunk[4:8] == b"CgBI":
        window.corrupt("the PNG is in the iPhone app form (CgBI), which is no standard PNG")
    if chunk[:8] != b"\0\0\0\x0dIHDR":
        window.corrupt("the PNG does not begin with its header")
    if zlib.crc32(chunk[4:21]) != int.from_bytes(chunk[21:], "big"):
        window.corrupt("the checksum of the PNG's header is wrong")
    width, height, bits, kind, compression, filtering, interlace = _HEADER.unpack(chunk[8:21])
    if not 0 < width < 1 << 31 or not 0 < height < 1 << 31:
        window.corrupt(f"the PNG says it is {width}x{height} pixels")
    if bits not in _DEPTHS.get(kind, ()) or compression or filtering or interlace > 1:
        window.corrupt("the PNG's header contradicts itself")
    return width, height, bits, kind
