"""Colours as sRGB, which is what models take pixels for: ICC profiles, code points, PNG's own fields.

A profile that describes sRGB, or comes within a shade of it, is left as it is. What a picture says of
its colours stands in its ``info``, under the names of ``COLOUR_INFO``.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from functools import lru_cache
from itertools import product
from typing import TYPE_CHECKING, Any, TypeAlias

from visionpipe.images.metadata import HLG, PQ

if TYPE_CHECKING:
    import numpy
    from PIL.Image import Image as Picture
    from PIL.ImageCms import ImageCmsTransform

CODE_POINTS = "code_points"
COLOUR_INFO = ("icc_profile", CODE_POINTS, "gamma", "chromaticity", "srgb")

_SHADES = 4  # of 255; a difference up to this is rounding, or a curve drawn a little otherwise
_LEVELS = (0, 51, 102, 153, 204, 255)
_NAME_LENGTH = 60

Chromaticities: TypeAlias = tuple[float, float, float, float, float, float, float, float]
_D65 = (0.3127, 0.3290)
_SRGB: Chromaticities = (*_D65, 0.64, 0.33, 0.30, 0.60, 0.15, 0.06)
_PRIMARIES: dict[int, tuple[str, Chromaticities]] = {
    9: ("Rec. 2020", (*_D65, 0.708, 0.292, 0.170, 0.797, 0.131, 0.046)),
    11: ("DCI-P3", (0.314, 0.351, 0.680, 0.320, 0.265, 0.690, 0.150, 0.060)),
    12: ("Display P3", (*_D65, 0.680, 0.320, 0.265, 0.690, 0.150, 0.060)),
}
_LINEAR, _GAMMA_28 = 8, 5
_CURVES = {_LINEAR: "linear", _GAMMA_28: "gamma 2.8", PQ: "PQ", HLG: "HLG"}
_REFERENCE_WHITE = 203.0  # cd/m2 of white paper in pictures of high dynamic range (ITU-R BT.2408)
_KNEE = 0.6  # of reference white; what is brighter is compressed
_STRIP = 1 << 20  # pixels worked on at once


def valid_profile(picture: Picture) -> bytes | None:
    """The ICC profile of ``picture`` if it describes pixels of its mode; a CMYK profile, for one, does not
    describe what became RGB."""
    profile = picture.info.get("icc_profile")
    space = b"RGB " if picture.mode in ("RGB", "RGBA", "P") else b"GRAY"
    if isinstance(profile, bytes) and len(profile) >= 128 and profile[16:20] == space:
        return profile
    return None


def to_srgb(picture: Picture) -> tuple[Picture, str | None]:
    """``picture`` (L, RGB or RGBA) with its colours as sRGB, and in words what was done; None for nothing."""
    profile = valid_profile(picture)
    if profile is not None:
        return _by_profile(picture, profile)
    if picture.mode == "L":
        return picture, None
    primaries, transfer = picture.info.get(CODE_POINTS, (2, 2))
    if primaries in _PRIMARIES or transfer in _CURVES:
        name, corners = _PRIMARIES.get(primaries, ("Rec. 709", _SRGB))
        said = f"colours of {name}" + (f", {_CURVES[transfer]}" if transfer in _CURVES else "") + " -> sRGB"
        if transfer in (PQ, HLG):
            said += ", what is brighter than paper compressed"
        return _by_matrix(picture, _curve(transfer), corners, transfer in (PQ, HLG)), said
    return _by_png_fields(picture)


def through_profile(picture: Picture) -> Picture | None:
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


@dataclass(frozen=True, slots=True)
class _Conversion:
    """From a profile to sRGB: ``transform`` for RGB, ``shades`` for grey; neither where it is sRGB already.
    ``broken``: the profile cannot be read."""

    name: str
    transform: ImageCmsTransform | None = None
    shades: tuple[int, ...] = ()
    broken: bool = False


def _by_profile(picture: Picture, profile: bytes) -> tuple[Picture, str | None]:
    found = _conversion(profile)
    if found.broken:
        bare = picture.copy()
        del bare.info["icc_profile"]
        return bare, "a colour profile that cannot be read left out"
    if found.transform is None and not found.shades:
        return picture, None
    if found.transform is None:
        made = picture.point(found.shades)
    elif picture.mode == "RGBA":
        from PIL import Image

        rgb = found.transform.apply(picture.convert("RGB"))
        made = Image.merge("RGBA", (*rgb.split(), picture.getchannel("A")))
    else:
        made = found.transform.apply(picture)
    made.info = {key: value for key, value in picture.info.items() if key not in COLOUR_INFO}
    return made, f"colours of {found.name} -> sRGB"


@lru_cache(maxsize=16)
def _conversion(profile: bytes) -> _Conversion:
    from PIL import Image, ImageCms

    grey = profile[16:20] == b"GRAY"
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        words = "".join(c for c in ImageCms.getProfileDescription(source) if c.isprintable())
        transform = ImageCms.buildTransform(
            source, ImageCms.createProfile("sRGB"), "L" if grey else "RGB", "RGB"
        )
    except (ImageCms.PyCMSError, OSError, ValueError):
        return _Conversion("", broken=True)
    name = words.strip()[:_NAME_LENGTH] or "its profile"
    if grey:
        ramp = Image.frombytes("L", (256, 1), bytes(range(256)))
        shades = transform.apply(ramp).getchannel("G").tobytes()
        same = all(abs(shade - level) <= _SHADES for level, shade in enumerate(shades))
        return _Conversion(name, shades=() if same else tuple(shades))
    cube = bytes(level for colour in product(_LEVELS, repeat=3) for level in colour)
    shown = transform.apply(Image.frombytes("RGB", (len(cube) // 3, 1), cube)).tobytes()
    same = all(abs(a - b) <= _SHADES for a, b in zip(cube, shown, strict=True))
    return _Conversion(name, None if same else transform)


def _by_png_fields(picture: Picture) -> tuple[Picture, str | None]:
    """By the gAMA and cHRM chunks of a PNG, which Pillow reads and leaves alone."""
    gamma, corners = picture.info.get("gamma"), picture.info.get("chromaticity")
    if "srgb" in picture.info or not isinstance(gamma, float) or not 0.2 <= gamma <= 1.2:
        return picture, None
    if not isinstance(corners, tuple) or len(corners) != 8 or not _is_triangle(corners):
        corners = _SRGB
    near = max(abs(a - b) for a, b in zip(corners, _SRGB, strict=True)) < 0.02
    if near and abs(1 / gamma - 2.2) < 0.3:
        return picture, None
    curve = [(level / 255) ** (1 / gamma) for level in range(256)]
    return _by_matrix(picture, curve, corners, False), f"colours of gamma {1 / gamma:.2f}, as stated -> sRGB"


def _is_triangle(corners: Chromaticities) -> bool:
    wx, wy, rx, ry, gx, gy, bx, by = corners
    return min(wy, ry, gy, by) > 0 and abs((rx - bx) * (gy - by) - (gx - bx) * (ry - by)) > 0.02 < wx


def _curve(transfer: int) -> list[float]:
    """Light, 1.0 for reference white, of each of 256 levels."""
    levels = [level / 255 for level in range(256)]
    if transfer == _LINEAR:
        return levels
    if transfer == _GAMMA_28:
        return [level**2.8 for level in levels]
    if transfer == PQ:  # SMPTE ST 2084
        return [_pq(level) / _REFERENCE_WHITE for level in levels]
    if transfer == HLG:  # ITU-R BT.2100, on a display of 1000 cd/m2
        return [1000 * _hlg(level) ** 1.2 / _REFERENCE_WHITE for level in levels]
    return [level / 12.92 if level <= 0.04045 else ((level + 0.055) / 1.055) ** 2.4 for level in levels]


def _pq(level: float) -> float:
    root = level ** (32 / 2523)
    return 10_000 * float((max(root - 0.8359375, 0.0) / (18.8515625 - 18.6875 * root)) ** (8192 / 1305))


def _hlg(level: float) -> float:
    from math import exp

    return level * level / 3 if level <= 0.5 else (exp((level - 0.55991073) / 0.17883277) + 0.28466892) / 12


def _by_matrix(picture: Picture, curve: list[float], corners: Chromaticities, bright: bool) -> Picture:
    """RGB or RGBA through ``curve`` to light, to sRGB's primaries, and back to 8 bits; with ``bright``,
    light above the knee is compressed to the white that there is, of the same hue."""
    import numpy as np
    from PIL import Image

    matrix = (np.linalg.inv(_to_xyz(_SRGB)) @ _to_xyz(corners)).astype(np.float32)
    light_of = np.array(curve, np.float32)
    scale = np.linspace(0, 1, 4096)
    code = np.where(scale <= 0.0031308, scale * 12.92, 1.055 * scale ** (1 / 2.4) - 0.055)
    code_of = np.rint(code * 255).astype(np.uint8)
    pixels = np.array(picture)
    rows = max(1, _STRIP // picture.width)
    for top in range(0, picture.height, rows):
        strip = pixels[top : top + rows, :, :3]
        light = light_of[strip] @ matrix.T
        if bright:
            highest = np.maximum(light.max(2, keepdims=True), 1e-6)
            above = np.maximum(highest - _KNEE, 0)
            light *= (np.minimum(highest, _KNEE) + (1 - _KNEE) * -np.expm1(-above / (1 - _KNEE))) / highest
        strip[...] = code_of[np.rint(np.clip(light, 0, 1) * 4095).astype(np.uint16)]
    made = Image.fromarray(pixels)
    made.info = {key: value for key, value in picture.info.items() if key not in COLOUR_INFO}
    return made


def _to_xyz(corners: Chromaticities) -> numpy.ndarray[Any, Any]:
    """The matrix from light in these primaries to CIE XYZ, white being 1, 1, 1."""
    import numpy as np

    wx, wy, *rest = corners
    primaries = np.array(
        [(x / y, 1.0, (1 - x - y) / y) for x, y in zip(rest[::2], rest[1::2], strict=True)]
    ).T
    white = np.array([wx / wy, 1.0, (1 - wx - wy) / wy])
    return np.asarray(primaries * np.linalg.solve(primaries, white))
