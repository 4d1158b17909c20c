"""However a clip is damaged: what can be shown of it, or one of the library's own errors."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.clips.mutations import CODECS, mutated, put_through, whole
from visionpipe.clips.frames import Even, KeyFrames, sample_frames
from visionpipe.clips.load import load_video
from visionpipe.clips.scenes import find_scenes
from visionpipe.errors import BadVideoError
from visionpipe.media import Video

SEEDS = 3
"""Of each codec; ``benchmarks/clip_fuzz.py`` does 30."""


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("seed", range(SEEDS))
def test_no_damage_gets_out_of_any_step(codec: str, seed: int, tmp_path: Path) -> None:
    outcomes = put_through(mutated(codec, seed), tmp_path)
    assert outcomes["load"] == "refused" or "watch" in outcomes


def test_most_damaged_clips_are_told(tmp_path: Path) -> None:
    told = [put_through(mutated("mpeg2", seed), tmp_path)["watch"] for seed in range(100, 106)]
    assert told.count("done") >= 5


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("seed", range(50, 54))
def test_what_is_shown_of_a_damaged_clip_is_whole_in_itself(codec: str, seed: int) -> None:
    try:
        video = load_video(mutated(codec, seed))
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
    assert scenes[-1].end <= video.duration
    assert all(scene.start <= scene.end for scene in scenes)


@pytest.mark.parametrize("codec", CODECS)
def test_undamaged_it_goes_through(codec: str, tmp_path: Path) -> None:
    outcomes = put_through(whole(codec), tmp_path)
    refused = {step for step, outcome in outcomes.items() if outcome == "refused"}
    assert refused <= {"split", "remux"}
    video = load_video(whole(codec))
    assert isinstance(video, Video)
    assert not any(a.kind in ("damaged", "cut_off") for a in sample_frames(video).adjustments)
