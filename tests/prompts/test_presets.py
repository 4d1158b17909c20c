"""The presets say what they promise, in both languages."""

from __future__ import annotations

from typing import get_args

import pytest

from visionpipe.errors import ParameterError
from visionpipe.prompts import presets
from visionpipe.prompts.presets import LANGUAGES, PRESETS, Checks, Language, Preset


@pytest.mark.parametrize("preset", PRESETS.values(), ids=list(PRESETS))
def test_every_preset_speaks_both_languages(preset: Preset) -> None:
    english, chinese = preset.text("en"), preset.text("zh")
    assert english.isascii()
    assert sum("\u4e00" <= character <= "\u9fff" for character in chinese) > len(chinese) / 2
    assert "{" not in english + chinese


@pytest.mark.parametrize("preset", [p for p in PRESETS.values() if p.schema], ids=lambda p: p.name)
def test_a_preset_for_data_has_a_closed_schema(preset: Preset) -> None:
    assert isinstance(preset.schema, dict)
    assert preset.schema["required"] == list(preset.schema["properties"])
    assert preset.schema["additionalProperties"] is False
    assert "JSON" in preset.text("en")
    assert "JSON" in preset.text("zh")


def test_the_length_stands_in_the_prompt_and_is_halved_in_chinese() -> None:
    assert "125 characters" in presets.alt_text.text("en")
    assert "62个字" in presets.alt_text.text("zh")
    shorter = presets.alt_text.with_length(80)
    assert "80 characters" in shorter.text()
    assert shorter.checks.limit("zh") == 40
    assert presets.alt_text.checks.max_characters == 125


def test_a_length_must_make_sense() -> None:
    with pytest.raises(ParameterError, match="20 or more"):
        presets.alt_text.with_length(5)
    with pytest.raises(ParameterError, match="has no length"):
        presets.ocr.with_length(80)
    assert Checks().limit("en") is None


def test_names_are_forgiving_and_mistakes_are_explained() -> None:
    assert presets.named("Alt-Text") is presets.alt_text
    with pytest.raises(ParameterError, match=r"Did you mean caption\? There are: caption, alt_text"):
        presets.named("captoin")
    with pytest.raises(ParameterError, match=r"no such preset\. There are"):
        presets.named("zzz")


def test_an_unknown_language_is_an_error() -> None:
    languages: list[str] = [*LANGUAGES, "fr"]
    assert get_args(Language) == ("en", "zh")
    with pytest.raises(ParameterError, match="en and zh"):
        presets.caption.text(languages[-1])  # type: ignore[arg-type]  # what an untyped caller may pass


def test_a_preset_can_be_a_key() -> None:
    assert {presets.tags: 1}[presets.tags] == 1


def test_only_lists_that_would_run_on_have_a_most() -> None:
    def mosts(schema: object) -> list[object]:
        if isinstance(schema, dict):
            own = [schema.get("maxItems")] if schema.get("type") == "array" else []
            return own + [most for value in schema.values() for most in mosts(value)]
        return [most for value in schema for most in mosts(value)] if isinstance(schema, list) else []

    assert all(mosts(presets.tags.schema))
    assert None in mosts(presets.product.schema)
    assert all(most is None or most > 0 for most in mosts(presets.chart.schema))  # type: ignore[operator]  # a number


def test_twenty_characters_are_the_fewest() -> None:
    assert "20" in presets.alt_text.with_length(20).text()
    with pytest.raises(ParameterError, match="19 characters"):
        presets.alt_text.with_length(19)
