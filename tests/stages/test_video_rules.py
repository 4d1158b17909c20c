"""A clip against a model's record, at the limits' very edges."""

from __future__ import annotations

from dataclasses import replace

import pytest

from visionpipe.errors import MediaLimitError, UnsupportedError
from visionpipe.media import FileContent, LinkedVideo, Video
from visionpipe.registry.records import VideoRules
from visionpipe.stages.check import check_video

LIMIT = 200 * 1024**2
RULES = VideoRules(below_bytes=LIMIT, max_seconds=30, containers=("mp4", "mkv"))


def clip(size: int = 1000, seconds: float = 10.0, container: str = "mp4") -> Video:
    return Video("a.mp4", FileContent("/a.mp4", size, 0), container, 64, 48, seconds, 25.0, 250)


def test_at_the_edges() -> None:
    check_video(clip(LIMIT - 1, 30.0), RULES)
    check_video(clip(LIMIT * 2, 3000.0, "avi"), VideoRules(containers=()))
    check_video(LinkedVideo("https://a/b.mp4"), RULES)
    check_video(LinkedVideo("https://a/b.mp4", LIMIT - 1), RULES)
    refusals: list[tuple[Video | LinkedVideo, str]] = [
        (clip(LIMIT), "video_bytes"),
        (LinkedVideo("https://a/b.mp4", LIMIT), "video_bytes"),
        (clip(seconds=30.001), "video_seconds"),
    ]
    for video, code in refusals:
        with pytest.raises(MediaLimitError) as refused:
            check_video(video, RULES)
        assert refused.value.code == code
        assert "frames" in refused.value.cure
        assert "split" in refused.value.cure


def test_a_container_the_model_does_not_take() -> None:
    with pytest.raises(UnsupportedError, match="remux") as refused:
        check_video(clip(container="avi"), RULES)
    assert refused.value.code == "video_container"


def test_a_model_without_video_names_the_frames_cure() -> None:
    for video in (clip(), replace(clip(), name="b.mp4"), LinkedVideo("https://a/b.mp4")):
        with pytest.raises(UnsupportedError, match="frames"):
            check_video(video, None)
