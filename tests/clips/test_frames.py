"""Frames are exact to the pts, whatever the container, the rate and the order of coding."""

from __future__ import annotations

import io
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow

from tests.clip_maker import decoded_pts, shade, texture, write_clip
from visionpipe.clips.frames import (
    At,
    Even,
    Every,
    FrameSet,
    KeyFrames,
    PerScene,
    Sampling,
    sample_frames,
    sample_times,
)
from visionpipe.clips.load import load_video
from visionpipe.errors import BadVideoError, ParameterError, UnreadableSourceError
from visionpipe.media import Frame, MemoryContent, Video
from visionpipe.values import Timecode

LEVELS = [(i * 5 + 3) % 251 for i in range(50)]
B_FRAMES = {"preset": "fast", "bf": "3", "b-pyramid": "normal", "crf": "12"}


def loaded(path: Path) -> Video:
    video = load_video(path)
    assert isinstance(video, Video)
    return video


def level(frame: Frame) -> int:
    """The brightness of the frame's middle, 0 to 255."""
    assert isinstance(frame.image.content, MemoryContent)
    with Pillow.open(io.BytesIO(frame.image.content.data)) as image:
        return int(np.asarray(image.convert("L"))[image.height // 2, image.width // 2])


def expected(path: Path, video: Video, plan: Sampling) -> list[int]:
    """The pts a viewer would see, by decoding everything."""
    every = decoded_pts(path)
    moments = [video.start_pts + int(t / video.time_base) for t in sample_times(plan, video.duration.exact)]
    return sorted({max((p for p in every if p <= m), default=every[0]) for m in moments})


def pts(video: Video, frames: FrameSet) -> list[int]:
    return [frame.time.pts + video.start_pts for frame in frames]


CLIPS: dict[str, tuple[str, dict[str, str]]] = {
    "plain.mp4": ("libx264", {"preset": "ultrafast", "crf": "12"}),
    "b_frames.mp4": ("libx264", B_FRAMES),
    "open_group.mp4": ("libx264", {**B_FRAMES, "x264-params": "open-gop=1"}),
    "b_frames.mkv": ("libx264", B_FRAMES),
    "b_frames.ts": ("libx264", B_FRAMES),
    "b_frames.flv": ("libx264", B_FRAMES),
    "hevc.mp4": ("libx265", {"preset": "ultrafast", "x265-params": "log-level=none:bframes=3"}),
    "vp9.webm": ("libvpx-vp9", {"deadline": "realtime", "cpu-used": "8"}),
    "mpeg4.avi": ("mpeg4", {}),
    "mpeg2.mpg": ("mpeg2video", {"bf": "2"}),
}


@pytest.mark.parametrize("name", CLIPS)
def test_frame_times_are_exact_to_the_pts(tmp_path: Path, name: str) -> None:
    codec, options = CLIPS[name]
    path = write_clip(tmp_path / name, [shade(v) for v in LEVELS], codec=codec, options=options)
    video = loaded(path)
    for plan in (Even(1), Even(7), Even(40), Every(0.33), At((0.0, 0.5, 1.9))):
        frames = sample_frames(video, plan)
        assert pts(video, frames) == expected(path, video, plan), plan


def test_the_picture_is_the_one_of_its_time(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "a.mp4", [shade(v) for v in LEVELS], options=B_FRAMES)
    for frame in sample_frames(loaded(path), Even(25)):
        number = round(frame.time.exact * 25)
        assert abs(level(frame) - LEVELS[number]) <= 4, number


def test_a_variable_rate_is_no_difficulty(tmp_path: Path) -> None:
    stamps = [0, 30, 70, 900, 910, 950, 2000, 2500, 2501, 4000]
    path = write_clip(
        tmp_path / "a.mkv",
        [shade(20 * i + 10) for i in range(10)],
        pts=stamps,
        time_base=Fraction(1, 1000),
        options={**B_FRAMES, "bf": "2"},
        group=4,
    )
    video = loaded(path)
    frames = sample_frames(video, At((0.029, 0.03, 0.899, 1.5, 2.4999, 2.5, 3.9)))
    assert [f.time.pts for f in frames] == [0, 30, 70, 950, 2000, 2500, 2501]
    assert [abs(level(f) - (20 * stamps.index(f.time.pts) + 10)) <= 4 for f in frames] == [True] * 7


def test_a_static_clip_gives_a_frame_even_where_like_ones_are_dropped(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "static.mp4", [shade(90)] * 100, rate=10)
    frames = sample_frames(loaded(path), Every(1), drop_similar=8)
    assert [f.time.pts for f in frames] == [0]
    assert [a.kind for a in frames.adjustments] == ["sampled", "dropped"]
    assert "9 of 10" in frames.adjustments[1].detail


def test_like_frames_are_dropped_and_changed_ones_kept(tmp_path: Path) -> None:
    pictures = [texture(1)] * 10 + [texture(2)] * 10 + [texture(1)] * 10
    frames = sample_frames(loaded(write_clip(tmp_path / "a.mp4", pictures)), Every(0.08), drop_similar=8)
    assert len(frames) == 3


def test_one_frame(tmp_path: Path) -> None:
    video = loaded(write_clip(tmp_path / "one.mp4", [shade(77)]))
    for plan in (Even(8), Every(1), KeyFrames(), PerScene(3), At((0.0,))):
        assert len(sample_frames(video, plan)) == 1, plan


@pytest.mark.parametrize("turn", [90, 180, 270])
def test_rotation_is_applied(tmp_path: Path, turn: int) -> None:
    picture = shade(20)
    picture[:16, :16] = 250
    video = loaded(write_clip(tmp_path / "a.mp4", [picture] * 3, rotation=turn))
    (frame,) = sample_frames(video, Even(1))
    assert (frame.image.width, frame.image.height) == (video.width, video.height)
    assert isinstance(frame.image.content, MemoryContent)
    with Pillow.open(io.BytesIO(frame.image.content.data)) as image:
        seen = np.asarray(image.convert("L"))
    assert np.abs(seen.astype(int) - np.rot90(picture[..., 0], turn // 90).astype(int)).mean() < 6
    assert "rotated" in [a.kind for a in frame.image.adjustments]


def test_frames_are_made_smaller_on_request_and_it_is_recorded(tmp_path: Path) -> None:
    video = loaded(write_clip(tmp_path / "a.mp4", [shade(100, (128, 64))] * 3))
    (frame,) = sample_frames(video, Even(1), max_side=64)
    assert (frame.image.width, frame.image.height) == (64, 32)
    assert [a.kind for a in frame.image.adjustments] == ["sampled", "resized"]
    assert "128x64 -> 64x32" in frame.image.adjustments[1].detail


def test_key_frames_only(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "a.mp4", [shade(100)] * 50, group=10)
    video = loaded(path)
    every = sample_frames(video, KeyFrames())
    assert [round(f.time.seconds * 25) for f in every] == [0, 10, 20, 30, 40]
    assert all(f.key for f in every)
    assert [round(f.time.seconds * 25) for f in sample_frames(video, KeyFrames(2))] == [10, 40]


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.ts"])
def test_key_frames_of_a_reordered_clip(tmp_path: Path, name: str) -> None:
    options = {**B_FRAMES, "x264-params": "scenecut=0:keyint=10:min-keyint=10"}
    path = write_clip(tmp_path / name, [shade(v) for v in LEVELS], options=options)
    video = loaded(path)
    every = sample_frames(video, KeyFrames())
    assert [round(f.time.seconds * 25) for f in every] == [0, 10, 20, 30, 40]
    assert [round(f.time.seconds * 25) for f in sample_frames(video, KeyFrames(2))] == [10, 40]


def test_frames_per_scene(tmp_path: Path) -> None:
    video = loaded(write_clip(tmp_path / "a.mp4", [shade(v) for v in LEVELS]))
    scenes = [(Fraction(0), Fraction(1, 5)), (Fraction(1, 5), Fraction(2))]
    frames = sample_frames(video, PerScene(1), scenes=scenes)
    assert [round(f.time.exact * 25) for f in frames] == [2, 27]


def test_a_damaged_group_costs_only_itself(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "a.mkv", [texture(i) for i in range(48)], group=12)
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 600] = bytes(600)
    path.write_bytes(bytes(data))
    frames = sample_frames(loaded(path), Even(16))
    assert len(frames) >= 8
    times = [f.time for f in frames]
    assert times == sorted(times)


def test_where_pictures_are_missing_the_ones_before_them_stand_in(tmp_path: Path) -> None:
    options = {"preset": "ultrafast", "x265-params": "log-level=none"}
    pictures = [texture(i // 3) for i in range(48)]
    path = write_clip(tmp_path / "a.mp4", pictures, codec="libx265", options=options)
    data = bytearray(path.read_bytes())
    start = data.index(b"mdat") + 4
    for at in range(start + 300, len(data) // 2, 90):
        data[at : at + 8] = bytes(8)
    path.write_bytes(bytes(data))
    frames = sample_frames(loaded(path), Even(24))
    times = [f.time for f in frames]
    assert times == sorted(set(times))
    assert 0 < len(frames) <= 24
    assert set(times) <= {
        Timecode(round(n * Fraction(1, 25) * 12_800), Fraction(1, 12_800)) for n in range(48)
    }


def test_a_file_that_changed_since_is_not_read(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "a.mp4", [shade(100)] * 3)
    video = loaded(path)
    path.write_bytes(path.read_bytes() + b"x")
    with pytest.raises(UnreadableSourceError, match="changed"):
        sample_frames(video)
    path.unlink()
    with pytest.raises(UnreadableSourceError, match="gone"):
        sample_frames(video)


def test_bad_plans(tmp_path: Path) -> None:
    video = loaded(write_clip(tmp_path / "a.mp4", [shade(100)] * 25))
    for plan in (Even(0), Every(0), Every(float("nan")), At(()), At((1.1,)), At((-0.1,)), KeyFrames(0)):
        with pytest.raises(ParameterError):
            sample_frames(video, plan)


def test_a_clip_of_nothing_but_broken_pictures(tmp_path: Path) -> None:
    path = write_clip(
        tmp_path / "a.mp4", [texture(i) for i in range(5)], container_options={"movflags": "faststart"}
    )
    data = path.read_bytes()
    start = data.index(b"mdat") + 4
    path.write_bytes(data[:start] + bytes(len(data) - start))
    with pytest.raises(BadVideoError):
        load_video(path)
