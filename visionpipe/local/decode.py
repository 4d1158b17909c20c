"""Encoded bytes to upright BGR pixels, no larger than the analysis needs.

A 12 MP JPEG is decoded at a reduced DCT scale, so time and memory stay those of a small picture,
and every way in which bytes can be no image is a BadImageError.
"""

from __future__ import annotations

import io
import struct
from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np
from PIL import Image, UnidentifiedImageError

from visionpipe.errors import BadImageError
from visionpipe.local.networks import Pixels

MOST_PIXELS = 89_478_485
"""Most stored pixels, about 89 MP: where Pillow, too, begins to suspect a decompression bomb."""

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF", "JPEG2000", "PPM", "ICO")
"""What is decoded; Pillow's other readers include some that start foreign programs."""

WHITE = (255, 255, 255)
_REDUCED = ("JPEG", "MPO")
_BROKEN = (
    OSError,
    SyntaxError,
    ValueError,
    TypeError,
    IndexError,
    KeyError,
    EOFError,
    OverflowError,
    RuntimeError,
    struct.error,
    Warning,  # where the program has turned Pillow's warnings into errors
)


@dataclass(frozen=True, slots=True)
class Picture:
    """``pixels`` are upright, their longer side at most what was asked; ``width`` and ``height`` are the
    image's own, upright; ``format`` is what the bytes are."""

    pixels: Pixels
    width: int
    height: int
    format: str
    notes: tuple[str, ...] = ()


def decode(data: bytes, longest: int) -> Picture:
    """Decode ``data`` so that the longer side has at most ``longest`` pixels.

    Raises:
        BadImageError: the bytes are empty, no image, truncated, corrupt, or a decompression bomb.
    """
    if not data:
        raise BadImageError("it holds no bytes", cure="Give an image file that is not empty.", code="empty")
    with _opened(data) as image:
        header = image.size
        if header[0] * header[1] > MOST_PIXELS:
            raise _bomb(f"{header[0]}x{header[1]} pixels are too many to decode safely")
        image.draft("RGB", _at_least(*header, longest))
        try:
            image.load()
            # Only the formats with reduced decoding report another size after it; TIFF turns itself upright.
            width, height = header if image.format in _REDUCED else image.size
            orientation, notes = _orientation(image)
            upright = _turn(_rgb(image), orientation)
        except _BROKEN as error:
            truncated = "truncated" in str(error).lower()
            raise BadImageError(
                f"the image data cannot be decoded ({error})",
                cure="Fetch or export the file again.",
                code="truncated" if truncated else "corrupt",
            ) from error
    if orientation >= 5:
        width, height = height, width
    format = "jpeg" if image.format in _REDUCED else (image.format or "").lower()
    return Picture(_shrunk(np.asarray(upright)[:, :, ::-1], longest), width, height, format, notes)


def _opened(data: bytes) -> Image.Image:
    try:
        _load_plugins()
        return Image.open(io.BytesIO(data), formats=FORMATS)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise _bomb(str(error)) from error
    except UnidentifiedImageError as error:
        raise BadImageError(
            "these bytes are no image in a known format",
            cure="Give a JPEG, PNG, WebP, GIF, BMP or TIFF file.",
            code="not_an_image",
        ) from error
    except _BROKEN as error:
        raise BadImageError(
            f"the image's header is broken ({error})", cure="Fetch or export the file again."
        ) from error


@cache
def _load_plugins() -> None:
    # Pillow loads most of its readers only when a first one fails, and then the list above meets a gap.
    Image.init()


def _bomb(reason: str) -> BadImageError:
    return BadImageError(reason, cure="Scale the image down before handing it over.", code="bomb")


def _at_least(width: int, height: int, longest: int) -> tuple[int, int]:
    scale = min(1.0, longest / max(width, height))
    return max(1, round(width * scale)), max(1, round(height * scale))


def _orientation(image: Image.Image) -> tuple[int, tuple[str, ...]]:
    try:
        value = image.getexif().get(0x0112, 1)
    except _BROKEN as error:
        return 1, (f"the EXIF data is unreadable ({error}); the image is taken as upright",)
    if value in range(1, 9):
        return int(value), ()
    return 1, (f"EXIF orientation {value!r} means nothing; the image is taken as upright",)


_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def _turn(image: Image.Image, orientation: int) -> Image.Image:
    way = _TURNS.get(orientation)
    return image if way is None else image.transpose(way)


def _rgb(image: Image.Image) -> Image.Image:
    if image.mode == "RGB":
        return image
    if image.mode.startswith(("I", "F")):
        return _eight_bits(image).convert("RGB")
    if image.has_transparency_data:
        clear = image.convert("RGBA")
        ground = Image.new("RGBA", clear.size, (*WHITE, 255))
        return Image.alpha_composite(ground, clear).convert("RGB")
    return image.convert("RGB")


def _eight_bits(image: Image.Image) -> Image.Image:
    # Pillow clips 16-bit and float samples on conversion, which turns most such images white.
    samples = np.nan_to_num(np.asarray(image, np.float32))
    top = 65535.0 if image.mode.startswith("I") and samples.max(initial=0) > 255 else max(1.0, samples.max())
    return Image.fromarray(np.clip(samples / top * 255.0, 0, 255).astype(np.uint8))


def _shrunk(pixels: Pixels, longest: int) -> Pixels:
    height, width = pixels.shape[:2]
    size = _at_least(width, height, longest)
    if size == (width, height):
        return np.ascontiguousarray(pixels)
    return np.asarray(
        cv2.resize(np.ascontiguousarray(pixels), size, interpolation=cv2.INTER_AREA), dtype=np.uint8
    )
