"""Answers as models give them, and the one clean line that is made of each."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from visionpipe.stages.plain_text import TextForm, plain_text
from visionpipe.values import JSON

CASES = [
    (
        '```json\n{"tags": ["cat", "orange fur", "cat"]}\n```',
        "cat, orange fur",
        {"markdown_removed", "list_joined"},
    ),
    ("```\ncat, orange fur\n```", "cat, orange fur", {"markdown_removed"}),
    (
        'Here are the tags:\n```json\n["cat", "sofa"]\n```',
        "cat, sofa",
        {"preamble_removed", "markdown_removed", "list_joined"},
    ),
    ("- cat\n- orange fur", "cat, orange fur", {"list_joined"}),
    ("Here are some tags for this image:\n1. cat\n2. dog", "cat, dog", {"preamble_removed", "list_joined"}),
    (
        "Sure! Here is a caption:\n\n**An orange cat** sleeps on a *sofa*.",
        "An orange cat sleeps on a sofa.",
        {"preamble_removed", "markdown_removed"},
    ),
    ("**Caption:** A cat.", "A cat.", {"preamble_removed", "markdown_removed"}),
    ("Alt text: a `red` [door](http://a.b)", "a red door", {"preamble_removed", "markdown_removed"}),
    ('"A cat on a mat."', "A cat on a mat.", {"quotes_removed"}),
    ("好的，以下是这张图片的说明：一只猫在沙发上。", "一只猫在沙发上。", {"preamble_removed"}),
    ("标签：猫，沙发", "猫，沙发", {"preamble_removed"}),
    ("# A heading\nLine two", "A heading Line two", {"markdown_removed", "lines_joined"}),
]
AS_IT_IS = [
    "A cat.",
    "Here is a red car parked near a house: it is old.",
    "snake_case, __init__, 2*3*4 and a_b_c stay",
    'A sign reads "STOP" and another "GO"',
    "1. FC Union's fans cheer",
    "The image shows a cat: asleep",
    '{"a": 1, "b": "x"}',
    "**",
    "",
]


@pytest.mark.parametrize(("answer", "text", "notes"), CASES)
def test_what_is_no_part_of_the_text_is_taken_off_and_noted(answer: str, text: str, notes: set[str]) -> None:
    plain = plain_text(answer)
    assert plain.text == text
    assert {note.kind for note in plain.notes} == notes
    assert plain_text(plain.text).text == text


@pytest.mark.parametrize("answer", AS_IT_IS)
def test_plain_words_stay(answer: str) -> None:
    assert plain_text(answer).text == answer
    assert plain_text(answer).notes == ()


@given(st.text(max_size=200))
def test_a_text_is_one_line_and_every_change_is_noted(answer: str) -> None:
    plain = plain_text(answer)
    assert len(plain.text.splitlines()) <= 1
    if plain.text != " ".join(answer.split()):
        assert plain.notes


@given(st.text("abc ,.;'!?é猫", max_size=60))
def test_words_without_marks_stay(answer: str) -> None:
    assert plain_text(answer).text == " ".join(answer.split())


def test_data_is_said_in_words() -> None:
    tags = plain_text("{}", {"tags": ["cat", " orange  fur", "cat", ""]}, TextForm(field="tags"))
    assert (tags.text, tags.notes) == ("cat, orange fur", ())
    chart: JSON = {"kind": "bar", "summary": "It\nrises."}
    assert plain_text("{}", chart, TextForm(field="summary")).text == "It rises."
    assert plain_text("as it was", chart).text == "as it was"
    assert plain_text("as it was", chart, TextForm(field="nothing")).text == "as it was"
    assert plain_text("as it was", {"n": [1, 2]}, TextForm(field="n")).text == "as it was"


def test_prefix_and_suffix_are_put_on_as_they_are() -> None:
    form = TextForm(prefix="sks, ", suffix=" --end")
    assert plain_text("**A cat**", None, form).text == "sks, A cat --end"


def test_a_transcription_keeps_its_lines_and_marks() -> None:
    text = "# Menu\n\n- **Tea** 2\n- Coffee 3"
    assert plain_text(f"{text}\n", None, TextForm(layout=True)).text == text
