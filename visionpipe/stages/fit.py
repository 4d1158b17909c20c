"""What has to change so that a model takes an image, and requests divided.

No repair without a reason from the model's record, and an image without a reason is sent as it
lies on disk.
"""

from __future__ import annotations

from itertools import compress

from visionpipe.media import Image, Repair
from visionpipe.registry.records import ImageRules

# Beyond 9,633,792 / 2 px the published GLM-4.1V to 4.6V processor shrinks a picture itself, so an image
# that must be re-encoded anyway loses nothing the model would have seen. Taken where a record has none.
USEFUL_PIXELS = 4_816_896

# A picture of more pixels that has to be decoded for any reason is brought down as well: it would take
# hundreds of megabytes as it is, and no model sees so much.
_LARGEST_WHOLE = 64_000_000

_ENCODED = ("jpeg", "png")
"""What repaired images are written as."""

# An exact DCT scale costs a fifth of a resample; it is taken where it keeps at least this part of the
# pixels the limit would allow.
_WORTHWHILE = 0.5


def plan_repair(
    image: Image,
    rules: ImageRules,
    *,
    transparent: bool = False,
    max_side: int | None = None,
    background: tuple[int, int, int] = (255, 255, 255),
) -> Repair | None:
    """The repair ``image`` needs, or None where it can be sent as it is.

    Args:
        image: a probed image.
        rules: the model's limits.
        transparent: whether pixels of it really are transparent.
        max_side: the caller's own limit for the longer side, in pixels.
        background: RGB that transparency is flattened on.
    """
    side = min(filter(None, (rules.max_side_px, max_side)), default=None)
    reasons = _reasons(image, rules, side, transparent)
    if not reasons:
        return None
    encodable = image.format in _ENCODED and image.format in rules.formats
    keeps_format = encodable and "bytes" not in reasons
    width, height = image.upright_size
    if "bytes" in reasons or "side" in reasons or image.pixels > _LARGEST_WHOLE:
        pixels = rules.useful_pixels or USEFUL_PIXELS
        width, height = target_size(
            width, height, max_side=side, max_pixels=pixels, exact=image.format == "jpeg"
        )
    return Repair(
        format=image.format if keeps_format else _encoding(image, rules),
        width=width,
        height=height,
        max_bytes=rules.max_bytes,
        background=background,
        reasons=reasons,
    )


def target_size(
    width: int, height: int, *, max_side: int | None, max_pixels: int, exact: bool
) -> tuple[int, int]:
    """The size to bring ``width`` x ``height`` down to, both in pixels; never larger than it is.

    With ``exact``, one of the scales 1/2, 1/4, 1/8 (as a JPEG decoder rounds them, up) where one stands at
    or not far under the limits: such an image is decoded at that size, without a resample.
    """
    scale = min(
        1.0,
        (max_pixels / (width * height)) ** 0.5,
        (max_side / max(width, height)) if max_side is not None else 1.0,
    )
    if scale == 1.0:
        return width, height
    fitted = max(1, int(width * scale)), max(1, int(height * scale))
    if exact:
        for divisor in (2, 4, 8):
            snapped = -(-width // divisor), -(-height // divisor)
            if snapped[0] * snapped[1] > max_pixels or (max_side is not None and max(snapped) > max_side):
                continue
            if snapped[0] * snapped[1] >= _WORTHWHILE * fitted[0] * fitted[1]:
                return snapped
            break
    return fitted


def _reasons(image: Image, rules: ImageRules, max_side: int | None, transparent: bool) -> tuple[str, ...]:
    found = {
        "orientation": image.orientation != 1,
        "format": image.format not in rules.formats,
        "frames": image.frames > 1,
        "colour": image.colour == "cmyk",
        "bits": image.bits > 8,
        "alpha": transparent,
        "gamut": image.wide_gamut,
        "bytes": rules.max_bytes is not None and image.size > rules.max_bytes,
        "side": max_side is not None and max(image.width, image.height) > max_side,
    }
    return tuple(compress(found, found.values()))


def _encoding(image: Image, rules: ImageRules) -> str:
    """Drawings stay lossless where the model takes PNG; everything else becomes a JPEG."""
    drawn = image.colour == "palette" or image.format == "gif"
    preferred = "png" if drawn else "jpeg"
    allowed = [name for name in _ENCODED if name in rules.formats]
    return preferred if preferred in allowed or not allowed else allowed[0]


def portions(count: int, most: int) -> list[slice]:
    """``count`` things in as few runs of at most ``most`` as possible, of nearly equal length, in order."""
    runs = -(-count // most)
    shortest, longer = divmod(count, runs)
    ends = [shortest * (n + 1) + min(n + 1, longer) for n in range(runs)]
    return [slice(begin, end) for begin, end in zip([0, *ends], ends, strict=False)]
