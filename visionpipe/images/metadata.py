"""What stands beside an image's pixels: how they are to be shown (orientation and colours), and EXIF fields
as plain texts for prompts that use them.

EXIF, XMP and ICC blocks are read as far as one fact needs, from bytes or by seeking in a file. A broken or
absent block says nothing; it is never a reason to refuse a picture. Fields have the EXIF standard's own names
(``DateTimeOriginal``, ``Model``) and values as a person would write them (``0.004``, ``48.85834``); one
without readable text is left out.
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Callable, Iterator
from functools import lru_cache
from io import BytesIO
from pathlib import Path
from typing import Any, NoReturn, TypeAlias

from visionpipe.errors import BadImageError
from visionpipe.files import unreadable

ReadAt: TypeAlias = Callable[[int, int], bytes]
"""(offset, length) -> the bytes there, fewer only at the end of the file."""

TRUNCATED_CURE = "Copy or download the file again; its end is missing."
CORRUPT_CURE = "Export or download the picture again; this copy is damaged."

_STEP = 512  # a miss reads this much: a segment's or chunk's head and what usually follows it


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


ORIENTATION = 0x0112
"""The EXIF and TIFF tag."""

_INTEGERS = {1: 1, 3: 2, 4: 4}  # BYTE, SHORT, LONG -> bytes
_MOST_ENTRIES = 512
_MOST_METADATA = 1 << 16  # bytes looked at of one XMP packet or text chunk
_XMP_ORIENTATION = re.compile(rb"tiff:Orientation(?:\s*=\s*[\"']|>)\s*([1-8])\s*[\"'<]")
_RAW_EXIF = (b"Raw profile type exif", b"Raw profile type APP1")
_TEXT_KEYWORDS = (*_RAW_EXIF, b"XML:com.adobe.xmp")


def read_orientation(window: Window, start: int, end: int) -> int:
    """The EXIF orientation in the TIFF block that lies at ``start`` up to ``end`` (bytes).

    Returns:
        What is written, 1 to 8 where it means something; 0 where nothing is.
    """
    head = window.peek(start, 8)
    if head[:4] == b"II*\0":
        little = True
    elif head[:4] == b"MM\0*":
        little = False
    else:
        return 0
    if len(head) < 8:
        return 0
    order = "<" if little else ">"
    directory = start + int.from_bytes(head[4:8], "little" if little else "big")
    if directory + 2 > end:
        return 0
    count_bytes = window.peek(directory, 2)
    if len(count_bytes) < 2:
        return 0
    (count,) = struct.unpack(order + "H", count_bytes)
    room = max(0, (end - directory - 2) // 12)
    entries = window.peek(directory + 2, 12 * min(count, room, _MOST_ENTRIES))
    entries = entries[: len(entries) // 12 * 12]
    for tag, kind, _, value in struct.iter_unpack(order + "HHI4s", entries):
        if tag == ORIENTATION:
            return int.from_bytes(value[: _INTEGERS.get(kind, 0)], "little" if little else "big")
    return 0


def exif_orientation(block: bytes) -> int:
    """As ``read_orientation``, of an EXIF block with or without the prefix that belongs to JPEG."""
    start = 6 if block.startswith(b"Exif\0\0") else 0
    return read_orientation(Window(block), start, len(block))


def xmp_orientation(packet: bytes) -> int:
    """The orientation (1 to 8) that an XMP packet states, else 0."""
    found = _XMP_ORIENTATION.search(packet)
    return int(found[1]) if found else 0


def peek_xmp_orientation(window: Window, start: int, length: int) -> int:
    """As ``xmp_orientation``, of the packet's first 64 KiB at ``start``."""
    return xmp_orientation(window.peek(start, min(length, _MOST_METADATA)))


def is_orienting_text(keyword: bytes) -> bool:
    """Whether the text chunk of a PNG that begins with ``keyword`` may state an orientation."""
    return keyword.startswith(_TEXT_KEYWORDS)


def text_orientation(kind: bytes, chunk: bytes) -> int:
    """The orientation (1 to 8) in a PNG's tEXt, zTXt or iTXt chunk with EXIF as hexadecimal digits, as
    ImageMagick writes it, or with XMP; else 0."""
    keyword, _, rest = chunk[:_MOST_METADATA].partition(b"\0")
    if kind == b"zTXt":
        text = _inflated(rest[1:])
    elif kind == b"iTXt":
        packed = rest[:1] == b"\1"
        text = rest[2:].split(b"\0", 2)[-1]
        text = _inflated(text) if packed else text
    else:
        text = rest
    if keyword not in _RAW_EXIF:
        return xmp_orientation(text)
    digits = b"".join(text.split(b"\n", 3)[-1].split())
    try:
        found = exif_orientation(bytes.fromhex(digits[: len(digits) // 2 * 2].decode("ascii")))
    except ValueError:
        return 0
    return found if found <= 8 else 0


def _inflated(packed: bytes) -> bytes:
    try:
        return zlib.decompressobj().decompress(packed, _MOST_METADATA)
    except zlib.error:
        return b""


PROFILE_BYTES = 4096
"""How much of an ICC profile is read to learn its primaries; those of displays and cameras are smaller."""

_P3 = ((0.68204, 0.31936), (0.28455, 0.67463), (0.15589, 0.06606))  # xy of Display P3's, adapted to D50
_TOLERANCE = 0.02  # in xy; between the primaries that writers of P3 profiles round differently


@lru_cache(maxsize=64)
def is_wider_than_p3(profile: bytes) -> bool:
    """Whether an RGB profile's primaries reach beyond Display P3's, so that its pixels, taken for sRGB,
    look plainly pale. ProPhoto, Rec. 2020 and Adobe RGB do, Display P3 and sRGB do not.

    Args:
        profile: the first ``PROFILE_BYTES`` of the profile; what they do not hold says nothing.
    """
    if len(profile) < 132 or profile[16:20] != b"RGB " or profile[36:40] != b"acsp":
        return False
    (count,) = struct.unpack_from(">I", profile, 128)
    places: dict[bytes, int] = {}
    for place in range(132, min(132 + 12 * min(count, 100), len(profile) - 11), 12):
        signature, offset, _ = struct.unpack_from(">4sII", profile, place)
        places[signature] = offset
    for signature in (b"rXYZ", b"gXYZ", b"bXYZ"):
        offset = places.get(signature, len(profile))
        if offset + 20 > len(profile):
            return False
        x, y, z = struct.unpack_from(">3i", profile, offset + 8)
        total = x + y + z
        if total and _outside_p3(x / total, y / total):
            return True
    return False


def _outside_p3(x: float, y: float) -> bool:
    red, green, blue = _P3
    for (ax, ay), (bx, by) in ((red, green), (green, blue), (blue, red)):
        dx, dy = bx - ax, by - ay
        # The corners run against the clock, so that what is to the right of an edge is outside.
        if (dx * (y - ay) - dy * (x - ax)) / (dx * dx + dy * dy) ** 0.5 < -_TOLERANCE:
            return True
    return False


def png_profile(chunk: bytes) -> bytes:
    """The first bytes of the profile in a PNG's iCCP chunk."""
    _, _, packed = chunk.partition(b"\0")
    try:
        return zlib.decompressobj().decompress(packed[1:], PROFILE_BYTES)
    except zlib.error:
        return b""


BT_2020 = 9
"""The code of Rec. 2020's primaries in coding-independent code points (ITU-T H.273)."""

PQ, HLG = 16, 18
"""The codes of the transfer characteristics of high dynamic range."""


def is_wide_code(primaries: int, transfer: int) -> bool:
    """Whether pixels with these code points, taken for sRGB, look plainly wrong."""
    return primaries == BT_2020 or transfer in (PQ, HLG)


def png_code_points(data: bytes) -> tuple[int, int] | None:
    """The primaries and transfer characteristics in a PNG's cICP chunk, which stands before the pixels."""
    place = 8
    while place + 12 <= len(data) and data[place + 4 : place + 8] != b"IDAT":
        if data[place + 4 : place + 8] == b"cICP":
            return data[place + 8], data[place + 9]
        place += 12 + int.from_bytes(data[place : place + 4], "big")
    return None


_GIF_PROFILE = b"\x21\xff\x0bICCRGBG1012"


def gif_profile(data: bytes) -> bytes | None:
    """The ICC profile in a GIF's application extension."""
    place = data.find(_GIF_PROFILE)
    if place < 0:
        return None
    place += len(_GIF_PROFILE)
    blocks = []
    while place < len(data) and data[place]:
        blocks.append(data[place + 1 : place + 1 + data[place]])
        place += 1 + data[place]
    return b"".join(blocks)


_EXIF_IFD, _GPS_IFD = 0x8769, 0x8825
_CHARSETS = {b"ASCII\0\0\0": "ascii", b"UNICODE\0": "utf-16", b"JIS\0\0\0\0\0": "shift_jis"}


def read_exif_fields(path: str | Path | bytes, name: str | None = None) -> dict[str, str]:
    """The EXIF fields of an image, by name; empty where it carries none.

    ``GPSLatitude`` and ``GPSLongitude`` are signed degrees with five decimals (about a metre).

    Args:
        path: of the file, or its bytes.
        name: what errors call it; the path if not given.

    Raises:
        UnreadableSourceError: the file cannot be opened.
        BadImageError: it is no image.
    """
    from PIL import ExifTags, Image, UnidentifiedImageError

    subject = name or ("image bytes" if isinstance(path, bytes) else str(path))
    try:
        with Image.open(BytesIO(path) if isinstance(path, bytes) else path) as image:
            exif = image.getexif()
            blocks: list[tuple[dict[int, Any], dict[int, str]]] = [
                (dict(exif), ExifTags.TAGS),
                (exif.get_ifd(_EXIF_IFD), ExifTags.TAGS),
                (exif.get_ifd(_GPS_IFD), ExifTags.GPSTAGS),
            ]
    except UnidentifiedImageError as error:
        raise BadImageError(
            "not an image",
            cure="Leave it out, or give an image file.",
            subject=subject,
            code="not_an_image",
        ) from error
    except OSError as error:
        raise unreadable(error, subject, subject) from error
    fields: dict[str, str] = {}
    for block, names in blocks:
        fields.update(_texts(block, names))
    gps = blocks[-1][0]
    for name, value, reference, negative in (("GPSLatitude", 2, 1, "S"), ("GPSLongitude", 4, 3, "W")):
        fields.pop(name, None)
        degrees = _degrees(gps.get(value))
        if degrees is not None:
            sign = -1 if str(gps.get(reference, "")).strip("\0 ").upper() == negative else 1
            fields[name] = f"{sign * degrees:.5f}"
    return fields


def _texts(block: dict[int, Any], names: dict[int, str]) -> Iterator[tuple[str, str]]:
    for tag, value in block.items():
        name = names.get(tag)
        text = _text(name, value) if name else ""
        if name and text:
            yield name, text


def _text(name: str, value: object) -> str:
    if isinstance(value, bytes):
        return _decoded(name, value)
    if isinstance(value, tuple):
        return ", ".join(filter(None, (_text(name, entry) for entry in value)))
    if isinstance(value, str):
        return _clean(value)
    if isinstance(value, int):
        return str(value)
    try:
        return f"{float(value):.6g}"  # type: ignore[arg-type]  # Pillow's rationals, which are not all finite
    except (TypeError, ValueError, ZeroDivisionError):
        return ""


def _decoded(name: str, value: bytes) -> str:
    if name.startswith("XP"):
        return _clean(value.decode("utf-16-le", "replace"))
    if name == "UserComment":
        charset = _CHARSETS.get(value[:8])
        return _clean(value[8:].decode(charset, "replace")) if charset else ""
    return _clean(value.decode("ascii")) if value.isascii() and value.strip(b"\0").isalnum() else ""


def _clean(text: str) -> str:
    return "".join(character for character in text if character.isprintable() or character == "\n").strip()


def _degrees(value: object) -> float | None:
    try:
        degrees, minutes, seconds = (float(part) for part in value)  # type: ignore[attr-defined]  # as above
    except (TypeError, ValueError, ZeroDivisionError):
        return None
    total = degrees + minutes / 60 + seconds / 3600
    return total if total == total else None
