"""From a decoded picture to an Image: upright, square pixels, at most so large, as JPEG in memory."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from visionpipe.loaders.clip import OpenClip
from visionpipe.loaders.video import shown_size
from visionpipe.media import Frame, Image, MemoryContent
from visionpipe.values import Adjustment, Timecode

if TYPE_CHECKING:
    import numpy as np
    from av.video.frame import VideoFrame
    from numpy.typing import NDArray

_HD_HEIGHT = 720
_UNSPECIFIED, _BT709 = 2, 1


def to_frame(
    picture: VideoFrame, clip: OpenClip, time: Timecode, max_side: int | None, quality: int
) -> Frame:
    """The picture as a Frame.

    Args:
        picture: as decoded.
        clip: where it comes from.
        time: its moment, counted from the clip's first picture.
        max_side: pixels that neither side may pass; None: as large as it is.
        quality: JPEG quality, 1 to 95.
    """
    from PIL import Image as Pillow

    rotation = round(picture.rotation / 90) * 90 % 360
    rgb = upright_rgb(picture, clip, rotation, max_side)
    height, width = rgb.shape[:2]
    encoded = io.BytesIO()
    Pillow.fromarray(rgb).save(encoded, "JPEG", quality=quality)
    done = [Adjustment("sampled", clip.name, f"the picture at {time} (pts {time.pts} of {time.time_base} s)")]
    if rotation:
        done.append(Adjustment("rotated", clip.name, f"{rotation} degrees counter-clockwise"))
    whole = shown_size(picture, rotation, clip.pixel_aspect)
    if (width, height) != whole:
        done.append(Adjustment("resized", clip.name, f"{whole[0]}x{whole[1]} -> {width}x{height}"))
    image = Image(
        name=f"{clip.name}#t={time.seconds:.3f}",
        content=MemoryContent(encoded.getvalue()),
        format="jpeg",
        width=width,
        height=height,
        adjustments=tuple(done),
    )
    return Frame(time, image, bool(picture.key_frame))


def upright_rgb(
    picture: VideoFrame, clip: OpenClip, rotation: int, max_side: int | None
) -> NDArray[np.uint8]:
    """The picture as an array of height x width x 3 (RGB), upright and with square pixels."""
    import numpy as np

    width, height = shown_size(picture, rotation, clip.pixel_aspect)
    if max_side is not None and max(width, height) > max_side:
        scale = max_side / max(width, height)
        width, height = max(1, round(width * scale)), max(1, round(height * scale))
    if rotation % 180:
        width, height = height, width
    # Where an HD stream does not name its matrix it is BT.709; libswscale would take BT.601.
    unnamed_hd = picture.colorspace == _UNSPECIFIED and picture.height >= _HD_HEIGHT
    scaled = picture.reformat(
        width=width,
        height=height,
        format="rgb24",
        src_colorspace=_BT709 if unnamed_hd else None,
        src_color_range=picture.color_range,
        interpolation="AREA" if width < picture.width else "BICUBIC",
    )
    rgb = np.asarray(scaled.to_ndarray(), np.uint8)
    return np.ascontiguousarray(np.rot90(rgb, rotation // 90)) if rotation else rgb
