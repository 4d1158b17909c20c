"""The pictures that are sent are those that ffmpeg itself shows of the clip."""

from __future__ import annotations

import io
import subprocess
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

import imageio_ffmpeg  # type: ignore[import-untyped]  # it ships no types
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image as Pillow

from visionpipe.clips.frames import At, sample_frames
from visionpipe.clips.load import load_video
from visionpipe.media import MemoryContent, Video

FFMPEG = imageio_ffmpeg.get_ffmpeg_exe()
SIZE = (160, 96)
MOST_APART = 4.0


@dataclass(frozen=True)
class Clip:
    """How a clip is made: by which encoder, into which container, in which pixel format, and how it says that
    it is turned, mirrored, and shaped."""

    codec: str = "libx264"
    container: str = "mp4"
    pixels: str = "yuv420p"
    turn: int = 0
    flip: str = ""
    full_range: bool = False
    aspect: Fraction = Fraction(1)

    def __str__(self) -> str:
        parts = [self.codec, self.pixels, f"{self.turn}{self.flip}", "full" if self.full_range else "limited"]
        return "-".join((*parts, f"{self.aspect.numerator}:{self.aspect.denominator}"))


PLAIN = Clip()
DEEP = Clip("libx265", "mp4", "yuv420p10le")
CLIPS = [
    PLAIN,
    *(replace(PLAIN, turn=turn) for turn in (90, 180, 270)),
    *(replace(PLAIN, turn=turn, flip=flip) for turn in (0, 90) for flip in ("h", "v")),
    *(replace(PLAIN, full_range=True, turn=turn) for turn in (0, 90)),
    *(replace(PLAIN, aspect=aspect) for aspect in (Fraction(4, 3), Fraction(8, 9), Fraction(2))),
    replace(PLAIN, aspect=Fraction(4, 3), turn=90, flip="h"),
    replace(PLAIN, pixels="yuv422p"),
    replace(PLAIN, pixels="yuv444p", turn=270),
    replace(PLAIN, pixels="yuv420p10le", flip="h"),
    DEEP,
    replace(DEEP, turn=90),
    replace(DEEP, full_range=True, aspect=Fraction(4, 3)),
    Clip("libvpx-vp9", "webm"),
    Clip("libvpx-vp9", "webm", aspect=Fraction(4, 3)),
    Clip("libvpx-vp9", "webm", "yuv444p"),
    Clip("libvpx", "webm"),
    Clip("mpeg4", "mp4", turn=180, flip="h"),
    Clip("mpeg4", "avi"),
    Clip("mpeg2video", "ts", aspect=Fraction(16, 15)),
    Clip("mjpeg", "mov", "yuvj420p", turn=90),
    Clip("prores_ks", "mov", "yuv422p10le"),
    Clip("prores_ks", "mov", "yuv422p10le", turn=270),
    Clip("ffv1", "mkv", "gray"),
    Clip("ffv1", "mkv", "yuv420p10le"),
]


def ffmpeg(*arguments: str) -> bytes:
    command = [FFMPEG, "-hide_banner", "-loglevel", "error", "-y", *arguments]
    return subprocess.run(command, check=True, capture_output=True).stdout


def made(clip: Clip, folder: Path) -> Path:
    """A photo that moves, encoded by ffmpeg."""
    photo = Path(__file__).parents[2] / "samples" / "chelsea.png"
    first = folder / f"stored.{clip.container}"
    wide = "pc" if clip.full_range else "tv"
    filters = (
        f"scale=200:120,crop={SIZE[0]}:{SIZE[1]}:t*20:t*10,"
        f"scale=out_range={wide},format={clip.pixels},setsar={clip.aspect.numerator}/{clip.aspect.denominator}"
    )
    quality = {
        "libx264": ["-crf", "10", "-preset", "ultrafast"],
        "libx265": ["-crf", "10", "-preset", "ultrafast"],
    }
    usual = ["-b:v", "4M"] if clip.codec not in ("ffv1", "prores_ks") else []
    silent = ["-x265-params", "log-level=none"] if clip.codec == "libx265" else []
    ffmpeg(
        *("-loop", "1", "-framerate", "10", "-t", "0.7", "-i", str(photo), "-vf", filters),
        *("-c:v", clip.codec, *quality.get(clip.codec, usual), *silent),
        *(["-color_range", wide] if clip.codec != "mjpeg" else []),
        str(first),
    )
    if not clip.turn and not clip.flip:
        return first
    turned = folder / f"clip.{clip.container}"
    how = [f"-display_{way}" for way in {"h": ("hflip",), "v": ("vflip",)}.get(clip.flip, ())]
    ffmpeg("-display_rotation", str(clip.turn), *how, "-i", str(first), "-c", "copy", str(turned))
    return turned


def by_ffmpeg(path: Path, size: tuple[int, int]) -> NDArray[np.int16]:
    """The sixth picture as ffmpeg turns it, at the size of a viewer's window."""
    filters = f"scale={size[0]}:{size[1]}:flags=bicubic:in_range=auto:out_range=pc"
    raw = ffmpeg(
        *("-i", str(path), "-vf", f"select=eq(n\\,5),{filters}", "-frames:v", "1"),
        *("-f", "rawvideo", "-pix_fmt", "rgb24", "-"),
    )
    return np.frombuffer(raw, np.uint8).reshape(size[1], size[0], 3).astype(np.int16)


@pytest.mark.parametrize("clip", CLIPS, ids=str)
def test_pictures_are_ffmpeg_s_own(clip: Clip, tmp_path: Path) -> None:
    path = made(clip, tmp_path)
    video = load_video(path)
    assert isinstance(video, Video)
    width = round(SIZE[0] * clip.aspect)
    assert (video.width, video.height) == ((SIZE[1], width) if clip.turn % 180 else (width, SIZE[1]))
    [frame] = sample_frames(video, At((0.5,)), quality=95)
    assert isinstance(frame.image.content, MemoryContent)
    with Pillow.open(io.BytesIO(frame.image.content.data)) as image:
        ours = np.asarray(image.convert("RGB"), np.int16)
    theirs = by_ffmpeg(path, (video.width, video.height))
    assert abs(ours - theirs).mean() <= MOST_APART
    told = {a.kind for a in frame.image.adjustments}
    assert ("mirrored" in told) == bool(clip.flip)
    assert ("squared" in told) == (clip.aspect != 1)


def test_there_are_thirty() -> None:
    assert len(set(map(str, CLIPS))) >= 30


@pytest.mark.parametrize(
    ("codec", "container", "pixels"),
    [
        ("prores_ks", "mov", "yuva444p10le"),
        ("qtrle", "mov", "argb"),
        ("png", "mov", "rgba"),
        ("ffv1", "mkv", "bgra"),
        ("ffv1", "mkv", "yuva420p"),
        ("libvpx", "webm", "yuva420p"),
        ("libvpx-vp9", "webm", "yuva420p"),
    ],
)
def test_what_is_transparent_lies_on_white(codec: str, container: str, pixels: str, tmp_path: Path) -> None:
    photo = Path(__file__).parents[2] / "samples" / "chelsea.png"
    path = tmp_path / f"clear.{container}"
    fading = "format=rgba,geq=r='r(X,Y)':g='g(X,Y)':b='b(X,Y)':a='255*X/(W-1)'"
    ffmpeg(
        *("-loop", "1", "-framerate", "10", "-t", "0.7", "-i", str(photo)),
        *("-vf", f"scale={SIZE[0]}:{SIZE[1]},setsar=1,{fading},format={pixels}", "-c:v", codec),
        *(["-b:v", "4M", "-auto-alt-ref", "0"] if codec.startswith("libvpx") else []),
        str(path),
    )
    opaque = ffmpeg(
        *("-i", str(photo), "-vf", f"scale={SIZE[0]}:{SIZE[1]}", "-f", "rawvideo", "-pix_fmt", "rgb24", "-")
    )
    drawn = np.frombuffer(opaque, np.uint8).reshape(SIZE[1], SIZE[0], 3).astype(np.float64)
    alpha = np.linspace(0, 1, SIZE[0])[None, :, None]
    video = load_video(path)
    assert isinstance(video, Video)
    (frame,) = sample_frames(video, At((0.5,)))
    assert isinstance(frame.image.content, MemoryContent)
    with Pillow.open(io.BytesIO(frame.image.content.data)) as image:
        shown = np.asarray(image.convert("RGB"), np.float64)
    assert np.abs(shown - (drawn * alpha + 255 * (1 - alpha))).mean() <= MOST_APART
    assert [a.detail for a in frame.image.adjustments if a.kind == "flattened"] == [
        "what is transparent, onto white"
    ]
