"""Where a clip is cut, decided from what each picture measures. Pure: no picture is touched here.

A cut is a picture that differs from the one before far more than its neighbours do from theirs;
a fade is a dark (or white) stretch that is slid into, not cut to; a flash is neither.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal, TypeAlias

CutKind: TypeAlias = Literal["hard", "fade"]

_DARK, _WHITE = 12.0, 243.0
_NEIGHBOURS = 2
_SLIDE = 25


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
    """

    threshold: float = 18.0
    ratio: float = 2.0
    min_length: float = 0.6
    fades: bool = True


def decide_cuts(measures: Sequence[Measure], time_base: Fraction, rules: SceneRules) -> tuple[Cut, ...]:
    """The cuts among ``measures`` (every picture of the clip, in order)."""
    hard = _without_flashes(_hard(measures, rules), measures, _ticks(rules, time_base))
    cuts = [Cut(measures[i].pts, "hard", measures[i].change) for i in hard]
    if rules.fades:
        cuts += _fades(measures)
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
    """Takes out pairs of cuts between which something flashes up: the picture after them is much the same
    as the one before."""
    kept: list[int] = []
    for i in hard:
        if kept and measures[i].pts - measures[kept[-1]].pts < shortest:
            before, after = measures[kept[-1] - 1], measures[i]
            if _apart(before.signature, after.signature) < measures[i].change / 4:
                kept.pop()
                continue
        kept.append(i)
    return kept


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
