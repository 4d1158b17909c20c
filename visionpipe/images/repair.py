"""A repair carried out: an image turned, shrunk, made plain and encoded anew, so that its model takes it.

What is asked for is done, nothing else, and every change is an Adjustment with its figures. A JPEG
is decoded at the exact fraction of its size where the target is one, which costs a fifth of a full resize.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from visionpipe.errors import MediaLimitError, ParameterError
from visionpipe.images.decode import decode, decoder_errors, resized, upright
from visionpipe.images.encode import QUALITIES, jpeg, png
from visionpipe.images.pixels import has_transparency
from visionpipe.media import Image, MemoryContent, Repair
from visionpipe.values import Adjustment

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

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
