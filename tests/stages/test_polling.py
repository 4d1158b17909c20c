"""How long to wait between two questions: it grows to a limit, and what the service asks for is a floor."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from visionpipe.stages.retry import LONG, PollPolicy


@pytest.mark.parametrize(("policy", "most"), [(PollPolicy(), 15), (LONG, 60)])
def test_waits_grow_to_a_limit(policy: PollPolicy, most: float) -> None:
    waits = [policy.seconds(n) for n in range(1, 40)]
    assert waits == sorted(waits)
    assert 1 <= waits[0] < waits[1]
    assert waits[-1] == most


@given(st.integers(1, 50), st.floats(0, 500))
def test_a_floor_is_never_undercut(asked: int, floor: float) -> None:
    assert PollPolicy().seconds(asked, floor) == max(PollPolicy().seconds(asked), floor)
