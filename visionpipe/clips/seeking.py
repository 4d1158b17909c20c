"""Decoding just the pictures that are asked for, exact to the pts, at the least cost.

From a moment to its picture the way goes over the key frame before it; each group of pictures is
decoded at most once, and pictures that no other one refers to are skipped unless they are wanted. The
picture at a moment is the last one whose pts is not after it: what a viewer sees there.
"""

from __future__ import annotations

from bisect import bisect_right, insort
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, pairwise
from typing import TYPE_CHECKING

from visionpipe.clips.container import OpenClip
from visionpipe.values import Adjustment

if TYPE_CHECKING:
    from av.video.frame import VideoFrame

    from visionpipe.clips.container import Packet

_LOOKAHEAD = 40
"""Packets read ahead of the decoder: more than twice the 16 pictures by which codecs may reorder."""

_NONREF_IS_SAFE = frozenset({"h264", "mpeg4", "mpeg2video", "mpeg1video"})
"""Codecs in which a picture marked as non-reference is referred to by none. HEVC's sub-layers are not so."""


def pictures_at(clip: OpenClip, moments: Sequence[int]) -> Iterator[VideoFrame]:
    """The pictures at ``moments`` (pts, ascending), each once; in order, but for damaged groups.

    Damage in a group costs only what cannot be decoded there; a moment then gets the nearest picture
    before it. Nothing is yielded where nothing can be decoded at all.
    """
    if clip.from_start:
        yield from _at(clip.pictures(), moments)
        return
    stamps = clip.key_stamps()
    groups: dict[int, list[int]] = {}
    for moment in moments:
        groups.setdefault(max(0, bisect_right(stamps, moment) - 1), []).append(moment)
    seen: set[int] = set()
    for key, group in sorted(groups.items()):
        for picture in _group(clip, stamps, key, group):
            if picture.pts is not None and picture.pts not in seen:
                seen.add(picture.pts)
                yield picture


def key_pictures(clip: OpenClip, moments: Sequence[int] | None) -> Iterator[VideoFrame]:
    """The key frames nearest to ``moments`` (pts), each once, in order; all of them where None is given."""
    if clip.from_start:
        yield from _key_pictures_from_start(clip, moments)
        return
    stamps = clip.key_stamps()
    chosen = stamps if moments is None else sorted({min(stamps, key=lambda s: abs(s - m)) for m in moments})
    second = int(1 / clip.time_base)
    after = dict(pairwise([*stamps, stamps[-1] + second]))
    for stamp in chosen:
        packet = next(_from_key(clip, stamp), None)
        # A demuxer that goes by moments of display takes a decoding time for the group before.
        if packet is not None and _order(packet) < stamp:
            packet = next(_from_key(clip, after[stamp] - 1), None)
        if packet is not None:
            yield from (p for p in clip.decode(packet) + clip.decode(None) if p.pts is not None)


def _key_pictures_from_start(clip: OpenClip, moments: Sequence[int] | None) -> Iterator[VideoFrame]:
    keys = (p for p in clip.pictures() if p.key_frame)
    if moments is None:
        yield from keys
        return
    waiting = deque(moments)
    before: VideoFrame | None = None
    given: VideoFrame | None = None
    for picture in chain(keys, [None]):
        while waiting and before is not None:
            if picture is not None and _pts(picture) - waiting[0] < abs(waiting[0] - _pts(before)):
                break
            waiting.popleft()
            if before is not given:
                given = before
                yield before
        before = picture


def _pts(picture: VideoFrame) -> int:
    return picture.pts if picture.pts is not None else 0


def _order(packet: Packet) -> int:
    stamp = packet.dts if packet.dts is not None else packet.pts
    return stamp if stamp is not None else 0


def _from_key(clip: OpenClip, stamp: int) -> Iterator[Packet]:
    """The packets from the last key frame that the demuxer finds for ``stamp`` on."""
    clip.seek(stamp)
    started = False
    for packet in clip.packets():
        started = started or packet.is_keyframe
        if started:
            yield packet


def _before(clip: OpenClip, stamps: Sequence[int], key: int, moment: int) -> tuple[Iterator[Packet], int]:
    """The packets from the last key frame that is not shown after ``moment``, and where to seek for it.

    Some demuxers go by the moment of display and find it at once. Others go by the decoding time and may
    find one that is shown too late, or none; there the way back is over the stamps.
    """
    for target in (moment, *stamps[key::-1]):
        source = _from_key(clip, target)
        first = next(source, None)
        if first is not None and first.pts is not None and first.pts <= moment:
            return chain([first], source), target
    return _from_key(clip, stamps[0]), stamps[0]


def _group(clip: OpenClip, stamps: Sequence[int], key: int, moments: list[int]) -> Iterator[VideoFrame]:
    source, stamp = _before(clip, stamps, key, moments[0])
    delivered: set[int] = set()
    ahead = _Lookahead(source, moments)
    if not ahead.timeless:
        for picture in ahead.decode(clip):
            delivered.add(picture.pts or 0)
            yield picture
        if ahead.wanted() <= delivered:
            return
    yield from (p for p in _plain(clip, stamp, moments) if p.pts not in delivered)


class _Lookahead:
    """Feeds one group's packets to the decoder, knowing the moments of the next ones."""

    def __init__(self, source: Iterator[Packet], moments: Sequence[int]) -> None:
        self._source = source
        self._moments = moments
        self._queue: deque[Packet] = deque()
        self._known: list[int] = []
        self._fed: set[int] = set()
        self._ended = False
        self.timeless = False
        self._fill()

    def wanted(self) -> set[int]:
        """The pts of the pictures at the moments, so far as the packets read tell."""
        known = self._known
        return {known[max(0, bisect_right(known, m) - 1)] for m in self._moments} if known else set()

    def decode(self, clip: OpenClip) -> Iterator[VideoFrame]:
        """The wanted pictures."""
        codec = clip.decoder
        # Where times go by the order of display, a packet does not know its picture's.
        may_skip = codec.codec.canonical_name in _NONREF_IS_SAFE and clip.timing == "stamped"
        try:
            while self._queue:
                packet = self._queue.popleft()
                wanted = self.wanted()
                codec.skip_frame = "NONREF" if may_skip and packet.pts not in wanted else "DEFAULT"
                yield from self._decoded(clip, packet, wanted)
                self._fed.add(packet.pts or 0)
                if wanted <= self._fed and self._settled():
                    break
                self._fill()
            yield from self._decoded(clip, None, self.wanted())
        finally:
            codec.skip_frame = "DEFAULT"

    def _decoded(self, clip: OpenClip, packet: Packet | None, wanted: set[int]) -> list[VideoFrame]:
        # One damaged picture is no reason to lose the others; the plain pass looks for its neighbour.
        return [p for p in clip.decode(packet) if p.pts in wanted and not p.is_corrupt]

    def _settled(self) -> bool:
        later = len(self._known) - bisect_right(self._known, self._moments[-1])
        return later > _LOOKAHEAD // 2 or (self._ended and not self._queue)

    def _fill(self) -> None:
        while not self._ended and len(self._queue) < _LOOKAHEAD:
            packet = next(self._source, None)
            if packet is None:
                self._ended = True
            else:
                self._take(packet)

    def _take(self, packet: Packet) -> None:
        if packet.pts is None:
            self.timeless = True
        elif not packet.is_discard:
            insort(self._known, packet.pts)
        self._queue.append(packet)


def _plain(clip: OpenClip, stamp: int, moments: list[int]) -> Iterator[VideoFrame]:
    """The same by decoding everything from ``stamp`` on: for damaged groups, and packets without times."""
    clip.seek(stamp)
    return _at(chain(_until(clip, moments[-1]), _rest(clip)), moments)


def _until(clip: OpenClip, moment: int) -> Iterator[VideoFrame]:
    """Pictures until well past ``moment``."""
    past = 0
    for packet in clip.packets():
        yield from clip.decode(packet)
        stamp = packet.pts if packet.pts is not None else packet.dts
        past += stamp is not None and stamp > moment
        if past > _LOOKAHEAD:
            return


def _rest(clip: OpenClip) -> Iterator[VideoFrame]:
    yield from clip.decode(None)


def _at(pictures: Iterable[VideoFrame], moments: Sequence[int]) -> Iterator[VideoFrame]:
    """Of pictures in order, those shown at ``moments`` (pts, ascending), each once; the first for moments
    before it."""
    waiting = deque(moments)
    before: VideoFrame | None = None
    given: VideoFrame | None = None
    for picture in pictures:
        if picture.pts is None or (picture.is_corrupt and before is not None):
            continue
        while waiting and picture.pts > waiting[0]:
            waiting.popleft()
            found = before or picture
            if found is not given:
                given = found
                yield found
        if not waiting:
            return
        before = picture
    if waiting and before is not None and before is not given:
        yield before


def damage_told(clip: OpenClip) -> tuple[Adjustment, ...]:
    """What is said of the damage that was met so far."""
    told = []
    if clip.lost:
        told.append(Adjustment("damaged", clip.name, f"{clip.lost} pictures cannot be decoded"))
    if clip.marred:
        told.append(Adjustment("damaged", clip.name, f"{clip.marred} pictures are damaged in part"))
    if clip.broken_off:
        told.append(Adjustment("damaged", clip.name, "it cannot be read to its end; shown as far as it can"))
    return tuple(told)
