"""Frames of a clip as images: the plan's moments, exact to the pts, upright, as JPEG in memory.

At least one frame, or an error; every frame says which moment it is, and what was left out is
recorded.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING

from visionpipe.clips.container import OpenClip, damage, no_picture, open_video
from visionpipe.clips.picture import shown
from visionpipe.clips.sampling import Even, KeyFrames, Sampling, sample_times
from visionpipe.clips.seeking import damage_told, key_pictures, pictures_at
from visionpipe.media import Frame, Image, MemoryContent, Video
from visionpipe.values import Adjustment, Timecode

if TYPE_CHECKING:
    import numpy as np
    from av.video.frame import VideoFrame
    from numpy.typing import NDArray


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

    Raises:
        ValueError, av.FFmpegError: its pixels are damaged.
    """
    from PIL import Image as Pillow

    seen = shown(picture, clip, max_side)
    height, width = seen.rgb.shape[:2]
    encoded = io.BytesIO()
    Pillow.fromarray(seen.rgb).save(encoded, "JPEG", quality=quality)
    when = Adjustment("sampled", clip.name, f"the picture at {time} (pts {time.pts} of {time.time_base} s)")
    image = Image(
        name=f"{clip.name}#t={time.seconds:.3f}",
        content=MemoryContent(encoded.getvalue()),
        format="jpeg",
        width=width,
        height=height,
        adjustments=(when, *seen.adjustments),
    )
    return Frame(time, image, bool(picture.key_frame))


_GRID = (64, 36)


@dataclass(frozen=True, slots=True)
class FrameSet:
    """Frames in the clip's order, and what was done to get them."""

    frames: tuple[Frame, ...]
    adjustments: tuple[Adjustment, ...] = ()

    def __iter__(self) -> Iterator[Frame]:
        return iter(self.frames)

    def __len__(self) -> int:
        return len(self.frames)

    @property
    def images(self) -> tuple[Image, ...]:
        return tuple(frame.image for frame in self.frames)


def sample_frames(
    video: Video,
    sampling: Sampling | None = None,
    *,
    scenes: Sequence[tuple[Fraction, Fraction]] = (),
    max_side: int | None = None,
    quality: int = 90,
    drop_similar: float | None = None,
) -> FrameSet:
    """Decodes the frames that ``sampling`` asks for.

    Args:
        video: the clip.
        sampling: Even, Every, At, PerScene or KeyFrames; None: Even(8).
        scenes: (start, end) in seconds from the first picture, for PerScene.
        max_side: pixels that neither side may pass; None: full size.
        quality: JPEG quality, 1 to 95.
        drop_similar: leaves out a frame that differs from the last one kept by less than this (0 to 255,
            the largest difference of mean brightness in a grid of 64 x 36 fields; 8 is a good start).

    Returns:
        One frame or more; two moments that show the same picture give it once.

    Raises:
        ParameterError: the plan makes no sense for this clip.
        BadVideoError: not one frame can be decoded.
        UnreadableSourceError: the file is gone or has changed since it was loaded.
    """
    plan = sampling if sampling is not None else Even()
    times = sample_times(plan, video.duration.exact, scenes)
    kept: list[Frame] = []
    met = 0
    last: NDArray[np.int16] | None = None
    with open_video(video) as clip:
        for picture in _pictures(clip, plan, times):
            met += 1
            try:
                if drop_similar is not None:
                    grid = _grid(picture)
                    if last is not None and int(abs(grid - last).max()) < drop_similar:
                        continue
                    last = grid
                time = clip.time_of(max(picture.pts or 0, clip.start_pts))
                kept.append(to_frame(picture, clip, time, max_side, quality))
            except damage():
                met -= 1
                clip.lost += 1
        damaged = damage_told(clip)
    if not kept:
        raise no_picture(video.name)
    kept.sort(key=lambda frame: frame.time)
    return FrameSet(tuple(kept), (*_record(video, met, kept), *damaged))


def _pictures(clip: OpenClip, plan: Sampling, times: Sequence[Fraction]) -> Iterator[VideoFrame]:
    if isinstance(plan, KeyFrames) and plan.count is None:
        return key_pictures(clip, None)
    moments = [clip.start_pts + int(t / clip.time_base) for t in times]
    return key_pictures(clip, moments) if isinstance(plan, KeyFrames) else pictures_at(clip, moments)


def _grid(picture: VideoFrame) -> NDArray[np.int16]:
    small = picture.reformat(width=_GRID[0], height=_GRID[1], format="gray8", interpolation="AREA")
    grid: NDArray[np.int16] = small.to_ndarray().astype("int16")
    return grid


def _record(video: Video, met: int, kept: Sequence[Frame]) -> Iterator[Adjustment]:
    span = f"{kept[0].time} to {kept[-1].time}"
    yield Adjustment("sampled", video.name, f"{len(kept)} of about {video.frame_count} frames, {span}")
    if met > len(kept):
        yield Adjustment(
            "dropped", video.name, f"{met - len(kept)} of {met} frames, nearly the same as the one before"
        )
