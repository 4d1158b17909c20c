"""The headers of JPEG, PNG, WebP and GIF files, read without decoding a pixel.

A parser asks for a few bytes at an offset. What is not in memory is read there and then, so a
header costs one short read however large the file, unless its own structure points further.

A broken or absent tag means upright; EXIF is never a reason to refuse a picture.

Every segment before the scan is looked at, because EXIF may stand after the frame header; none
is read whole.

Chunk heads are walked to the last, never their contents. That finds EXIF wherever it stands and
proves that no byte is missing; whether the pixels are sound only decoding tells.

The extended header's flags say what to look for; EXIF stands last and is found by seeking.

Block lengths are walked to the trailer, pixels are not decoded.
"""

from __future__ import annotations

import struct
import zlib
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


END_OF_IMAGE = b"\xff\xd9"

_MOST_STEPS = 20_000  # segments, fill and stray bytes; real files have a few dozen
_STANDALONE = frozenset([0x01, *range(0xD0, 0xD9)])
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_ORDINARY_FRAMES = frozenset([0xC0, 0xC1, 0xC2])  # baseline, extended and progressive Huffman
_JPEG_COLOURS = {1: "grey", 3: "rgb", 4: "cmyk"}


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
    colour = _JPEG_COLOURS.get(components, "other")
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


_MOST_PNG_CHUNKS = 200_000
_DEPTHS = {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}
_PNG_COLOURS = {0: "grey", 2: "rgb", 3: "palette", 4: "grey", 6: "rgb"}
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
    for _ in range(_MOST_PNG_CHUNKS):
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
    return Header("png", width, height, orientation, _PNG_COLOURS[kind], bits, alpha, frames)


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


_MOST_WEBP_CHUNKS = 20_000
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
    for _ in range(_MOST_WEBP_CHUNKS):
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


_MOST_BLOCKS = 1_000_000
_GIF_STEP = 1 << 16  # blocks of 255 bytes lie close together, so a miss reads many


def read_gif(window: Window) -> Header:
    """Facts of the GIF in ``window``. The size is the screen's, or the first frame's where that is larger.

    Raises:
        BadImageError: it ends before its first frame does, or has no frame.
    """
    screen = window.at(6, 7)
    width, height = int.from_bytes(screen[:2], "little"), int.from_bytes(screen[2:4], "little")
    offset = 13 + _table_bytes(screen[4])
    frames = 0
    alpha = False
    budget = _MOST_BLOCKS
    ended = False
    while budget > 0:
        kind = window.peek(offset, 1, _GIF_STEP)
        if kind == b"\x3b":
            ended = True
            break
        if kind == b"\x21":
            label = window.peek(offset + 1, 4, _GIF_STEP)
            if frames == 0 and len(label) == 4 and label[0] == 0xF9 and label[1] >= 4:
                alpha = bool(label[2] & 1)
            found = _skip_blocks(window, offset + 2, budget)
        elif kind == b"\x2c":
            place = window.peek(offset + 1, 9, _GIF_STEP)
            if len(place) < 9:
                found = None
            else:
                if frames == 0:
                    left, top, across, down = (
                        int.from_bytes(place[i : i + 2], "little") for i in (0, 2, 4, 6)
                    )
                    width, height = max(width, left + across), max(height, top + down)
                found = _skip_blocks(window, offset + 11 + _table_bytes(place[8]), budget)
                frames += found is not None
        else:
            break  # the end of the file, or bytes that belong to no block
        if found is None:
            break
        offset, budget = found
    if not frames:
        window.truncated()
    if not width or not height:
        window.corrupt(f"the GIF says it is {width}x{height} pixels")
    return Header("gif", width, height, 1, "palette", 8, alpha, frames, ended)


def _table_bytes(flags: int) -> int:
    return 3 << (flags & 7) + 1 if flags & 0x80 else 0


def _skip_blocks(window: Window, offset: int, budget: int) -> tuple[int, int] | None:
    """Where the chain of blocks at ``offset`` ends, and the budget left; None where it is cut off."""
    peek = window.peek
    while budget > 0:
        budget -= 1
        length = peek(offset, 1, _GIF_STEP)
        if not length:
            return None
        offset += length[0] + 1
        if not length[0]:
            return offset, budget
    return None
