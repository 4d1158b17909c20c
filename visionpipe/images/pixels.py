"""Pictures in memory brought to what JPEG and every model can hold: 8 bits, grey or RGB, opaque, upright.

The picture given is never changed, and each step says in words what it did.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

from visionpipe.images.colour import COLOUR_INFO, through_profile, to_srgb

if TYPE_CHECKING:
    import numpy
    from PIL.Image import Image as Picture

Colour: TypeAlias = tuple[int, int, int]
Step: TypeAlias = tuple[str, str]
"""An adjustment's kind and detail."""

WHITE: Colour = (255, 255, 255)

_DARKEST_FLOAT = 16  # a picture of 0 to 255 that stays below it would be all but black

_PLAIN = frozenset(["L", "RGB"])
_WITH_ALPHA = frozenset(["RGBA", "LA", "PA", "RGBa", "La"])


def plain(picture: Picture, background: Colour) -> tuple[Picture, list[Step]]:
    """``picture`` as L or RGB of 8 bits without transparency, its colours as sRGB, and what was done to it.

    A profile that describes sRGB already stays.

    Args:
        picture: in any mode of Pillow's.
        background: what transparent pixels are put on, RGB of 0 to 255.
    """
    flat, steps = _flat(picture, background)
    managed, said = to_srgb(flat)
    return managed, [*steps, ("converted", said)] if said is not None else steps


def _flat(picture: Picture, background: Colour) -> tuple[Picture, list[Step]]:
    mode = picture.mode
    if mode.startswith("I") or mode == "F":
        picture, step = _eight_bits(picture, background)
        return picture, [step]
    if mode in _WITH_ALPHA or "transparency" in picture.info:
        return _flatten(picture, background)
    if mode in _PLAIN:
        return picture, []
    if mode == "1":
        return picture.convert("L"), [("converted", "1 bit -> 8 bits")]
    if mode == "P":
        grey = picture.palette is not None and picture.palette.mode == "L"
        target = "L" if grey else "RGB"
        return picture.convert(target), [("converted", f"palette -> {_word(target)}")]
    if mode in ("CMYK", "LAB"):
        managed = through_profile(picture)
        if managed is not None:
            return managed, [("converted", f"{mode} -> RGB through its colour profile")]
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


def _flatten(picture: Picture, background: Colour) -> tuple[Picture, list[Step]]:
    from PIL import Image

    coloured = _rgba(picture)
    coloured.info = picture.info
    alpha = coloured.getchannel("A")
    lowest, _ = _extrema(alpha)
    grey = picture.mode in ("LA", "La", "L", "1") and len(set(background)) == 1
    # The background is given in sRGB, so the colours have to be before they meet it.
    coloured, said = to_srgb(coloured)
    if lowest == 255:
        flat = coloured.convert("RGB")
        steps = [("flattened", "an alpha channel in which every pixel is opaque left out")]
    else:
        flat = Image.new("RGB", coloured.size, background)
        flat.paste(coloured, mask=alpha)
        steps = [("flattened", f"transparency on RGB {background[0]},{background[1]},{background[2]}")]
    flat.info = {key: coloured.info[key] for key in COLOUR_INFO if key in coloured.info}
    if said is not None:
        steps.append(("converted", said))
    return (flat.convert("L") if grey else flat), steps


def _rgba(picture: Picture) -> Picture:
    if picture.mode in ("La", "PA"):
        picture = picture.convert("LA" if picture.mode == "La" else "RGBA")
    return picture if picture.mode == "RGBA" else picture.convert("RGBA")


def _eight_bits(picture: Picture, background: Colour) -> tuple[Picture, Step]:
    """Grey of 16 bits, 32 bits or floating point, scaled; Pillow's own conversion would clip it."""
    import numpy as np
    from PIL import Image

    values: Any = np.asarray(picture)
    shades, detail = scaled_to_eight_bits(values, full=picture.mode.startswith("I;16"))
    grey = Image.fromarray(shades)
    transparent = picture.info.get("transparency")
    if isinstance(transparent, int) and bool((values == transparent).any()):
        shade = (background[0] * 299 + background[1] * 587 + background[2] * 114 + 500) // 1000
        grey.paste(shade, mask=Image.fromarray((values == transparent).astype(np.uint8) * 255))
        detail += f", transparency on grey {shade}"
    grey.info = {key: picture.info[key] for key in COLOUR_INFO if key in picture.info}
    return grey, ("converted", detail)


def scaled_to_eight_bits(
    values: numpy.ndarray[Any, Any], *, full: bool = False
) -> tuple[numpy.ndarray[Any, Any], str]:
    """Samples of any depth as 0 to 255, and in words what was done.

    Unsigned samples are scaled from their whole range. Where all of them lie in the lowest sixteenth or
    less of it, they are taken for the 8, 10 or 12 bits (of 32: 8 or 16) that instruments write into a larger
    word. Floats are taken for 0 to 1 or for 0 to 255 where they fit one of them. Other floats, and signed
    samples below 0, have no white of their own: the lowest becomes black and the highest white.

    Args:
        values: of any shape; not empty.
        full: the whole range counts, however little of it is used.
    """
    import numpy as np

    kind, word = values.dtype.kind, values.dtype.itemsize * 8
    if kind == "f":
        finite = values[np.isfinite(values)]
        low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 1.0)
        if low >= 0 and (high <= 1 or _DARKEST_FLOAT < high <= 255):
            low, high = 0.0, 1.0 if high <= 1 else 255.0
        values = np.nan_to_num(values, nan=low, posinf=high, neginf=low)
    else:
        low, high = float(values.min()), float(values.max())
        if low >= 0:
            low, high = 0.0, float((1 << _depth(int(high), word - (kind == "i"), full)) - 1)
    detail = f"values {low:g} to {high:g} -> 0 to 255"
    if kind != "f" and low == 0 and (kind == "u" or word == 16):
        used = int(high).bit_length()
        detail = f"{used} bits -> 8 bits" if used >= word - 1 else f"{used} bits in {word} -> 8 bits"
    if word == 16 and kind == "u":
        white = int(high)
        scaled = (np.minimum(values, white).astype(np.uint32) * 255 + white // 2) // white
    else:
        scaled = np.rint((values.astype(np.float64) - low) * (255 / ((high - low) or 1)))
    return np.clip(scaled, 0, 255).astype(np.uint8), detail


def _depth(highest: int, bits: int, full: bool) -> int:
    """The bits that samples up to ``highest`` are taken to have, in a word of ``bits``."""
    if not full:
        for fewer in (8, 10, 12) if bits <= 16 else (8, 16):
            if highest < 1 << fewer:
                return fewer
    return bits


def _extrema(band: Picture) -> tuple[int, int]:
    low, high = band.getextrema()
    assert isinstance(low, (int, float)) and isinstance(high, (int, float))
    return int(low), int(high)


def _word(mode: str) -> str:
    return {"L": "grey", "RGB": "RGB"}[mode]
