"""Opening a clip: the one place where PyAV meets a container.

Only demuxers of real containers are let in, and only the file protocol, so that a playlist
dressed as a clip can open neither another file nor the network; whatever PyAV raises leaves here as one of
the library's own errors.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING

from visionpipe.errors import BadVideoError, ConfigurationError
from visionpipe.files import check_unchanged, opened
from visionpipe.media import Content, FileContent
from visionpipe.values import Timecode

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.stream import VideoStream

DEMUXERS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpegts,mpeg,mpegvideo,flv,live_flv,asf,ogg,gif,mxf,nut,dv,"
    "rm,ivf,h264,hevc,m4v,obu,wtv,swf,apng"
)

_INDEXED = ("mov", "matroska", "avi")
"""Demuxers whose index lists the key frames without reading the file through."""


@dataclass(frozen=True, slots=True)
class OpenClip:
    """An open container and its picture track. ``start_pts`` is what times count from."""

    name: str
    container: InputContainer
    stream: VideoStream
    time_base: Fraction
    start_pts: int

    def time_of(self, pts: int) -> Timecode:
        """The moment of ``pts``, counted from the clip's first picture."""
        return Timecode(pts - self.start_pts, self.time_base)

    @property
    def pixel_aspect(self) -> Fraction:
        """A stored pixel's width over its height; 1 where the container does not say."""
        return self.stream.sample_aspect_ratio or Fraction(1)

    def key_stamps(self) -> list[int]:
        """Where to seek to, one stamp for each key frame, ascending, in ticks of the time base.

        From the container's index where it is a full one, else by reading the packets through (nothing is
        decoded). A stamp may lie a little before the frame's own pts, never after it.
        """
        if self.container.format.name.split(",")[0] in _INDEXED:
            with translated(self.name):
                # Matroska reads its cues at the first seek.
                self.container.seek(self.start_pts, stream=self.stream)
            return [e.timestamp for e in self.stream.index_entries if e.is_keyframe] or [self.start_pts]
        keys = [p for p in packets(self) if p.is_keyframe and p.pts is not None]
        stamps = (p.pts if p.dts is None else p.dts for p in keys)
        return sorted(stamp for stamp in stamps if stamp is not None) or [self.start_pts]


@contextmanager
def translated(name: str) -> Iterator[None]:
    """Turns PyAV's errors into BadVideoError."""
    import av

    try:
        yield
    except av.FFmpegError as problem:
        raise BadVideoError(
            f"the clip cannot be read ({problem.strerror})",
            cure="Try to play it; if a player cannot either, the file is damaged.",
            subject=name,
        ) from problem


@contextmanager
def open_clip(content: Content, name: str, start_pts: int | None = None) -> Iterator[OpenClip]:
    """Opens the clip for reading and closes it again.

    Args:
        content: the encoded bytes, in memory or on disk.
        name: what errors call it.
        start_pts: the first picture's pts where it is known.

    Raises:
        BadVideoError: empty, truncated, not a video, or without pictures.
        UnreadableSourceError: the file is gone or has changed since it was probed.
        ConfigurationError: PyAV is not installed.
    """
    try:
        import av
    except ImportError as missing:
        raise ConfigurationError(
            "reading video needs PyAV, which is not installed",
            cure="Install it: pip install av",
            subject=name,
        ) from missing
    if content.size == 0:
        raise BadVideoError(
            "the file is empty", cure="Export or download it again.", subject=name, code="empty"
        )
    source: str | io.BytesIO
    if isinstance(content, FileContent):
        check_unchanged(content, name)
        source = f"file:{content.path}"
    else:
        source = io.BytesIO(content.data)
    options = {"format_whitelist": DEMUXERS, "protocol_whitelist": "file"}
    try:
        container = av.open(source, "r", options=options, metadata_errors="replace")
    except av.FFmpegError as problem:
        raise _unopened(content, name) from problem
    with container:
        pictures = [
            s for s in container.streams.video if not s.disposition & av.stream.Disposition.attached_pic
        ]
        if not pictures:
            raise BadVideoError(
                "there is no picture track in it",
                cure="Give a clip with pictures; sound alone cannot be described.",
                subject=name,
                code="no_picture",
            )
        stream = pictures[0]
        if stream.codec_context is None or stream.time_base is None:
            raise BadVideoError(
                "no decoder knows its codec",
                cure="Convert it to H.264 in an mp4 first.",
                subject=name,
                code="unknown_codec",
            )
        stream.thread_type = av.codec.context.ThreadType.AUTO
        if start_pts is None:
            start_pts = stream.start_time or 0
        yield OpenClip(name, container, stream, stream.time_base, start_pts)


def packets(clip: OpenClip) -> Iterator[Packet]:
    """The picture track's packets from where the container stands, without the closing empty one."""
    with translated(clip.name):
        for packet in clip.container.demux(clip.stream):
            if packet.size:
                yield packet


def _unopened(content: Content, name: str) -> BadVideoError:
    """Tells a cut-off mp4 (its table of contents, at the end, is missing) from what is no video at all."""
    if head(content, 12)[4:8] in (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip"):
        return BadVideoError(
            "the clip is cut off: its table of contents is missing",
            cure="Download or copy it again.",
            subject=name,
            code="truncated",
        )
    return BadVideoError(
        "this is no video in a container that can be read",
        cure="Give an mp4, mov, mkv, webm, avi or another common container.",
        subject=name,
        code="not_a_video",
    )


def head(content: Content, count: int) -> bytes:
    """The first ``count`` bytes."""
    with opened(content) as file:
        return file.read(count)


if TYPE_CHECKING:
    from av.packet import Packet as _Packet

    Packet = _Packet[VideoStream]
