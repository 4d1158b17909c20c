"""Loading a clip: what the header says, and a clear error for each bad file."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import pytest

from tests.clip_maker import shade, texture, write_clip, write_sound
from visionpipe.clips.load import find_clips, load_video
from visionpipe.errors import BadVideoError, MediaLimitError, UnreadableSourceError
from visionpipe.images.sniff import kind_of
from visionpipe.media import LinkedVideo, Video
from visionpipe.sources.walking import SkippedSource, walk


def loaded(source: str | Path | bytes) -> Video:
    video = load_video(source)
    assert isinstance(video, Video)
    return video


def test_the_header_tells_everything_a_limit_is_checked_against(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "a.mp4", [shade(8 * i) for i in range(25)], sound=True)
    video = loaded(path)
    assert (video.container, video.codec, video.width, video.height) == ("mp4", "h264", 64, 48)
    assert (video.duration_s, video.frame_rate, video.frame_count) == (1.0, 25.0, 25)
    assert video.audio
    assert not video.variable_rate
    assert video.rotation == 0
    assert video.size == path.stat().st_size
    assert video.duration.exact == 1


def test_bytes_are_as_good_as_a_file(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "a.mp4", [shade(100)] * 5)
    video = loaded(path.read_bytes())
    assert (video.name, video.frame_count, video.width) == ("video", 5, 64)


@pytest.mark.parametrize("turn, size", [(90, (48, 64)), (-90, (48, 64)), (180, (64, 48))])
def test_width_and_height_are_as_a_viewer_shows_them(
    tmp_path: Path, turn: int, size: tuple[int, int]
) -> None:
    video = loaded(write_clip(tmp_path / "a.mp4", [shade(100)] * 3, rotation=turn))
    assert (video.width, video.height) == size
    assert video.rotation == turn % 360


def test_a_variable_frame_rate_is_seen(tmp_path: Path) -> None:
    path = write_clip(
        tmp_path / "a.mp4",
        [shade(40 * i) for i in range(6)],
        pts=[0, 40, 400, 440, 1200, 1300],
        time_base=Fraction(1, 1000),
    )
    assert loaded(path).variable_rate


@pytest.mark.parametrize(
    "name, container, codec",
    [
        ("a.mkv", "mkv", "libx264"),
        ("a.webm", "webm", "libvpx-vp9"),
        ("a.avi", "avi", "mpeg4"),
        ("a.mov", "mov", "libx264"),
        ("a.ts", "ts", "libx264"),
    ],
)
def test_other_containers(tmp_path: Path, name: str, container: str, codec: str) -> None:
    options = {"deadline": "realtime", "cpu-used": "8"} if codec == "libvpx-vp9" else {}
    path = write_clip(tmp_path / name, [shade(20 * i) for i in range(10)], codec=codec, options=options)
    video = loaded(path)
    assert video.container == container
    assert video.duration_s == pytest.approx(0.4, abs=0.01)
    assert video.frame_count == 10


def test_a_recording_whose_header_was_never_finished(tmp_path: Path) -> None:
    path = write_clip(
        tmp_path / "live.webm",
        [shade(20 * i) for i in range(10)],
        codec="libvpx-vp9",
        options={"deadline": "realtime", "cpu-used": "8"},
        container_options={"live": "1"},
    )
    video = loaded(path)
    assert video.duration_s == pytest.approx(0.4, abs=0.002)
    assert video.frame_count == 10


def test_a_single_frame(tmp_path: Path) -> None:
    video = loaded(write_clip(tmp_path / "one.mp4", [shade(100)]))
    assert video.frame_count == 1
    assert video.duration_s == pytest.approx(0.04)


def test_a_file_over_the_limit_is_refused_by_its_size_alone(tmp_path: Path) -> None:
    limit = 200 * 1024**2
    path = tmp_path / "large.mp4"
    with path.open("wb") as file:
        file.truncate(limit)
    with pytest.raises(MediaLimitError) as refused:
        load_video(path, below_bytes=limit)
    assert "209,715,200" in str(refused.value)
    for cure in ("frames", "split", "transcode"):
        assert cure in refused.value.cure
    with path.open("wb") as file:
        file.truncate(limit - 1)
    # One byte fewer passes the size rule, and is then found out as no video at all.
    with pytest.raises(BadVideoError):
        load_video(path, below_bytes=limit)


def test_a_link_is_not_opened_and_its_size_is_what_the_server_says() -> None:
    asked: list[str] = []

    def content_length(url: str) -> int | None:
        asked.append(url)
        return 500

    url = "https://example.org/a.mp4"
    assert load_video(url) == LinkedVideo(url)
    assert load_video(url, content_length=content_length, below_bytes=501) == LinkedVideo(url, 500)
    with pytest.raises(MediaLimitError):
        load_video(url, content_length=content_length, below_bytes=500)
    assert asked == [url, url]
    assert load_video(url, content_length=lambda _: None, below_bytes=1) == LinkedVideo(url)


def test_zero_bytes(tmp_path: Path) -> None:
    path = tmp_path / "zero.mp4"
    path.touch()
    with pytest.raises(BadVideoError) as bad:
        load_video(path)
    assert bad.value.code == "empty"


def test_sound_only(tmp_path: Path) -> None:
    with pytest.raises(BadVideoError) as bad:
        load_video(write_sound(tmp_path / "sound.mp4"))
    assert bad.value.code == "no_picture"


def cut_off(path: Path, faststart: bool, share: float) -> int:
    """A clip of 50 pictures, cut off after a share of its bytes; how many of them are whole."""
    options = {"movflags": "+faststart"} if faststart else {}
    write_clip(path, [texture(i) for i in range(50)], container_options=options)
    whole = path.read_bytes()
    kept = int(len(whole) * share)
    with av.open(str(path)) as clip:
        ends = [(packet.pos or 0) + packet.size for packet in clip.demux(video=0) if packet.size]
    path.write_bytes(whole[:kept])
    return sum(end <= kept for end in ends)


def test_a_clip_cut_off_before_its_table_of_contents(tmp_path: Path) -> None:
    path = tmp_path / "cut.mp4"
    cut_off(path, faststart=False, share=0.66)
    with pytest.raises(BadVideoError) as bad:
        load_video(path)
    assert bad.value.code == "truncated"


def test_a_clip_cut_off_in_its_pictures_lasts_as_long_as_they_do(tmp_path: Path) -> None:
    path = tmp_path / "cut.mp4"
    whole = cut_off(path, faststart=True, share=0.66)
    video = loaded(path)
    assert 0 < whole < 50
    assert video.frame_count == whole
    assert video.duration.exact == Fraction(whole, 25)
    [told] = video.adjustments
    assert (told.kind, "2.000 s" in told.detail) == ("timed", True)


def test_a_clip_cut_off_before_its_first_picture(tmp_path: Path) -> None:
    path = tmp_path / "cut.mp4"
    assert cut_off(path, faststart=True, share=0.05) == 0
    with pytest.raises(BadVideoError) as bad:
        load_video(path)
    assert bad.value.code == "truncated"


@pytest.mark.parametrize("data", [b"hello, this is text" * 50, b"\x89PNG\r\n\x1a\n" + bytes(200)])
def test_what_is_no_video(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "a.mp4"
    path.write_bytes(data)
    with pytest.raises(BadVideoError) as bad:
        load_video(path)
    assert bad.value.code == "not_a_video"
    assert str(path) in str(bad.value)


def test_a_playlist_dressed_as_a_clip_opens_nothing(tmp_path: Path) -> None:
    real = write_clip(tmp_path / "real.ts", [shade(100)] * 10)
    playlist = tmp_path / "list.mp4"
    playlist.write_text(f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{real.as_posix()}\n#EXT-X-ENDLIST\n")
    with pytest.raises(BadVideoError) as bad:
        load_video(playlist)
    assert bad.value.code == "not_a_video"


def test_missing_and_folder(tmp_path: Path) -> None:
    with pytest.raises(UnreadableSourceError):
        load_video(tmp_path / "missing.mp4")
    with pytest.raises(UnreadableSourceError, match="folder"):
        load_video(tmp_path)


@pytest.mark.parametrize(
    ("suffix", "codec", "container"),
    [
        *((suffix, "libx264", None) for suffix in ("mp4", "mov", "m4v", "3gp", "3g2", "f4v", "flv", "mkv")),
        *((suffix, "libx264", None) for suffix in ("avi", "ts", "h264", "264")),
        *((suffix, "libx264", "mpegts") for suffix in ("m2ts", "mts", "m2t")),
        *((suffix, "mpeg2video", None) for suffix in ("mpg", "mpeg", "vob", "mxf", "m2v", "asf", "nut")),
        *((suffix, "libx265", None) for suffix in ("hevc", "h265", "265")),
        *(
            ("wmv", "wmv2", None),
            ("ivf", "libvpx-vp9", None),
            ("y4m", "wrapped_avframe", None),
            ("webm", "libvpx", None),
        ),
    ],
)
def test_what_opens_is_listed_and_known_by_its_bytes(
    tmp_path: Path, suffix: str, codec: str, container: str | None
) -> None:
    pictures = [shade(20 * i) for i in range(10)]
    path = write_clip(tmp_path / f"a.{suffix}", pictures, codec=codec, container=container)
    assert loaded(path).frame_count == 10
    assert find_clips(tmp_path) == [path]
    assert [item.reason for item in walk(str(tmp_path), "") if isinstance(item, SkippedSource)] == ["video"]
    if suffix != "m2v":  # whose first bytes are those of a program stream's too
        assert kind_of(path.read_bytes()[:4096]).family == "video"


def test_clips_in_a_folder(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / ".hidden").mkdir()
    for name in ("b.MP4", "a.mkv", "notes.txt", "sub/c.mov", ".hidden/d.mp4", ".e.mp4"):
        (tmp_path / name).touch()
    assert [p.relative_to(tmp_path).as_posix() for p in find_clips(tmp_path)] == [
        "a.mkv",
        "b.MP4",
        "sub/c.mov",
    ]
