"""Encoded images opened with Pillow: the formats taken, what their headers say, and decoding.

Pillow is given one format, the one the bytes were told to be, and whatever a decoder raises on bad
bytes becomes a BadImageError with the decoder's words in it.
"""

from __future__ import annotations

import importlib
import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import TYPE_CHECKING, Any, cast

from visionpipe.errors import BadImageError, ConfigurationError, VisionPipeError
from visionpipe.files import read_content
from visionpipe.images.headers import CORRUPT_CURE, TRUNCATED_CURE, Header
from visionpipe.media import Image

if TYPE_CHECKING:
    from PIL.Image import Image as Picture
    from PIL.ImageFile import ImageFile

Importer = Callable[[str], ModuleType]

_PLUGINS = {
    "jpeg": ("PIL.JpegImagePlugin", "JpegImageFile"),
    "png": ("PIL.PngImagePlugin", "PngImageFile"),
    "webp": ("PIL.WebPImagePlugin", "WebPImageFile"),
    "gif": ("PIL.GifImagePlugin", "GifImageFile"),
    "bmp": ("PIL.BmpImagePlugin", "BmpImageFile"),
    "tiff": ("PIL.TiffImagePlugin", "TiffImageFile"),
    "avif": ("PIL.AvifImagePlugin", "AvifImageFile"),
    "heic": ("pillow_heif", "HeifImageFile"),
    "jp2": ("PIL.Jpeg2KImagePlugin", "Jpeg2KImageFile"),
    "ico": ("PIL.IcoImagePlugin", "IcoImageFile"),
    "ppm": ("PIL.PpmImagePlugin", "PpmImageFile"),
    "psd": ("PIL.PsdImagePlugin", "PsdImageFile"),
}
_GREY = frozenset(["1", "L", "LA", "La", "I", "F", "I;16", "I;16B", "I;16L", "I;16N"])
_ALPHA = frozenset(["LA", "La", "PA", "RGBA", "RGBa"])
_BITS = {"1": 1, "I": 32, "F": 32}

_ORIENTATION = 0x0112
_NEW_SUBFILE_TYPE, _DNG_VERSION, _BITS_PER_SAMPLE = 254, 50706, 258


def open_encoded(
    data: bytes, format: str, name: str, *, importer: Importer = importlib.import_module
) -> ImageFile:
    """Open encoded bytes with the Pillow plugin of ``format``; the pixels are not decoded yet.

    Raises:
        BadImageError: the header is no good.
        ConfigurationError: HEIC without the extra that reads it (this item only).
    """
    module, plugin = _PLUGINS[format]
    try:
        factory = cast("Callable[[io.BytesIO], ImageFile]", getattr(importer(module), plugin))
    except ImportError as error:
        extra = "pip install 'visionpipe[heif]'" if format == "heic" else "pip install --upgrade pillow"
        raise ConfigurationError(
            f"reading {format.upper()} needs a package that is not installed",
            cure=f"Install it: {extra}",
            subject=name,
            code="missing_extra",
            scope="item",
        ) from error
    with decoder_errors(name):
        # The class itself and not Image.open, whose pixel ceiling is one global of the whole process.
        return factory(io.BytesIO(data))


def pillow_header(picture: ImageFile, data: bytes, format: str, name: str) -> Header:
    """What Pillow read of the header of ``data``, in the sniffer's terms; size and orientation as stored.

    The header is ``complete`` where the file's own structure proves that no byte is missing.

    Raises:
        BadImageError: a camera's raw file, of which Pillow would show a thumbnail only.
    """
    with decoder_errors(name):
        mode = picture.mode
        width, height = picture.size
        bits = 16 if mode.startswith("I;16") else _BITS.get(mode, 8)
        orientation = 1
        if format == "tiff":
            tags: Any = cast(Any, picture).tag_v2
            if _DNG_VERSION in tags or int(tags.get(_NEW_SUBFILE_TYPE, 0)) & 1:
                raise BadImageError(
                    "it is a camera raw photo, and only its thumbnail could be read",
                    cure="Export it as JPEG or TIFF first.",
                    subject=name,
                    code="not_an_image",
                )
            depths = tags.get(_BITS_PER_SAMPLE)
            bits = max(depths) if isinstance(depths, tuple) and depths else bits
            orientation = _valid(tags.get(_ORIENTATION, 1))
            if orientation >= 5:  # Pillow shows the upright size before it turns the pixels
                width, height = height, width
        elif format == "avif":
            orientation = _valid(picture.getexif().get(_ORIENTATION, 1))
        frames = int(getattr(picture, "n_frames", 1)) if format in ("tiff", "avif") else 1
        colour = (
            "grey"
            if mode in _GREY
            else "palette"
            if mode in ("P", "PA")
            else "cmyk"
            if mode == "CMYK"
            else "rgb"
            if mode.startswith("RGB")
            else "other"
        )
        alpha = mode in _ALPHA or "transparency" in picture.info
    complete = format in ("avif", "heic") and _boxes_fit(data)
    return Header(format, width, height, orientation, colour, bits, alpha, max(1, frames), complete)


def _boxes_fit(data: bytes) -> bool:
    """Whether the chain of ISO media boxes ends exactly where the file does."""
    offset = 0
    while offset + 8 <= len(data):
        length = int.from_bytes(data[offset : offset + 4], "big")
        if length == 1:
            length = int.from_bytes(data[offset + 8 : offset + 16], "big")
        if length == 0:
            return True
        if length < 8:
            return False
        offset += length
    return offset == len(data)


def decode(image: Image, at_least: tuple[int, int] | None = None) -> Picture:
    """The pixels of the first frame, in the orientation they are stored in.

    Args:
        image: what to decode.
        at_least: (width, height) in stored pixels that will do; a JPEG is then decoded at the smallest of
            1, 1/2, 1/4 and 1/8 of its size that is not below.

    Raises:
        BadImageError: truncated or corrupt.
        UnreadableSourceError: the file vanished or changed.
    """
    return decode_bytes(read_content(image.content), image.format, image.name, at_least)


def decode_bytes(data: bytes, format: str, name: str, at_least: tuple[int, int] | None = None) -> Picture:
    """As ``decode``, from bytes."""
    picture = open_encoded(data, format, name)
    with decoder_errors(name):
        if at_least is not None and format == "jpeg":
            scale = jpeg_scale(picture.size, at_least)
            if scale > 1:
                # Pillow takes the largest scale whose size is not below the one asked for, rounded down.
                picture.draft(None, (max(1, picture.width // scale), max(1, picture.height // scale)))
        picture.load()
    return picture


def jpeg_scale(size: tuple[int, int], at_least: tuple[int, int]) -> int:
    """The largest of 8, 4, 2, 1 by which a JPEG of ``size`` can be divided and still be ``at_least``."""
    for scale in (8, 4, 2):
        if all(-(-full // scale) >= wanted for full, wanted in zip(size, at_least, strict=True)):
            return scale
    return 1


def is_turned_by_pillow(format: str) -> bool:
    """Whether decoding applies the orientation by itself."""
    return format == "tiff"


@contextmanager
def decoder_errors(name: str) -> Iterator[None]:
    """Turns what a decoder raises into a BadImageError on ``name``."""
    try:
        yield
    except (VisionPipeError, MemoryError):
        raise
    except Exception as error:  # decoders fed hostile bytes raise almost anything
        words = " ".join(str(error).split()) or type(error).__name__
        if type(error).__name__ == "DecompressionBombError":
            raise BadImageError(
                f"its pixels would fill the memory ({words})",
                cure="Leave it out, or shrink it with a trusted tool.",
                subject=name,
                code="bomb",
            ) from error
        cut = "truncated" in words.lower() or isinstance(error, EOFError)
        raise BadImageError(
            f"it cannot be decoded ({words})",
            cure=TRUNCATED_CURE if cut else CORRUPT_CURE,
            subject=name,
            code="truncated" if cut else "corrupt",
        ) from error


def _valid(orientation: object) -> int:
    return orientation if isinstance(orientation, int) and 1 <= orientation <= 8 else 1
