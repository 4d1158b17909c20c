"""Where a clip is cut, decided from what each picture measures. Pure: no picture is touched here.

A cut is a picture that differs from the one before far more than its neighbours do from theirs;
a fade is a dark (or white) stretch that is slid into, not cut to; a flash is neither. A dissolve or a wipe
goes from one picture to another on a straight way, by even steps, between two stretches that are still beside
it; a pan wanders on the way, begins before and goes on after, or ends at what is the same scene, moved.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal, TypeAlias

CutKind: TypeAlias = Literal["hard", "fade", "gradual"]

_DARK, _WHITE = 12.0, 243.0
_NEIGHBOURS = 2
_SLIDE = 25

_GRADUAL_CHANGE = 5 / 3
_STRAIGHT, _STEP, _DRIFT, _BETWEEN, _ALIKE, _FLAT = 0.4, 0.24, 1.0, 0.15, 0.25, 8.0
"""Limits of a gradual change: see ``Gradual``. They part the labelled clips of benchmarks/scenes.py with
room to spare."""


@dataclass(frozen=True, slots=True)
class Measure:
    """One picture: its pts, how much it differs from the one before (mean absolute differences of the
    three planes, added: 0 to 765), its mean brightness (0 to 255, black to white), and a tiny signature
    of its brightness to tell a flash by."""

    pts: int
    change: float
    brightness: float
    signature: bytes


@dataclass(frozen=True, slots=True)
class Gradual:
    """What a change over several pictures measures, on a coarse grid.

    Attributes:
        first, last: the pts of the last picture before it and of the first one after it.
        middle: the pts of the picture in its middle.
        change: how much these two differ (0 to 765).
        path: the changes from picture to picture, added; as large as ``change`` on a straight way.
        step: the largest of them.
        drift: how fast the pictures before or after change beside it (1: as fast as within it).
        outside: by how much the middle picture lies outside of the other two, as a share of ``change``.
        alike: how clearly the two show the same, moved or in another light (0 to 1).
    """

    first: int
    last: int
    middle: int
    change: float
    path: float
    step: float
    drift: float = 0.0
    outside: float = 0.0
    alike: float = 0.0

    @property
    def strength(self) -> float:
        """The larger, the straighter and the stiller around it, the better it fits."""
        return self.change * self.change / max(self.path, 1e-6) / (1 + self.drift)


@dataclass(frozen=True, slots=True)
class Cut:
    """A scene's first picture: its pts, how the change came about, and the change there (0 to 765)."""

    pts: int
    kind: CutKind
    change: float


@dataclass(frozen=True, slots=True)
class SceneRules:
    """What counts as a cut.

    Attributes:
        threshold: the least change; lower finds softer cuts, and more false ones.
        ratio: how many times the change must be the largest of those around it.
        min_length: the shortest scene in seconds; of two cuts nearer than that the sharper one stays.
        fades: whether to look for fades.
        gradual: whether to look for dissolves and wipes, of 0.4 to about 1 s.
    """

    threshold: float = 18.0
    ratio: float = 2.0
    min_length: float = 0.6
    fades: bool = True
    gradual: bool = True


def may_be_gradual(change: float, path: float, step: float, rules: SceneRules) -> bool:
    """Whether a change over several pictures is worth measuring whole; see ``Gradual``."""
    least = _GRADUAL_CHANGE * rules.threshold
    return change >= max(least, _STRAIGHT * path) and step <= _STEP * change


def is_flat(contrast: float) -> bool:
    """Whether a picture (the standard deviation of its brightness, 0 to 128) shows nothing: what leads to it
    or from it is a fade."""
    return contrast < _FLAT


def decide_cuts(
    measures: Sequence[Measure], time_base: Fraction, rules: SceneRules, changes: Sequence[Gradual] = ()
) -> tuple[Cut, ...]:
    """The cuts among ``measures`` (every picture of the clip, in order) and the gradual ``changes``, each of
    which passed ``may_be_gradual``."""
    hard = _without_flashes(_hard(measures, rules), measures, _ticks(rules, time_base))
    cuts = [Cut(measures[i].pts, "hard", measures[i].change) for i in hard]
    if rules.fades:
        cuts += _fades(measures)
    if rules.gradual:
        cuts += _graduals(changes, [cut.pts for cut in cuts])
    return _spaced(cuts, measures, _ticks(rules, time_base))


def _ticks(rules: SceneRules, time_base: Fraction) -> int:
    return int(Fraction(str(rules.min_length)) / time_base)


def _hard(measures: Sequence[Measure], rules: SceneRules) -> list[int]:
    found = []
    for i in range(1, len(measures)):
        change = measures[i].change
        if change < rules.threshold:
            continue
        around = [*measures[max(1, i - _NEIGHBOURS) : i], *measures[i + 1 : i + 1 + _NEIGHBOURS]]
        if change >= rules.ratio * max((m.change for m in around), default=0.0):
            found.append(i)
    return found


def _without_flashes(hard: list[int], measures: Sequence[Measure], shortest: int) -> list[int]:
    """Takes out what something flashes up at: soon after, there is much the same picture as before."""
    kept: list[int] = []
    until = -1
    for i in hard:
        if i <= until:
            continue
        back = _back_at(i, measures, shortest)
        if back is None:
            kept.append(i)
        else:
            until = back
    return kept


def _back_at(i: int, measures: Sequence[Measure], shortest: int) -> int | None:
    """The picture, less than ``shortest`` ticks after the change at ``i``, that is much the same as the one
    before it; None where there is none, or where brightness does not tell."""
    before, near = measures[i - 1].signature, measures[i].change / 4
    if _apart(before, measures[i].signature) < near:
        return None
    for j in range(i + 1, len(measures)):
        if measures[j].pts - measures[i].pts >= shortest:
            return None
        if _apart(before, measures[j].signature) < near / 2:
            return j
    return None


def _apart(a: bytes, b: bytes) -> float:
    return sum(abs(x - y) for x, y in zip(a, b, strict=True)) / max(1, len(a))


def _fades(measures: Sequence[Measure]) -> list[Cut]:
    levels = [m.brightness for m in measures]
    cuts = []
    start: int | None = None
    for i in range(len(levels) + 1):
        flat = i < len(levels) and not _DARK < levels[i] < _WHITE
        if flat and start is None:
            start = i
        elif not flat and start is not None:
            # Black at the clip's very beginning or end parts no two scenes.
            before, after = levels[max(0, start - _SLIDE) : start], levels[i : i + _SLIDE]
            if (
                before
                and after
                and _slides([*before, levels[start]][::-1])
                and _slides([levels[i - 1], *after])
            ):
                middle = measures[(start + i) // 2]
                cuts.append(Cut(middle.pts, "fade", max(abs(b - middle.brightness) for b in before)))
            start = None
    return cuts


def _graduals(changes: Sequence[Gradual], others: Sequence[int]) -> list[Cut]:
    """The best of the changes that overlap, where no cut of another kind lies in or near them."""
    kept: list[Gradual] = []
    for change in sorted(changes, key=lambda c: -c.strength):
        length = change.last - change.first
        fits = change.drift <= _DRIFT and change.outside <= _BETWEEN and change.alike <= _ALIKE
        if (
            fits
            and all(change.last < other.first or change.first > other.last for other in kept)
            and not any(change.first - length <= pts <= change.last + length for pts in others)
        ):
            kept.append(change)
    return [Cut(change.middle, "gradual", change.change) for change in kept]


def _slides(levels: Sequence[float]) -> bool:
    """Whether the brightness leaves ``levels[0]`` by degrees: no more than half of its way in one step."""
    return abs(levels[1] - levels[0]) <= max(abs(level - levels[0]) for level in levels) / 2


def _spaced(cuts: Sequence[Cut], measures: Sequence[Measure], shortest: int) -> tuple[Cut, ...]:
    """Drops cuts that would leave a scene shorter than ``shortest`` ticks, the softer ones first."""
    if not measures:
        return ()
    edges = [measures[0].pts, measures[-1].pts + 1]
    kept: list[Cut] = []
    for cut in sorted(cuts, key=lambda c: (-c.change, c.pts)):
        if all(abs(cut.pts - edge) >= shortest for edge in edges):
            kept.append(cut)
            edges.append(cut.pts)
    return tuple(sorted(kept, key=lambda c: c.pts))
