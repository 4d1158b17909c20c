"""However a clip is damaged: frames and scenes, or one of the library's own errors."""

from __future__ import annotations

import random
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.clip_maker import texture, write_clip
from visionpipe.clips.frames import sample_frames
from visionpipe.clips.load import load_video
from visionpipe.clips.sampling import Even, KeyFrames
from visionpipe.clips.scenes import find_scenes
from visionpipe.errors import BadVideoError
from visionpipe.media import Video

CODECS = {"mp4": "libx264", "mkv": "libx264", "ts": "libx264", "avi": "mpeg4", "webm": "libvpx-vp9"}


@cache
def whole(suffix: str) -> bytes:
    options = {"deadline": "realtime", "cpu-used": "8"} if suffix == "webm" else {"g": "6"}
    with TemporaryDirectory() as folder:
        path = Path(folder) / f"a.{suffix}"
        pictures = [texture(i // 8) for i in range(24)]
        return write_clip(path, pictures, codec=CODECS[suffix], options=options, group=6).read_bytes()


@settings(max_examples=100, deadline=None)
@given(st.sampled_from(sorted(CODECS)), st.integers(0, 2**32), st.integers(0, 12), st.floats(0.05, 1.0))
def test_damage_never_surprises(suffix: str, seed: int, hits: int, kept: float) -> None:
    chance = random.Random(seed)
    data = bytearray(whole(suffix)[: int(len(whole(suffix)) * kept)])
    for _ in range(hits):
        at = chance.randrange(len(data))
        data[at : at + chance.randrange(1, 40)] = chance.randbytes(chance.randrange(1, 40))
    try:
        video = load_video(bytes(data))
        assert isinstance(video, Video)
        frames = sample_frames(video, Even(5))
        keys = sample_frames(video, KeyFrames())
        scenes = find_scenes(video)
    except BadVideoError as error:
        assert error.cure
        return
    assert len(frames) >= 1
    assert len(keys) >= 1
    assert scenes[0].start.pts == 0
    # Where its end is damaged, the clip is told to the last picture.
    assert scenes[0].start < scenes[-1].end <= video.duration
    assert all(scene.start <= scene.end for scene in scenes)
