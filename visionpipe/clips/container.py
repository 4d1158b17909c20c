"""Opening a clip: the one place where PyAV meets a container, and the one where packets become pictures.

Only demuxers of real containers are let in, and only the file protocol, so that a playlist
dressed as a clip can open neither another file nor the network; whatever PyAV raises leaves here as one of
the library's own errors. A damaged packet costs its pictures and is counted, never the clip.
"""

from __future__ import annotations

import heapq
import io
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from fractions import Fraction
from itertools import chain
from typing import TYPE_CHECKING, Any

from visionpipe.errors import BadVideoError, ConfigurationError, ParameterError
from visionpipe.files import check_unchanged, opened
from visionpipe.media import Content, FileContent, Timing, Video
from visionpipe.values import Timecode

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.codeccontext import VideoCodecContext
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

DEMUXERS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpegts,mpeg,mpegvideo,flv,live_flv,asf,ogg,gif,mxf,nut,dv,"
    "rm,ivf,h264,hevc,m4v,obu,wtv,swf,apng,yuv4mpegpipe"
)

_INDEXED = ("mov", "matroska", "avi")
"""Demuxers whose index lists the key frames without reading the file through."""

LONGEST_GAP_S = 10
"""Seconds: in a stream whose times may jump (MPEG-TS), a longer gap is a jump; ffmpeg takes the same."""

_MAY_JUMP = 0x0200
"""FFmpeg's AVFMT_TS_DISCONT."""

_WITH_ALPHA = {"vp8": "libvpx", "vp9": "libvpx-vp9"}
"""Decoders that show a WebM's transparency, by codec; FFmpeg's own leave it out."""

_PAST_THE_END = 1 << 40
"""A pts that no clip reaches: 35 years of milliseconds."""

_REORDERED = 64
"""More times than decoders hold back: 16 pictures for their order, and one for each thread."""

_WIDEST_PIXEL = 16
"""A stored pixel that is wider (or taller) than so many times itself is a damaged header's."""


class OpenClip:
    """An open container and its picture track. ``start_pts`` is what times count from; ``lost`` counts the
    packets that could not be decoded so far, ``marred`` the pictures that were decoded in part, and
    ``broken_off`` says that reading ended in an error.

    Packets and pictures come with the times that they are shown at, however the container keeps them: see
    ``timing`` of ``Video``. Where times only hold from the beginning on
    (``from_start``), the container cannot be sought in.
    """

    def __init__(
        self, name: str, container: InputContainer, stream: VideoStream, start_pts: int | None, timing: Timing
    ) -> None:
        self.name = name
        self.container = container
        self.stream = stream
        self.decoder: VideoCodecContext = _decoder(stream)
        self.time_base = Fraction(stream.time_base or 0)
        self.start_pts = (stream.start_time or 0) if start_pts is None else start_pts
        self.timing: Timing = timing
        self.lost = 0
        self.marred = 0
        self.broken_off = False
        rate = Fraction(stream.average_rate or stream.guessed_rate or 25)
        self.gap = max(1, int(1 / (rate * self.time_base)))
        self._waiting: list[int] = []

    @property
    def from_start(self) -> bool:
        """Whether pictures have their times only when decoded from the beginning on."""
        return self.timing in ("counted", "joined")

    @property
    def jumps(self) -> bool:
        """Whether times may jump in this kind of container."""
        return bool(self.container.format.flags & _MAY_JUMP)

    @property
    def demuxer(self) -> str:
        """The short name of what reads the container."""
        return self.container.format.name.split(",")[0]

    @property
    def pixel_aspect(self) -> Fraction:
        """A stored pixel's width over its height; 1 where the container does not say, or nonsense."""
        aspect = Fraction(self.stream.sample_aspect_ratio or 1)
        return aspect if Fraction(1, _WIDEST_PIXEL) <= aspect <= _WIDEST_PIXEL else Fraction(1)

    def time_of(self, pts: int) -> Timecode:
        """The moment of ``pts``, counted from the clip's first picture."""
        return Timecode(pts - self.start_pts, self.time_base)

    def seek(self, pts: int) -> None:
        """Goes to a key frame at or before ``pts``; not where times hold from the beginning only.

        Raises:
            BadVideoError: the container cannot be sought in.
        """
        import av

        with translated(self.name):
            try:
                self.container.seek(pts, stream=self.stream)
            except av.FFmpegError:
                self.container.seek(self.stream.start_time or 0, stream=self.stream)
        self.decoder.flush_buffers()
        self._waiting.clear()

    def packets(self) -> Iterator[Packet]:
        """The picture track's packets from where the container stands, without the closing empty one; they
        end where no more can be read."""
        import av

        shown = PacketTimes(self.gap, LONGEST_GAP_S / self.time_base)
        count = 0
        try:
            for packet in self.container.demux(self.stream):
                if not packet.size:
                    continue
                # Cut off by the file's end; in a transport stream it only says that packets are missing.
                if packet.is_corrupt and not self.jumps:
                    self.lost += 1
                    continue
                if self.timing == "counted":
                    packet.pts = packet.dts = count * self.gap
                    count += 1
                elif self.timing == "joined":
                    packet.pts, packet.dts = shown.told_on(packet.pts, packet.dts)
                elif self.timing == "ordered" and packet.dts is not None:
                    packet.pts = packet.dts
                yield packet
        except (av.FFmpegError, ValueError, OverflowError):
            self.broken_off = True

    def decode(self, packet: Packet | None) -> list[VideoFrame]:
        """What the decoder gives for ``packet`` (None: what it still holds), each with its time; nothing
        where it is damaged."""
        by_order = self.timing in ("counted", "ordered")
        if by_order and packet is not None and packet.pts is not None:
            heapq.heappush(self._waiting, packet.pts)
        try:
            pictures = self.decoder.decode(packet)
        except damage():
            self.lost += packet is not None
            if by_order and packet is not None and packet.pts in self._waiting:
                self._waiting.remove(packet.pts)
                heapq.heapify(self._waiting)
            return []
        for picture in pictures:
            if by_order:
                picture.pts = heapq.heappop(self._waiting) if self._waiting else None
            elif picture.pts is None:
                picture.pts = picture.dts
        while len(self._waiting) > _REORDERED:
            heapq.heappop(self._waiting)
        return pictures

    def pictures(self) -> Iterator[VideoFrame]:
        """Every picture that has a time, from where the container stands."""
        for packet in chain(self.packets(), [None]):
            for picture in self.decode(packet):
                if picture.pts is not None:
                    self.marred += picture.is_corrupt
                    yield picture

    def key_stamps(self) -> list[int]:
        """Where to seek to, one stamp for each key frame, ascending, in ticks of the time base.

        From the container's index where it is a full one, else by reading the packets through (nothing is
        decoded). A stamp may lie a little before the frame's own pts, never after it.
        """
        if self.demuxer in _INDEXED:
            # Matroska reads its cues at the first seek, and on from the last of them where it is past that.
            self.seek(_PAST_THE_END if self.demuxer == "matroska" else self.start_pts)
            stamps = [e.timestamp for e in self.stream.index_entries if e.is_keyframe]
            return sorted(stamps) or [self.start_pts]
        keys = [p for p in self.packets() if p.is_keyframe and p.pts is not None]
        found = (p.pts if p.dts is None else p.dts for p in keys)
        return sorted(stamp for stamp in found if stamp is not None) or [self.start_pts]


class PacketTimes:
    """Tells times on where a stream begins anew: where its decoding times step back, or jump ahead by more
    than ``longest_gap`` ticks, the next packet follows ``gap`` ticks after the one before."""

    def __init__(self, gap: int, longest_gap: Fraction | None) -> None:
        self._gap = gap
        self._longest_gap = longest_gap
        self._last: int | None = None
        self._shift = 0
        self.steps = 0

    def told_on(self, pts: int | None, dts: int | None) -> tuple[int | None, int | None]:
        """The packet's (pts, dts), moved to follow the packets before."""
        if dts is not None:
            moved = dts + self._shift
            ahead = 0 if self._last is None else moved - self._last
            if ahead < 0 or (self._longest_gap is not None and ahead > self._longest_gap):
                self._shift += self._gap - ahead
                self.steps += 1
            self._last = dts + self._shift
        return (None if pts is None else pts + self._shift), (None if dts is None else dts + self._shift)


def damage() -> tuple[type[Exception], ...]:
    """What PyAV raises at damaged pictures."""
    import av

    return (av.FFmpegError, ValueError, OverflowError)


def no_picture(name: str) -> BadVideoError:
    """The error for a clip of which nothing can be shown."""
    return BadVideoError(
        "not one picture of it can be decoded",
        cure="Try to play it; if a player cannot either, the file is damaged.",
        subject=name,
        code="no_picture",
    )


def _decoder(stream: VideoStream) -> VideoCodecContext:
    """The stream's own decoder, or the one that shows its transparency."""
    import av

    mode = {key.lower(): value for key, value in stream.metadata.items()}.get("alpha_mode")
    codec = _WITH_ALPHA.get(stream.codec_context.name)
    if mode != "1" or codec is None or codec not in av.codecs_available:
        return stream.codec_context
    decoder = av.CodecContext.create(codec, "r")
    assert isinstance(decoder, av.VideoCodecContext)
    decoder.extradata = stream.codec_context.extradata
    return decoder


@contextmanager
def translated(name: str) -> Iterator[None]:
    """Turns PyAV's errors into BadVideoError."""
    import av

    try:
        yield
    except (av.FFmpegError, OverflowError) as problem:
        reason = problem.strerror if isinstance(problem, av.FFmpegError) else str(problem)
        raise BadVideoError(
            f"the clip cannot be read ({reason})",
            cure="Try to play it; if a player cannot either, the file is damaged.",
            subject=name,
        ) from problem


def open_video(video: Video) -> AbstractContextManager[OpenClip]:
    """Opens a loaded clip, on its own picture track; see ``open_clip``."""
    return open_clip(
        video.content, video.name, start_pts=video.start_pts, track=video.track, timing=video.timing
    )


@contextmanager
def open_clip(
    content: Content,
    name: str,
    *,
    start_pts: int | None = None,
    track: int | None = None,
    timing: Timing = "stamped",
) -> Iterator[OpenClip]:
    """Opens the clip for reading and closes it again.

    Args:
        content: the encoded bytes, in memory or on disk.
        name: what errors call it.
        start_pts: the first picture's pts where it is known.
        track: which of its picture tracks, from 0; None: the one that a player shows.
        timing: how its pictures' times are kept, where that is known.

    Raises:
        BadVideoError: empty, truncated, not a video, or without pictures.
        ParameterError: there is no such track.
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
        container = av.open(source, "r", options=options, **_lenient())
    except damage() as problem:
        raise _unopened(content, name) from problem
    with container:
        stream = picture_tracks(container, name, track)[0]
        if stream.codec_context is None or not stream.time_base:
            raise BadVideoError(
                "no decoder knows its codec",
                cure="Convert it to H.264 in an mp4 first.",
                subject=name,
                code="unknown_codec",
            )
        clip = OpenClip(name, container, stream, start_pts, timing)
        clip.decoder.thread_type = av.codec.context.ThreadType.AUTO
        yield clip


def _lenient() -> dict[str, Any]:
    """Keeps PyAV 18 from refusing a clip whose title is no UTF-8; 19 takes it, and has no such option."""
    import av

    return {"metadata_errors": "replace"} if int(av.__version__.partition(".")[0]) < 19 else {}


def picture_tracks(container: InputContainer, name: str, track: int | None = None) -> list[VideoStream]:
    """The container's picture tracks, the one to show first: of those that a player shows by default the
    largest. Covers, thumbnails and tracks of a single picture come after all others.

    Args:
        container: an open one.
        name: what errors call it.
        track: the place among all picture tracks, from 0, of the one to show; None: as above.

    Raises:
        BadVideoError: there is no picture track.
        ParameterError: there is no such track.
    """
    import av

    kinds = av.stream.Disposition
    beside = kinds.attached_pic | kinds.timed_thumbnails | kinds.still_image | kinds.dependent
    pictures = [s for s in container.streams.video if not s.disposition & kinds.attached_pic]
    if not pictures:
        raise BadVideoError(
            "there is no picture track in it",
            cure="Give a clip with pictures; sound alone cannot be described.",
            subject=name,
            code="no_picture",
        )
    if track is None:
        return sorted(
            pictures,
            key=lambda s: (
                bool(s.disposition & beside),
                s.frames == 1,
                not s.disposition & kinds.default,
                s.codec_context is None,
                0 if s.codec_context is None else -s.codec_context.width * s.codec_context.height,
            ),
        )
    tracks = list(container.streams.video)
    if not 0 <= track < len(tracks):
        raise ParameterError(
            f"there is no picture track {track}",
            cure=f"Give a number from 0 to {len(tracks) - 1}.",
            subject=name,
        )
    return [tracks[track], *(s for s in pictures if s is not tracks[track])]


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
