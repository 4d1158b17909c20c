"""The table of what services say holds together, and every line of it says where it comes from."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from visionpipe.registry.dialects import RefusalRule, dialects

TABLE = dialects()


@pytest.mark.parametrize("rule", TABLE.rules, ids=lambda rule: rule.reason)
def test_every_rule_is_whole(rule: RefusalRule) -> None:
    assert re.search(r"\b20\d\d\b", rule.source) and "{" not in rule.source
    assert rule.cure.endswith(".") and rule.silent_cure.endswith(".")
    assert not rule.reason.endswith(".")
    assert all(code == code.lower() for code in rule.codes)
    assert all(first <= last for first, last in rule.statuses)


def test_no_code_of_one_dialect_stands_twice() -> None:
    codes = [code for rule in TABLE.rules if rule.dialect == "glm" for code in rule.codes]
    assert len(codes) == len(set(codes)) > 45


@given(st.lists(st.text()), st.text(), st.none() | st.integers(100, 599), st.text())
def test_there_is_a_rule_for_everything(codes: list[str], words: str, status: int | None, model: str) -> None:
    assert TABLE.rule(codes, words, status=status, dialect="openai", model_id=model).cure


@pytest.mark.parametrize(
    ("word", "ending"),
    [
        ("stop", "complete"),
        ("MAX_TOKENS", "cut"),
        ("Content_Filter", "filtered"),
        ("abort", "broken"),
        ("?", "complete"),
    ],
)
def test_finish_reasons_mean_the_same_in_any_case(word: str, ending: str) -> None:
    assert TABLE.ending(word) == ending


@pytest.mark.parametrize(
    ("model", "honoured"),
    [
        ("glm-4.6v", True),
        ("Pro/zai-org/GLM-4.6V", True),
        ("z-ai/glm-4.6v:free", True),
        ("aglm-4", False),
        (None, False),
    ],
)
def test_a_glm_model_brings_its_codes_along(model: str | None, honoured: bool) -> None:
    rule = TABLE.rule(["1113"], "", status=429, dialect="openai", model_id=model)
    assert (rule.dialect == "glm") is honoured
