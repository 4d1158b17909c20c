"""The decision apart from the pictures."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from visionpipe.clips.cuts import Measure, SceneRules, decide_cuts

BASE = Fraction(1, 25)


@given(
    st.lists(st.tuples(st.floats(0, 300), st.floats(0, 255), st.binary(min_size=4, max_size=4)), max_size=80),
    st.floats(0.04, 3.0),
)
def test_cuts_are_pictures_of_the_clip_and_far_enough_apart(
    rows: list[tuple[float, float, bytes]], min_length: float
) -> None:
    measures = [Measure(i, *row) for i, row in enumerate(rows)]
    cuts = decide_cuts(measures, BASE, SceneRules(min_length=min_length))
    shortest = int(Fraction(str(min_length)) / BASE)
    edges = [0, *(c.pts for c in cuts), len(measures)]
    if cuts:
        assert all(b - a >= shortest for a, b in pairwise(edges))
    assert {c.pts for c in cuts} <= {m.pts for m in measures}


def test_the_sharper_of_two_near_cuts_stays() -> None:
    changes = {30: 60.0, 36: 90.0}
    measures = [
        Measure(i, changes.get(i, 1.0), 100.0, bytes([(i >= 30) * 90 + (i >= 36) * 90])) for i in range(80)
    ]
    assert [c.pts for c in decide_cuts(measures, BASE, SceneRules())] == [36]


def test_nothing_measured_nothing_cut() -> None:
    assert decide_cuts([], BASE, SceneRules()) == ()
