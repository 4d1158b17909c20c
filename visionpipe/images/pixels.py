"""Pictures in memory brought to what JPEG and every model can hold, and arrays encoded as PNG.

The picture given is never changed, and each step says in words what it did.

Lossless wherever PNG can hold it, and what it cannot hold is said. The caller's object
is only read.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from visionpipe.errors import ParameterError
from visionpipe.images.decode import decoder_errors
from visionpipe.values import Adjustment

if TYPE_CHECKING:
    import numpy
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


_PNG_MODES = frozenset(["1", "L", "LA", "P", "RGB", "RGBA", "I;16"])
_ORIENTATION = 0x0112
_SHAPE_CURE = "Give (H, W), (H, W, 1), (H, W, 3) or (H, W, 4); one image an array, channels last."


def encode_picture(picture: Picture, name: str) -> tuple[bytes, tuple[Adjustment, ...]]:
    """A Pillow image's current frame as PNG, upright.

    Raises:
        BadImageError: its file, read only now, is broken.
    """
    with decoder_errors(name):
        orientation = picture.getexif().get(_ORIENTATION, 1)
        shown = turn(picture.copy(), orientation if isinstance(orientation, int) else 1)
        said = f"Pillow {picture.mode} {shown.width}x{shown.height} -> PNG"
        steps = [("converted", said)]
        if shown.mode not in _PNG_MODES:
            shown, more = plain(shown, (255, 255, 255))
            steps += more
        if shown.size != picture.size or (orientation in range(2, 9)):
            steps.append(("rotated", f"orientation {orientation} -> upright"))
        data = _png(shown)
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
    data = _png(Image.fromarray(np.ascontiguousarray(pixels)))
    return data, (Adjustment("converted", name, detail),)


def _array_in_eight_bits(array: numpy.ndarray[Any, Any], name: str) -> numpy.ndarray[Any, Any]:
    import numpy as np

    if array.dtype == np.uint8:
        return array
    if array.dtype == np.bool_:
        return array.astype(np.uint8) * np.uint8(255)
    if array.dtype == np.uint16:
        scaled: numpy.ndarray[Any, Any] = (array.astype(np.uint32) * 255 + 32_767) // 65_535
        return scaled.astype(np.uint8)
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


def _png(picture: Picture) -> bytes:
    out = io.BytesIO()
    # The lowest level: these bytes are often encoded once more to fit a model.
    picture.save(out, "PNG", compress_level=1, icc_profile=valid_profile(picture))
    return out.getvalue()
