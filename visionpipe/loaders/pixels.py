"""Decoded pictures brought to what JPEG and every model can hold: grey or RGB, 8 bits, opaque, upright.

The rule: the picture given is never changed, and each step says in words what it did.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

Colour: TypeAlias = tuple[int, int, int]
Step: TypeAlias = tuple[str, str]
"""An adjustment's kind and detail."""

_PLAIN = frozenset(["L", "RGB"])
_WITH_ALPHA = frozenset(["RGBA", "LA", "PA", "RGBa", "La"])


def plain(picture: Picture, background: Colour) -> tuple[Picture, list[Step]]:
    """``picture`` as L or RGB of 8 bits without transparency, and what was done to it.

    Args:
        picture: in any mode of Pillow's.
        background: what transparent pixels are put on, RGB of 0 to 255.
    """
    steps: list[Step] = []
    mode = picture.mode
    if mode.startswith("I") or mode == "F":
        picture, step = _eight_bits(picture, background)
        return picture, [step]
    if mode in _WITH_ALPHA or "transparency" in picture.info:
        return _flatten(picture, background)
    if mode in _PLAIN:
        return picture, steps
    if mode == "1":
        return picture.convert("L"), [("converted", "1 bit -> 8 bits")]
    if mode == "P":
        grey = picture.palette is not None and picture.palette.mode == "L"
        target = "L" if grey else "RGB"
        return picture.convert(target), [("converted", f"palette -> {_word(target)}")]
    if mode in ("CMYK", "LAB"):
        managed = _through_profile(picture)
        if managed is not None:
            return managed, [("converted", f"{mode} -> RGB through its colour profile")]
        return picture.convert("RGB"), [("converted", f"{mode} -> RGB")]
    return picture.convert("RGB"), [("converted", f"{mode} -> RGB")]


def has_transparency(picture: Picture) -> bool:
    """Whether any pixel of ``picture`` is less than opaque."""
    if picture.mode not in _WITH_ALPHA and "transparency" not in picture.info:
        return False
    if picture.mode.startswith("I"):
        import numpy as np

        return bool((np.asarray(picture) == picture.info["transparency"]).any())
    lowest, _ = _extrema(_rgba(picture).getchannel("A"))
    return lowest < 255


def turn(picture: Picture, orientation: int) -> Picture:
    """``picture`` as a viewer shows it, from the EXIF ``orientation`` (1 to 8) it is stored in."""
    from PIL.Image import Transpose

    turns = {
        2: Transpose.FLIP_LEFT_RIGHT,
        3: Transpose.ROTATE_180,
        4: Transpose.FLIP_TOP_BOTTOM,
        5: Transpose.TRANSPOSE,
        6: Transpose.ROTATE_270,
        7: Transpose.TRANSVERSE,
        8: Transpose.ROTATE_90,
    }
    return picture.transpose(turns[orientation]) if orientation in turns else picture


def valid_profile(picture: Picture) -> bytes | None:
    """The ICC profile of ``picture`` if it describes pixels of its mode; a CMYK profile, for one, does not
    describe what became RGB."""
    profile = picture.info.get("icc_profile")
    space = b"RGB " if picture.mode in ("RGB", "RGBA", "P") else b"GRAY"
    if isinstance(profile, bytes) and len(profile) >= 128 and profile[16:20] == space:
        return profile
    return None


def _flatten(picture: Picture, background: Colour) -> tuple[Picture, list[Step]]:
    from PIL import Image

    coloured = _rgba(picture)
    alpha = coloured.getchannel("A")
    lowest, _ = _extrema(alpha)
    grey = picture.mode in ("LA", "La", "L", "1") and len(set(background)) == 1
    if lowest == 255:
        flat = coloured.convert("RGB")
        step = ("flattened", "an alpha channel in which every pixel is opaque left out")
    else:
        flat = Image.new("RGB", coloured.size, background)
        flat.paste(coloured, mask=alpha)
        step = ("flattened", f"transparency on RGB {background[0]},{background[1]},{background[2]}")
    if "icc_profile" in picture.info:
        flat.info["icc_profile"] = picture.info["icc_profile"]
    return (flat.convert("L") if grey else flat), [step]


def _rgba(picture: Picture) -> Picture:
    if picture.mode in ("La", "PA"):
        picture = picture.convert("LA" if picture.mode == "La" else "RGBA")
    return picture if picture.mode == "RGBA" else picture.convert("RGBA")


def _eight_bits(picture: Picture, background: Colour) -> tuple[Picture, Step]:
    """Grey of 16 bits, 32 bits or floating point, scaled; Pillow's own conversion would clip it."""
    import numpy as np
    from PIL import Image

    values: Any = np.asarray(picture)
    if picture.mode.startswith("I;16"):
        scaled = (values.astype(np.uint32) * 255 + 32_767) // 65_535
        detail = "16 bits -> 8 bits"
    else:
        finite = np.nan_to_num(values.astype(np.float64), nan=0.0, posinf=0.0, neginf=0.0)
        low, high = float(finite.min()), float(finite.max())
        if picture.mode == "F" and low >= 0 and high <= 1:
            low, high = 0.0, 1.0
        elif picture.mode == "I" and low >= 0 and high <= 65_535:
            low, high = 0.0, 65_535.0 if high > 255 else 255.0
        scaled = np.rint((finite - low) * (255 / ((high - low) or 1)))
        detail = f"values {low:g} to {high:g} -> 0 to 255"
    grey = Image.fromarray(scaled.astype(np.uint8))
    transparent = picture.info.get("transparency")
    if isinstance(transparent, int) and bool((values == transparent).any()):
        shade = (background[0] * 299 + background[1] * 587 + background[2] * 114 + 500) // 1000
        grey.paste(shade, mask=Image.fromarray((values == transparent).astype(np.uint8) * 255))
        detail += f", transparency on grey {shade}"
    return grey, ("converted", detail)


def _through_profile(picture: Picture) -> Picture | None:
    """CMYK or LAB as sRGB by colour management; None where there is no usable profile."""
    from PIL import ImageCms

    profile = picture.info.get("icc_profile")
    try:
        if picture.mode == "LAB":
            source: Any = ImageCms.createProfile("LAB")
        elif isinstance(profile, bytes) and profile[16:20] == b"CMYK":
            source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        else:
            return None
        managed = ImageCms.profileToProfile(picture, source, ImageCms.createProfile("sRGB"), outputMode="RGB")
    except (ImageCms.PyCMSError, OSError, ValueError):
        # A broken profile: the caller converts without it, and its step says so.
        return None
    if managed is not None:
        managed.info.pop("icc_profile", None)
    return managed


def _extrema(band: Picture) -> tuple[int, int]:
    low, high = band.getextrema()
    assert isinstance(low, (int, float)) and isinstance(high, (int, float))
    return int(low), int(high)


def _word(mode: str) -> str:
    return {"L": "grey", "RGB": "RGB"}[mode]
