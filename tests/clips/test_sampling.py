"""The plans' arithmetic."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from visionpipe.clips.frames import Even, Every, PerScene, fit_count, sample_times
from visionpipe.errors import ContextLimitError, ParameterError

durations = st.fractions(min_value=0, max_value=7200, max_denominator=90_000)


@given(durations, st.integers(1, 60))
def test_even_times_lie_in_their_own_shares(duration: Fraction, count: int) -> None:
    times = sample_times(Even(count), duration)
    assert len(times) == (count if duration else 1)
    for number, moment in enumerate(times):
        assert duration * number / count <= moment <= duration * (number + 1) / count


@given(durations, st.sampled_from([0.1, 0.5, 1.0, 2.5, 10_000.0]))
def test_every_step_starts_at_zero_and_stays_inside(duration: Fraction, seconds: float) -> None:
    times = sample_times(Every(seconds), min(duration, Fraction(60)))
    assert times[0] == 0
    assert all(t < duration for t in times[1:])


@given(st.lists(durations, min_size=2, max_size=9, unique=True), st.integers(1, 4))
def test_each_scene_has_its_pictures(bounds: list[Fraction], count: int) -> None:
    bounds.sort()
    scenes = list(pairwise(bounds))
    times = sample_times(PerScene(count), bounds[-1], scenes)
    for start, end in scenes:
        assert sum(start <= t < end for t in times) == count


@given(durations, st.integers(1, 50), st.integers(1, 3000), st.integers(1, 30_000))
def test_the_count_fits_model_and_budget(duration: Fraction, images: int, tokens: int, budget: int) -> None:
    if tokens > budget:
        with pytest.raises(ContextLimitError):
            fit_count(duration, max_images=images, tokens_per_image=tokens, token_budget=budget)
        return
    count = fit_count(duration, max_images=images, tokens_per_image=tokens, token_budget=budget)
    assert 1 <= count <= images
    assert count * tokens <= budget


def test_no_endless_plan() -> None:
    with pytest.raises(ParameterError, match="longer step"):
        sample_times(Every(0.001), Fraction(10_000))


def test_without_known_limits_the_density_decides() -> None:
    assert fit_count(Fraction(10), max_images=None) == 10
    assert fit_count(Fraction(0), max_images=None) == 1
    assert fit_count(Fraction(1000), max_images=None) == 32
    assert fit_count(Fraction(10), max_images=None, per_second=0.2) == 2
