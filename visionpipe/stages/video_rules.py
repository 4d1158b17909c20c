"""Whether a model takes a clip as it is: pure comparison of the clip's facts with the model's record.

The rule: nothing here opens a file, and every refusal names what can be done instead.
"""

from __future__ import annotations

from visionpipe.errors import MediaLimitError, UnsupportedError
from visionpipe.loaders.video import refuse_oversize
from visionpipe.media import LinkedVideo, Video
from visionpipe.registry.records import VideoRules


def check_video(video: Video | LinkedVideo, rules: VideoRules | None) -> None:
    """Raises unless the model takes the clip.

    Args:
        video: the clip or the link to one.
        rules: the model's; None: the model takes no video.

    Raises:
        UnsupportedError: the model takes no video, or not this container.
        MediaLimitError: too many bytes or seconds; ``code`` is video_bytes or video_seconds.
    """
    if rules is None:
        raise UnsupportedError(
            "the model takes no video",
            cure="Send frames of it as images (frames), or use a model that takes video.",
            subject=video.name,
            code="no_video",
        )
    if video.size is not None:
        refuse_oversize(video.name, video.size, rules.below_bytes)
    if isinstance(video, LinkedVideo):
        return
    if rules.max_seconds is not None and video.duration_s > rules.max_seconds:
        raise MediaLimitError(
            f"the video lasts {video.duration_s:.3f} s, and may last {rules.max_seconds:g} s",
            cure="Send frames of it (frames), or cut it at key frames (split).",
            subject=video.name,
            code="video_seconds",
        )
    if rules.containers and video.container not in rules.containers:
        raise UnsupportedError(
            f"the container is {video.container}, and the model takes {', '.join(rules.containers)}",
            cure="Put it into another container without re-encoding (remux), or send frames of it (frames).",
            subject=video.name,
            code="video_container",
        )
