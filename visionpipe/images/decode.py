"""Encoded images decoded: the formats taken, what their headers say, and the picture a viewer sees.

Pillow is given one format, the one the bytes were told to be, and whatever a decoder raises on bad
bytes becomes a BadImageError with the decoder's words in it.
"""

from __future__ import annotations

import importlib
import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from types import ModuleType
from typing import TYPE_CHECKING, cast

from visionpipe.errors import BadImageError, ConfigurationError, VisionPipeError, missing_extra
from visionpipe.files import read_content
from visionpipe.images.boxes import HeifFacts, boxes_fit, heif_facts
from visionpipe.images.colour import CODE_POINTS
from visionpipe.images.headers import Header, meant
from visionpipe.images.metadata import (
    CORRUPT_CURE,
    ORIENTATION,
    TRUNCATED_CURE,
    gif_profile,
    is_wide_code,
    is_wider_than_p3,
    png_code_points,
    xmp_orientation,
)
from visionpipe.images.pixels import WHITE, Colour, Step, plain, turn
from visionpipe.images.tiff import MOST_PAGES, deep_picture, full_ycc, read_tiff
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
    "dib": ("PIL.BmpImagePlugin", "DibImageFile"),
    "tiff": ("PIL.TiffImagePlugin", "TiffImageFile"),
    "avif": ("PIL.AvifImagePlugin", "AvifImageFile"),
    "heic": ("pillow_heif", "HeifImageFile"),
    "jp2": ("PIL.Jpeg2KImagePlugin", "Jpeg2KImageFile"),
    "ico": ("PIL.IcoImagePlugin", "IcoImageFile"),
    "ppm": ("PIL.PpmImagePlugin", "PpmImageFile"),
    "psd": ("PIL.PsdImagePlugin", "PsdImageFile"),
    "tga": ("PIL.TgaImagePlugin", "TgaImageFile"),
}
_GREY = frozenset(["1", "L", "LA", "La", "I", "F", "I;16", "I;16B", "I;16L", "I;16N"])
_ALPHA = frozenset(["LA", "La", "PA", "RGBA", "RGBa"])
_COLOURS = {
    "P": "palette",
    "PA": "palette",
    "CMYK": "cmyk",
    **dict.fromkeys(("RGB", "RGBA", "RGBX", "RGBa"), "rgb"),
}
_BITS = {"1": 1, "I": 32, "F": 32}

_ANIMATED = frozenset(["gif", "png", "webp", "avif"])
_MOST_BLANK, _MOST_BLANK_PIXELS = 100, 100_000_000  # looked at for a frame that shows something
_UNSEEN = 4  # of 255; what differs by no more than this shows nothing


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
        if format == "heic":
            raise missing_extra(
                "reading HEIC needs pillow-heif", "heif", subject=name, scope="item"
            ) from error
        raise ConfigurationError(
            f"this Pillow cannot read {format.upper()}",
            cure="Install a newer one: pip install --upgrade pillow",
            subject=name,
            code="missing_extra",
            scope="item",
        ) from error
    with decoder_errors(name):
        # The class itself and not Image.open, whose pixel ceiling is one global of the whole process.
        return factory(io.BytesIO(data))


def foreign_header(data: bytes, format: str, name: str) -> Header:
    """The header of an image whose format is not sniffed here; size and orientation as stored.

    It is ``complete`` where the file's own structure proves that no byte is missing.

    Raises:
        BadImageError: the header is no good, or it is a camera's raw file, of which only a thumbnail could
            be shown.
        ConfigurationError: as ``open_encoded``.
    """
    page = read_tiff(data) if format == "tiff" else None
    if page is not None and page.raw_photo:
        raise BadImageError(
            "it is a camera raw photo, and only its thumbnail could be read",
            cure="Export it as JPEG or TIFF first.",
            subject=name,
            code="not_an_image",
        )
    if page is not None and page.deep:
        turned, stray = meant(page.orientation)
        header = Header(
            format, page.width, page.height, turned, page.colour, page.bits, page.alpha, page.pages, False
        )
        return replace(header, stray_orientation=stray)
    picture = open_encoded(data, format, name)
    with decoder_errors(name):
        mode = picture.mode
        width, height = picture.size
        bits = 16 if mode.startswith("I;16") else _BITS.get(mode, 8)
        stated, frames, wide = 1, 1, False
        if page is not None:
            bits, frames = page.bits, page.pages
            stated = _stated_by_pillow(picture)
            width, height = page.width, page.height  # where Pillow may say the upright size
        elif format in ("avif", "heic"):
            facts = heif_facts(data)
            stated, bits = _heif_orientation(picture, facts, format), facts.bits
            wide = facts.code_points is not None and is_wide_code(*facts.code_points)
            if format == "avif":  # a HEIC's further pictures are no frames of the first
                frames = int(getattr(picture, "n_frames", 1))
        alpha = mode in _ALPHA or "transparency" in picture.info
        profile = picture.info.get("icc_profile")
        if isinstance(profile, bytes):
            wide = is_wider_than_p3(profile)
    complete = format in ("avif", "heic") and boxes_fit(data)
    orientation, stray = meant(stated)
    return Header(
        format,
        width,
        height,
        orientation,
        "grey" if mode in _GREY else _COLOURS.get(mode, "other"),
        bits,
        alpha,
        max(1, frames),
        complete,
        wide_gamut=wide,
        stray_orientation=stray,
    )


def _stated_by_pillow(picture: ImageFile) -> int:
    """The orientation by which Pillow itself turns a TIFF when it is decoded, EXIF's or XMP's."""
    found = picture.getexif().get(ORIENTATION, 1)
    return found if isinstance(found, int) else 1


def _heif_orientation(picture: ImageFile, facts: HeifFacts, format: str) -> int:
    """The orientation left to be applied to a HEIC or AVIF picture.

    libheif obeys the transform boxes, and Pillow gives those of an AVIF as EXIF; only where there are none
    does the orientation in EXIF or XMP count.
    """
    if facts.transformed:
        return 1 if format == "heic" else _stated_by_pillow(picture)
    if facts.orientation:
        return facts.orientation
    if format == "heic":
        # What XMP said, which the plug-in takes out of it.
        found = picture.info.get("original_orientation")
        return found if isinstance(found, int) else 1
    packet = picture.info.get("xmp")
    return xmp_orientation(packet) if isinstance(packet, bytes) else 0


@dataclass(frozen=True, slots=True)
class Decoded:
    """Decoded pixels. ``turned``: upright already, else in the orientation they are stored in. ``frame``
    counts from 0. ``steps`` are what decoding itself changed, as adjustments' kinds and details."""

    picture: Picture
    turned: bool = False
    frame: int = 0
    steps: tuple[Step, ...] = ()


def decode_bytes(
    data: bytes, format: str, name: str, at_least: tuple[int, int] | None = None, *, frames: int = 1
) -> Decoded:
    """The pixels of an image's first frame; of an animation, of the first that shows something.

    Args:
        data: the whole file.
        format: what it is.
        name: the subject of errors.
        at_least: (width, height) in stored pixels that will do; a JPEG is then decoded at the smallest of
            1, 1/2, 1/4 and 1/8 of its size that is not below.
        frames: how many there are.

    Raises:
        BadImageError: truncated or corrupt.
        ConfigurationError: as ``open_encoded``.
    """
    page = read_tiff(data) if format == "tiff" else None
    if page is not None and page.deep:
        with decoder_errors(name):
            made, step = deep_picture(data, page, name)
            return Decoded(made, steps=(step,))
    picture = open_encoded(data, format, name)
    whole = full_ycc(data, page) if page is not None else None
    if whole is not None:
        whole.info.update(picture.info)
        return Decoded(whole)
    with decoder_errors(name):
        if at_least is not None and format == "jpeg":
            scale = jpeg_scale(picture.size, at_least)
            if scale > 1:
                # Pillow takes the largest scale whose size is not below the one asked for, rounded down.
                picture.draft(None, (max(1, picture.width // scale), max(1, picture.height // scale)))
        if page is not None:
            # Memory taken here keeps Pillow from measuring it by a ceiling that is one global of the process.
            from PIL import Image as pillow

            picture.im = pillow.new(picture.mode, (page.width, page.height)).im
        frame = _first_shown(picture) if frames > 1 and format in _ANIMATED else 0
        picture.load()
        pixels: Picture = picture
        if format == "ppm" and picture.mode == "I":
            pixels = picture.convert("I;16")  # which is what Pillow has scaled it to
        if format in ("avif", "heic"):
            points = heif_facts(data).code_points
        else:
            points = png_code_points(data) if format == "png" else None
        if points is not None and "icc_profile" not in picture.info:
            pixels.info[CODE_POINTS] = points
        profile = gif_profile(data) if format == "gif" else None
        if profile is not None:
            pixels.info["icc_profile"] = profile
    return Decoded(pixels, format == "tiff", frame)


def _first_shown(picture: ImageFile) -> int:
    """Goes to the first frame of an animation that shows something, and says which that is.

    A still picture that stands before an APNG's animation is for viewers that know no animations, and no
    part of it. Where no frame shows anything it is the first.
    """
    first = 1 if getattr(picture, "default_image", False) else 0
    budget = _MOST_BLANK_PIXELS
    for frame in range(first, first + _MOST_BLANK):
        budget -= picture.width * picture.height
        try:
            picture.seek(frame)
            picture.load()
        except EOFError:
            break
        if not _is_blank(picture):
            return frame
        if budget <= 0:
            break
    picture.seek(first)
    return first


def _is_blank(picture: Picture) -> bool:
    """Whether nothing can be seen: one colour all over, or no pixel that is not transparent."""
    red, green, blue, alpha = cast("tuple[tuple[int, int], ...]", picture.convert("RGBA").getextrema())
    if alpha[1] == 0:
        return True
    return alpha[0] == alpha[1] and all(high - low <= _UNSEEN for low, high in (red, green, blue))


def jpeg_scale(size: tuple[int, int], at_least: tuple[int, int]) -> int:
    """The largest of 8, 4, 2, 1 by which a JPEG of ``size`` can be divided and still be ``at_least``."""
    for scale in (8, 4, 2):
        if all(-(-full // scale) >= wanted for full, wanted in zip(size, at_least, strict=True)):
            return scale
    return 1


def decode(image: Image, at_least: tuple[int, int] | None = None) -> Decoded:
    """As ``decode_bytes``, of an image value.

    Raises:
        BadImageError: truncated or corrupt.
        UnreadableSourceError: the file vanished or changed.
    """
    data = read_content(image.content)
    return decode_bytes(data, image.format, image.name, at_least, frames=image.frames)


def upright(
    image: Image,
    *,
    size: tuple[int, int] | None = None,
    at_least: tuple[int, int] | None = None,
    background: Colour = WHITE,
) -> tuple[Picture, list[Step]]:
    """What a viewer sees of ``image``: grey or RGB of 8 bits, in sRGB, opaque and upright.

    Args:
        image: anything ``load_image`` made.
        size: (width, height) upright that it is brought to; its own, or near ``at_least``, if None.
        at_least: (width, height) upright that will do, where ``size`` is None: a JPEG may then come smaller.
        background: what transparency is put on, RGB of 0 to 255.

    Returns:
        The picture, and the kinds and details of what was changed, a new size aside.

    Raises:
        BadImageError: truncated or corrupt.
        UnreadableSourceError: its file vanished or changed.
    """
    sideways = image.orientation >= 5
    enough = size or at_least
    stored = (enough[1], enough[0]) if enough is not None and sideways else enough
    decoded = decode(image, stored)
    steps: list[Step] = []
    with decoder_errors(image.name):
        if image.orientation != 1:
            steps.append(("rotated", f"orientation {image.orientation} -> upright"))
        if image.frames > 1:
            steps.append(("first_frame", _frame_words(decoded.frame, image)))
        picture = decoded.picture
        if image.bits > 8 and not decoded.steps and not picture.mode.startswith(("I", "F")):
            steps.append(("converted", f"{image.bits} bits -> 8 bits"))
        steps += decoded.steps
        full = image.upright_size if decoded.turned else (image.width, image.height)
        target = size if decoded.turned or size is None else stored
        reduced = picture.size != full
        early = picture.mode in ("L", "RGB", "CMYK") and "transparency" not in picture.info
        if early and target is not None:
            picture = resized(picture, target, reduced=reduced)  # so that the rest has fewer pixels to do
        picture, more = plain(picture, background)
        steps += more
        if target is not None:
            picture = resized(picture, target, reduced=reduced)
        if not decoded.turned:
            picture = turn(picture, image.orientation)
    return picture, steps


def _frame_words(frame: int, image: Image) -> str:
    more = " or more" if image.format == "tiff" and image.frames >= MOST_PAGES else ""
    if not frame:
        return f"the first of {image.frames}{more} frames"
    return f"frame {frame + 1} of {image.frames}, the first of the animation that shows something"


def resized(picture: Picture, size: tuple[int, int], *, reduced: bool) -> Picture:
    """``picture`` at ``size``; a cheaper filter does where the decoder has ``reduced`` it close to that."""
    if picture.size == size:
        return picture
    from PIL.Image import Resampling

    smaller = picture.resize(size, Resampling.BICUBIC if reduced else Resampling.LANCZOS, reducing_gap=2.0)
    smaller.info = picture.info
    return smaller


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
