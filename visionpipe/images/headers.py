"""The headers of JPEG, PNG, WebP and GIF files, read without decoding a pixel.

A parser asks for a few bytes at an offset. What is not in memory is read there and then, so a
header costs one short read however large the file, unless its own structure points further: all
segments of a JPEG before the scan, because EXIF may stand after the frame header; the heads of all
chunks of a PNG and a WebP, and of all blocks of a GIF, which also proves that no byte is missing.
Whether the pixels are sound only decoding tells.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass

from visionpipe.errors import BadImageError
from visionpipe.images.metadata import (
    PROFILE_BYTES,
    Window,
    gif_profile,
    is_orienting_text,
    is_wide_code,
    is_wider_than_p3,
    peek_xmp_orientation,
    png_profile,
    read_orientation,
    text_orientation,
)


@dataclass(frozen=True, slots=True)
class Header:
    """What an encoded image says of itself; the fields mean what those of ``media.Image`` mean.

    ``complete`` is False where the structure leaves room for doubt (bytes after the end, an unusual
    coding), so that only decoding can tell. ``body`` is the offset of the coded pixels in bytes, 0 where
    it was not needed. ``scalable`` says that it can be decoded at a fraction of its size in the memory of
    that fraction. ``stray_orientation`` is a written orientation that means nothing, else 0.
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
    wide_gamut: bool = False
    scalable: bool = False
    stray_orientation: int = 0


def meant(stated: int) -> tuple[int, int]:
    """The orientation to show a picture in, and the one that was stated where that means nothing."""
    return (stated, 0) if 1 <= stated <= 8 else (1, stated)


END_OF_IMAGE = b"\xff\xd9"

_MOST_STEPS = 20_000  # segments, fill and stray bytes; real files have a few dozen
_STANDALONE = frozenset([0x01, *range(0xD0, 0xD9)])
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_ORDINARY_FRAMES = frozenset([0xC0, 0xC1, 0xC2])  # baseline, extended and progressive Huffman
_SEQUENTIAL_FRAMES = frozenset([0xC0, 0xC1])
_DEEP = frozenset([12, 16])  # bits a sample; of them only medical and scientific programs write JPEGs
_JPEG_COLOURS = {1: "grey", 3: "rgb", 4: "cmyk"}
_XMP = b"http://ns.adobe.com/xap/1.0/\0"
_ICC = b"ICC_PROFILE\0\1"  # the first of its segments


def read_jpeg(window: Window) -> Header:
    """Facts of the JPEG in ``window``.

    Raises:
        BadImageError: truncated, no frame or scan where one must be, or deeper than decoders read.
    """
    at, head = window.at, window.head
    held = len(head) - 4
    offset = 2
    stated = xmp = 0
    wide = sequential = False
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
            sequential = code in _SEQUENTIAL_FRAMES
        elif code == 0xE1 and not stated:
            begins = window.peek(offset + 4, len(_XMP))
            if begins.startswith(b"Exif\0\0"):
                stated = read_orientation(window, offset + 10, offset + 2 + length)
            elif begins == _XMP:
                xmp = xmp or offset
        elif code == 0xE2 and window.peek(offset + 4, len(_ICC)) == _ICC:
            wide = is_wider_than_p3(window.peek(offset + 18, min(length - 16, PROFILE_BYTES)))
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
    if bits in _DEEP:
        raise BadImageError(
            f"it is a JPEG of {bits} bits, which cannot be read here",
            cure="Export it as a JPEG of 8 bits, or as PNG or TIFF, first.",
            subject=window.name,
            code="unread_kind",
        )
    if xmp and not stated:
        stated = peek_xmp_orientation(window, xmp + 4, int.from_bytes(at(xmp + 2, 2), "big") - 2)
    orientation, stray = meant(stated)
    colour = _JPEG_COLOURS.get(components, "other")
    ended = window.peek(window.size - 2, 2) == END_OF_IMAGE
    return Header(
        "jpeg",
        width,
        height,
        orientation,
        colour,
        bits,
        False,
        1,
        ended and ordinary and bits == 8 and colour != "other",
        offset,
        wide,
        sequential,
        stray,
    )


_MOST_PNG_CHUNKS = 200_000
_DEPTHS = {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}
_PNG_COLOURS = {0: "grey", 2: "rgb", 3: "palette", 4: "grey", 6: "rgb"}
_TEXTS = frozenset([b"tEXt", b"zTXt", b"iTXt"])
_KEYWORD = 22  # characters that tell the keywords wanted from all others
_MOST_TEXTS, _MOST_TEXT = 4, 1 << 16
_CHUNK = struct.Struct(">I4s")
_HEADER = struct.Struct(">IIBBBBB")


def read_png(window: Window) -> Header:
    """Facts of the PNG in ``window``.

    Raises:
        BadImageError: a chunk is cut off or missing, or the header contradicts itself.
    """
    width, height, bits, kind = _image_header(window)
    alpha = kind in (4, 6)
    stated = 0
    texts: list[tuple[bytes, int, int]] = []
    wide = coded = controlled = pixels = False
    frames = 1
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
            stated = read_orientation(window, offset + 8, offset + 8 + length)
        elif name == b"acTL" and not pixels:
            frames = max(1, int.from_bytes(at(offset + 8, 4), "big"))
        elif name == b"fcTL":
            # A picture before the first of these is no part of the animation.
            frames += pixels and not controlled
            controlled = True
        elif name in _TEXTS:
            if len(texts) < _MOST_TEXTS and is_orienting_text(window.peek(offset + 8, _KEYWORD)):
                texts.append((name, offset + 8, length))
        elif name == b"iCCP" and not coded:
            wide = is_wider_than_p3(png_profile(window.peek(offset + 8, min(length, 2 * PROFILE_BYTES))))
        elif name == b"cICP" and length >= 2:
            wide, coded = is_wide_code(*at(offset + 8, 2)), True
        offset += length + 12
        if offset > size:
            window.truncated()
    else:
        window.corrupt("the PNG has no end among its first chunks")
    if not pixels:
        window.corrupt("the PNG holds no pixels")
    for name, start, length in texts:
        stated = stated or text_orientation(name, window.peek(start, min(length, _MOST_TEXT)))
    orientation, stray = meant(stated)
    return Header(
        "png",
        width,
        height,
        orientation,
        _PNG_COLOURS[kind],
        bits,
        alpha,
        frames,
        wide_gamut=wide,
        stray_orientation=stray,
    )


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
_ANIMATED, _XMP_FLAG, _EXIF, _ALPHA, _PROFILE = 0x02, 0x04, 0x08, 0x10, 0x20


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
    frames = pictures = stated = xmp = 0
    wide = False
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
            stated = read_orientation(window, start + prefix, start + length)
        elif name == b"XMP " and flags & _XMP_FLAG:
            xmp = peek_xmp_orientation(window, offset + 8, length)
        elif name == b"ICCP" and flags & _PROFILE:
            wide = is_wider_than_p3(window.peek(offset + 8, min(length, PROFILE_BYTES)))
        offset += 8 + _padded(length)
    if not frames + pictures:
        window.corrupt("the WebP holds no picture")
    animated = bool(flags & _ANIMATED) and frames > 0
    orientation, stray = meant(stated or xmp)
    return Header(
        "webp",
        width,
        height,
        orientation,
        "rgb",
        8,
        bool(flags & _ALPHA),
        frames if animated else 1,
        wide_gamut=wide,
        stray_orientation=stray,
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
    alpha = wide = False
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
            elif label[:2] == b"\xff\x0b":
                wide = wide or is_wider_than_p3(
                    (gif_profile(window.peek(offset, 2 * PROFILE_BYTES)) or b"")[:PROFILE_BYTES]
                )
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
    return Header("gif", width, height, 1, "palette", 8, alpha, frames, ended, wide_gamut=wide)


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
