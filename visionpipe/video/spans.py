"""From scenes to spans: the stretches of a clip that one description each is asked for.

Pure, and in whole ticks; the spans cover the clip from its first picture to its end, without gap
or overlap, and none reaches over a cut.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from visionpipe.clips.sampling import MOST_TIMES, spread
from visionpipe.clips.scenes import Scene
from visionpipe.errors import ParameterError
from visionpipe.values import Timecode

_SHORTEST, _LONGEST, _USUAL = Fraction(2), Fraction(15), 8


@dataclass(frozen=True, slots=True)
class SpanPlan:
    """[start, end) counted from the clip's first picture, and the scene it lies in."""

    index: int
    scene: int
    start: Timecode
    end: Timecode

    @property
    def seconds(self) -> Fraction:
        return self.end.exact - self.start.exact

    def frame_times(self, count: int) -> tuple[Fraction, ...]:
        """``count`` moments in seconds, evenly spread over the span."""
        return spread(count, self.start.exact, self.end.exact)


def usual_longest(duration: Fraction) -> Fraction:
    """The longest span where the caller names none: an eighth of the clip, 2 s at least and 15 at most."""
    return min(max(duration / _USUAL, _SHORTEST), _LONGEST)


def plan_spans(scenes: Sequence[Scene], longest: float | None = None) -> tuple[SpanPlan, ...]:
    """One span a scene; a scene longer than ``longest`` seconds becomes several, as even as ticks allow.

    Raises:
        ParameterError: ``longest`` is not over 0.
    """
    if longest is not None and not (longest > 0 and math.isfinite(longest)):
        raise ParameterError(
            f"{longest} s is no length of a span", cure="Give a number over 0.", subject="longest"
        )
    duration = scenes[-1].end.exact
    limit = usual_longest(duration) if longest is None else Fraction(str(longest))
    if duration / limit > MOST_TIMES:
        raise ParameterError(
            f"spans of {float(limit):g} s of a clip of {float(duration):.0f} s are more than {MOST_TIMES:,}",
            cure="Allow longer ones.",
            subject="longest",
        )
    plans: list[SpanPlan] = []
    for scene in scenes:
        ticks = scene.end.pts - scene.start.pts
        parts = min(math.ceil((scene.end.exact - scene.start.exact) / limit), ticks) or 1
        bounds = [Timecode(scene.start.pts + ticks * k // parts, scene.start.time_base) for k in range(parts)]
        for start, end in zip(bounds, [*bounds[1:], scene.end], strict=True):
            plans.append(SpanPlan(len(plans), scene.index, start, end))
    return tuple(plans)
