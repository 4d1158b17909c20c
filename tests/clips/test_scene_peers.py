"""The same cuts as PySceneDetect on the same clips."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scenedetect import ContentDetector, detect  # type: ignore[import-untyped]  # it ships no types

from tests.clip_maker import Picture, texture, write_clip
from visionpipe.clips.load import load_video
from visionpipe.clips.scenes import find_scenes
from visionpipe.media import Video

SIZE = (256, 144)


def moving(seed: int, count: int, step: int) -> list[Picture]:
    """A smooth picture that moves by ``step`` pixels from one to the next."""
    blocks = texture(seed, (SIZE[0] * 2, SIZE[1])).astype(np.float64)
    for _ in range(8):
        blocks = (blocks + np.roll(blocks, 3, 0) + np.roll(blocks, 3, 1)) / 3
    still = blocks.astype(np.uint8)
    return [np.ascontiguousarray(still[:, i * step : i * step + SIZE[0]]) for i in range(count)]


@pytest.mark.parametrize("step", [0, 1, 4])
def test_the_same_cuts(tmp_path: Path, step: int) -> None:
    lengths = [31, 24, 40, 17, 52]
    pictures = [p for seed, count in enumerate(lengths) for p in moving(seed, count, step)]
    path = write_clip(tmp_path / "clip.mp4", pictures, options={"preset": "fast", "bf": "3"}, group=250)
    video = load_video(path)
    assert isinstance(video, Video)
    ours = [round(scene.start.exact * 25) for scene in find_scenes(video)[1:]]
    theirs = [start.frame_num for start, _ in detect(str(path), ContentDetector())[1:]]
    assert ours == theirs == [31, 55, 95, 112]
