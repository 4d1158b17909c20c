"""Whole documents are found whatever stands around them; broken ones are never guessed at."""

from __future__ import annotations

import threading
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from visionpipe.wire.tolerant_json import NoJSONError, read_tolerant

texts = st.text(st.sampled_from('ab "\\{}[],:\n中`'), max_size=8)
values = st.recursive(
    st.none() | st.booleans() | st.integers(-99, 99) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)
documents = st.lists(values, min_size=1, max_size=3) | st.dictionaries(texts, values, min_size=1, max_size=3)
prose = st.sampled_from(["", "Here it is:\n", "Sure! (as asked) ", "如下：\n", "See [1] below.\n"])


@given(documents, prose.filter(lambda p: "[" not in p), st.sampled_from(["", "\nDone.", "\n以上。"]))
def test_a_document_in_prose(value: Any, before: str, after: str) -> None:
    assert read_tolerant(before + orjson.dumps(value).decode() + after) == value


@given(documents, st.sampled_from(["json", "", "JSON"]), st.booleans())
def test_a_document_in_a_fence(value: Any, tag: str, indented: bool) -> None:
    text = orjson.dumps(value, option=orjson.OPT_INDENT_2 if indented else None).decode()
    if "```" not in text:
        assert read_tolerant(f"Well:\n```{tag}\n{text}\n```\nThat is {{all}}.") == value


@given(documents)
def test_a_document_cut_off_is_none(value: Any) -> None:
    text = orjson.dumps({"whole": value}).decode()
    with pytest.raises(NoJSONError):
        # Inner documents may be whole, so the cut goes before the first of them ends.
        read_tolerant(text[: text.index(":") + 1])


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('{"a": [1, 2, ], "b": {"c": "x,}", }, }', {"a": [1, 2], "b": {"c": "x,}"}}),
        ('{"a": "quote \\", }"}', {"a": 'quote ", }'}),
        ('{"a": "\\\\", }', {"a": "\\"}),
        ('I saw {two} cats: {"cats": 2}', {"cats": 2}),
        ("42", 42),
        ('"text"', "text"),
        ('See [1]: {"a": 1}', {"a": 1}),
    ],
)
def test_examples(text: str, value: Any) -> None:
    assert read_tolerant(text) == value


@pytest.mark.parametrize("text", ["", "no data", '{"a": 1', "{'a': 1", "{a: 1}", '{"a": tru}', "[1, 2"])
def test_what_is_no_json(text: str) -> None:
    with pytest.raises(NoJSONError):
        read_tolerant(text)


@given(st.text(st.sampled_from('{}[]",:\\ a1\n`'), max_size=60))
def test_no_text_does_worse_than_that(text: str) -> None:
    try:
        read_tolerant(text)
    except NoJSONError as error:
        assert "no whole JSON" in str(error)


@pytest.mark.parametrize(
    "text",
    ["[" * 100_000, '{"a":' * 20_000, '{"a":1,' * 20_000, "{a " * 20_000 + "}" * 20_000, '"[\\' * 30_000],
    ids=["brackets", "nested", "pairs", "closed", "escapes"],
)
def test_a_model_that_repeats_itself_holds_nobody_up(text: str) -> None:
    said: list[str] = []

    def read() -> None:
        try:
            read_tolerant(text)
        except NoJSONError as error:
            said.append(str(error))

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    reader.join(20)
    assert [error[:39] for error in said] == ["the answer holds no whole JSON document"]


def test_a_document_behind_thousands_of_brackets_is_found() -> None:
    assert read_tolerant("[x] " * 5000 + "```" + " " * 5000 + '{"a": [1]}') == {"a": [1]}
