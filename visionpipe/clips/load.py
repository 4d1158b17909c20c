"""Loading a clip: its size first, then what its header says, as a frozen value.

A file over the limit is refused by its size alone, before a byte of it is read; of the others
the header and the pictures' times are read, and one picture decoded, for the rotation and as a proof that
there is one.

The header is only believed where the pictures bear it out: an mp4's index lists every picture, so
that its last group alone is read; of every other container all packets are read, and none is decoded.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from pathlib import Path, PurePath
from typing import TYPE_CHECKING

from visionpipe.clips.container import (
    LONGEST_GAP_S,
    OpenClip,
    PacketTimes,
    head,
    no_picture,
    open_clip,
    picture_tracks,
)
from visionpipe.clips.picture import orientation, shown_size
from visionpipe.errors import BadVideoError, MediaLimitError
from visionpipe.files import found_file
from visionpipe.images.sniff import Kind
from visionpipe.media import Content, LinkedVideo, MemoryContent, Timing, Video
from visionpipe.values import Adjustment

if TYPE_CHECKING:
    from av.video.frame import VideoFrame

_WORTH_TELLING_S = Fraction(1, 2)
"""Seconds by which header and pictures may differ without a word: sound is often that much longer."""


@dataclass(frozen=True, slots=True)
class ClipTimes:
    """What the pictures' times say.

    Attributes:
        timing: how the container keeps them.
        end: when the last picture ends, in ticks, as the container counts.
        count: pictures that are shown.
        rate: pictures a second.
        varies: whether they are unevenly spaced.
        adjustments: where the header said otherwise, or times had to be mended.
    """

    timing: Timing
    end: int
    count: int
    rate: Fraction
    varies: bool
    adjustments: tuple[Adjustment, ...] = ()


def read_times(clip: OpenClip, size: int) -> ClipTimes:
    """The times of a clip just opened, whose file has ``size`` bytes; it has to be opened anew afterwards.

    Raises:
        BadVideoError: it is cut off before its first picture, or no packet can be read.
    """
    entries = list(clip.stream.index_entries)
    whole = sum(e.pos + e.size <= size for e in entries)
    if entries and not whole:
        raise BadVideoError(
            "the clip is cut off: all of its pictures lie beyond the file's end",
            cure="Download or copy it again.",
            subject=clip.name,
            code="truncated",
        )
    if clip.demuxer == "mov" and entries and clip.stream.frames == len(entries) == whole:
        stamps = sorted(e.timestamp for e in entries)
        hidden = sum(e.is_discard for e in entries)
        times = _last_group(clip, stamps, len(entries) - hidden)
        if times is not None:
            return times
    return _all_packets(clip)


@dataclass(frozen=True, slots=True)
class _Packet:
    pts: int | None
    dts: int | None
    duration: int


def _last_group(clip: OpenClip, stamps: Sequence[int], count: int) -> ClipTimes | None:
    """From the index (of decoding times) and the packets after the last key frame; None where these cannot
    be read."""
    clip.seek(stamps[-1])
    found = _read(clip)
    if not found or clip.broken_off:
        return None
    shown = [p for p in found if p.pts is not None]
    if not shown:
        return None
    last = max(shown, key=lambda p: p.pts or 0)
    end = (last.pts or 0) + (last.duration or _usual_gap(stamps) or clip.gap)
    stated = (clip.stream.start_time or 0) + (clip.stream.duration or 0)
    # Within a picture, the header knows better how long the last one stands.
    if abs(stated - end) <= max(last.duration, clip.gap):
        end = max(stated, (last.pts or 0) + 1)
    rate = Fraction(clip.stream.average_rate or clip.stream.guessed_rate or 0)
    return ClipTimes("stamped", end, max(1, count), rate, _uneven(stamps), _header(clip, end, "stamped"))


def _all_packets(clip: OpenClip) -> ClipTimes:
    packets = _read(clip)
    if not packets:
        raise no_picture(clip.name)
    timing, stamps, steps = _in_order(clip, packets)
    gap = _usual_gap(stamps) or clip.gap
    last = 0
    if timing == "stamped":
        last = max((p.duration for p in packets if p.pts == stamps[-1]), default=0)
    end = stamps[-1] + (last or gap)
    stated = Fraction(clip.stream.average_rate or clip.stream.guessed_rate or 0)
    rate = Fraction(len(stamps)) / ((end - stamps[0]) * clip.time_base)
    varies = _uneven(stamps)
    # A stated rate is exact where what is there bears it out.
    if stated and not varies and abs(stated / rate - 1) < Fraction(1, 100):
        rate = stated
    said = list(_header(clip, end, timing))
    if timing == "counted":
        detail = f"it names no times: its pictures are counted at {float(rate):g} a second"
        said.append(Adjustment("timed", clip.name, detail))
    elif timing == "joined":
        detail = f"its times step back or jump {steps} times: what follows is told on from there, in order"
        said.append(Adjustment("timed", clip.name, detail.replace("1 times", "once")))
    return ClipTimes(timing, end, len(stamps), rate, varies, tuple(said))


def _read(clip: OpenClip) -> list[_Packet]:
    """The packets from where the clip stands that are shown."""
    return [_Packet(p.pts, p.dts, max(0, p.duration or 0)) for p in clip.packets() if not p.is_discard]


def _in_order(clip: OpenClip, packets: Sequence[_Packet]) -> tuple[Timing, list[int], int]:
    """How the times are kept, the times at which the pictures are shown, ascending, and how often they step
    back or jump."""
    if all(p.pts is None and p.dts is None for p in packets):
        # A raw stream's packets each know how long they last, if anything.
        return "counted", [i * clip.gap for i in range(len(packets))], 0
    if clip.demuxer == "avi" and clip.decoder.has_b_frames:
        return "ordered", sorted(p.dts for p in packets if p.dts is not None), 0
    joined = PacketTimes(clip.gap, LONGEST_GAP_S / clip.time_base if clip.jumps else None)
    shown = [joined.told_on(p.pts, p.dts) for p in packets]
    if joined.steps and not clip.jumps:
        # Where times step back, a leap ahead before it is no long still picture either.
        joined = PacketTimes(clip.gap, LONGEST_GAP_S / clip.time_base)
        shown = [joined.told_on(p.pts, p.dts) for p in packets]
    stamps = sorted(s for s in (dts if pts is None else pts for pts, dts in shown) if s is not None)
    return ("joined" if joined.steps else "stamped"), stamps, joined.steps


def _usual_gap(stamps: Sequence[int]) -> int:
    """The middle one of the times between two pictures; 0 where there is only one picture."""
    gaps = sorted(b - a for a, b in pairwise(stamps) if b > a)
    return gaps[len(gaps) // 2] if gaps else 0


def _uneven(stamps: Sequence[int]) -> bool:
    gaps = sorted(b - a for a, b in pairwise(stamps))
    return len(gaps) > 1 and gaps[-1] - gaps[0] > max(2, gaps[len(gaps) // 2] // 20)


def _header(clip: OpenClip, end: int, timing: Timing) -> tuple[Adjustment, ...]:
    """What is said where the header's duration is another than the pictures'."""
    ticks = clip.container.duration
    if clip.stream.duration:
        stated = clip.stream.duration * clip.time_base
    elif ticks and ticks > 0:
        stated = Fraction(ticks, 1_000_000)
    else:
        return ()
    lasts = (end - (clip.stream.start_time or 0)) * clip.time_base
    if timing == "counted" or abs(stated - lasts) <= _WORTH_TELLING_S:
        return ()
    detail = f"its header says {float(stated):.3f} s, and its pictures last {float(lasts):.3f} s"
    return (Adjustment("timed", clip.name, detail),)


CLIP_SUFFIXES = frozenset(
    f".{word}"
    for word in (
        *("mp4", "m4v", "mov", "qt", "3gp", "3g2", "mj2", "f4v", "flv", "mkv", "webm", "avi", "divx"),
        *("ts", "mts", "m2ts", "m2t", "mpg", "mpeg", "mpe", "m1v", "m2v", "mpv", "vob", "ogv", "ogm"),
        *("asf", "wmv", "wtv", "rm", "rmvb", "mxf", "nut", "dv", "ivf", "obu", "y4m"),
        *("h264", "264", "avc", "h265", "265", "hevc"),
    )
)
"""How the names of clips that can be opened end. Only a hint: contents decide, where they say anything."""


def is_clip(kind: Kind, name: str) -> bool:
    """Whether a file of the ``kind`` that its bytes are told to be is a clip; where they tell nothing, its
    name's end decides."""
    if kind.family == "other":
        return PurePath(name).suffix.lower() in CLIP_SUFFIXES
    return kind.family == "video"


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
    rotation, mirrored = orientation(first, clip)
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
