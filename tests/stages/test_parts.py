"""An answer to several presets, read as models write it: what is there is taken, what is not is null."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from visionpipe.errors import ParameterError
from visionpipe.prompts import presets
from visionpipe.prompts.presets import Preset, preset_recorded, together
from visionpipe.stages.parts import PartsSchema, assess_parts
from visionpipe.stages.plain_text import form_of, plain_text
from visionpipe.stages.schema import MisfitError

BOTH = together(presets.caption, presets.tags)
SCHEMA = PartsSchema(BOTH)
WHOLE: dict[str, Any] = {"caption": "A cat sleeps.", "tags": ["cat", "fur"]}


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (json.dumps(WHOLE), WHOLE),
        (f"Sure! Here it is:\n```json\n{json.dumps(WHOLE)}\n```", WHOLE),
        (json.dumps([WHOLE]), WHOLE),
        ('{"Caption": "A cat sleeps.", "TAGS": "cat, fur", "mood": "calm"}', WHOLE),
        ('{"caption": "A cat sleeps.", "tags": {"tags": ["cat", "fur"]}}', WHOLE),
        ("Caption: A cat sleeps.\nTags: cat, fur", WHOLE),
        ("1. **caption**: A cat sleeps.\n2. **tags**:\n- cat\n- fur", WHOLE),
        ('### Tags\uff1a["cat", "fur"]\n### Caption\uff1aA cat sleeps.', WHOLE),
        ('{"caption": "A cat sleeps."}', {"caption": "A cat sleeps.", "tags": None}),
        ('{"caption": " ", "tags": ["cat", "fur"]}', {"caption": None, "tags": ["cat", "fur"]}),
        ('{"caption": "A cat sleeps.", "tags": [1, 2]}', {"caption": "A cat sleeps.", "tags": None}),
    ],
)
def test_what_models_write(said: str, expected: dict[str, Any]) -> None:
    assert SCHEMA.read(said) == (expected, expected)


@pytest.mark.parametrize(
    "said", ["", "A cat sleeps.", "{}", '{"caption": "A cat", "tags": ["c', "[1, 2]", "caption:"]
)
def test_what_holds_none_of_it_is_no_answer(said: str) -> None:
    with pytest.raises(MisfitError):
        SCHEMA.read(said)


def test_labels_count_in_finished_answers_only() -> None:
    with pytest.raises(MisfitError):
        SCHEMA.read("Caption: A cat\nTags: cat, or", cut_off=True)


@given(st.text(min_size=1).filter(str.strip), st.lists(st.text(), max_size=20))
def test_a_document_gives_its_own_values(caption: str, tags: list[str]) -> None:
    whole = {"caption": caption, "tags": tags}
    data, _ = SCHEMA.read(json.dumps(whole))
    assert data == {"caption": caption.strip(), "tags": tags}


@given(st.text())
def test_no_text_breaks_the_reading(said: str) -> None:
    try:
        data, _ = SCHEMA.read(said)
    except MisfitError:
        return
    assert list(data) == ["caption", "tags"]
    assert any(value is not None for value in data.values())


def test_words_texts_and_notes() -> None:
    form = form_of(BOTH, "photo of ", " -- me")
    assert SCHEMA.words(WHOLE, "raw") == "A cat sleeps."
    assert plain_text("", WHOLE, form).text == "photo of A cat sleeps. cat, fur -- me"
    turned = together(presets.tags, presets.caption)
    assert PartsSchema(turned).words(WHOLE, "raw") == "cat, fur"
    assert plain_text("", WHOLE, form_of(turned)).text == "cat, fur, A cat sleeps."
    half: dict[str, Any] = {"caption": None, "tags": ["cat"]}
    assert SCHEMA.words(half, "raw") == ""
    assert plain_text("", half, form_of(BOTH)).text == "cat"
    assert [note.kind for note in assess_parts(half, BOTH, "en")] == ["part_missing"]
    long = {**WHOLE, "caption": "word " * 100}
    assert "caption: 499 characters" in str(assess_parts(long, BOTH, "en"))
    page = together(presets.ocr, presets.caption)
    assert (
        plain_text("", {"ocr": "# A\n\nB", "caption": "A page."}, form_of(page)).text == "# A\n\nB\n\nA page."
    )


def test_what_together_makes() -> None:
    assert together(presets.tags) is presets.tags
    assert BOTH.max_tokens is not None
    assert BOTH.max_tokens > 700
    assert list(BOTH.schema["properties"]) == ["caption", "tags"]  # type: ignore[index]  # a mapping
    own = Preset("mood", "What mood?", "\u4ec0\u4e48\u60c5\u7eea?", thinking=None)
    three = together(BOTH, own)
    assert [part.name for part in three.parts] == ["caption", "tags", "mood"]
    assert three.thinking is None
    for wrong in ((), (presets.tags, presets.tags), (BOTH, presets.tags)):
        with pytest.raises(ParameterError):
            together(*wrong)
    with pytest.raises(ParameterError, match="inside another"):
        together(presets.caption, Preset("deep", "?", "?", schema={"$defs": {}, "type": "object"}))


def test_a_journal_tells_what_was_asked() -> None:
    schema = SCHEMA.json_schema
    assert preset_recorded(presets.tags.text("zh"), None) is presets.tags
    assert preset_recorded("What?", None) is None
    assert preset_recorded("What?", {"title": "a+b", "properties": {"c": {}}}) is None
    assert preset_recorded(BOTH.text(), schema) == BOTH
    own = Preset("mood", "What mood?", "?")
    asked = together(presets.caption, own)
    found = preset_recorded(asked.text(), PartsSchema(asked).json_schema)
    assert found is not None
    assert [part.name for part in found.parts] == ["caption", "mood"]
