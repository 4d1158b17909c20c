"""TIFF files: what the first page's directory says, and pages of more than 8 bits a channel.

Pages of 8 bits or fewer are Pillow's. Deeper ones are decoded by OpenCV, which keeps every depth,
and are brought to 8 bits here, because Pillow clips, cuts or refuses many of them. OpenCV knows neither
planes kept apart nor grey with alpha, so such a page is shown to it as pages of plain grey, by another
directory over the same bytes.
"""

from __future__ import annotations

import struct
import threading
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from visionpipe.errors import BadImageError
from visionpipe.images.metadata import ORIENTATION, xmp_orientation
from visionpipe.images.pixels import Step, scaled_to_eight_bits

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

MOST_PAGES = 1000
"""Pages counted at most; a file of more says so many, and costs no more."""

_MOST_ENTRIES = 4096
_MOST_VALUES = 1 << 20
_CODES = {
    1: "B",
    2: "B",
    3: "H",
    4: "I",
    6: "b",
    7: "B",
    8: "h",
    9: "i",
    13: "I",
    16: "Q",
    17: "q",
    18: "Q",
}  # type of a field -> how struct reads it; the types that hold no whole numbers are left out
_NEW_SUBFILE, _WIDTH, _HEIGHT, _BITS, _COMPRESSION = 254, 256, 257, 258, 259
_PHOTOMETRIC, _FILL_ORDER, _STRIP_OFFSETS, _SAMPLES, _ROWS = 262, 266, 273, 277, 278
_STRIP_COUNTS, _PLANAR, _PREDICTOR = 279, 284, 317
_TILE_WIDTH, _TILE_HEIGHT, _TILE_OFFSETS, _TILE_COUNTS = 322, 323, 324, 325
_EXTRA, _SAMPLE_FORMAT, _XMP, _DNG_VERSION = 338, 339, 700, 50706
_YCC_SUBSAMPLING = 530
_LAYOUT = (_COMPRESSION, _FILL_ORDER, _ROWS, _PREDICTOR, _TILE_WIDTH, _TILE_HEIGHT)
_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB, _YCC = 0, 1, 2, 6
_UNSIGNED, _SIGNED, _FLOAT = 1, 2, 3
_COLOURS = {0: "grey", 1: "grey", 2: "rgb", 3: "palette", 5: "cmyk", 6: "rgb"}


@dataclass(frozen=True, slots=True)
class TiffPage:
    """The first page. ``width`` and ``height`` are pixels as stored; ``tags`` holds what the directory says
    in whole numbers. ``pages`` are counted up to ``MOST_PAGES``."""

    order: str
    big: bool
    tags: dict[int, tuple[int, ...]]
    pages: int
    orientation: int

    def one(self, tag: int, otherwise: int) -> int:
        """The first value of ``tag``."""
        return self.tags.get(tag, (otherwise,))[0]

    @property
    def width(self) -> int:
        return self.one(_WIDTH, 0)

    @property
    def height(self) -> int:
        return self.one(_HEIGHT, 0)

    @property
    def bits(self) -> int:
        return max(self.tags.get(_BITS, (1,)))

    @property
    def samples(self) -> int:
        return self.one(_SAMPLES, 1)

    @property
    def alpha(self) -> bool:
        return any(kind in (1, 2) for kind in self.tags.get(_EXTRA, ()))

    @property
    def colour(self) -> str:
        return _COLOURS.get(self.one(_PHOTOMETRIC, _WHITE_IS_ZERO), "other")

    @property
    def raw_photo(self) -> bool:
        """Whether it is a camera's raw file, of which the first page is a thumbnail."""
        return _DNG_VERSION in self.tags or bool(self.one(_NEW_SUBFILE, 0) & 1)

    @property
    def deep(self) -> bool:
        """Whether its pixels are decoded here: grey or RGB of more than 8 bits a channel, or signed."""
        premultiplied = 1 in self.tags.get(_EXTRA, ())
        unusual = self.bits > 8 or self.one(_SAMPLE_FORMAT, _UNSIGNED) == _SIGNED
        return unusual and self.one(_PHOTOMETRIC, 0) <= _RGB and self.samples <= 4 and not premultiplied


def full_ycc(data: bytes, page: TiffPage) -> Picture | None:
    """The pixels of a page in YCbCr that is neither compressed nor subsampled; None for any other page.

    Pillow before 13 takes such a page for RGB with a fourth byte, and so for cut off.
    """
    from PIL import Image

    layout = (page.one(_PHOTOMETRIC, 0), page.one(_COMPRESSION, 1), page.one(_PLANAR, 1), page.bits)
    if layout != (_YCC, 1, 1, 8) or page.tags.get(_YCC_SUBSAMPLING) != (1, 1):
        return None
    runs = zip(page.tags.get(_STRIP_OFFSETS, ()), page.tags.get(_STRIP_COUNTS, ()), strict=False)
    pixels = b"".join(data[offset : offset + count] for offset, count in runs)
    length = page.width * page.height * 3
    return Image.frombytes("YCbCr", (page.width, page.height), pixels) if len(pixels) == length else None


def read_tiff(data: bytes) -> TiffPage | None:
    """The first page's facts, or None where the directory cannot be read."""
    order = "<" if data[:2] == b"II" else ">"
    big = data[2:4] in (b"+\0", b"\0+")
    head, entry = ("Q", "HHQ8s") if big else ("H", "HHI4s")
    offset_code = "Q" if big else "I"
    try:
        (first,) = struct.unpack_from(order + offset_code, data, 8 if big else 4)
        (count,) = struct.unpack_from(order + head, data, first)
        tags: dict[int, tuple[int, ...]] = {}
        packet = b""
        size = struct.calcsize(order + entry)
        for n in range(min(count, _MOST_ENTRIES)):
            tag, kind, number, inline = struct.unpack_from(
                order + entry, data, first + struct.calcsize(order + head) + n * size
            )
            if kind not in _CODES or number > _MOST_VALUES:
                continue
            length = struct.calcsize(_CODES[kind]) * number
            if length > len(inline):
                (place,) = struct.unpack(order + offset_code, inline)
            if tag == _XMP:
                packet = data[place : place + length] if length > len(inline) else b""
            elif number:
                values = f"{order}{number}{_CODES[kind]}"
                found = data[place : place + length] if length > len(inline) else inline[:length]
                if len(found) == length:
                    tags[tag] = struct.unpack(values, found)
        stated = tags.get(ORIENTATION, (0,))[0] or xmp_orientation(packet)
        return TiffPage(order, big, tags, _pages(data, order, big, first), stated)
    except struct.error:
        return None


def _pages(data: bytes, order: str, big: bool, offset: int) -> int:
    """How many directories are chained, up to ``MOST_PAGES``; a circle ends the count."""
    head, size, link = (order + "Q", 20, order + "Q") if big else (order + "H", 12, order + "I")
    seen = {0}
    while offset not in seen and len(seen) <= MOST_PAGES:
        seen.add(offset)
        try:
            (count,) = struct.unpack_from(head, data, offset)
            (offset,) = struct.unpack_from(link, data, offset + struct.calcsize(head) + count * size)
        except struct.error:
            break
    return max(1, len(seen) - 1)


def deep_picture(data: bytes, page: TiffPage, name: str) -> tuple[Picture, Step]:
    """The pixels of a deep page as L, LA, RGB or RGBA of 8 bits, in the orientation they are stored in.

    Raises:
        BadImageError: a kind of pixels that is not read, or a damaged file.
    """
    import numpy as np
    from PIL import Image

    samples, photometric = page.samples, page.one(_PHOTOMETRIC, 0)
    if page.one(_SAMPLE_FORMAT, _UNSIGNED) == _FLOAT and page.bits < 32:
        raise _unread(page, name)
    if page.one(_PLANAR, 1) == 2 and samples > 1:
        planes = [_pixels(_plane(data, page, n)) for n in range(samples)]
        values = np.stack(planes, 2)
    elif samples == 2:
        wide = _pixels(_side_by_side(data, page, name))
        values = wide.reshape(page.height, page.width, 2)
    else:
        values = _pixels(_with_directory(data, page, page.width, samples))
        if values.ndim == 3:
            values = values[:, :, [2, 1, 0, 3][: values.shape[2]]]
    if values.dtype == np.uint8:  # what OpenCV makes of a layout that it does not know
        raise _unread(page, name)
    if values.dtype.kind == "i" and page.one(_SAMPLE_FORMAT, _UNSIGNED) == _UNSIGNED:
        values = values.view(f"u{values.dtype.itemsize}")
    colours = 3 if photometric == _RGB else 1
    if values.ndim == 3 and values.shape[2] == 1:
        values = values[:, :, 0]
    packed = page.bits % 8 != 0  # which OpenCV spreads over all 16 bits
    alpha = None
    if values.ndim == 3 and values.shape[2] > colours:
        if page.alpha or (colours == 3 and not page.tags.get(_EXTRA)):
            alpha, _ = scaled_to_eight_bits(values[:, :, colours], full=True)
        values = values[:, :, :colours] if colours == 3 else values[:, :, 0]
    shades, detail = scaled_to_eight_bits(values, full=packed)
    if packed:
        detail = f"{page.bits} bits -> 8 bits"
    if photometric == _WHITE_IS_ZERO:
        shades = 255 - shades
        detail += ", 0 is white"
    if alpha is not None:
        shades = np.dstack([shades, alpha])
    return Image.fromarray(np.ascontiguousarray(shades)), ("converted", detail)


_log_level = threading.Lock()
_SILENT = 0


def _pixels(data: bytes) -> Any:
    """The first page as OpenCV decodes it, in its own depth."""
    import cv2
    import numpy as np

    # OpenCV 4 has it at the top, OpenCV 5 below.
    set_level = getattr(cv2, "setLogLevel", None) or cv2.utils.logging.setLogLevel
    with _log_level:  # damaged data is reported on standard error as well
        before = set_level(_SILENT)
        try:
            values = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
        finally:
            set_level(before)
    if values is None:
        raise OSError("the TIFF's pixels are damaged, or of a depth or compression that is not read")
    return values


def _plane(data: bytes, page: TiffPage, number: int) -> bytes:
    """The file with a directory that shows one of its planes as a page of grey."""
    tags = dict(page.tags)
    for offsets, counts in ((_STRIP_OFFSETS, _STRIP_COUNTS), (_TILE_OFFSETS, _TILE_COUNTS)):
        if offsets in tags and counts in tags:
            run = len(tags[offsets]) // page.samples
            for tag in (offsets, counts):
                tags[tag] = tags[tag][number * run : (number + 1) * run]
    return _with_directory(data, replace(page, tags=tags), page.width, 1)


def _side_by_side(data: bytes, page: TiffPage, name: str) -> bytes:
    """The file with a directory that shows the samples of each pixel as neighbours in a page of grey."""
    if page.one(_PREDICTOR, 1) != 1:
        raise _unread(page, name)
    tags = dict(page.tags)
    if _TILE_WIDTH in tags:
        tags[_TILE_WIDTH] = (page.one(_TILE_WIDTH, 0) * page.samples,)
    return _with_directory(data, replace(page, tags=tags), page.width * page.samples, 1)


def _with_directory(data: bytes, page: TiffPage, width: int, samples: int) -> bytes:
    """The file with a directory that says of the page only how its samples lie, so that neither its
    orientation nor its white is obeyed twice."""
    order, big = page.order, page.big
    kind_of_samples = page.one(_SAMPLE_FORMAT, _UNSIGNED)
    if kind_of_samples == _UNSIGNED and page.bits >= 32:
        kind_of_samples = _SIGNED  # OpenCV 4 knows no unsigned samples of 32 bits; the bits are the same
    tags: dict[int, tuple[int, ...]] = {
        _WIDTH: (width,),
        _HEIGHT: (page.height,),
        _BITS: (page.bits,) * samples,
        _PHOTOMETRIC: (_RGB if samples >= 3 else _BLACK_IS_ZERO,),
        _SAMPLES: (samples,),
        _PLANAR: (1,),
        _SAMPLE_FORMAT: (kind_of_samples,) * samples,
    }
    if samples > 3:
        tags[_EXTRA] = (2,) * (samples - 3)
    for tag in (*_LAYOUT, _STRIP_OFFSETS, _STRIP_COUNTS, _TILE_OFFSETS, _TILE_COUNTS):
        if tag in page.tags:
            tags[tag] = page.tags[tag]
    code, kind, room = ("Q", 16, 8) if big else ("I", 4, 4)
    start = len(data) + (len(data) & 1)
    head = struct.pack(order + ("Q" if big else "H"), len(tags))
    outside_at = start + len(head) + len(tags) * (20 if big else 12) + room
    entries, outside = b"", b""
    for tag in sorted(tags):
        # A LONG in the place of a SHORT is read as well, as long as it is one.
        values = struct.pack(f"{order}{len(tags[tag])}{code}", *tags[tag])
        if len(values) > room:
            values, outside = struct.pack(order + code, outside_at + len(outside)), outside + values
        entries += struct.pack(order + "HH" + code, tag, kind, len(tags[tag])) + values
    made = bytearray(data)
    made += b"\0" * (start - len(data)) + head + entries + bytes(room) + outside
    struct.pack_into(order + code, made, 8 if big else 4, start)
    return bytes(made)


def _unread(page: TiffPage, name: str) -> BadImageError:
    return BadImageError(
        f"a TIFF of {page.samples} channels of {page.bits} bits, compressed so, is not read",
        cure="Export it as PNG, or as TIFF of 8 or 16 bits without compression.",
        subject=name,
        code="unread_kind",
    )
