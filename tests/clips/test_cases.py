"""Clips that went wrong once, each with what is right; the files lie in ``cases/``."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image as Pillow

from tests.video.asker import Answers
from visionpipe.clips.frames import At, Even, Every, FrameSet, KeyFrames, sample_frames
from visionpipe.clips.load import load_video
from visionpipe.clips.scenes import find_scenes, scan_scenes
from visionpipe.clips.split import remux_video, split_video
from visionpipe.clips.transcode import transcode_video
from visionpipe.errors import ParameterError, UnsupportedError
from visionpipe.media import Frame, MemoryContent, Timing, Video
from visionpipe.video.spans import WatchOptions
from visionpipe.video.watch import watch

CASES = Path(__file__).parent / "cases"
CHELSEA = Path(__file__).parents[2] / "samples" / "chelsea.png"


@dataclass(frozen=True)
class Right:
    """What is right: seconds, pictures, pictures a second, seconds at which scenes begin, how times are kept,
    and a word of each thing that is told."""

    seconds: float
    count: int
    rate: float = 25.0
    cuts: tuple[float, ...] = (2.0, 4.0)
    timing: Timing = "stamped"
    told: tuple[str, ...] = ()


RIGHT = {
    "av1.ivf": Right(6.0, 150, told=("header says 0.012 s, and its pictures last 6.000 s",)),
    "shortdur.webm": Right(6.0, 150, told=("header says 1.000 s, and its pictures last 6.000 s",)),
    "avoff.mkv": Right(6.0, 150, told=("header says 10.023 s, and its pictures last 6.000 s",)),
    "off100.mkv": Right(6.0, 150, told=("header says 106.000 s, and its pictures last 6.000 s",)),
    "jump_back.ts": Right(
        12.0,
        300,
        cuts=(2.0, 4.0, 6.0, 8.0, 10.0),
        timing="joined",
        told=("header says 6.000 s, and its pictures last 12.000 s", "step back or jump once"),
    ),
    "thumbtrack.mp4": Right(6.0, 150, told=("picture track 1 (320x180) of 2",)),
    "nasa_13013.mp4": Right(
        13.013, 390, rate=30000 / 1001, cuts=(5.472, 8.008), told=("picture track 1 (480x270) of 2",)
    ),
    "raw.h264": Right(6.0, 150, timing="counted", told=("counted at 25 a second",)),
    "trunc_frag.mp4": Right(
        3.28, 82, cuts=(2.0,), told=("header says 4.000 s, and its pictures last 3.280 s",)
    ),
    "trunc_whole.mkv": Right(
        3.28, 82, cuts=(2.0,), told=("header says 6.000 s, and its pictures last 3.280 s",)
    ),
    "edit.mp4": Right(4.7, 117, cuts=(0.68, 2.68)),
    "h264.avi": Right(6.0, 150, timing="ordered"),
    "hflip.mp4": Right(6.0, 150),
    "vflip.mp4": Right(6.0, 150),
    "hdr10.mp4": Right(1.0, 25, cuts=()),
    "dmg1_prores.mov": Right(6.0, 150),
}


def case(name: str) -> Video:
    video = load_video(CASES / name)
    assert isinstance(video, Video)
    return video


def pixels(frame: Frame) -> NDArray[np.int16]:
    assert isinstance(frame.image.content, MemoryContent)
    with Pillow.open(io.BytesIO(frame.image.content.data)) as image:
        return np.asarray(image.convert("RGB"), np.int16)


def kinds(frames: FrameSet) -> set[str]:
    return {a.kind for frame in frames for a in frame.image.adjustments}


def decoded(video: Video) -> int:
    """Pictures that a plain player shows."""
    with av.open(video.content.path) as clip:  # type: ignore[union-attr]  # made on disk
        return sum(1 for _ in clip.decode(video=0))


@pytest.mark.parametrize("name", RIGHT)
def test_time_is_the_pictures_time(name: str) -> None:
    video, right = case(name), RIGHT[name]
    assert video.duration.seconds == pytest.approx(right.seconds, abs=0.001)
    assert video.frame_count == right.count
    assert video.frame_rate == pytest.approx(right.rate, abs=0.01)
    assert video.timing == right.timing
    assert not video.variable_rate
    details = [a.detail for a in video.adjustments]
    assert len(details) == len(right.told)
    assert all(words in detail for words, detail in zip(right.told, details, strict=True)), details
    scenes = find_scenes(video)
    assert [s.start.seconds for s in scenes[1:]] == pytest.approx(list(right.cuts), abs=0.001)
    assert scenes[-1].end == video.duration


@pytest.mark.parametrize("name", RIGHT)
def test_every_picture_is_shown_once_and_in_order(name: str) -> None:
    video = case(name)
    frames = sample_frames(video, Every(0.2), max_side=64)
    times = [frame.time.seconds for frame in frames]
    assert times == sorted(set(times))
    assert times[0] == 0
    assert times[-1] < video.duration.seconds
    if name != "dmg1_prores.mov":
        assert [round(t, 2) for t in times] == pytest.approx(
            [i / 5 for i in range(len(times))], abs=1.5 / video.frame_rate
        )
        assert len(times) == int(video.duration.seconds / 0.2 - 0.001) + 1


@pytest.mark.parametrize("name", [name for name, right in RIGHT.items() if right.cuts])
def test_a_frame_is_the_picture_of_its_scene(name: str) -> None:
    """Frames of two scenes differ and those of one do not: what is cut at is what is shown."""
    cut = RIGHT[name].cuts[0]
    at = At((cut - 0.2, cut - 0.12, cut + 0.04))
    before, still, after = (pixels(f).mean(axis=(0, 1)) for f in sample_frames(case(name), at, max_side=64))
    assert abs(before - still).sum() < abs(still - after).sum()


@pytest.mark.parametrize("name", RIGHT)
def test_key_frames_are_in_order(name: str) -> None:
    video = case(name)
    times = [frame.time.seconds for frame in sample_frames(video, KeyFrames(), max_side=64)]
    assert times == sorted(set(times))
    # The edit begins between two key frames.
    assert times[0] == (0.68 if name == "edit.mp4" else 0)
    assert sample_frames(video, KeyFrames(2), max_side=64).frames[-1].time.seconds in times


@pytest.mark.parametrize("name", RIGHT)
def test_no_span_is_asked_beyond_the_last_picture(name: str) -> None:
    video = case(name)
    timeline = watch(video, Answers(), WatchOptions(summary=False, max_images=4, max_side=64))
    assert timeline.duration == video.duration
    assert timeline.spans[-1].end == video.duration
    assert not timeline.failed
    shown = [moment.seconds for span in timeline.spans for moment in span.frames]
    assert shown == sorted(shown)
    assert shown[-1] < video.duration.seconds
    assert set(video.adjustments) <= set(timeline.adjustments)


def test_a_later_recording_s_pictures_follow_those_of_the_first() -> None:
    first, second = (
        pixels(frame) for frame in sample_frames(case("jump_back.ts"), At((1.0, 7.0)), max_side=160)
    )
    assert abs(first - second).mean() < 3


def test_mirrored_clips_are_shown_as_their_matrix_says() -> None:
    across, down = case("hflip.mp4"), case("vflip.mp4")
    assert (across.mirrored, down.mirrored) == (True, True)
    assert (across.rotation, down.rotation) == (0, 180)
    with av.open(str(CASES / "hflip.mp4")) as clip:
        stored = next(clip.decode(video=0)).to_ndarray(format="rgb24").astype(np.int16)
    for video, right, way in ((across, stored[:, ::-1], "left to right"), (down, stored[::-1], "top to")):
        frames = sample_frames(video, At((0.0,)))
        assert abs(pixels(frames.frames[0]) - right).mean() < 4
        [told] = [a for a in frames.frames[0].image.adjustments if a.kind == "mirrored"]
        assert way in told.detail
        assert "rotated" not in kinds(frames)


def test_a_dissolve_of_a_second_is_a_cut() -> None:
    first, second = find_scenes(case("dissolve1s.mp4"))
    assert second.begins_with == "gradual"
    assert 3.0 <= second.start.seconds <= 4.0
    assert first.end == second.start


def test_hdr_is_tone_mapped() -> None:
    frames = sample_frames(case("hdr10.mp4"), Even(1))
    seen = pixels(frames.frames[0])
    with Pillow.open(CHELSEA) as image:
        original = np.asarray(image.convert("RGB").resize((480, 320)), np.int16)
    assert abs(seen - original).mean() < 5
    assert "converted" in kinds(frames)
    spread = (seen.max(axis=2) - seen.min(axis=2)).mean()
    assert spread == pytest.approx((original.max(axis=2) - original.min(axis=2)).mean(), rel=0.1)


def test_the_track_is_settable() -> None:
    small = load_video(CASES / "nasa_13013.mp4", track=0)
    assert isinstance(small, Video)
    assert (small.width, small.height, small.frame_count) == (320, 180, 325)
    assert "picture track 0 (320x180) of 2" in small.adjustments[0].detail
    assert pixels(sample_frames(small, Even(1)).frames[0]).shape == (180, 320, 3)
    with pytest.raises(ParameterError, match="no picture track 2"):
        load_video(CASES / "nasa_13013.mp4", track=2)


def test_a_damaged_picture_costs_a_note_and_not_the_clip() -> None:
    video = case("dmg1_prores.mov")
    scan = scan_scenes(video)
    assert {a.kind for a in scan.adjustments} == {"damaged"}
    assert "pictures cannot be decoded" in scan.adjustments[0].detail
    timeline = watch(video, Answers(), WatchOptions(summary=False))
    assert any(a.kind == "damaged" for a in timeline.adjustments)


@pytest.mark.parametrize("name", [n for n in RIGHT if n not in ("h264.avi", "raw.h264", "jump_back.ts")])
def test_copies_last_as_long_and_show_as_much(name: str, tmp_path: Path) -> None:
    video = case(name)
    if name == "dmg1_prores.mov":
        with pytest.raises(UnsupportedError, match="transcode"):
            remux_video(video, tmp_path)
        return
    longest = {"av1.ivf": 7.0, "nasa_13013.mp4": 8.1}.get(name, 2.1)
    parts = split_video(video, tmp_path / "parts", below_bytes=10**9, max_seconds=longest)
    whole = remux_video(video, tmp_path / "whole")
    assert sum(decoded(part) for part in parts) == video.frame_count
    assert decoded(whole) == video.frame_count
    gap = 1 / video.frame_rate
    assert whole.duration.seconds == pytest.approx(video.duration.seconds, abs=gap)
    last = parts[-1]
    assert last.offset.seconds + last.duration.seconds == pytest.approx(video.duration.seconds, abs=gap)
    assert (whole.rotation, whole.mirrored) == (video.rotation, video.mirrored)


@pytest.mark.parametrize("name", ["h264.avi", "raw.h264", "jump_back.ts"])
def test_what_has_no_times_of_its_own_is_not_copied(name: str, tmp_path: Path) -> None:
    with pytest.raises(UnsupportedError, match="transcode") as refused:
        remux_video(case(name), tmp_path)
    assert refused.value.code == "video_times"


@pytest.mark.parametrize("name", RIGHT)
def test_re_encoded_clips_show_as_much_and_the_same(name: str, tmp_path: Path) -> None:
    video = case(name)
    made = transcode_video(video, tmp_path / "made.mp4", below_bytes=400_000)
    gap = 1 / video.frame_rate
    assert made.duration.seconds == pytest.approx(video.duration.seconds, abs=gap + 0.001)
    if name != "dmg1_prores.mov":
        assert made.frame_count == decoded(made) == video.frame_count
    assert (made.width, made.height) == (video.width, video.height)
    at = At((0.0, video.duration.seconds / 2))
    for ours, theirs in zip(sample_frames(video, at), sample_frames(made, at), strict=True):
        assert abs(pixels(ours) - pixels(theirs)).mean() < 12
