"""Clips of ten codecs, damaged in ways that a seed decides, and put through all that is done with clips."""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

from tests.clip_maker import texture, write_clip
from tests.video.asker import Answers
from visionpipe.clips.frames import Even, KeyFrames, sample_frames
from visionpipe.clips.load import load_video
from visionpipe.clips.scenes import find_scenes
from visionpipe.clips.split import remux_video, split_video
from visionpipe.clips.transcode import transcode_video
from visionpipe.errors import VisionPipeError
from visionpipe.media import Video
from visionpipe.video.spans import WatchOptions
from visionpipe.video.watch import watch

Outcome = Literal["done", "refused"]

_REALTIME = {"deadline": "realtime", "cpu-used": "8"}
CODECS: dict[str, tuple[str, str, dict[str, str]]] = {
    "h264": ("mp4", "libx264", {"preset": "fast", "bf": "2"}),
    "hevc": ("mkv", "libx265", {"preset": "ultrafast", "x265-params": "log-level=none:bframes=2"}),
    "vp9": ("webm", "libvpx-vp9", _REALTIME),
    "vp8": ("webm", "libvpx", _REALTIME),
    "av1": ("ivf", "", {}),
    "mpeg4": ("avi", "mpeg4", {}),
    "mpeg2": ("ts", "mpeg2video", {"bf": "2"}),
    "mjpeg": ("mov", "mjpeg", {}),
    "prores": ("mov", "prores_ks", {}),
    "ffv1": ("mkv", "ffv1", {}),
}
_FORMATS = {"prores": "yuv422p10le", "mjpeg": "yuvj420p"}


@cache
def whole(codec: str) -> bytes:
    """A clip of 24 pictures and a cut in the middle; for AV1, whose encoder is slow, one of the cases."""
    suffix, encoder, options = CODECS[codec]
    if not encoder:
        return (Path(__file__).parent / "cases" / "av1.ivf").read_bytes()
    with TemporaryDirectory() as folder:
        return write_clip(
            Path(folder) / f"a.{suffix}",
            [texture(i // 12, (128, 96)) for i in range(24)],
            codec=encoder,
            options=options,
            group=8,
            pixel_format=_FORMATS.get(codec, "yuv420p"),
        ).read_bytes()


def mutated(codec: str, seed: int) -> bytes:
    """The clip with up to 8 stretches overwritten, one left out or doubled, or its end cut off."""
    chance = random.Random(f"{codec} {seed}")
    data = bytearray(whole(codec))
    for _ in range(chance.randrange(1, 9)):
        at, length = chance.randrange(len(data)), chance.randrange(1, 24)
        data[at : at + length] = chance.randbytes(len(data[at : at + length]))
    if chance.random() < 0.2:
        at, length = chance.randrange(len(data)), chance.randrange(1, 400)
        data[at : at + length] = data[at : at + length] * chance.choice((0, 2))
    if chance.random() < 0.3:
        del data[int(len(data) * chance.uniform(0.1, 1.0)) :]
    return bytes(data)


def put_through(data: bytes, folder: Path) -> dict[str, Outcome]:
    """What became of the clip, step by step; whatever is no error of the library's gets out."""
    try:
        video = load_video(data)
    except VisionPipeError as error:
        assert error.cure
        return {"load": "refused"}
    assert isinstance(video, Video)
    clip = video
    steps: dict[str, Callable[[], object]] = {
        "frames": lambda: sample_frames(clip, Even(5)),
        "key frames": lambda: sample_frames(clip, KeyFrames()),
        "scenes": lambda: find_scenes(clip),
        "split": lambda: split_video(clip, folder, below_bytes=10**8, max_seconds=0.5),
        "remux": lambda: remux_video(clip, folder),
        "transcode": lambda: transcode_video(clip, folder / "t.mp4", below_bytes=10**6),
        "watch": lambda: watch(clip, Answers(), WatchOptions(longest=max(1.0, clip.duration_s / 4))),
    }
    outcomes: dict[str, Outcome] = {"load": "done"}
    for name, step in steps.items():
        try:
            made = step()
        except VisionPipeError as error:
            assert error.cure, name
            outcomes[name] = "refused"
            continue
        assert made, name
        outcomes[name] = "done"
    return outcomes
