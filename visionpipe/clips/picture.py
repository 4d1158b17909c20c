"""A decoded picture as a viewer shows it: upright, with square pixels, in sRGB, on white.

The container's matrix may turn and mirror it, its pixels may be wider than high, its colours may be
those of HDR10 or HLG, and it may be transparent; what is done about it is told.

Of HDR (PQ and HLG, in BT.2020's colours) reference white (203 cd/m2, ITU-R BT.2408) becomes sRGB's white;
what is brighter is rolled off by the curve of ITU-R BT.2390 (section 5.4), on the brightest channel, so that
colours keep their hue.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from visionpipe.values import Adjustment

if TYPE_CHECKING:
    import numpy as np
    from av.video.frame import VideoFrame
    from numpy.typing import NDArray

    from visionpipe.clips.container import OpenClip

    Floats = NDArray[np.float32]

BT2020_PRIMARIES = 9
"""By ITU-T H.273's number."""

_REFERENCE_WHITE = 203.0
_USUAL_PEAK = 1000.0
_BRIGHTEST = 10_000.0
_CODES = 1 << 16
_TO_BT709 = (
    (1.660491, -0.587641, -0.072850),
    (-0.124550, 1.132900, -0.008349),
    (-0.018151, -0.100579, 1.118730),
)
_LUMA = (0.2627, 0.6780, 0.0593)


Curve: TypeAlias = Literal["PQ", "HLG"]
"""An HDR transfer curve."""

_CURVES: dict[int, Curve] = {16: "PQ", 18: "HLG"}


def curve_of(transfer: int) -> Curve | None:
    """The HDR curve of ITU-T H.273's number; None for what is no HDR."""
    return _CURVES.get(transfer)


def to_srgb(
    coded: NDArray[np.uint16], curve: Curve | None, wide: bool, peak: float | None
) -> NDArray[np.uint8]:
    """The picture in sRGB.

    Args:
        coded: height x width x 3, full range, 0 to 65535.
        curve: what it is coded with; None: the usual one of SDR.
        wide: whether its primaries are BT.2020's; else BT.709's.
        peak: its brightest pixel in cd/m2; None: 1000.
    """
    import numpy as np

    if curve is None:
        light = _sdr_light()[coded]
    else:
        light = _pq_light()[coded] if curve == "PQ" else _hlg_light(coded)
        brightest = light.max(axis=2)
        top = min(max(peak or _USUAL_PEAK, _REFERENCE_WHITE), _BRIGHTEST)
        grid = np.linspace(0.0, 1.0, 4096, dtype=np.float32)
        scales = _rolled_off(grid * grid * _BRIGHTEST, top)
        light *= np.interp(np.sqrt(brightest / _BRIGHTEST), grid, scales).astype(np.float32)[..., None]
        light /= _REFERENCE_WHITE
    if wide:
        light = light @ np.asarray(_TO_BT709, np.float32).T
    codes = (np.clip(light, 0.0, 1.0) * (_CODES - 1) + 0.5).astype(np.uint16)
    return _srgb_codes()[codes]


def _pq(light: Floats) -> Floats:
    """PQ's code, 0 to 1, of light in cd/m2 (SMPTE ST 2084)."""
    y = (light / _BRIGHTEST) ** (2610 / 16384)
    coded = ((3424 / 4096 + 2413 / 128 * y) / (1 + 2392 / 128 * y)) ** (2523 / 32)
    return coded.astype("float32")


def _pq_inverse(code: Floats) -> Floats:
    import numpy as np

    v = code ** (32 / 2523)
    y = np.maximum(v - 3424 / 4096, 0.0) / (2413 / 128 - 2392 / 128 * v)
    light: Floats = (_BRIGHTEST * y ** (16384 / 2610)).astype(np.float32)
    return light


def _rolled_off(light: Floats, peak: float) -> Floats:
    """By how much light (cd/m2, of the brightest channel) is scaled so that ``peak`` becomes white."""
    import numpy as np

    whitest = np.asarray([_REFERENCE_WHITE, peak], np.float32)
    white, top = (float(code) for code in _pq(whitest))
    highest = white / top
    knee = 1.5 * highest - 0.5
    code = np.minimum(_pq(light) / top, 1.0)
    if highest >= 1.0:
        mapped = np.minimum(light, _REFERENCE_WHITE)
    else:
        t = np.clip((code - knee) / (1 - knee), 0.0, 1.0)
        spline = (
            (2 * t**3 - 3 * t**2 + 1) * knee
            + (t**3 - 2 * t**2 + t) * (1 - knee)
            + (-2 * t**3 + 3 * t**2) * highest
        )
        mapped = np.where(code < knee, light, _pq_inverse((spline * top).astype(np.float32)))
    scales: Floats = (mapped / np.maximum(light, 1e-6)).astype(np.float32)
    scales[0] = 1.0
    return scales


@cache
def _pq_light() -> Floats:
    import numpy as np

    return _pq_inverse(np.linspace(0.0, 1.0, _CODES, dtype=np.float32))


def _hlg_light(coded: NDArray[np.uint16]) -> Floats:
    """Light in cd/m2 on a display of 1000 (ITU-R BT.2100)."""
    import numpy as np

    scene = _hlg_scene()[coded]
    luma = scene @ np.asarray(_LUMA, np.float32)
    light: Floats = (_USUAL_PEAK * scene * np.maximum(luma, 1e-6)[..., None] ** 0.2).astype(np.float32)
    return light


@cache
def _hlg_scene() -> Floats:
    import numpy as np

    code = np.linspace(0.0, 1.0, _CODES, dtype=np.float64)
    a, b, c = 0.17883277, 0.28466892, 0.55991073
    return np.where(code <= 0.5, code**2 / 3, (np.exp((code - c) / a) + b) / 12).astype(np.float32)


@cache
def _sdr_light() -> Floats:
    import numpy as np

    code = np.linspace(0.0, 1.0, _CODES, dtype=np.float64)
    return np.where(code <= 0.04045, code / 12.92, ((code + 0.055) / 1.055) ** 2.4).astype(np.float32)


@cache
def _srgb_codes() -> NDArray[np.uint8]:
    import numpy as np

    light = np.linspace(0.0, 1.0, _CODES, dtype=np.float64)
    code = np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
    return (code * 255 + 0.5).astype(np.uint8)


_NAMED_PROFILES = ("png", "apng")
"""Decoders that put a colour profile's name beside a picture. PyAV 18 frees it twice as soon as what stands
there is looked at, and the process dies; so these are turned by what PyAV itself says, and never mirrored."""

_HD_HEIGHT = 720
_UNSPECIFIED, _BT709, _BT2020 = 2, 1, 9
_WHITE = 255


@dataclass(frozen=True, slots=True)
class ShownPicture:
    """The picture as height x width x 3 (RGB, 0 to 255), and what was done to it."""

    rgb: NDArray[np.uint8]
    adjustments: tuple[Adjustment, ...]


def orientation(picture: VideoFrame, clip: OpenClip) -> tuple[int, bool]:
    """How a viewer orients the stored picture, by the container's display matrix.

    Returns:
        The degrees counter-clockwise (0, 90, 180 or 270) by which it is turned, after being flipped left to
        right where the second value says so.
    """
    if clip.decoder.name in _NAMED_PROFILES:
        return round(picture.rotation / 90) * 90 % 360, False
    matrix = _side_data(picture, clip, "DISPLAYMATRIX")
    if len(matrix) < 36:
        return 0, False
    # x' = a x + c y and y' = b x + d y, in 1/65536, with y downwards.
    a, b, _, c, d, *_ = struct.unpack("=9i", matrix[:36])
    if abs(a) + abs(d) >= abs(b) + abs(c):
        return {
            (False, False): (0, False),
            (True, False): (0, True),
            (False, True): (180, True),
            (True, True): (180, False),
        }[a < 0, d < 0]
    return {
        (False, False): (90, True),
        (True, False): (90, False),
        (False, True): (270, False),
        (True, True): (270, True),
    }[b < 0, c < 0]


def shown_size(frame: VideoFrame, rotation: int, pixel_aspect: Fraction) -> tuple[int, int]:
    """(width, height) in pixels as a viewer shows the picture: pixels made square, rotation applied."""
    width = max(1, round(frame.width * pixel_aspect))
    return (frame.height, width) if rotation % 180 else (width, frame.height)


def is_plain(picture: VideoFrame) -> bool:
    """Whether the picture's stored colours are what a viewer shows: no HDR, nothing transparent."""
    wide = picture.color_primaries == BT2020_PRIMARIES
    return curve_of(picture.color_trc) is None and not wide and not _has_alpha(picture)


def shown_matrix(picture: VideoFrame) -> int:
    """The matrix that the picture's colours are coded with. An HD stream that does not name it has BT.709's;
    libswscale would take BT.601's."""
    if picture.colorspace != _UNSPECIFIED:
        return picture.colorspace
    if picture.color_primaries == BT2020_PRIMARIES:
        return _BT2020
    return _BT709 if picture.height >= _HD_HEIGHT else _UNSPECIFIED


def shown(picture: VideoFrame, clip: OpenClip, max_side: int | None = None) -> ShownPicture:
    """The picture as a viewer shows it.

    Args:
        picture: as decoded.
        clip: where it comes from.
        max_side: pixels that neither side may pass; None: as large as it is.

    Raises:
        ValueError, av.FFmpegError: its pixels are damaged.
    """
    import numpy as np

    rotation, mirrored = orientation(picture, clip)
    whole = width, height = shown_size(picture, rotation, clip.pixel_aspect)
    if max_side is not None and max(width, height) > max_side:
        scale = max_side / max(width, height)
        width, height = max(1, round(width * scale)), max(1, round(height * scale))
    done: list[Adjustment] = []
    stored = (height, width) if rotation % 180 else (width, height)
    rgb = _rgb(picture, clip, stored, done)
    if clip.pixel_aspect != 1:
        detail = f"pixels of {clip.pixel_aspect.numerator}:{clip.pixel_aspect.denominator} made square"
        done.append(Adjustment("squared", clip.name, detail))
    if mirrored:
        rgb = rgb[:, ::-1]
        way = "top to bottom" if rotation == 180 else "left to right"
        done.append(Adjustment("mirrored", clip.name, f"{way}, as its header says"))
    rgb = np.rot90(rgb, rotation // 90)
    if rotation and not (mirrored and rotation == 180):
        done.append(Adjustment("rotated", clip.name, f"{rotation} degrees counter-clockwise"))
    if (width, height) != whole:
        done.append(Adjustment("resized", clip.name, f"{whole[0]}x{whole[1]} -> {width}x{height}"))
    return ShownPicture(np.ascontiguousarray(rgb), tuple(done))


def _rgb(
    picture: VideoFrame, clip: OpenClip, size: tuple[int, int], done: list[Adjustment]
) -> NDArray[np.uint8]:
    import numpy as np

    width, height = size
    matrix = shown_matrix(picture)

    def read(form: str) -> NDArray[np.uint8]:
        scaled = picture.reformat(
            width=width,
            height=height,
            format=form,
            src_colorspace=None if matrix == picture.colorspace else matrix,
            src_color_range=picture.color_range,
            interpolation="AREA" if width < picture.width else "BICUBIC",
        )
        return np.asarray(scaled.to_ndarray())

    curve = curve_of(picture.color_trc)
    if curve is not None or picture.color_primaries == BT2020_PRIMARIES:
        wide = picture.color_primaries == BT2020_PRIMARIES
        said = f"{curve}, tone-mapped" if curve else "BT.2020"
        done.append(Adjustment("converted", clip.name, f"from {said} to sRGB"))
        return to_srgb(read("rgb48le").view(np.uint16), curve, wide, _peak(picture, clip))
    if _has_alpha(picture):
        rgba = read("rgba").astype(np.uint16)
        alpha = rgba[..., 3:]
        if int(alpha.min()) < _WHITE:
            done.append(Adjustment("flattened", clip.name, "what is transparent, onto white"))
        flat = (rgba[..., :3] * alpha + _WHITE * (_WHITE - alpha) + _WHITE // 2) // _WHITE
        return flat.astype(np.uint8)
    return read("rgb24")


def _has_alpha(picture: VideoFrame) -> bool:
    form = picture.format
    return form.name == "pal8" or any(component.is_alpha for component in form.components)


def _peak(picture: VideoFrame, clip: OpenClip) -> float | None:
    """The brightest pixel in cd/m2 as the stream states it; None where it does not."""
    level = _side_data(picture, clip, "CONTENT_LIGHT_LEVEL")
    brightest = struct.unpack("=I", level[:4])[0] if len(level) >= 4 else 0
    return float(brightest) if brightest else None


def _side_data(picture: VideoFrame, clip: OpenClip, kind: str) -> bytes:
    """What the stream says beside the picture; nothing where it says nothing of that kind."""
    if clip.decoder.name in _NAMED_PROFILES:
        return b""
    found: Any = picture.side_data.get(kind)
    return b"" if found is None else bytes(found)
