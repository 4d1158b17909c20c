"""Loading a clip: its size first, then what its header says, as a frozen value.

A file over the limit is refused by its size alone, before a byte of it is read; of the others
the header and the pictures' times are read, and one picture decoded, for the rotation and as a proof that
there is one.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from visionpipe.clips.container import OpenClip, head, no_picture, open_clip, picture_tracks
from visionpipe.clips.picture import orientation, shown_size
from visionpipe.clips.times import ClipTimes, read_times
from visionpipe.errors import MediaLimitError
from visionpipe.files import found_file
from visionpipe.media import Content, LinkedVideo, MemoryContent, Video
from visionpipe.values import Adjustment

if TYPE_CHECKING:
    from av.video.frame import VideoFrame

CLIP_SUFFIXES = frozenset(
    {".3gp", ".asf", ".avi", ".flv", ".m2ts", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".mts"}
    | {".mxf", ".ogv", ".ts", ".webm", ".wmv"}
)

_NAMES = {"matroska": "mkv", "mpegts": "ts"}


def load_video(
    source: str | Path | bytes,
    *,
    below_bytes: int | None = None,
    content_length: Callable[[str], int | None] | None = None,
    track: int | None = None,
) -> Video | LinkedVideo:
    """Loads a clip, or a link to one.

    Args:
        source: a path, an http(s) URL, or a whole clip's bytes.
        below_bytes: the size in bytes that it must stay under; None: any size.
        content_length: asks a URL's server for the size in bytes (None where it does not say).
        track: which of the file's picture tracks, from 0; None: the one that a player shows, the largest
            of them where there are several.

    Returns:
        A Video for a file or bytes, a LinkedVideo for a URL.

    Raises:
        MediaLimitError: the size is not under ``below_bytes``.
        UnreadableSourceError: missing, forbidden, or a folder.
        BadVideoError: empty, damaged, no video, or no picture in it.
        ParameterError: there is no such track.
    """
    if isinstance(source, str) and source.split(":", 1)[0].lower() in ("http", "https"):
        size = content_length(source) if content_length else None
        if size is not None:
            refuse_oversize(source, size, below_bytes)
        return LinkedVideo(source, size)
    content, name = _content(source)
    refuse_oversize(name, content.size, below_bytes)
    with open_clip(content, name, track=track) as clip:
        times = read_times(clip, content.size)
        said = _chosen(clip, track)
    with open_clip(content, name, track=track, timing=times.timing) as clip:
        return _facts(clip, content, times, track, said)


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


def _chosen(clip: OpenClip, track: int | None) -> tuple[Adjustment, ...]:
    """Which of several picture tracks is shown."""
    tracks = list(clip.container.streams.video)
    pictures = picture_tracks(clip.container, clip.name, track)
    if len(pictures) < 2:
        return ()
    size = f"{clip.stream.width}x{clip.stream.height}"
    detail = f"picture track {tracks.index(clip.stream)} ({size}) of {len(pictures)}; `track` takes another"
    return (Adjustment("track", clip.name, detail),)


def _facts(
    clip: OpenClip, content: Content, times: ClipTimes, track: int | None, said: tuple[Adjustment, ...]
) -> Video:
    first = first_picture(clip)
    start = first.pts if first.pts is not None else clip.start_pts
    rotation, mirrored = orientation(first)
    width, height = shown_size(first, rotation, clip.pixel_aspect)
    end = max(times.end, start + 1)
    return Video(
        name=clip.name,
        content=content,
        container=_container_name(clip, content),
        width=width,
        height=height,
        duration_s=float((end - start) * clip.time_base),
        frame_rate=float(times.rate),
        frame_count=times.count,
        codec=clip.stream.codec_context.codec.canonical_name,
        rotation=rotation,
        variable_rate=times.varies,
        audio=bool(clip.container.streams.audio),
        adjustments=(*said, *times.adjustments),
        time_base=clip.time_base,
        start_pts=start,
        mirrored=mirrored,
        track=track,
        timing=times.timing,
    )


def first_picture(clip: OpenClip) -> VideoFrame:
    """Decodes the first picture that is whole; raises BadVideoError where there is none."""
    for picture in clip.pictures():
        return picture
    raise no_picture(clip.name)


def _container_name(clip: OpenClip, content: Content) -> str:
    demuxer = clip.demuxer
    if demuxer == "mov":
        return "mov" if clip.container.metadata.get("major_brand", "").strip() == "qt" else "mp4"
    if demuxer == "matroska" and b"webm" in head(content, 4096):
        return "webm"
    return _NAMES.get(demuxer, demuxer)
