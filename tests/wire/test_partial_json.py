"""A document as it grows: never more than was written, and whole at the end."""

from __future__ import annotations

from typing import Any

import orjson
from hypothesis import given
from hypothesis import strategies as st

from visionpipe.wire.tolerant_json import PartialReader

texts = st.text(st.sampled_from("ab c中"), max_size=6)
values = st.recursive(
    st.booleans() | st.integers(0, 99) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(texts, values, min_size=1, max_size=4), st.integers(1, 9), st.booleans())
def test_it_ends_with_the_whole_document(value: dict[str, Any], size: int, fenced: bool) -> None:
    text = orjson.dumps(value).decode()
    whole = f"Here it is:\n```json\n{text}\n```\nDone." if fenced else text
    reader = PartialReader()
    found = [reader.feed(whole[at : at + size]) for at in range(0, len(whole), size)]
    grown = [step for step in found if step is not None]
    assert grown[-1] == value
    # Keys come in the order they are written, and none that is not.
    keys = list(value)
    assert all(list(step) == keys[: len(step)] for step in grown)


def test_nothing_new_is_nothing() -> None:
    reader = PartialReader()
    assert reader.feed("I see ") is None
    assert reader.feed('{"name": "Te') == {"name": "Te"}
    assert reader.feed("a") == {"name": "Tea"}
    assert reader.feed('"') is None
