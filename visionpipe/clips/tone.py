"""HDR pictures as sRGB: PQ (HDR10) and HLG, in BT.2020's colours, brought down to what a screen shows.

Reference white (203 cd/m2, ITU-R BT.2408) becomes sRGB's white; what is brighter is rolled off by the
curve of ITU-R BT.2390 (section 5.4), on the brightest channel, so that colours keep their hue.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Literal, TypeAlias

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float32]

BT2020_PRIMARIES = 9
"""By ITU-T H.273's number."""

_WHITE = 203.0
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
        top = min(max(peak or _USUAL_PEAK, _WHITE), _BRIGHTEST)
        grid = np.linspace(0.0, 1.0, 4096, dtype=np.float32)
        scales = _rolled_off(grid * grid * _BRIGHTEST, top)
        light *= np.interp(np.sqrt(brightest / _BRIGHTEST), grid, scales).astype(np.float32)[..., None]
        light /= _WHITE
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

    whitest = np.asarray([_WHITE, peak], np.float32)
    white, top = (float(code) for code in _pq(whitest))
    highest = white / top
    knee = 1.5 * highest - 0.5
    code = np.minimum(_pq(light) / top, 1.0)
    if highest >= 1.0:
        mapped = np.minimum(light, _WHITE)
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
