"""Tiny encoded images, built on the spot (any format, size, colour mode and orientation), and files that no
program should choke on.

The same arguments give the same bytes, and the four corners differ, so that a test can see which
way up a picture is. Each of the thirty hostile files is named like an image and none is one: every one must
end as an input error that names the file, the reason and the cure, and none may hang, fill the memory or end
the run.
"""

from __future__ import annotations

import io
import os
import struct
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

CORNERS = ((220, 30, 30), (30, 200, 40), (30, 60, 220), (240, 240, 240))
"""RGB of the upright picture's quarters: top left, top right, bottom left, bottom right."""

_ORIENTATION = 0x0112


def picture(width: int = 32, height: int = 24, mode: str = "RGB") -> Picture:
    """A Pillow image in four plain quarters of the colours in ``CORNERS``.

    Args:
        width: pixels.
        height: pixels.
        mode: any of Pillow's; those with alpha are transparent in the bottom right quarter.
    """
    from PIL import Image

    drawn = Image.new("RGB", (width, height), CORNERS[0])
    left, top = (width + 1) // 2, (height + 1) // 2
    drawn.paste(CORNERS[1], (left, 0, width, top))
    drawn.paste(CORNERS[2], (0, top, left, height))
    drawn.paste(CORNERS[3], (left, top, width, height))
    if mode in ("RGBA", "LA"):
        alpha = Image.new("L", (width, height), 255)
        alpha.paste(0, (left, top, width, height))
        drawn.putalpha(alpha)
        return drawn.convert(mode)
    if mode == "I;16":
        return Image.frombytes("I;16", (width, height), _doubled(drawn))
    if mode == "P":
        return drawn.quantize(8)
    return drawn.convert(mode)


def image_bytes(
    format: str,
    width: int = 32,
    height: int = 24,
    *,
    mode: str = "RGB",
    orientation: int = 1,
    frames: int = 1,
    **options: Any,
) -> bytes:
    """An encoded image that looks like ``picture`` when shown upright.

    Args:
        format: jpeg, png, webp, gif, bmp, tiff or avif.
        width: of the upright picture, in pixels.
        height: of the upright picture, in pixels.
        mode: Pillow mode that the format can hold.
        orientation: 1 to 8; the pixels are stored turned, and EXIF says how to show them. Not for gif, bmp.
        frames: more than one makes an animation (png, webp, gif) or pages (tiff).
        options: further arguments of Pillow's ``save``.

    Raises:
        ValueError: frames of a format that takes one only.
    """
    from PIL import Image, ImageChops
    from PIL.Image import Transpose

    undo = {
        2: Transpose.FLIP_LEFT_RIGHT,
        3: Transpose.ROTATE_180,
        4: Transpose.FLIP_TOP_BOTTOM,
        5: Transpose.TRANSPOSE,
        6: Transpose.ROTATE_90,
        7: Transpose.TRANSVERSE,
        8: Transpose.ROTATE_270,
    }
    shown = picture(width, height, mode)
    if orientation != 1:
        shown = shown.transpose(undo[orientation])
        exif = Image.Exif()
        exif[_ORIENTATION] = orientation
        options["exif"] = exif.tobytes()
    if frames > 1:
        if format not in ("png", "webp", "gif", "tiff"):
            raise ValueError(f"{format} is built with one frame only")
        moved = [ImageChops.offset(shown, n, 0) for n in range(1, frames)]
        options |= {"save_all": True, "append_images": moved}
    out = io.BytesIO()
    shown.save(out, format.upper(), **options)
    return out.getvalue()


def jpeg_bytes(width: int = 32, height: int = 24, **options: Any) -> bytes:
    """A JPEG; arguments as ``image_bytes``. Modes: L, RGB, CMYK."""
    return image_bytes("jpeg", width, height, **options)


def png_bytes(width: int = 32, height: int = 24, **options: Any) -> bytes:
    """A PNG; arguments as ``image_bytes``. Modes: 1, L, LA, P, RGB, RGBA, I;16."""
    return image_bytes("png", width, height, **options)


def webp_bytes(width: int = 32, height: int = 24, **options: Any) -> bytes:
    """A WebP; arguments as ``image_bytes``. Modes: RGB, RGBA."""
    return image_bytes("webp", width, height, **options)


def gif_bytes(width: int = 32, height: int = 24, **options: Any) -> bytes:
    """A GIF; arguments as ``image_bytes``. Modes: L, P, RGB."""
    return image_bytes("gif", width, height, **options)


def _doubled(drawn: Picture) -> bytes:
    """The grey values of ``drawn`` over the full range of 16 bits, little-endian."""
    return b"".join((value * 257).to_bytes(2, "little") for value in drawn.convert("L").tobytes())


_PNG = b"\x89PNG\r\n\x1a\n"


def hostile_files(folder: str | os.PathLike[str]) -> list[Path]:
    """Write the thirty into ``folder``, and return their paths in the order of names.

    Two of them only decoding finds out (``damaged_pixels.png``, ``damaged_tables.jpg``); both are of a kind
    (transparent, and sideways) that has to be decoded before it can be sent.

    Args:
        folder: an existing folder on a POSIX file system; a FIFO and links are among the files.
    """
    root = Path(folder)
    for name, content in _contents().items():
        (root / name).write_bytes(content)
    # To the superuser it is readable all the same, hence no image even then.
    (root / "locked.jpg").write_bytes(b"\x01\x80" * 600)
    (root / "locked.jpg").chmod(0)
    (root / "link_to_nothing.jpg").symlink_to("nothing_here.jpg")
    (root / "link_to_itself.jpg").symlink_to("link_to_itself.jpg")
    os.mkfifo(root / "pipe.jpg")
    names = [*_contents(), "locked.jpg", "link_to_nothing.jpg", "link_to_itself.jpg", "pipe.jpg"]
    return sorted(root / name for name in names)


def _contents() -> dict[str, bytes]:
    jpeg = jpeg_bytes(200, 160)
    png = png_bytes(200, 160)
    frame = jpeg.index(b"\xff\xc0")
    return {
        "bomb.png": _png(60_000, 60_000),
        "bomb.gif": b"GIF89a\xff\xff\xff\xff\x80\0\0"
        + bytes(6)
        + b"\x2c"
        + bytes(4)
        + b"\1\0\1\0\0\2\2\x44\1\0;",
        "clip.jpg": b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom" + b"\0\0\0\x08mdat" * 20,
        "cut.avif": image_bytes("avif", 64, 48)[:-40],
        "cut.bmp": image_bytes("bmp", 64, 48)[:-900],
        "cut.gif": gif_bytes(64, 48)[:60],
        "cut.tif": image_bytes("tiff", 64, 48)[:2000],
        "cut.webp": webp_bytes(64, 48)[:-30],
        "cut_in_half.jpg": jpeg[: len(jpeg) // 2],
        "cut_in_half.png": png[: len(png) // 2],
        "cut_in_header.jpg": jpeg[:30],
        "cut_in_header.png": png[:20],
        "damaged_header.png": png[:20] + b"\x7f" + png[21:],
        "damaged_pixels.png": _damaged_pixels(),
        "damaged_tables.jpg": _damaged_tables(),
        "document.jpg": b"%PDF-1.7\n1 0 obj\n<<>>\nendobj\n" + bytes(100),
        "drawing.png": b'<svg xmlns="http://www.w3.org/2000/svg"><rect width="9" height="9"/></svg>',
        "empty.jpg": b"",
        "end_missing.jpg": jpeg[:-2],
        "archive.jpg": b"PK\3\4\x14\0\0\0\0\0" + bytes(60),
        "no_size.png": _png(1, 0),
        "text.jpg": b"This file was named by an optimist.\n",
        "twelve_bits.jpg": jpeg[: frame + 4] + b"\x0c" + jpeg[frame + 5 :],
        "web_page.png": b"<!DOCTYPE html><html><body>404 Not Found</body></html>",
        "zeros.jpg": bytes(4096),
        "zeros_at_end.jpg": jpeg[: len(jpeg) // 2] + bytes(len(jpeg) // 2),
    }


def _chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def _png(width: int, height: int) -> bytes:
    header = _chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return _PNG + header + _chunk(b"IDAT", zlib.compress(bytes(100))) + _chunk(b"IEND", b"")


def _damaged_pixels() -> bytes:
    data = bytearray(png_bytes(64, 64, mode="RGBA"))
    middle = data.index(b"IDAT") + 20
    data[middle : middle + 12] = b"\xff" * 12
    return bytes(data)


def _damaged_tables() -> bytes:
    data = bytearray(jpeg_bytes(64, 48, orientation=6))
    table = data.index(b"\xff\xc4") + 5
    data[table : table + 16] = b"\xff" * 16
    return bytes(data)
