"""What answers are known again by: the bytes they are about, and the question with all that steers it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from visionpipe.stages.keys import Recipe, content_of_link, digest, is_content, is_link, sha256_of

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)
RECIPE = Recipe("glm-4.6v", "Describe {name}.", {"temperature": 0.2}, {"type": "object"})


@given(st.dictionaries(st.text(), JSON, max_size=5))
def test_the_order_of_fields_is_no_part_of_a_key(value: dict[str, Any]) -> None:
    assert digest(value) == digest(dict(reversed(value.items())))
    assert len(digest(value)) == 32


@pytest.mark.parametrize(
    "other",
    [
        replace(RECIPE, model="glm-4.5v"),
        replace(RECIPE, parameters={"temperature": 0.3}),
        replace(RECIPE, parameters={}),
        replace(RECIPE, schema=None),
    ],
)
def test_all_that_steers_an_answer_is_in_the_key_of_the_question_and_of_the_job(other: Recipe) -> None:
    assert other.question("Describe a.") != RECIPE.question("Describe a.")
    assert other.job != RECIPE.job


def test_a_question_is_its_rendered_prompt_and_a_job_its_template() -> None:
    reworded = replace(RECIPE, template="Describe {path}.")
    assert reworded.job != RECIPE.job
    assert reworded.question("Describe a.") == RECIPE.question("Describe a.")
    assert RECIPE.question("Describe a.") != RECIPE.question("Describe b.")
    assert RECIPE.job != RECIPE.question(RECIPE.template)


def test_another_way_of_preparing_images_asks_nothing_again() -> None:
    other = replace(RECIPE, preparation=99)
    assert (other.job, other.question("a")) == (RECIPE.job, RECIPE.question("a"))


def test_a_link_stands_for_its_bytes_and_their_version() -> None:
    plain, versioned = content_of_link("https://a.example/b"), content_of_link("https://a.example/b", "etag")
    assert plain != versioned
    assert is_content(plain) and is_content(versioned) and is_content("0f" * 32)
    assert not any(is_content(value) for value in ("", "url:", "0F" * 32, "0f" * 31, None, 7, b"0f" * 32))
    assert (sha256_of(plain), sha256_of(None), sha256_of("0f" * 32)) == (None, None, "0f" * 32)
    assert content_of_link("\ud800") != content_of_link("\ud801")


def test_links_are_known_by_their_scheme() -> None:
    assert is_link("HTTPS://a.example") and is_link("http://a.example")
    assert not is_link("s3://bucket/a") and not is_link("a/https://b")
