"""One plain sentence, whatever the facts are."""

from __future__ import annotations

import json
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from visionpipe.local.decide import BY_LABEL, COLOURS, FAMILIES
from visionpipe.local.facts import Box, Colour, Facts, Look, Objects, Subject, TextLine
from visionpipe.local.networks import label
from visionpipe.local.sentence import all_text, is_abstention, sentence, tags
from visionpipe.prompts.presets import LANGUAGES

shares = st.floats(0, 1)
boxes = st.builds(Box, shares, shares, shares, shares)
groups = st.builds(
    Objects, st.sampled_from(sorted(BY_LABEL)), shares, st.lists(boxes, min_size=1, max_size=14).map(tuple)
)
singles = st.builds(lambda i, p: Subject(i, label(i), None, p), st.integers(0, 999), shares)
families = st.builds(
    lambda f, p: Subject(min(f.indices), label(min(f.indices)), f.thing.english, p),
    st.sampled_from(FAMILIES),
    shares,
)
colours = st.lists(st.builds(Colour, st.sampled_from(sorted(COLOURS)), shares), unique_by=lambda c: c.name)
looks = st.builds(
    Look,
    colours.map(tuple),
    st.booleans(),
    st.booleans(),
    st.none() | shares,
    st.floats(0, 255),
    st.sampled_from(["dark", "normal", "bright"]),
)
lines = st.lists(st.builds(TextLine, st.text(min_size=1), shares), max_size=4)
all_facts = st.builds(
    Facts,
    sha256=st.just("0" * 64),
    format=st.just("png"),
    width=st.integers(1, 9),
    height=st.integers(1, 9),
    subject=st.none() | singles | families,
    guesses=st.just(()),
    objects=st.lists(groups, max_size=5, unique_by=lambda group: group.label).map(tuple),
    look=looks,
    text=st.none() | lines.map(tuple),
)

GOOD = Look(
    colours=(Colour("brown", 0.6), Colour("white", 0.2), Colour("red", 0.16)),
    grey=False,
    bilevel=False,
    sharpness=0.6,
    brightness=120.0,
    exposure="normal",
)
DIM = Look((Colour("grey", 1.0),), grey=True, bilevel=False, sharpness=0.1, brightness=20.0, exposure="dark")
CAT = Subject(281, "tabby", "cat", 0.92)
ESPRESSO = Subject(967, "espresso", None, 0.96)
WHOLE = Box(0.0, 0.0, 1.0, 1.0)
SMALL = Box(0.0, 0.0, 0.1, 0.1)


def facts(
    subject: Subject | None = None, *objects: Objects, look: Look = GOOD, text: tuple[str, ...] | None = None
) -> Facts:
    read = None if text is None else tuple(TextLine(line, 0.99) for line in text)
    return Facts("0" * 64, "png", 4, 3, subject, (), objects, look, read)


@given(all_facts)
@settings(max_examples=200)
def test_always_one_english_sentence(found: Facts) -> None:
    said = sentence(found, "en")
    unquoted = re.sub(r'"[^"]*"', "", said)
    assert said.startswith("A ")
    assert said.endswith(".")
    assert "  " not in said
    assert said == said.strip()
    assert not re.search(r"[.!?]\s", unquoted)
    assert unquoted.count(".") == 1
    assert '"' not in unquoted


@given(all_facts)
@settings(max_examples=200)
def test_always_one_chinese_sentence(found: Facts) -> None:
    said = sentence(found, "zh")
    unquoted = re.sub("“[^”]*”", "", said)
    assert said.startswith("一张")
    assert said.endswith("。")
    assert unquoted.count("。") == 1
    assert "  " not in said
    assert "“" not in unquoted
    assert "”" not in unquoted


@given(all_facts)
@settings(max_examples=100)
def test_facts_are_json(found: Facts) -> None:
    record = json.loads(json.dumps(found.to_json()))
    assert record["shape"] in {"landscape", "portrait", "square"}
    assert sum(o["count"] for o in record["objects"]) == sum(len(g.boxes) for g in found.objects)


@pytest.mark.parametrize(
    ("found", "english", "chinese"),
    [
        (
            facts(CAT),
            "A photo of a cat, mostly brown and white.",
            "一张照片，画面中有一只猫，以棕色和白色为主。",
        ),
        (
            facts(CAT, Objects("cat", 0.9, (WHOLE, SMALL)), Objects("couch", 0.6, (SMALL,))),
            "A photo of two cats with a couch, mostly brown and white.",
            "一张照片，画面中有两只猫和一张沙发，以棕色和白色为主。",
        ),
        (
            facts(ESPRESSO, look=DIM),
            "A dark, blurred, black-and-white photo of an espresso.",
            "一张较暗、模糊的黑白照片，画面中有一杯浓缩咖啡。",
        ),
        (
            facts(None),
            "A photo whose subject the local analysis cannot name, mostly brown and white.",
            "一张照片，本地分析无法判断其主体，以棕色和白色为主。",
        ),
        (
            facts(ESPRESSO, Objects("person", 0.9, (WHOLE,)), Objects("knife", 0.9, (SMALL, SMALL))),
            "A photo of a person with an espresso and two knives, mostly brown and white.",
            "一张照片，画面中有一个人、一杯浓缩咖啡和两把刀，以棕色和白色为主。",
        ),
        (
            facts(ESPRESSO, Objects("person", 0.9, (SMALL,))),
            "A photo of an espresso with a person, mostly brown and white.",
            "一张照片，画面中有一杯浓缩咖啡和一个人，以棕色和白色为主。",
        ),
        (
            facts(None, text=("Chapter one.", "It was", "late")),
            'A photo of text, mostly brown and white, beginning "Chapter one".',
            "一张照片，内容为文字，以棕色和白色为主，开头为“Chapter one”。",
        ),
        (
            facts(CAT, text=('"NO ENTRY"',)),
            "A photo of a cat, mostly brown and white, with text that reads \"'NO ENTRY'\".",
            "一张照片，画面中有一只猫，以棕色和白色为主，其中的文字为“'NO ENTRY'”。",
        ),
    ],
)
def test_what_is_said(found: Facts, english: str, chinese: str) -> None:
    assert sentence(found) == english
    assert sentence(found, "zh") == chinese


def test_the_wider_word_where_the_class_is_not_sure() -> None:
    bike = Objects("motorcycle", 0.8, (WHOLE,))
    assert "of a motorcycle," in sentence(facts(Subject(665, "moped", None, 0.53), bike))
    assert "of a moped," in sentence(facts(Subject(665, "moped", None, 0.95), bike))


def test_a_long_line_of_text_is_cut_at_a_word() -> None:
    said = sentence(facts(None, text=("word " * 30, "two", "three")))
    assert said.endswith('word…".')
    assert len(said) < 140


def test_a_line_of_marks_alone_is_not_quoted() -> None:
    assert '"' not in sentence(facts(CAT, text=("...",)))


@given(all_facts)
@settings(max_examples=100)
def test_tags_are_short_and_each_is_once(found: Facts) -> None:
    for lang in LANGUAGES:
        named = tags(found, lang)
        assert len(set(named)) == len(named) <= 10
        assert all(tag and tag == tag.strip() for tag in named)
    assert is_abstention(found) == ("cannot name" in sentence(found, "en").partition('"')[0])


def test_tags_come_from_labels_counts_traits_and_colours() -> None:
    two = Objects("cat", 0.9, (WHOLE, SMALL))
    assert tags(facts(CAT, two, Objects("couch", 0.6, (SMALL,)))) == ["two cats", "couch", "brown", "white"]
    assert tags(facts(ESPRESSO)) == ["espresso", "brown", "white"]
    assert tags(facts(look=DIM)) == ["dark", "blurred", "black and white"]
    assert tags(facts(CAT, two), "zh") == ["两只猫", "棕色", "白色"]
    assert tags(facts(text=("One", "two", "three")))[0] == "text"


def test_all_text_is_every_line_or_the_mark_of_none() -> None:
    assert all_text(facts(text=("One", "two"))) == "One\ntwo"
    assert all_text(facts(text=())) == "[no text]"
