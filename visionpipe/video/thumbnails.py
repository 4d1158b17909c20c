"""A small picture for each span of a timeline."""

from __future__ import annotations

from visionpipe.loaders.frames import sample_frames
from visionpipe.loaders.sampling import At
from visionpipe.media import Image, Video
from visionpipe.video.span_work import seen_at
from visionpipe.video.timeline import Timeline


def make_thumbnails(video: Video, timeline: Timeline, *, max_side: int = 320) -> dict[int, Image]:
    """By span index, the picture in the middle of each span, as JPEG in memory, upright.

    Args:
        video: the clip that the timeline is of.
        timeline: its spans.
        max_side: pixels that neither side passes.

    Raises:
        BadVideoError, UnreadableSourceError: the clip cannot be read any more.
    """
    middles = {s.index: (s.start.exact + s.end.exact) / 2 for s in timeline.spans}
    moments = At(tuple(sorted(set(middles.values()))))
    frames = sample_frames(video, moments, max_side=max_side, quality=75).frames
    return {index: seen_at(frames, (middle,))[0].image for index, middle in middles.items()}
