"""A decoded picture as a viewer shows it: upright, with square pixels, in sRGB, on white.

The container's matrix may turn and mirror it, its pixels may be wider than high, its colours may be
those of HDR10 or HLG, and it may be transparent; what is done about it is told.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from visionpipe.clips.tone import BT2020_PRIMARIES, curve_of, to_srgb
from visionpipe.values import Adjustment

if TYPE_CHECKING:
    import numpy as np
    from av.video.frame import VideoFrame
    from numpy.typing import NDArray

    from visionpipe.clips.container import OpenClip

_HD_HEIGHT = 720
_UNSPECIFIED, _BT709, _BT2020 = 2, 1, 9
_WHITE = 255


@dataclass(frozen=True, slots=True)
class Shown:
    """The picture as height x width x 3 (RGB, 0 to 255), and what was done to it."""

    rgb: NDArray[np.uint8]
    adjustments: tuple[Adjustment, ...]


def orientation(picture: VideoFrame) -> tuple[int, bool]:
    """How a viewer orients the stored picture, by the container's display matrix.

    Returns:
        The degrees counter-clockwise (0, 90, 180 or 270) by which it is turned, after being flipped left to
        right where the second value says so.
    """
    matrix = _side_data(picture, "DISPLAYMATRIX")
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


def shown(picture: VideoFrame, clip: OpenClip, max_side: int | None = None) -> Shown:
    """The picture as a viewer shows it.

    Args:
        picture: as decoded.
        clip: where it comes from.
        max_side: pixels that neither side may pass; None: as large as it is.

    Raises:
        ValueError, av.FFmpegError: its pixels are damaged.
    """
    import numpy as np

    rotation, mirrored = orientation(picture)
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
    return Shown(np.ascontiguousarray(rgb), tuple(done))


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
        return to_srgb(read("rgb48le").view(np.uint16), curve, wide, _peak(picture))
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


def _peak(picture: VideoFrame) -> float | None:
    """The brightest pixel in cd/m2 as the stream states it; None where it does not."""
    level = _side_data(picture, "CONTENT_LIGHT_LEVEL")
    brightest = struct.unpack("=I", level[:4])[0] if len(level) >= 4 else 0
    return float(brightest) if brightest else None


def _side_data(picture: VideoFrame, kind: str) -> bytes:
    """What the stream says beside the picture; nothing where it says nothing of that kind."""
    found: Any = picture.side_data.get(kind)
    return b"" if found is None else bytes(found)
