"""A document as it grows: never more than was written, and whole at the end."""

from __future__ import annotations

import sys
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from visionpipe.wire.stream import COPIES_A_LETTER, PartialReader

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


def rows_in_pieces(rows: int) -> list[str]:
    listed = [{"name": f"Tea no. {row}", "price": row + 0.5, "tags": ["a", "b"]} for row in range(rows)]
    text = orjson.dumps(listed).decode()
    return [text[at : at + 4] for at in range(0, len(text), 4)]


def work(pieces: list[str]) -> tuple[int, int]:
    """How many calls it takes to show a document in these pieces, and how many entries are copied."""
    reader, calls = PartialReader(), 0

    def count(frame: Any, event: str, argument: Any) -> None:
        nonlocal calls
        calls += event in ("call", "c_call")

    before = sys.getprofile()
    sys.setprofile(count)
    try:
        for piece in pieces:
            reader.feed(piece)
    finally:
        sys.setprofile(before)
    return calls, reader.copied


def test_the_work_is_linear_in_the_answers_length() -> None:
    short, long = rows_in_pieces(300), rows_in_pieces(1200)
    (calls, copied), (more_calls, more_copied) = work(short), work(long)
    assert more_calls < 4.4 * calls
    assert copied <= COPIES_A_LETTER * 4 * len(short)
    assert more_copied <= COPIES_A_LETTER * 4 * len(long)


def test_one_endless_string_is_shown_without_copying_it_each_time() -> None:
    reader = PartialReader()
    seen = [reader.feed(piece) for piece in ['{"a": "', *["x" * 10] * 5000]]
    lengths = [len(step["a"]) for step in seen if step is not None]
    assert lengths == sorted(set(lengths))
    assert lengths[-1] > 40_000
    assert reader.copied <= COPIES_A_LETTER * 50_007


def test_every_row_of_a_long_list_is_shown_soon_and_what_was_shown_stays() -> None:
    reader = PartialReader()
    shown = [step for step in map(reader.feed, rows_in_pieces(2000)) if step is not None]
    lengths = [len(step) for step in shown]
    assert lengths == sorted(lengths)
    assert lengths[0] == 0 or shown[0] == [{}]
    assert len(set(lengths)) > 1900
    assert shown[-1][-1] == {"name": "Tea no. 1999", "price": 1999.5, "tags": ["a", "b"]}


@given(st.lists(st.integers(1, 7), min_size=1, max_size=40))
def test_cuts_make_no_difference_to_the_end(sizes: list[int]) -> None:
    text = """So {'a': 'it\\'s \\ud83d\\ude00', /* x */ "b": [1, -2.5e3, True, None,], "c": {"d": "\\n"}}"""
    reader, at = PartialReader(), 0
    shown = []
    for size in sizes * len(text):
        shown.append(reader.feed(text[at : at + size]))
        at += size
        if at >= len(text):
            break
    last = [step for step in shown if step is not None][-1]
    assert last == {"a": "it's 😀", "b": [1, -2500.0, True, None], "c": {"d": "\n"}}


@pytest.mark.parametrize("text", ["{name: 1} {}", '{"a": 1 1} {"b": 2}', '["a" "b"] [1]'])
def test_nothing_is_shown_behind_a_broken_document(text: str) -> None:
    reader = PartialReader()
    shown = [reader.feed(letter) for letter in text]
    assert {"b": 2} not in shown
    assert [1] not in shown


def test_brackets_in_prose_are_passed_over() -> None:
    reader = PartialReader()
    assert [reader.feed(piece) for piece in ("I saw [two", "] {cats", ' and} {"a"', ": 1}")] == [
        None,
        None,
        None,
        {"a": 1},
    ]


def test_nothing_new_is_nothing() -> None:
    reader = PartialReader()
    assert reader.feed("I see ") is None
    assert reader.feed('{"name": "Te') == {"name": "Te"}
    assert reader.feed("a") == {"name": "Tea"}
    assert reader.feed('"') is None
