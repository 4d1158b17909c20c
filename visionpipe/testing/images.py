"""Tiny encoded images, built on the spot: any format, size, colour mode and orientation.

The same arguments give the same bytes, and the four corners differ, so that a test can see which
way up a picture is.
"""

from __future__ import annotations

import io
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
