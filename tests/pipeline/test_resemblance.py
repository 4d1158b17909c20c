"""How near duplicates are named, and what is no name for them."""

from __future__ import annotations

from typing import Any

import pytest

from visionpipe.errors import ParameterError
from visionpipe.pipeline.near_duplicates import DEFAULT_LIKENESS, Bits, Features, near_rule
from visionpipe.pipeline.pipeline import Pipeline


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        (None, None),
        (0, Bits(0)),
        (11, Bits(11)),
        ("3", Bits(3)),
        ("features", Features(DEFAULT_LIKENESS)),
        (" Features:0.95", Features(0.95)),
        ("features:0.5", Features(0.5)),
        ("features:1", Features(1.0)),
    ],
)
def test_what_is_meant(given: int | str | None, meant: Bits | Features | None) -> None:
    assert near_rule(given) == meant


@pytest.mark.parametrize(
    "given",
    ["", "feature", "features:", "features:high", "features:0.49", "features:1.01", "features:nan", "3.5"],
)
def test_what_means_nothing_is_refused_with_what_would(given: str) -> None:
    with pytest.raises(ParameterError, match=r"0 to 11 .* features, or features: .* 0\.5 to 1") as raised:
        Pipeline("What is it?", near_duplicates=given)
    assert raised.value.subject == "near_duplicates"


@pytest.mark.parametrize("given", [-1, 12, "12", "-1"])
def test_bits_out_of_range_are_refused(given: Any) -> None:
    with pytest.raises(ParameterError, match="Give 0 to 11 of 64 bits"):
        Pipeline("What is it?", near_duplicates=given)
