"""Spans cover the clip, keep to its scenes and to whole ticks."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from visionpipe.clips.scenes import Scene
from visionpipe.errors import ParameterError
from visionpipe.values import Timecode
from visionpipe.video.spans import plan_spans, usual_longest

BASES = [Fraction(1, 25), Fraction(1, 1000), Fraction(1, 90_000), Fraction(1001, 30_000)]


def scenes(bounds: list[int], base: Fraction) -> list[Scene]:
    moments = [Timecode(b, base) for b in bounds]
    return [Scene(i, a, b) for i, (a, b) in enumerate(pairwise(moments))]


@given(
    st.lists(st.integers(1, 10**6), min_size=1, max_size=8, unique=True),
    st.sampled_from(BASES),
    st.one_of(st.none(), st.floats(5, 600)),
)
def test_no_gap_no_overlap_and_no_span_over_a_cut(
    ends: list[int], base: Fraction, longest: float | None
) -> None:
    bounds = [0, *sorted(ends)]
    plans = plan_spans(scenes(bounds, base), longest)
    assert [p.index for p in plans] == list(range(len(plans)))
    assert plans[0].start.pts == 0
    assert plans[-1].end.pts == bounds[-1]
    assert all(a.end == b.start for a, b in pairwise(plans))
    assert set(bounds) <= {p.start.pts for p in plans} | {bounds[-1]}
    limit = Fraction(str(longest)) if longest else usual_longest(bounds[-1] * base)
    assert all(0 < p.seconds <= limit + base for p in plans)


@pytest.mark.parametrize(
    ("duration", "longest"), [(1, 2), (16, 2), (20, 2.5), (80, 10), (119, 14.875), (120, 15), (3600, 15)]
)
def test_the_usual_span_is_an_eighth_of_the_clip_from_2_to_15_seconds(duration: int, longest: float) -> None:
    assert usual_longest(Fraction(duration)) == Fraction(longest)


def test_a_clip_without_a_cut_is_eight_spans() -> None:
    plans = plan_spans(scenes([0, 80_000], Fraction(1, 1000)))
    assert [plan.seconds for plan in plans] == [10] * 8


def test_a_clip_of_no_length_is_one_span() -> None:
    (plan,) = plan_spans(scenes([0, 0], BASES[0]))
    assert plan.seconds == 0
    assert plan.frame_times(3) == (Fraction(0),)


def test_a_damaged_header_s_duration_makes_no_endless_plan() -> None:
    with pytest.raises(ParameterError, match="Allow longer"):
        plan_spans(scenes([0, 10**12], BASES[0]))


@pytest.mark.parametrize("longest", [0, -1, float("nan"), float("inf")])
def test_a_length_that_is_none(longest: float) -> None:
    with pytest.raises(ParameterError):
        plan_spans(scenes([0, 100], BASES[0]), longest)
