"""Tiny clips, encoded in the test that looks at them."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.uint8]
FAST = {"preset": "ultrafast", "crf": "18"}


def flat(colour: tuple[int, int, int], size: tuple[int, int] = (64, 48)) -> Picture:
    """A picture of one colour; ``size`` is (width, height) in pixels."""
    return np.full((size[1], size[0], 3), colour, np.uint8)


def texture(seed: int, size: tuple[int, int] = (64, 48)) -> Picture:
    """A picture of 8-pixel blocks in colours that ``seed`` decides."""
    blocks = np.random.default_rng(seed).integers(0, 256, (size[1] // 8, size[0] // 8, 3), np.uint8)
    return np.asarray(np.kron(blocks, np.ones((8, 8, 1), np.uint8)), np.uint8)


def shade(level: int, size: tuple[int, int] = (64, 48)) -> Picture:
    """A grey picture whose brightness tells its number apart from its neighbours'."""
    return flat((level, level, level), size)


def write_clip(
    path: Path,
    pictures: Sequence[Picture],
    *,
    rate: int = 25,
    pts: Sequence[int] | None = None,
    time_base: Fraction | None = None,
    codec: str = "libx264",
    options: dict[str, str] | None = None,
    group: int = 12,
    rotation: int = 0,
    container: str | None = None,
    sound: bool = False,
    container_options: dict[str, str] | None = None,
    pixel_format: str = "yuv420p",
) -> Path:
    """Encodes ``pictures``; ``pts`` are in ticks of ``time_base`` (default: one a frame, 1/rate)."""
    base = time_base or Fraction(1, rate)
    with av.open(str(path), "w", format=container, options=container_options or {}) as out:
        stream = out.add_stream(codec, rate=rate, options=FAST if options is None else options)
        assert isinstance(stream, av.VideoStream)
        stream.height, stream.width = pictures[0].shape[:2]
        stream.pix_fmt = pixel_format
        stream.gop_size = group
        stream.codec_context.time_base = base
        if rotation:
            stream.set_display_rotation(rotation)
        audio = out.add_stream("aac", rate=8000) if sound else None
        for number, picture in enumerate(pictures):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts = pts[number] if pts is not None else number
            frame.time_base = base
            out.mux(stream.encode(frame))
        out.mux(stream.encode())
        if audio is not None:
            seconds = len(pictures) / rate
            for start in range(0, int(8000 * seconds), 1024):
                silence = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
                silence.sample_rate, silence.pts, silence.time_base = 8000, start, Fraction(1, 8000)
                out.mux(audio.encode(silence))
            out.mux(audio.encode(None))
    return path


def write_sound(path: Path) -> Path:
    """A clip with sound and no picture."""
    with av.open(str(path), "w") as out:
        audio = out.add_stream("aac", rate=8000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
        frame.sample_rate, frame.pts, frame.time_base = 8000, 0, Fraction(1, 8000)
        out.mux(audio.encode(frame))
        out.mux(audio.encode(None))
    return path


def decoded_pts(path: Path) -> list[int]:
    """Every picture's pts by decoding the whole clip: the reference that seeking is held against."""
    with av.open(str(path)) as clip:
        return [frame.pts for frame in clip.decode(clip.streams.video[0]) if frame.pts is not None]
