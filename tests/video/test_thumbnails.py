"""Every span has its own picture."""

from __future__ import annotations

from pathlib import Path

from tests.clip_maker import texture, write_clip
from tests.video.asker import Answers
from visionpipe.clips.load import load_video
from visionpipe.media import Video
from visionpipe.video.spans import WatchOptions
from visionpipe.video.watch import make_thumbnails, watch


def test_a_picture_a_span(tmp_path: Path) -> None:
    video = load_video(write_clip(tmp_path / "clip.mp4", [texture(i // 25, (128, 64)) for i in range(100)]))
    assert isinstance(video, Video)
    timeline = watch(video, Answers(), WatchOptions(longest=0.5))
    pictures = make_thumbnails(video, timeline, max_side=32)
    assert sorted(pictures) == list(range(8))
    assert {(p.width, p.height, p.format) for p in pictures.values()} == {(32, 16, "jpeg")}
    assert len({p.name for p in pictures.values()}) == 8
