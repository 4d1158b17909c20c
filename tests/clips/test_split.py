"""Splitting, remuxing and transcoding: sizes kept, times kept, pictures kept."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import pytest

from tests.clip_maker import decoded_pts, shade, texture, write_clip
from visionpipe.clips.frames import At, Even, Every, sample_frames
from visionpipe.clips.load import load_video
from visionpipe.clips.scenes import find_scenes
from visionpipe.clips.split import remux_video, split_video
from visionpipe.clips.transcode import check_encoder, transcode_video
from visionpipe.errors import ConfigurationError, MediaLimitError, UnsupportedError
from visionpipe.media import Video

SIZE = (320, 240)
ROOM = 256 * 1024


def loaded(path: Path) -> Video:
    video = load_video(path)
    assert isinstance(video, Video)
    return video


def film(path: Path, count: int = 100, rotation: int = 0) -> Video:
    options = {"preset": "ultrafast", "crf": "4"}
    pictures = [texture(i, SIZE) for i in range(count)]
    return loaded(write_clip(path, pictures, options=options, group=10, rotation=rotation, sound=True))


def moments(video: Video) -> list[Fraction]:
    """Every picture's moment in the original's time, in seconds."""
    path = Path(video.content.path)  # type: ignore[union-attr]  # these clips lie on disk
    return [(p - video.start_pts) * video.time_base + video.offset.exact for p in decoded_pts(path)]


def test_parts_are_under_the_limit_and_hold_every_picture_at_its_time(tmp_path: Path) -> None:
    video = film(tmp_path / "film.mp4", 150)
    limit = ROOM + video.size // 2
    parts = split_video(video, tmp_path / "parts", below_bytes=limit)
    assert len(parts) > 1
    assert all(part.size < limit for part in parts)
    assert [m for part in parts for m in moments(part)] == moments(video)
    assert parts[0].offset.exact == 0
    assert all(a.offset.exact + a.duration.exact == b.offset.exact for a, b in pairwise(parts))
    assert all(part.audio for part in parts)
    assert [Path(part.name).name for part in parts][:2] == ["film.part1.mp4", "film.part2.mp4"]
    assert {a.kind for part in parts for a in part.adjustments} == {"split"}


def test_frames_of_a_part_are_the_original_s(tmp_path: Path) -> None:
    video = film(tmp_path / "film.mp4")
    parts = split_video(video, tmp_path / "parts", below_bytes=10**9, max_seconds=1.3)
    assert [p.offset.seconds for p in parts] == [0.0, 1.2, 2.4, 3.6]
    assert all(part.duration_s <= 1.3 for part in parts)
    whole = {f.time.exact: f.image.content for f in sample_frames(video, Every(0.04))}
    for part in parts:
        for frame in sample_frames(part, Even(3)):
            assert whole[frame.time.exact + part.offset.exact] == frame.image.content


def test_a_cut_at_a_join_is_still_a_cut_of_the_clip(tmp_path: Path) -> None:
    pictures = [texture(i // 25, SIZE) for i in range(100)]
    video = loaded(write_clip(tmp_path / "film.mp4", pictures, group=25))
    parts = split_video(video, tmp_path / "parts", below_bytes=10**9, max_seconds=1.0)
    assert [p.offset.seconds for p in parts] == [0.0, 1.0, 2.0, 3.0]
    assert [s.start.seconds for s in find_scenes(video)] == [0.0, 1.0, 2.0, 3.0]


def test_open_groups_lose_only_what_needs_the_group_before_and_say_so(tmp_path: Path) -> None:
    options = {"preset": "fast", "bf": "3", "x264-params": "open-gop=1:scenecut=0:keyint=12:min-keyint=12"}
    video = loaded(
        write_clip(tmp_path / "film.mp4", [texture(i // 6, SIZE) for i in range(96)], options=options)
    )
    parts = split_video(video, tmp_path / "parts", below_bytes=10**9, max_seconds=1.0)
    lost = sum(int(a.detail.split()[0]) for p in parts for a in p.adjustments if a.kind == "dropped")
    found = [m for part in parts for m in moments(part)]
    assert len(found) == 96 - lost
    assert set(found) <= set(moments(video))


def test_a_turned_clip_stays_turned(tmp_path: Path) -> None:
    video = film(tmp_path / "film.mp4", rotation=90)
    for part in split_video(video, tmp_path / "parts", below_bytes=10**9, max_seconds=2.0):
        assert (part.width, part.height, part.rotation) == (240, 320, 90)


def test_a_group_over_the_limit_cannot_be_split(tmp_path: Path) -> None:
    with pytest.raises(MediaLimitError, match="transcode"):
        split_video(film(tmp_path / "film.mp4"), tmp_path / "parts", below_bytes=ROOM + 20_000)


@pytest.mark.parametrize("name", ["film.ts", "film.mkv", "film.flv"])
def test_another_container_without_re_encoding(tmp_path: Path, name: str) -> None:
    options = {"preset": "fast", "bf": "3"}
    pictures = [texture(i // 5, SIZE) for i in range(50)]
    video = loaded(write_clip(tmp_path / name, pictures, options=options, sound=True))
    made = remux_video(video, tmp_path / "out")
    assert (made.container, made.codec, made.audio) == ("mp4", "h264", True)
    assert [a.kind for a in made.adjustments] == ["converted"]
    # Matroska's and FLV's milliseconds are what the mp4 then holds.
    assert [float(m) for m in moments(made)] == pytest.approx([float(m) for m in moments(video)], abs=1e-6)
    before, after = sample_frames(video, At((0.1, 0.7, 1.5))), sample_frames(made, At((0.1, 0.7, 1.5)))
    assert [f.image.content for f in after] == [f.image.content for f in before]


def test_a_codec_that_no_mp4_takes(tmp_path: Path) -> None:
    video = loaded(write_clip(tmp_path / "a.avi", [shade(90)] * 5, codec="wmv2", options={}))
    with pytest.raises(UnsupportedError, match="transcode"):
        remux_video(video, tmp_path)


def test_transcoding_keeps_every_time_and_the_limit(tmp_path: Path) -> None:
    stamps = [0, 30, 70, 900, 910, 950, 2000, 2500, 2501, 4000]
    pictures = [texture(i, SIZE) for i in range(10)]
    path = write_clip(
        tmp_path / "a.mkv",
        pictures,
        pts=stamps,
        time_base=Fraction(1, 1000),
        options={"crf": "1"},
        rotation=90,
    )
    video = loaded(path)
    made = transcode_video(video, tmp_path / "out" / "small.mp4", below_bytes=60_000)
    assert made.size < 60_000 < video.size
    assert moments(made) == moments(video)
    assert (made.container, made.codec) == ("mp4", "h264")
    assert made.width < made.height
    assert "re-encoded" in [a.kind for a in made.adjustments]


def test_transcoding_what_can_never_fit(tmp_path: Path) -> None:
    video = film(tmp_path / "film.mp4")
    with pytest.raises(MediaLimitError, match="split"):
        transcode_video(video, tmp_path / "small.mp4", below_bytes=3_000)
    assert not (tmp_path / "small.mp4").exists()


def test_sound_left_out_is_said(tmp_path: Path) -> None:
    made = transcode_video(film(tmp_path / "film.mp4"), tmp_path / "s.mp4", below_bytes=200_000, max_side=160)
    assert [a.kind for a in made.adjustments] == ["re-encoded", "dropped"]
    assert max(made.width, made.height) <= 160


def test_a_build_without_the_encoder_is_named_with_what_works_instead() -> None:
    with pytest.raises(ConfigurationError, match="libx264") as missing:
        check_encoder({"h264", "vp9", "libvpx-vp9"})
    assert "frames" in missing.value.cure and missing.value.scope == "job"
