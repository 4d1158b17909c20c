"""Scenes of a clip: one pass over all its pictures, each measured on a small grid of its own planes.

Every hard cut is exact to the picture, so no picture is left out; time is saved where it does not
show, in the decoder's edge filter and by never converting a picture's colours. For gradual changes the
pictures of the last two seconds are kept, small, and compared over several lengths.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cache
from itertools import islice
from typing import TYPE_CHECKING

from visionpipe.clips.container import OpenClip, damage, no_picture, open_video
from visionpipe.clips.cuts import CutKind, Gradual, Measure, SceneRules, decide_cuts, is_flat, may_be_gradual
from visionpipe.clips.seeking import damage_told
from visionpipe.media import Video
from visionpipe.values import JSON, Adjustment, Timecode

if TYPE_CHECKING:
    import numpy as np
    from av.video.frame import VideoFrame
    from numpy.typing import NDArray

    Planes = NDArray[np.uint8]
    """Brightness and the two colour planes on the grid, one below the other: one call for all three is what
    makes a picture cheap."""

_GRID = (160, 90)
_SIGNATURE = (16, 9)
_PLANAR = frozenset({"yuv420p", "yuvj420p", "yuv422p", "yuvj422p", "yuv444p", "yuvj444p"})
_FULL_RANGE = 2
_COARSE = (32, 18)
_LENGTHS_S = (0.32, 0.44, 0.6, 0.8, 1.0, 1.2)
"""Seconds over which gradual changes are looked for."""
_FEWEST = 5
"""Pictures that a gradual change has at least."""
_BESIDE_S = 0.24
"""Seconds before and after it that have to be stiller than it is."""
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
    """As ``find_scenes``, with what was met on the way."""
    wanted = rules if rules is not None else SceneRules()
    with open_video(video) as clip:
        measures, changes = _measured(clip, wanted)
        if not measures:
            raise no_picture(video.name)
        starts: list[tuple[Timecode, CutKind | None]] = [(Timecode(0, clip.time_base), None)]
        cuts = decide_cuts(measures, clip.time_base, wanted, changes)
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


def _measured(clip: OpenClip, rules: SceneRules) -> tuple[list[Measure], list[Gradual]]:
    """What each picture of the clip measures, and the changes over several pictures that may be cuts."""
    # The deblocking filter changes edges by a shade, and a cut changes the whole picture.
    clip.decoder.options = {"skip_loop_filter": "all"}
    measures: list[Measure] = []
    changes: list[Gradual] = []
    recent = _Recent(1 / float(clip.gap * clip.time_base), rules)
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
        if rules.gradual:
            changes += recent.add(pts, planes)
        before = planes
    return measures, changes


@dataclass(frozen=True, slots=True)
class _Small:
    """A picture kept for gradual changes: its three planes on the coarse grid, one after the other; its
    brightness on the fine one; how much it differs from the one before, and all such differences so far."""

    pts: int
    coarse: NDArray[np.uint8]
    brightness: NDArray[np.uint8]
    change: float
    path: float


class _Recent:
    """The last pictures, at ``rate`` a second, and the gradual changes among them."""

    def __init__(self, rate: float, rules: SceneRules) -> None:
        self._rules = rules
        rate = min(rate, 60.0)
        self._beside = max(2, round(_BESIDE_S * rate))
        self._lengths = [n for n in (round(s * rate) for s in _LENGTHS_S) if n >= _FEWEST]
        self._kept: deque[_Small] = deque(maxlen=max(self._lengths, default=0) + 2 * self._beside + 1)

    def add(self, pts: int, planes: Planes) -> list[Gradual]:
        """Takes the next picture; the change that ends a little before it, if there is one."""
        import cv2
        import numpy as np

        small = cv2.resize(planes, (_COARSE[0], 3 * _COARSE[1]), interpolation=cv2.INTER_AREA)
        coarse = np.asarray(small, np.uint8).reshape(-1)
        last = self._kept[-1] if self._kept else None
        change = _apart(coarse, last.coarse) if last is not None else 0.0
        path = change + (last.path if last is not None else 0.0)
        self._kept.append(_Small(pts, coarse, planes[: _GRID[1]], change, path))
        end = len(self._kept) - 1 - self._beside
        strongest: tuple[int, int, Gradual] | None = None
        for length in self._lengths:
            over = self._over(end - length, end) if length <= end else None
            if over is not None and (strongest is None or over[2].strength > strongest[2].strength):
                strongest = over
        return [] if strongest is None else [self._whole(*strongest)]

    def _over(self, begin: int, end: int) -> tuple[int, int, Gradual] | None:
        """The change from one kept picture to another, if it is worth measuring whole."""
        first, last = self._kept[begin], self._kept[end]
        path = last.path - first.path
        if not may_be_gradual(path, path, 0.0, self._rules):
            return None
        change = _apart(first.coarse, last.coarse)
        if not may_be_gradual(change, path, 0.0, self._rules):
            return None
        step = max([small.change for small in islice(self._kept, begin + 1, end + 1)])
        if not may_be_gradual(change, path, step, self._rules):
            return None
        before, after = self._kept[max(0, begin - self._beside)], self._kept[end + self._beside]
        moved = max(_apart(before.coarse, first.coarse), _apart(last.coarse, after.coarse)) / change
        walked = max(first.path - before.path, after.path - last.path) / path
        drift = max(moved, walked) * (end - begin) / self._beside
        middle = self._kept[(begin + end + 1) // 2].pts
        return begin, end, Gradual(first.pts, last.pts, middle, change, path, step, drift)

    def _whole(self, begin: int, end: int, found: Gradual) -> Gradual:
        import cv2
        import numpy as np

        first, last, middle = (self._kept[i] for i in (begin, end, (begin + end) // 2))
        cells = _COARSE[0] * _COARSE[1]
        if any(is_flat(float(small.coarse[:cells].std())) for small in (first, last)):
            return replace(found, alike=1.0)
        low, high = np.minimum(first.coarse, last.coarse), np.maximum(first.coarse, last.coarse)
        clipped = np.clip(middle.coarse, low, high)
        # Whitened, so that it is the things in the picture that are compared and not their light.
        one, two = first.brightness.astype(np.float32), last.brightness.astype(np.float32)
        _, alike = cv2.phaseCorrelate(one, two, _window())
        return replace(found, outside=_apart(clipped, middle.coarse) / found.change, alike=alike)


@cache
def _window() -> NDArray[np.float32]:
    """What takes a picture's edges out of a comparison."""
    import cv2
    import numpy as np

    return np.asarray(cv2.createHanningWindow(_GRID, cv2.CV_32F), np.float32)


def _apart(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> float:
    """The mean absolute differences of three planes that lie one after the other, added: 0 to 765."""
    import cv2

    return cv2.norm(a, b, cv2.NORM_L1) * 3 / a.size


def _planes(picture: VideoFrame) -> Planes:
    """Brightness and the two colour planes, each brought down to 160 x 90."""
    import cv2
    import numpy as np

    if picture.format.name not in _PLANAR:
        picture = picture.reformat(format="yuv444p", width=_GRID[0], height=_GRID[1], interpolation="AREA")
    grids = np.empty((3 * _GRID[1], _GRID[0]), np.uint8)
    for number, plane in enumerate(picture.planes[:3]):
        rows = np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size)[: plane.height]
        # Four rows a field tell as much as twelve, at a third of the cost.
        thinned = rows[:: max(1, plane.height // (4 * _GRID[1])), : plane.width]
        place = grids[number * _GRID[1] : (number + 1) * _GRID[1]]
        cv2.resize(thinned, _GRID, dst=place, interpolation=cv2.INTER_AREA)
    return grids


def _change(planes: Planes, before: Planes) -> float:
    import cv2

    return cv2.norm(planes, before, cv2.NORM_L1) * 3 / planes.size


def _measure(picture: VideoFrame, planes: Planes, before: Planes | None) -> Measure:
    import cv2

    lit = planes[: _GRID[1]]
    brightness = cv2.mean(lit)[0]
    if picture.color_range != _FULL_RANGE and not picture.format.name.startswith("yuvj"):
        brightness = (brightness - 16) * 255 / 219
    return Measure(
        pts=picture.pts or 0,
        change=_change(planes, before) if before is not None else 0.0,
        brightness=brightness,
        signature=cv2.resize(lit, _SIGNATURE, interpolation=cv2.INTER_AREA).tobytes(),
    )
