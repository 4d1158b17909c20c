"""Pixels in memory encoded: Pillow's pictures and arrays as PNG, prepared pictures as JPEG or PNG, and a
repair carried out on an image so that its model takes it.

Lossless wherever PNG can hold it, and what it cannot hold is said. The caller's object is only read. Of a
repair what is asked for is done, nothing else, and every change is an Adjustment with its figures; a JPEG is
decoded at the exact fraction of its size where the target is one, which costs a fifth of a full resize.
"""

from __future__ import annotations

import io
import math
import os
import tempfile
from contextlib import suppress
from typing import IO, TYPE_CHECKING, Any, Literal

from visionpipe.errors import MediaLimitError, ParameterError
from visionpipe.images.colour import valid_profile
from visionpipe.images.decode import decode, decoder_errors, resized, upright
from visionpipe.images.metadata import ORIENTATION
from visionpipe.images.pixels import has_transparency, plain, scaled_to_eight_bits, turn
from visionpipe.media import Image, MemoryContent, Repair
from visionpipe.values import Adjustment

if TYPE_CHECKING:
    import numpy
    from PIL.Image import Image as Picture

QUALITIES = (90, 82, 74, 66)
"""JPEG qualities tried in this order where bytes are limited, before the size gives way."""

_PNG_MODES = frozenset(["1", "L", "LA", "P", "RGB", "RGBA", "I;16"])
_SHAPE_CURE = "Give (H, W), (H, W, 1), (H, W, 3) or (H, W, 4); one image an array, channels last."


def encode_picture(picture: Picture, name: str) -> tuple[bytes, tuple[Adjustment, ...]]:
    """A Pillow image's current frame as PNG, upright.

    Raises:
        BadImageError: its file, read only now, is broken.
    """
    with decoder_errors(name):
        orientation = picture.getexif().get(ORIENTATION, 1)
        shown = turn(picture.copy(), orientation if isinstance(orientation, int) else 1)
        said = f"Pillow {picture.mode} {shown.width}x{shown.height} -> PNG"
        steps = [("converted", said)]
        if shown.mode not in _PNG_MODES:
            shown, more = plain(shown, (255, 255, 255))
            steps += more
        if shown.size != picture.size or (orientation in range(2, 9)):
            steps.append(("rotated", f"orientation {orientation} -> upright"))
        data = png(shown, quickly=True)
    return data, tuple(Adjustment(kind, name, detail) for kind, detail in steps)


def encode_array(
    array: numpy.ndarray[Any, Any], channel_order: Literal["rgb", "bgr"], name: str
) -> tuple[bytes, tuple[Adjustment, ...]]:
    """An array's pixels as PNG of 8 bits.

    Args:
        array: (H, W), (H, W, 1), (H, W, 3) or (H, W, 4); bool, uint8, uint16, or float in 0..1.
        channel_order: of the colours; the fourth channel is alpha in both.
        name: the subject of errors and adjustments.

    Raises:
        ParameterError: another shape or type, or floats that are not in 0..1.
    """
    import numpy as np
    from PIL import Image

    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] not in (1, 3, 4)) or not array.size:
        raise ParameterError(f"an array of shape {array.shape}", cure=_SHAPE_CURE, subject=name)
    pixels = _array_in_eight_bits(array, name)
    if pixels.ndim == 3 and pixels.shape[2] == 1:
        pixels = pixels[:, :, 0]
    order = ""
    if pixels.ndim == 3:
        order = f" {channel_order}"
        if channel_order == "bgr":
            pixels = pixels[:, :, [2, 1, 0, 3][: pixels.shape[2]]]
    shape = "x".join(str(n) for n in array.shape)
    detail = f"array {shape} {array.dtype}{order} -> PNG of 8 bits"
    data = png(Image.fromarray(np.ascontiguousarray(pixels)), quickly=True)
    return data, (Adjustment("converted", name, detail),)


def _array_in_eight_bits(array: numpy.ndarray[Any, Any], name: str) -> numpy.ndarray[Any, Any]:
    import numpy as np

    if array.dtype == np.uint8:
        return array
    if array.dtype == np.bool_:
        return array.astype(np.uint8) * np.uint8(255)
    if array.dtype == np.uint16:
        return scaled_to_eight_bits(array, full=True)[0]
    if np.issubdtype(array.dtype, np.floating):
        low, high = float(array.min()), float(array.max())
        if not (low >= 0 and high <= 1):
            raise ParameterError(
                f"an array of {array.dtype} with values from {low:g} to {high:g}",
                cure="Scale floats to 0..1, or convert to uint8.",
                subject=name,
            )
        rounded: numpy.ndarray[Any, Any] = np.rint(array * 255)
        return rounded.astype(np.uint8)
    raise ParameterError(
        f"an array of {array.dtype}", cure="Use uint8, uint16, bool, or floats in 0..1.", subject=name
    )


def png(picture: Picture, *, quickly: bool = False) -> bytes:
    """``picture`` as PNG with its colour profile and no other metadata; ``quickly`` for bytes that are often
    encoded once more to fit a model."""
    out = io.BytesIO()
    if quickly:
        picture.save(out, "PNG", compress_level=1, icc_profile=valid_profile(picture))
    else:
        picture.save(out, "PNG", icc_profile=valid_profile(picture), transparency=None)
    return out.getvalue()


def jpeg(picture: Picture, quality: int, *, fine: bool) -> bytes:
    """``picture`` (L or RGB) as JPEG with its colour profile and no other metadata; ``fine`` keeps colour at
    full resolution, which drawn edges and text need."""
    profile = valid_profile(picture)
    sampling = 0 if fine else 2
    return saved_as_jpeg(picture, quality=quality, subsampling=sampling, icc_profile=profile, comment=b"")


def saved_as_jpeg(picture: Picture, **options: Any) -> bytes:
    """As Pillow's ``save``. It lets other threads work while it encodes into a file of the system's, and lets
    them wait while it does so into a ``BytesIO``: a third of a repair."""
    with _unnamed_file() as out:
        picture.save(out, "JPEG", **options)
        out.seek(0)
        return out.read()


def _unnamed_file() -> IO[bytes]:
    if hasattr(os, "memfd_create"):
        with suppress(OSError):
            return os.fdopen(os.memfd_create("visionpipe"), "w+b")
    return tempfile.TemporaryFile()


_MOST_SHRINKS = 12
_DRAWN_FORMATS = frozenset(["png", "gif", "bmp", "dib", "tiff", "ico", "psd", "ppm", "tga"])


def apply_repair(image: Image, repair: Repair) -> Image:
    """Make the image that ``repair`` asks for.

    Args:
        image: anything ``load_image`` made.
        repair: ``width`` and ``height`` are the upright target in pixels; ``format`` is "jpeg" or "png";
            ``max_bytes`` is kept by lowering the JPEG quality, then the size, in bounded steps.

    Returns:
        An upright, opaque image of 8 bits, grey or RGB, held in memory. Its colour profile is kept where it
        still describes the pixels; EXIF and other metadata are left out. The adjustments (rotated,
        first_frame, flattened, converted, resized, re-encoded) follow those ``image`` already had.

    Raises:
        BadImageError: the picture cannot be decoded after all.
        UnreadableSourceError: its file vanished or changed.
        MediaLimitError: not even a thumbnail keeps ``max_bytes``.
        ParameterError: a format other than jpeg and png, or a target that is no size.
    """
    if repair.format not in ("jpeg", "png"):
        raise ParameterError(
            f"an image cannot be repaired into {repair.format!r}",
            cure='Use "jpeg" or "png".',
            subject=image.name,
        )
    if repair.width < 1 or repair.height < 1:
        raise ParameterError(
            f"a target of {repair.width}x{repair.height} pixels",
            cure="Both sides must be 1 or more.",
            subject=image.name,
        )
    picture, steps = upright(image, size=(repair.width, repair.height), background=repair.background)
    with decoder_errors(image.name):
        data, picture, wording = _encode(picture, image, repair)
    if image.upright_size != picture.size:
        before = "x".join(map(str, image.upright_size))
        steps.append(("resized", f"{before} -> {picture.width}x{picture.height}"))
    steps.append(
        ("re-encoded", f"{image.format} {image.size:,} bytes -> {wording} {len(data):,} bytes, no metadata")
    )
    return Image(
        image.name,
        MemoryContent(data),
        repair.format,
        picture.width,
        picture.height,
        colour="grey" if picture.mode == "L" else "rgb",
        adjustments=image.adjustments + tuple(Adjustment(kind, image.name, detail) for kind, detail in steps),
    )


def has_transparent_pixels(image: Image) -> bool:
    """Whether any pixel is less than opaque; decodes only where the format carries transparency at all.

    Raises:
        BadImageError, UnreadableSourceError: as ``apply_repair``.
    """
    if not image.alpha:
        return False
    picture = decode(image).picture
    with decoder_errors(image.name):
        return has_transparency(picture)


def _encode(picture: Picture, image: Image, repair: Repair) -> tuple[bytes, Picture, str]:
    """The encoded bytes, the picture they hold (smaller where the bytes demanded it), and how."""
    limit = repair.max_bytes
    fine = image.format in _DRAWN_FORMATS  # drawn edges and text suffer from shared colour samples
    for _ in range(_MOST_SHRINKS):
        data = b""
        for quality in QUALITIES if repair.format == "jpeg" else (0,):
            data = jpeg(picture, quality, fine=fine) if quality else png(picture)
            if limit is None or len(data) <= limit:
                return data, picture, f"jpeg of quality {quality}" if quality else "png"
        assert limit is not None
        shrink = min(0.9, math.sqrt(limit / len(data)) * 0.95)
        smaller = (max(1, int(picture.width * shrink)), max(1, int(picture.height * shrink)))
        if smaller == picture.size:
            break
        picture = resized(picture, smaller, reduced=False)
    raise MediaLimitError(
        f"it cannot be brought under {limit:,} bytes",
        cure="Choose a model that takes more bytes.",
        subject=image.name,
    )
