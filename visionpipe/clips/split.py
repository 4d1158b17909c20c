"""Cutting a clip at key frames, and moving it to another container, without decoding a picture.

Packets are copied as they are and read once; every part begins at a key frame and knows where it
begins in the original; what cannot go along is recorded.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

from visionpipe.clips.container import OpenClip, open_video, translated
from visionpipe.clips.load import load_video
from visionpipe.errors import MediaLimitError, UnsupportedError
from visionpipe.files import output_errors, partial_path
from visionpipe.media import Video
from visionpipe.values import Adjustment, Timecode

if TYPE_CHECKING:
    from av.container import OutputContainer
    from av.stream import Stream

MP4_VIDEO = frozenset({"h264", "hevc", "av1", "vp9", "mpeg4", "mpeg2video"})
_MP4_AUDIO = frozenset({"aac", "mp3", "ac3", "eac3", "opus", "alac", "flac"})
_HEADER_BYTES = 256 * 1024
_PACKET_BYTES = 64
"""Room for the container's own tables: once a file, and for each packet. Generous on purpose."""


def split_video(
    video: Video, folder: Path, *, below_bytes: int, max_seconds: float | None = None
) -> tuple[Video, ...]:
    """Copies a clip into parts of about equal size, each under the limit.

    Args:
        video: the clip.
        folder: where the parts are written, as ``NAME.part1.mp4`` and so on; it is made.
        below_bytes: every part has fewer bytes than this.
        max_seconds: every part is at most so long; None: of any length.

    Returns:
        The parts in order; each one's ``offset`` is where it begins in the original.

    Raises:
        MediaLimitError: one group of pictures alone is over a limit.
        UnsupportedError: the codec does not go into an mp4.
        BadVideoError, UnreadableSourceError: the clip cannot be read.
    """
    room = below_bytes - _HEADER_BYTES
    count = max(1, math.ceil(video.size / max(1, room)))
    if max_seconds is not None:
        count = max(count, math.ceil(video.duration_s / max_seconds))
    budget = _Budget(video, min(room, math.ceil(video.size / count)), room, max_seconds)
    return _copied(video, folder, ".part", budget)


def remux_video(video: Video, folder: Path) -> Video:
    """Copies a clip into an mp4 without re-encoding, as ``NAME.mp4`` in ``folder``, which is made.

    Raises:
        UnsupportedError: the codec does not go into an mp4, or the container gives no times.
        BadVideoError, UnreadableSourceError: the clip cannot be read.
    """
    (whole,) = _copied(video, folder, "", _Budget(video, None, None, None))
    change = Adjustment("converted", video.name, f"from {video.container} to mp4, nothing re-encoded")
    return replace(whole, adjustments=(*whole.adjustments, change))


@dataclass(frozen=True, slots=True)
class _Budget:
    """When a part is full: at the first key frame past ``target`` bytes, and never past ``room`` bytes or
    ``max_seconds``."""

    video: Video
    target: int | None
    room: int | None
    max_seconds: float | None

    def is_full(self, part: _Part, group: _Group) -> bool:
        if self.target is not None and part.bytes >= self.target:
            return True
        return not self.fits(part.bytes + group.bytes, group.end - part.start)

    def fits(self, size: int, seconds: Fraction) -> bool:
        within = self.room is None or size <= self.room
        return within and (self.max_seconds is None or seconds <= Fraction(str(self.max_seconds)))


class _Group:
    """A key frame and all packets up to the next one, of every track.

    What an edit list hides is needed to decode what comes after it, and goes along with times before the
    beginning of its part; what is hidden at the end of a group is left out.
    """

    def __init__(self, key: Any) -> None:
        self.key = key
        self.packets: list[Any] = [key]

    @property
    def pictures(self) -> list[Any]:
        return [p for p in self.packets if p.stream is self.key.stream]

    @property
    def hides(self) -> bool:
        return any(p.is_discard for p in self.pictures)

    @property
    def start(self) -> Fraction:
        """When its first picture is shown."""
        if not self.hides:
            return _time(self.key)
        return min(_time(p) for p in self.pictures if not p.is_discard)

    @property
    def end(self) -> Fraction:
        return max(_time(p) + (p.duration or 0) * Fraction(p.time_base) for p in self.pictures)

    @property
    def bytes(self) -> int:
        return sum(p.size + _PACKET_BYTES for p in self.packets)

    def complete(self) -> _Group | None:
        """The group as it is copied; None where all of it is hidden.

        Gives packets without a decoding time one just before the next packet's (Matroska names none at
        the beginning)."""
        following: dict[int, int] = {}
        for packet in reversed(self.packets):
            if packet.dts is None:
                packet.dts = min(following.get(packet.stream_index, packet.pts + 1) - 1, packet.pts)
            following[packet.stream_index] = packet.dts
        while self.packets and self.pictures and self.pictures[-1].is_discard:
            self.packets.remove(self.pictures[-1])
        return self if self.pictures else None

    def parted(self) -> tuple[list[Any], list[Any], int]:
        """Packets of other tracks that are heard before the key frame; the rest; and how many pictures
        had to be left out because they are shown before it and need the group before."""
        early, rest, lost = [], [], 0
        first = _time(self.key)
        for packet in self.packets:
            if _time(packet) >= first:
                rest.append(packet)
            elif packet.stream is self.key.stream:
                lost += 1
            else:
                early.append(packet)
        return early, rest, lost


def _time(packet: Any) -> Fraction:
    return Fraction(packet.pts or 0) * Fraction(packet.time_base)


class _Part:
    """An mp4 being written, with its own time beginning at ``start`` (seconds in the original)."""

    def __init__(self, path: Path, tracks: Sequence[Stream], start: Fraction) -> None:
        import av

        self.path = path
        self.draft = partial_path(path)
        self.start = start
        self.bytes = 0
        self.lost = 0
        self._out: OutputContainer = av.open(f"file:{self.draft}", "w", format="mp4")
        # Opaque: what is only copied needs no encoder, which AV1's decoder has none of.
        self._tracks = {
            track.index: self._out.add_stream_from_template(track, opaque=True) for track in tracks
        }

    def write(self, packets: Sequence[Any]) -> None:
        for packet in packets:
            self.bytes += packet.size + _PACKET_BYTES
            shift = round(self.start / Fraction(packet.time_base))
            packet.pts -= shift
            packet.dts -= shift
            packet.stream = self._tracks[packet.stream.index]
            self._out.mux(packet)

    def close(self) -> None:
        self._out.close()

    def discard(self) -> None:
        """Leave nothing of it."""
        self._out.close()
        self.draft.unlink(missing_ok=True)


def _copied(video: Video, folder: Path, infix: str, budget: _Budget) -> tuple[Video, ...]:
    if video.codec not in MP4_VIDEO:
        raise UnsupportedError(
            f"the codec {video.codec} does not go into an mp4",
            cure="Re-encode it (transcode), or send frames of it (frames).",
            subject=video.name,
            code="video_codec",
        )
    if video.timing != "stamped":
        raise _timeless(video.name, video.container)
    folder.mkdir(parents=True, exist_ok=True)
    stem = Path(video.name).stem
    parts: list[_Part] = []
    with open_video(video) as clip, translated(video.name):
        tracks: list[Stream] = [clip.stream]
        tracks += [a for a in clip.container.streams.audio if a.codec_context.name in _MP4_AUDIO]
        left_out = len(clip.container.streams) - len(tracks)
        try:
            for group in _groups(clip, tracks):
                if group.hides and parts and not infix:
                    raise _hiding(video)
                if not parts or group.hides or budget.is_full(parts[-1], group):
                    if not budget.fits(group.bytes, group.end - group.start):
                        raise _too_large(video, group)
                    early, rest, lost = group.parted()
                    if parts:
                        parts[-1].write(early)
                        parts[-1].close()
                    path = folder / f"{stem}{infix}{len(parts) + 1 if infix else ''}.mp4"
                    parts.append(_Part(path, tracks, group.start))
                    parts[-1].lost = lost if len(parts) > 1 else 0
                    parts[-1].write(rest)
                else:
                    parts[-1].write(group.packets)
            if parts:
                parts[-1].close()
        except BaseException:
            for part in parts:
                part.discard()
            raise
        for part in parts:
            with output_errors(part.path):
                part.draft.replace(part.path)
        origin = clip.start_pts * clip.time_base
        return tuple(
            _loaded(video, part, number, len(parts), origin, left_out) for number, part in enumerate(parts, 1)
        )


def _groups(clip: OpenClip, tracks: Sequence[Stream]) -> Iterator[_Group]:
    """The clip's packets by groups; what comes before the first key frame cannot be shown, and is left."""
    group: _Group | None = None
    for packet in clip.container.demux(*tracks):
        if not packet.size or (packet.is_corrupt and not clip.jumps):
            continue
        if packet.pts is None:
            raise _timeless(clip.name, clip.container.format.name)
        if packet.stream is clip.stream and packet.is_keyframe:
            if group is not None and (whole := group.complete()):
                yield whole
            group = _Group(packet)
        elif group is not None:
            group.packets.append(packet)
    if group is not None and (whole := group.complete()):
        yield whole


def _loaded(video: Video, part: _Part, number: int, count: int, origin: Fraction, left_out: int) -> Video:
    loaded = load_video(part.path)
    assert isinstance(loaded, Video)
    offset = Timecode.at(part.start - origin, video.time_base)
    changes = list(video.adjustments)
    if count > 1:
        changes.append(Adjustment("split", video.name, f"part {number} of {count}, from {offset}"))
    if part.lost:
        changes.append(Adjustment("dropped", video.name, f"{part.lost} pictures just before {offset}"))
    if left_out:
        changes.append(Adjustment("dropped", video.name, f"{left_out} tracks that do not go into an mp4"))
    return replace(loaded, offset=Timecode(offset.pts, video.time_base), adjustments=tuple(changes))


def _timeless(name: str, container: str) -> UnsupportedError:
    return UnsupportedError(
        f"its container ({container}) does not say when each picture is shown, or not in one run",
        cure="Re-encode it (transcode), or send frames of it (frames).",
        subject=name,
        code="video_times",
    )


def _hiding(video: Video) -> UnsupportedError:
    return UnsupportedError(
        "its edit list hides stretches inside of it, which a copy would show again",
        cure="Re-encode it (transcode), or send frames of it (frames).",
        subject=video.name,
        code="video_edits",
    )


def _too_large(video: Video, group: _Group) -> MediaLimitError:
    seconds = float(group.end - group.start)
    return MediaLimitError(
        f"one group of pictures has {group.bytes:,} bytes in {seconds:.1f} s, over the limit",
        cure="Make the clip smaller (transcode), or send frames of it (frames).",
        subject=video.name,
        code="video_group",
    )
