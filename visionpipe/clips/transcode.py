"""Re-encoding a clip to stay under a size: H.264 in an mp4, upright or marked so, without sound.

Every picture keeps its time; bits are aimed at a little under the limit, the picture is made
smaller where they would not be enough for it, and the result is measured before it is given back.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

from visionpipe.clips.container import OpenClip, damage, no_picture, open_video, translated
from visionpipe.clips.load import load_video
from visionpipe.clips.picture import is_plain, shown, shown_matrix
from visionpipe.clips.seeking import damage_told
from visionpipe.errors import ConfigurationError, MediaLimitError
from visionpipe.files import whole_file
from visionpipe.media import Video
from visionpipe.values import Adjustment

if TYPE_CHECKING:
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

_AIM = 0.94
_BITS_PER_PIXEL = 0.05
_LEAST_BITS = 40_000
_TRIES = 3
_LIMITED, _BT709 = 1, 1


def transcode_video(video: Video, path: Path, *, below_bytes: int, max_side: int | None = None) -> Video:
    """Re-encodes a clip to fewer than ``below_bytes`` bytes.

    Args:
        video: the clip.
        path: the mp4 to write; its folder is made.
        below_bytes: the result has fewer bytes than this.
        max_side: pixels that neither side may pass; None: as many as the bits allow.

    Returns:
        The new clip, with what was done among its adjustments.

    Raises:
        MediaLimitError: the clip is too long to be watchable at that size.
        BadVideoError, UnreadableSourceError: the clip cannot be read.
        ConfigurationError: this FFmpeg has no H.264 encoder.
    """
    import av

    check_encoder(av.codecs_available)
    with whole_file(path) as draft:
        told = _encode_below(video, draft, below_bytes, max_side)
    made = load_video(path)
    assert isinstance(made, Video)
    detail = f"{video.width}x{video.height} -> {made.width}x{made.height}, {video.size:,} -> {made.size:,}"
    changes = [*told, Adjustment("re-encoded", video.name, f"{detail} bytes, H.264")]
    if video.audio:
        changes.append(Adjustment("dropped", video.name, "its sound"))
    return replace(made, offset=video.offset, adjustments=(*video.adjustments, *changes))


def check_encoder(available: Collection[str]) -> None:
    """An FFmpeg built without libx264, as its licence may ask for, reads every clip and re-encodes none.

    Raises:
        ConfigurationError: the encoder is not among those available.
    """
    if "libx264" not in available:
        raise ConfigurationError(
            "re-encoding a clip needs FFmpeg's libx264, which the installed PyAV was built without",
            cure="Install the av package's own wheels, or send frames of it (frames) or parts of it (split).",
            code="no_encoder",
        )


def _encode_below(video: Video, path: Path, below_bytes: int, max_side: int | None) -> list[Adjustment]:
    """Try smaller rates until the file has fewer than ``below_bytes``; what was done to its pictures."""
    seconds = max(video.duration_s, 0.04)
    rate = int(below_bytes * 8 * _AIM / seconds)
    for _ in range(_TRIES):
        if rate < _LEAST_BITS:
            break
        size = _scaled(video, rate, max_side)
        told = _encode(video, path, rate, size)
        size_bytes = path.stat().st_size
        if size_bytes < below_bytes:
            return told
        rate = int(rate * below_bytes / size_bytes * 0.9)
    raise MediaLimitError(
        f"{seconds:.0f} s do not fit into {below_bytes:,} bytes at a quality worth sending",
        cure="Cut it at key frames (split), or send frames of it (frames).",
        subject=video.name,
        code="video_bytes",
    )


def _scaled(video: Video, rate: int, max_side: int | None) -> tuple[int, int]:
    """(width, height) as stored, even, and as large as ``rate`` (bits a second) is good for."""
    width, height = (video.height, video.width) if video.rotation % 180 else (video.width, video.height)
    per_second = max(1.0, min(video.frame_rate or 25.0, 60.0))
    scale = min(1.0, math.sqrt(rate / (_BITS_PER_PIXEL * per_second * width * height)))
    if max_side is not None:
        scale = min(scale, max_side / max(width, height))
    return max(16, int(width * scale) // 2 * 2), max(16, int(height * scale) // 2 * 2)


def _encode(video: Video, path: Path, rate: int, size: tuple[int, int]) -> list[Adjustment]:
    """Writes the mp4; what was done to its pictures on the way."""
    import av

    options = {"preset": "veryfast", "maxrate": str(rate), "bufsize": str(2 * rate)}
    with (
        open_video(video) as clip,
        translated(video.name),
        av.open(f"file:{path}", "w", format="mp4") as out,
    ):
        per_second = Fraction(video.frame_rate or 25).limit_denominator(1001)
        stream = out.add_stream("libx264", rate=max(per_second, Fraction(1, 1001)), options=options)
        stream.pix_fmt = "yuv420p"
        stream.bit_rate = rate
        stream.codec_context.time_base = clip.time_base
        form = _OutputForm(video, stream, size)
        last = -1
        for picture in clip.pictures():
            pts = (picture.pts or 0) - clip.start_pts
            if pts <= last:
                continue
            try:
                small = form.of(picture, clip)
            except damage():
                clip.lost += 1
                continue
            last = pts
            small.pts, small.time_base = pts, clip.time_base
            small.pict_type = 0
            out.mux(stream.encode(small))
        if last < 0:
            raise no_picture(video.name)
        out.mux(stream.encode())
        return [*form.told.values(), *damage_told(clip)]


class _OutputForm:
    """Makes pictures as the new file holds them; the first one decides for all.

    What a viewer sees as it is stored stays so, and a turn becomes the new file's; what is mirrored,
    transparent or HDR is made as it is shown.
    """

    def __init__(self, video: Video, stream: VideoStream, size: tuple[int, int]) -> None:
        self._video = video
        self._stream = stream
        self._size = size
        self._as_stored: bool | None = None
        self.told: dict[str, Adjustment] = {}

    def of(self, picture: VideoFrame, clip: OpenClip) -> VideoFrame:
        """The picture, made smaller and brought into the stream's form."""
        import av

        if self._as_stored is None:
            self._as_stored = self._begin(picture)
        width, height = self._size
        if self._as_stored:
            source = picture.color_range
            return picture.reformat(
                width,
                height,
                "yuv420p",
                interpolation="BICUBIC",
                src_color_range=source,
                dst_color_range=_LIMITED,
            )
        seen = shown(picture, clip, max(self._size))
        self.told.update((each.kind, each) for each in seen.adjustments if each.kind != "resized")
        rgb = av.VideoFrame.from_ndarray(seen.rgb, format="rgb24")
        return rgb.reformat(width, height, "yuv420p", dst_colorspace=_BT709, interpolation="BICUBIC")

    def _begin(self, picture: VideoFrame) -> bool:
        video, codec = self._video, self._stream.codec_context
        as_stored = is_plain(picture) and not video.mirrored
        if not as_stored and video.rotation % 180:
            self._size = self._size[::-1]
        codec.width, codec.height = self._size
        codec.color_range = _LIMITED
        codec.colorspace = shown_matrix(picture) if as_stored else _BT709
        if as_stored and video.rotation:
            self._stream.set_display_rotation(video.rotation)
        return as_stored
