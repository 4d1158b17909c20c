"""Re-encoding a clip to stay under a size: H.264 in an mp4, upright or marked so, without sound.

Every picture keeps its time; bits are aimed at a little under the limit, the picture is made
smaller where they would not be enough for it, and the result is measured before it is given back.
"""

from __future__ import annotations

import math
from dataclasses import replace
from fractions import Fraction
from itertools import chain
from pathlib import Path

from visionpipe.clips.container import open_clip, packets, translated
from visionpipe.clips.load import load_video
from visionpipe.clips.seeking import tolerant
from visionpipe.errors import MediaLimitError
from visionpipe.files import whole_file
from visionpipe.media import Video
from visionpipe.values import Adjustment

_AIM = 0.94
_BITS_PER_PIXEL = 0.05
_LEAST_BITS = 40_000
_TRIES = 3


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
    """
    with whole_file(path) as draft:
        _encode_below(video, draft, below_bytes, max_side)
    made = load_video(path)
    assert isinstance(made, Video)
    detail = f"{video.width}x{video.height} -> {made.width}x{made.height}, {video.size:,} -> {made.size:,}"
    changes = [Adjustment("re-encoded", video.name, f"{detail} bytes, H.264")]
    if video.audio:
        changes.append(Adjustment("dropped", video.name, "its sound"))
    return replace(made, offset=video.offset, adjustments=(*video.adjustments, *changes))


def _encode_below(video: Video, path: Path, below_bytes: int, max_side: int | None) -> None:
    """Try smaller rates until the file has fewer bytes than ``below_bytes``."""
    seconds = max(video.duration_s, 0.04)
    rate = int(below_bytes * 8 * _AIM / seconds)
    for _ in range(_TRIES):
        if rate < _LEAST_BITS:
            break
        size = _scaled(video, rate, max_side)
        _encode(video, path, rate, size)
        size_bytes = path.stat().st_size
        if size_bytes < below_bytes:
            return
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


def _encode(video: Video, path: Path, rate: int, size: tuple[int, int]) -> None:
    import av

    options = {"preset": "veryfast", "maxrate": str(rate), "bufsize": str(2 * rate)}
    with (
        open_clip(video.content, video.name, video.start_pts) as clip,
        translated(video.name),
        av.open(f"file:{path}", "w", format="mp4") as out,
    ):
        per_second = Fraction(video.frame_rate or 25).limit_denominator(1001)
        stream = out.add_stream("libx264", rate=per_second, options=options)
        stream.width, stream.height = size
        stream.pix_fmt = "yuv420p"
        stream.bit_rate = rate
        stream.codec_context.time_base = clip.time_base
        if video.rotation:
            stream.set_display_rotation(video.rotation)
        last = -1
        for packet in chain(packets(clip), [None]):
            for picture in tolerant(clip, packet):
                if picture.pts is not None and picture.pts - clip.start_pts > last:
                    last = picture.pts - clip.start_pts
                    small = picture.reformat(*size, "yuv420p", interpolation="BICUBIC")
                    small.pts, small.time_base = last, clip.time_base
                    small.pict_type = 0
                    out.mux(stream.encode(small))
        out.mux(stream.encode())
