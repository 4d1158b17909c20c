"""Loading a clip: its size first, then what its header says, as a frozen value.

A file over the limit is refused by its size alone, before a byte of it is read; of the others
the header is read and one picture decoded, for the rotation and as a proof that there is one.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction
from itertools import chain, pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from visionpipe.clips.container import OpenClip, head, open_clip, packets, translated
from visionpipe.clips.seeking import tolerant
from visionpipe.errors import BadVideoError, MediaLimitError
from visionpipe.files import found_file
from visionpipe.media import Content, LinkedVideo, MemoryContent, Video

if TYPE_CHECKING:
    from av.video.frame import VideoFrame

CLIP_SUFFIXES = frozenset(
    {".3gp", ".asf", ".avi", ".flv", ".m2ts", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".mts"}
    | {".mxf", ".ogv", ".ts", ".webm", ".wmv"}
)

_ESTIMATING = frozenset({"mpeg", "h264", "hevc", "m4v", "mpegvideo", "obu"})
"""Demuxers whose duration is a guess; such a clip is measured instead."""

_NAMES = {"matroska": "mkv", "mpegts": "ts"}


def load_video(
    source: str | Path | bytes,
    *,
    below_bytes: int | None = None,
    content_length: Callable[[str], int | None] | None = None,
) -> Video | LinkedVideo:
    """Loads a clip, or a link to one.

    Args:
        source: a path, an http(s) URL, or a whole clip's bytes.
        below_bytes: the size in bytes that it must stay under; None: any size.
        content_length: asks a URL's server for the size in bytes (None where it does not say).

    Returns:
        A Video for a file or bytes, a LinkedVideo for a URL.

    Raises:
        MediaLimitError: the size is not under ``below_bytes``.
        UnreadableSourceError: missing, forbidden, or a folder.
        BadVideoError: empty, truncated, damaged, no video, or no picture in it.
    """
    if isinstance(source, str) and source.split(":", 1)[0].lower() in ("http", "https"):
        size = content_length(source) if content_length else None
        if size is not None:
            refuse_oversize(source, size, below_bytes)
        return LinkedVideo(source, size)
    content, name = _content(source)
    refuse_oversize(name, content.size, below_bytes)
    with open_clip(content, name) as clip:
        return _facts(clip, content)


def refuse_oversize(name: str, size: int, below_bytes: int | None) -> None:
    """Raises MediaLimitError unless ``size`` is under ``below_bytes`` (both in bytes)."""
    if below_bytes is not None and size >= below_bytes:
        raise MediaLimitError(
            f"the video has {size:,} bytes, and must have fewer than {below_bytes:,}",
            cure="Send frames of it (frames), cut it at key frames (split), or make it smaller (transcode).",
            subject=name,
            code="video_bytes",
        )


def find_clips(folder: Path) -> list[Path]:
    """Every clip under ``folder``, told by its suffix, sorted; hidden files and folders are left out."""
    return sorted(
        p
        for p in folder.rglob("*")
        if p.suffix.lower() in CLIP_SUFFIXES
        and not any(part.startswith(".") for part in p.relative_to(folder).parts)
        and p.is_file()
    )


def _content(source: str | Path | bytes) -> tuple[Content, str]:
    if isinstance(source, bytes):
        return MemoryContent(source), "video"
    path = Path(source)
    name = path.as_posix()
    return found_file(path, name), name


def _facts(clip: OpenClip, content: Content) -> Video:
    stream, container = clip.stream, clip.container
    _refuse_cut_off(clip, content)
    duration = _header_duration(clip)
    rate = stream.average_rate or stream.guessed_rate or Fraction(0)
    frames = stream.frames
    first = first_picture(clip)
    start = first.pts if first.pts is not None else clip.start_pts
    if duration <= 0:
        duration, frames = _measured(clip, start)
        rate = Fraction(frames) / duration if duration else rate
    rotation = round(first.rotation / 90) * 90 % 360
    width, height = shown_size(first, rotation, clip.pixel_aspect)
    return Video(
        name=clip.name,
        content=content,
        container=_container_name(clip, content),
        width=width,
        height=height,
        duration_s=float(duration),
        frame_rate=float(rate),
        frame_count=frames or max(1, round(duration * rate)),
        codec=stream.codec_context.codec.canonical_name,
        rotation=rotation,
        variable_rate=_varies(clip),
        audio=bool(container.streams.audio),
        time_base=clip.time_base,
        start_pts=start,
    )


def shown_size(frame: VideoFrame, rotation: int, pixel_aspect: Fraction) -> tuple[int, int]:
    """(width, height) in pixels as a viewer shows the picture: pixels made square, rotation applied."""
    width = max(1, round(frame.width * pixel_aspect))
    return (frame.height, width) if rotation % 180 else (width, frame.height)


def first_picture(clip: OpenClip) -> VideoFrame:
    """Decodes the first picture that is whole; raises BadVideoError where there is none."""
    for packet in chain(packets(clip), [None]):
        for picture in tolerant(clip, packet):
            return picture
    raise BadVideoError(
        "not one picture of it can be decoded",
        cure="Try to play it; if a player cannot either, the file is damaged.",
        subject=clip.name,
        code="no_picture",
    )


def _refuse_cut_off(clip: OpenClip, content: Content) -> None:
    entries = clip.stream.index_entries
    beyond = sum(1 for e in entries if e.pos + e.size > content.size)
    if beyond:
        raise BadVideoError(
            f"the clip is cut off: {beyond} of its {len(entries)} pictures lie beyond the file's end",
            cure="Download or copy it again.",
            subject=clip.name,
            code="truncated",
        )


def _header_duration(clip: OpenClip) -> Fraction:
    if clip.container.format.name in _ESTIMATING:
        return Fraction(0)
    if clip.stream.duration:
        return clip.stream.duration * clip.time_base
    ticks = clip.container.duration
    return Fraction(ticks, 1_000_000) if ticks and ticks > 0 else Fraction(0)


def _measured(clip: OpenClip, start: int) -> tuple[Fraction, int]:
    """Duration and count by reading the packets through: for recordings whose header was never finished."""
    with translated(clip.name):
        clip.container.seek(start, stream=clip.stream)
    stamps = sorted(p.pts for p in packets(clip) if p.pts is not None and p.pts >= start)
    if len(stamps) < 2:
        # One picture stands as long as one picture does at the stated rate.
        rate = clip.stream.average_rate or clip.stream.guessed_rate or 25
        return 1 / Fraction(rate), 1
    last = stamps[-1] - stamps[-2]
    return (stamps[-1] - start + last) * clip.time_base, len(stamps)


def _varies(clip: OpenClip) -> bool:
    """Whether the pictures are unevenly spaced, from the index where it lists every picture, else from the
    two rates that the container states."""
    entries = list(clip.stream.index_entries)
    if clip.stream.frames and len(entries) == clip.stream.frames > 2:
        gaps = sorted(b.timestamp - a.timestamp for a, b in pairwise(entries))
        return gaps[-1] - gaps[0] > max(2, gaps[len(gaps) // 2] // 20)
    average, base = clip.stream.average_rate, clip.stream.base_rate
    return bool(average and base) and not math.isclose(float(average or 0), float(base or 0), rel_tol=0.01)


def _container_name(clip: OpenClip, content: Content) -> str:
    demuxer = clip.container.format.name.split(",")[0]
    if demuxer == "mov":
        return "mov" if clip.container.metadata.get("major_brand", "").strip() == "qt" else "mp4"
    if demuxer == "matroska" and b"webm" in head(content, 4096):
        return "webm"
    return _NAMES.get(demuxer, demuxer)
