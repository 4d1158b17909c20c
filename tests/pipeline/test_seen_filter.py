"""What was added is never denied; most of what was not is."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from visionpipe.pipeline.journal import SeenFilter


@given(st.lists(st.text(st.characters()), max_size=50))
def test_nothing_added_is_denied(texts: list[str]) -> None:
    seen = SeenFilter()
    for text in texts:
        seen.add(text)
    assert all(seen.may_hold(text) for text in texts)


def test_most_others_are_denied() -> None:
    seen = SeenFilter()
    for number in range(20_000):
        seen.add(f"photos/{number}.jpg")
    wrong = sum(seen.may_hold(f"other/{number}.jpg") for number in range(20_000))
    assert wrong < 400
