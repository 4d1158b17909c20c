"""Which moments of a clip to look at, and its frames there as images: exact to the pts, upright, as JPEG in
memory.

Plans are values, and from a plan to its times is arithmetic. At least one frame always, however short the
clip or small the budget of pictures, or an error; every frame says which moment it is, and what was left out
is recorded.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, TypeAlias

from visionpipe.clips.container import OpenClip, damage, no_picture, open_video
from visionpipe.clips.picture import shown
from visionpipe.clips.seeking import damage_told, key_pictures, pictures_at
from visionpipe.errors import ContextLimitError, ParameterError
from visionpipe.images.encode import saved_as_jpeg
from visionpipe.media import Frame, Image, MemoryContent, Video
from visionpipe.values import Adjustment, Timecode

if TYPE_CHECKING:
    import numpy as np
    from av.video.frame import VideoFrame
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Even:
    """``count`` pictures, each in the middle of its own share of the clip."""

    count: int = 8


@dataclass(frozen=True, slots=True)
class Every:
    """A picture at 0 and then every ``seconds``."""

    seconds: float = 1.0


@dataclass(frozen=True, slots=True)
class At:
    """The pictures that a viewer sees at ``seconds``, counted from the first picture."""

    seconds: tuple[float | Fraction, ...]


@dataclass(frozen=True, slots=True)
class PerScene:
    """``count`` pictures of each scene, evenly spread in it."""

    count: int = 1


@dataclass(frozen=True, slots=True)
class KeyFrames:
    """Key frames only: quick, and off from an even spread by up to one group of pictures. ``count``: at
    most so many, evenly chosen; None: all of them."""

    count: int | None = None


MOST_TIMES = 100_000
"""More moments of one clip than this are a mistake, or a damaged header's duration."""

Sampling: TypeAlias = Even | Every | At | PerScene | KeyFrames


def sample_times(
    sampling: Sampling, duration: Fraction, scenes: Sequence[tuple[Fraction, Fraction]] = ()
) -> tuple[Fraction, ...]:
    """The plan's moments in seconds from the first picture, ascending and distinct.

    Args:
        sampling: the plan; for KeyFrames the times are those that its ``count`` are chosen by.
        duration: the clip's, in seconds; may be 0 for a clip of one picture.
        scenes: (start, end) in seconds; needed by PerScene only.

    Raises:
        ParameterError: a count under 1, a step of 0 or less, or a time outside the clip.
    """
    match sampling:
        case Even(count):
            return spread(_counted(count), Fraction(0), duration)
        case KeyFrames(count):
            return spread(_counted(count if count is not None else 1), Fraction(0), duration)
        case Every(seconds):
            if not (seconds > 0 and math.isfinite(seconds)):
                raise ParameterError(
                    f"{seconds} is no step between pictures",
                    cure="Give a number of seconds over 0.",
                    subject="every",
                )
            step = Fraction(str(seconds))
            if duration / step > MOST_TIMES:
                raise ParameterError(
                    f"a picture every {seconds} s of {float(duration):.0f} s is more than {MOST_TIMES:,}",
                    cure="Give a longer step.",
                    subject="every",
                )
            return tuple(step * i for i in range(max(1, math.ceil(duration / step))))
        case At(seconds):
            return _given(seconds, duration)
        case PerScene(count):
            parts = scenes or [(Fraction(0), duration)]
            return tuple(
                sorted({t for start, end in parts for t in spread(_counted(count), start, end)}),
            )


def spread(count: int, start: Fraction, end: Fraction) -> tuple[Fraction, ...]:
    """``count`` moments, each in the middle of its own share of [start, end)."""
    share = (end - start) / count
    return tuple(sorted({start + share * (2 * i + 1) / 2 for i in range(count)}))


def fit_count(
    duration: Fraction,
    *,
    max_images: int | None,
    tokens_per_image: int | None = None,
    token_budget: int | None = None,
    per_second: float = 1.0,
    at_most: int = 32,
) -> int:
    """How many pictures of a clip to send: one for each ``1 / per_second`` seconds, so far as the model's
    image count and its token budget reach.

    Args:
        duration: the clip's, in seconds.
        max_images: pictures the model takes in one request; None: not known.
        tokens_per_image: the estimate for one picture; None: not known.
        token_budget: tokens that all the pictures together may use; None: not known.
        per_second: the density wished for.
        at_most: never more than this.

    Raises:
        ContextLimitError: not even one picture fits the token budget.
    """
    count = max(1, min(at_most, math.ceil(duration * Fraction(str(per_second)))))
    if max_images is not None:
        count = min(count, max(1, max_images))
    if tokens_per_image and token_budget is not None:
        if tokens_per_image > token_budget:
            raise ContextLimitError(
                f"one picture costs about {tokens_per_image} tokens and {token_budget} are left",
                cure="Ask for smaller pictures (max_side) or use a model with a larger context.",
            )
        count = min(count, token_budget // tokens_per_image)
    return count


def _counted(count: int) -> int:
    if count < 1:
        raise ParameterError(
            f"{count} is no number of pictures", cure="Ask for one or more.", subject="frames"
        )
    return count


def _given(seconds: tuple[float | Fraction, ...], duration: Fraction) -> tuple[Fraction, ...]:
    if not seconds:
        raise ParameterError("no time is given", cure="Name at least one.", subject="at")
    for moment in seconds:
        if not math.isfinite(moment) or moment < 0 or Fraction(moment) > duration:
            raise ParameterError(
                f"{float(moment)} s is not in the clip, which lasts {float(duration):.3f} s",
                cure="Give times between 0 and its duration.",
                subject="at",
            )
    return tuple(sorted({Fraction(str(moment)) for moment in seconds}))


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
    when = Adjustment("sampled", clip.name, f"the picture at {time} (pts {time.pts} of {time.time_base} s)")
    image = Image(
        name=f"{clip.name}#t={time.seconds:.3f}",
        content=MemoryContent(saved_as_jpeg(Pillow.fromarray(seen.rgb), quality=quality)),
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
