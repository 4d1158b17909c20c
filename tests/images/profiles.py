"""Colour profiles made from their primaries, and what a colour of sRGB is written as in them."""

from __future__ import annotations

import struct

import numpy as np
from numpy.typing import NDArray

# Red, green and blue in CIE xy; the white is D65 but for ProPhoto, whose is D50.
_D65, _D50 = (0.3127, 0.3290), (0.3457, 0.3585)
SRGB = ((0.64, 0.33), (0.30, 0.60), (0.15, 0.06), _D65, 2.2)
P3 = ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060), _D65, 2.2)
ADOBE = ((0.64, 0.33), (0.21, 0.71), (0.15, 0.06), _D65, 2.2)
REC2020 = ((0.708, 0.292), (0.170, 0.797), (0.131, 0.046), _D65, 2.2)
PROPHOTO = ((0.7347, 0.2653), (0.1596, 0.8404), (0.0366, 0.0001), _D50, 1.8)
Space = tuple[tuple[float, float], tuple[float, float], tuple[float, float], tuple[float, float], float]
WIDE: dict[str, Space] = {"ProPhoto": PROPHOTO, "Rec. 2020": REC2020, "Adobe RGB": ADOBE}
ALL: dict[str, Space] = {**WIDE, "Display P3": P3}

_BRADFORD = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])


def _xyz(point: tuple[float, float]) -> NDArray[np.float64]:
    x, y = point
    return np.array([x / y, 1.0, (1 - x - y) / y])


def to_d50(space: Space) -> NDArray[np.float64]:
    """From light in the primaries of ``space`` to XYZ, adapted to D50 as profiles hold it."""
    primaries = np.array([_xyz(point) for point in space[:3]]).T
    white = _xyz(space[3])
    matrix = primaries * np.linalg.solve(primaries, white)
    cone = (_BRADFORD @ _xyz(_D50)) / (_BRADFORD @ white)
    return np.asarray(np.linalg.inv(_BRADFORD) @ np.diag(cone) @ _BRADFORD @ matrix)


def profile(space: Space, name: str = "made for a test") -> bytes:
    """An ICC profile (version 2, matrix and gamma)."""

    def fixed(value: float) -> bytes:
        return struct.pack(">i", round(value * 65536))

    matrix = to_d50(space)
    text = name.encode() + b"\0"
    gamma = b"curv\0\0\0\0" + struct.pack(">IHxx", 1, round(space[4] * 256))
    contents = [
        (b"desc", b"desc\0\0\0\0" + struct.pack(">I", len(text)) + text + bytes(78 + -len(text) % 4)),
        (b"cprt", b"text\0\0\0\0none\0\0\0\0"),
        (b"wtpt", b"XYZ \0\0\0\0" + b"".join(map(fixed, _xyz(_D50)))),
        *((tag, b"XYZ \0\0\0\0" + b"".join(map(fixed, matrix[:, n]))) for n, tag in _COLOURS),
        *((tag, gamma) for tag in (b"rTRC", b"gTRC", b"bTRC")),
    ]
    table, body = struct.pack(">I", len(contents)), b""
    start = 128 + 4 + 12 * len(contents)
    for tag, data in contents:
        table += struct.pack(">4sII", tag, start + len(body), len(data))
        body += data
    head = struct.pack(">I4sI4s4s4s", start + len(body), bytes(4), 0x02400000, b"mntr", b"RGB ", b"XYZ ")
    head += bytes(12) + b"acsp" + bytes(28) + b"".join(map(fixed, _xyz(_D50))) + bytes(48)
    return head + table + body


_COLOURS = ((0, b"rXYZ"), (1, b"gXYZ"), (2, b"bXYZ"))


def light(srgb: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Light from 8 bits of sRGB."""
    v = srgb / 255
    return np.asarray(np.where(v <= 0.04045, v / 12.92, ((v + 0.055) / 1.055) ** 2.4))


def written_in(space: Space, srgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The 8 bits that mean in ``space`` what ``srgb`` (..., 3) means in sRGB."""
    linear = light(srgb) @ (np.linalg.inv(to_d50(space)) @ to_d50(SRGB)).T
    return np.rint(np.clip(linear, 0, 1) ** (1 / space[4]) * 255).astype(np.uint8)
