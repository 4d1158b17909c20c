"""Scenes of a clip: one pass over all its pictures, each measured on a small grid of its own planes.

Every cut is exact to the picture, so no picture is left out; time is saved where it does not
show, in the decoder's edge filter and by never converting a picture's colours.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING

from visionpipe.clips.container import OpenClip, damage, no_picture, open_video
from visionpipe.clips.cuts import CutKind, Measure, SceneRules, decide_cuts
from visionpipe.clips.seeking import damage_told
from visionpipe.media import Video
from visionpipe.values import JSON, Adjustment, Timecode

if TYPE_CHECKING:
    import numpy as np
    from av.video.frame import VideoFrame
    from numpy.typing import NDArray

    Planes = tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.uint8]]

_GRID = (160, 90)
_SIGNATURE = (16, 9)
_PLANAR = frozenset({"yuv420p", "yuvj420p", "yuv422p", "yuvj422p", "yuv444p", "yuvj444p"})
_FULL_RANGE = 2
_DAMAGED_END_S = Fraction(1, 2)
"""Seconds without a picture at the end of a damaged clip that are no part of it."""


@dataclass(frozen=True, slots=True)
class Scene:
    """[start, end) counted from the clip's first picture; ``begins_with`` is None for the first one."""

    index: int
    start: Timecode
    end: Timecode
    begins_with: CutKind | None = None

    @property
    def seconds(self) -> tuple[Fraction, Fraction]:
        """(start, end), exact."""
        return self.start.exact, self.end.exact

    def to_json(self) -> dict[str, JSON]:
        return {
            "index": self.index,
            "start": self.start.to_json(),
            "end": self.end.to_json(),
            "begins_with": self.begins_with,
        }


@dataclass(frozen=True, slots=True)
class SceneScan:
    """A clip's scenes, and what was met on the way through it: damage, and an end before the stated one."""

    scenes: tuple[Scene, ...]
    adjustments: tuple[Adjustment, ...] = ()


def find_scenes(video: Video, rules: SceneRules | None = None) -> tuple[Scene, ...]:
    """The clip's scenes: one or more, the first from 0, without gap or overlap. The last goes to the
    duration, or to the last picture that can be decoded where those after it are damaged.

    Args:
        video: the clip.
        rules: what counts as a cut; None: the defaults.

    Raises:
        BadVideoError: not one picture can be decoded.
        UnreadableSourceError: the file is gone or has changed since it was loaded.
    """
    return scan_scenes(video, rules).scenes


def scan_scenes(video: Video, rules: SceneRules | None = None) -> SceneScan:
    """As :func:`find_scenes`, with what was met on the way."""
    wanted = rules if rules is not None else SceneRules()
    with open_video(video) as clip:
        measures = _measured(clip)
        if not measures:
            raise no_picture(video.name)
        starts: list[tuple[Timecode, CutKind | None]] = [(Timecode(0, clip.time_base), None)]
        cuts = decide_cuts(measures, clip.time_base, wanted)
        starts += [(clip.time_of(cut.pts), cut.kind) for cut in cuts]
        told = list(damage_told(clip))
        end = video.duration
        last = clip.time_of(measures[-1].pts + clip.gap)
        if told and end.exact - last.exact > max(_DAMAGED_END_S, 2 * clip.gap * clip.time_base):
            end = last
            told.append(Adjustment("cut_off", video.name, f"its pictures end at {last} of {video.duration}"))
    ends = [*(start for start, _ in starts[1:]), end]
    scenes = tuple(
        Scene(i, start, end, kind) for i, ((start, kind), end) in enumerate(zip(starts, ends, strict=True))
    )
    return SceneScan(scenes, tuple(told))


def _measured(clip: OpenClip) -> list[Measure]:
    """What each picture of the clip measures."""
    # The deblocking filter changes edges by a shade, and a cut changes the whole picture.
    clip.decoder.options = {"skip_loop_filter": "all"}
    measures: list[Measure] = []
    before: Planes | None = None
    for picture in clip.pictures():
        pts = picture.pts or 0
        if pts < clip.start_pts or (measures and pts <= measures[-1].pts):
            continue
        try:
            planes = _planes(picture)
        except damage():
            clip.lost += 1
            continue
        measures.append(_measure(picture, planes, before))
        before = planes
    return measures


def _planes(picture: VideoFrame) -> Planes:
    """Brightness and the two colour planes, each brought down to 160 x 90."""
    import cv2
    import numpy as np

    if picture.format.name not in _PLANAR:
        picture = picture.reformat(format="yuv444p", width=_GRID[0], height=_GRID[1], interpolation="AREA")
    grids = []
    for plane in picture.planes[:3]:
        rows = np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size)[: plane.height]
        # Four rows a field tell as much as twelve, at a third of the cost.
        thinned = rows[:: max(1, plane.height // (4 * _GRID[1])), : plane.width]
        grids.append(np.asarray(cv2.resize(thinned, _GRID, interpolation=cv2.INTER_AREA), np.uint8))
    return grids[0], grids[1], grids[2]


def _change(planes: Planes, before: Planes) -> float:
    import cv2

    return sum(cv2.norm(a, b, cv2.NORM_L1) for a, b in zip(planes, before, strict=True)) / planes[0].size


def _measure(picture: VideoFrame, planes: Planes, before: Planes | None) -> Measure:
    import cv2

    brightness = float(planes[0].mean())
    if picture.color_range != _FULL_RANGE and not picture.format.name.startswith("yuvj"):
        brightness = (brightness - 16) * 255 / 219
    return Measure(
        pts=picture.pts or 0,
        change=_change(planes, before) if before is not None else 0.0,
        brightness=brightness,
        signature=cv2.resize(planes[0], _SIGNATURE, interpolation=cv2.INTER_AREA).tobytes(),
    )
