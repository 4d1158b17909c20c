"""What became of an item survives its own JSON, whatever it is."""

from __future__ import annotations

from decimal import Decimal

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from visionpipe.errors import AuthenticationError
from visionpipe.results import Failure, ItemResult, Outcome
from visionpipe.values import Adjustment, Money, Note, Usage

texts = st.text(st.characters(codec="utf-8"), max_size=12)
maybe = st.none() | texts
counts = st.integers(0, 10**6)
amounts = st.decimals(0, 10**6, places=6).map(Decimal)
results = st.builds(
    ItemResult,
    source=texts,
    outcome=st.sampled_from(Outcome),
    caption=maybe,
    data=st.recursive(
        st.none() | st.booleans() | st.integers(-(2**53), 2**53) | texts,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
        max_leaves=5,
    ),
    model=maybe,
    local=st.booleans(),
    usage=st.none() | st.builds(Usage, counts, counts, counts, counts),
    cost=st.none() | st.builds(Money, amounts, st.sampled_from(["CNY", "USD"])),
    finish_reason=maybe,
    adjustments=st.lists(st.builds(Adjustment, texts, texts, texts), max_size=2).map(tuple),
    notes=st.lists(st.builds(Note, texts, texts), max_size=2).map(tuple),
    request_id=maybe,
    attempts=counts,
    failure=st.none() | st.builds(Failure, texts, texts, texts, texts, st.booleans(), texts, maybe),
    reason=maybe,
    sha256=maybe,
    duplicate_of=maybe,
    seconds=st.integers(0, 10**6).map(lambda millis: millis / 1000),
)


@given(results)
def test_a_result_survives_json(result: ItemResult) -> None:
    line = orjson.dumps(result.to_json())
    again = ItemResult.from_json(orjson.loads(line))
    assert again == result
    assert orjson.dumps(again.to_json()) == line


def test_every_line_has_the_same_keys() -> None:
    bare = ItemResult("a.jpg", Outcome.SKIPPED)
    told = bare.to_json()
    assert [key for key, value in told.items() if value not in (None, [], False, 0)] == ["path", "outcome"]
    assert told.keys() == ItemResult("b.jpg", Outcome.DONE, usage=Usage(1, 2), caption="b").to_json().keys()


def test_a_record_of_another_shape_is_refused() -> None:
    told = ItemResult("a.jpg", Outcome.DONE).to_json()
    with pytest.raises(KeyError):
        ItemResult.from_json({key: value for key, value in told.items() if key != "sha256"})
    with pytest.raises(TypeError):
        ItemResult.from_json({**told, "notes": [{"kind": "a", "detail": "b", "more": "c"}]})


def test_a_failure_says_what_its_error_said() -> None:
    error = AuthenticationError("the key was refused", cure="Check it.", code="1000", request_id="vp-1")
    failure = Failure.of(error)
    assert failure.to_json() == {
        "error": "AuthenticationError",
        "code": "1000",
        "reason": "the key was refused",
        "cure": "Check it.",
        "retryable": False,
        "scope": "job",
        "request_id": "vp-1",
    }
