"""A value is what its schema allows, or it is said why not."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from visionpipe.errors import ParameterError
from visionpipe.media import LinkedImage, Text
from visionpipe.registry.records import ModelRecord
from visionpipe.reply import Reply
from visionpipe.request import Message, Request
from visionpipe.stages.extraction import Schema, ask_again, does_not_fit, with_schema
from visionpipe.stages.schema import MisfitError

PLAIN = {
    "title": "Cat 猫!",
    "type": "object",
    "properties": {"age": {"type": "integer"}},
    "required": ["age"],
}
REQUEST = Request("m", (Message("user", (LinkedImage("https://a.example/b"), Text("What?"))),))


class Animal(BaseModel):
    name: str
    born: date | None = None


@dataclass
class Spot:
    x: int
    y: int


@pytest.mark.parametrize(
    ("target", "text", "value"),
    [
        (
            Animal,
            '```json\n{"name":"Tom","born":"2020-02-29"}\n```',
            Animal(name="Tom", born=date(2020, 2, 29)),
        ),
        (Spot, '{"x":1,"y":2}', Spot(1, 2)),
        (list[Spot], '[{"x":1,"y":2}]', [Spot(1, 2)]),
        (tuple[int, str], '[1,"a"]', (1, "a")),
        (PLAIN, '{"age":3}', {"age": 3}),
    ],
    ids=["model", "dataclass", "list", "tuple", "json schema"],
)
def test_each_kind_of_target(target: Any, text: str, value: Any) -> None:
    read, data = Schema[Any](target).read(text)
    assert read == value
    assert orjson.loads(orjson.dumps(data)) == data


@pytest.mark.parametrize(
    ("target", "text", "place"),
    [
        (Animal, '{"born":"2020-02-30"}', "name: "),
        (Animal, '{"name":"Tom","born":"2020-02-30"}', "born: "),
        (int, '"seven"', "document: "),
        (PLAIN, '{"age":"three"}', r"\$\.age: "),
        (PLAIN, "I cannot say.", "JSON"),
    ],
)
def test_what_does_not_fit_names_its_place(target: Any, text: str, place: str) -> None:
    with pytest.raises(MisfitError, match=place) as caught:
        Schema[Any](target).read(text)
    assert caught.value.errors


def test_only_the_first_reasons_are_told() -> None:
    with pytest.raises(MisfitError) as caught:
        Schema[Any](list[int]).read(orjson.dumps(["a"] * 50).decode())
    assert len(caught.value.errors) == 8


@pytest.mark.parametrize("target", [{"type": "cat"}, object(), type("Own", (), {})])
def test_what_is_no_schema(target: Any) -> None:
    with pytest.raises(ParameterError) as caught:
        Schema[Any](target)
    assert caught.value.subject == "schema"


def test_a_schema_is_asked_for_in_words_and_where_known_by_field() -> None:
    schema = Schema[Any](PLAIN)
    for lang, words in (("en", "JSON Schema"), ("zh", "符合")):
        asked = with_schema(REQUEST, schema, ModelRecord(id="m"), lang)
        [message] = asked.messages
        assert message.parts[:2] == REQUEST.messages[0].parts
        told = message.parts[2]
        assert isinstance(told, Text)
        assert words in told.text
        assert told.text.endswith(orjson.dumps(PLAIN).decode())
        assert asked.response_format is None
    asked = with_schema(REQUEST, schema, ModelRecord(id="m", structured_output=True), "en")
    assert asked.response_format == {
        "type": "json_schema",
        "json_schema": {"name": "Cat___", "schema": PLAIN},
    }


def test_the_second_question_holds_the_answer_and_what_is_wrong_with_it() -> None:
    misfit = MisfitError(["age: missing", "name: too long"])
    again = ask_again(REQUEST, "{}", misfit, "en")
    assert again.messages[:-2] == REQUEST.messages
    assert again.messages[-2] == Message("assistant", (Text("{}"),))
    [told] = again.messages[-1].parts
    assert isinstance(told, Text)
    assert "- age: missing\n- name: too long\n" in told.text
    error = does_not_fit(misfit, Reply("{}", "m", request_id="vp-1"))
    assert (error.code, error.request_id, error.reply) == (
        "schema",
        "vp-1",
        Reply("{}", "m", request_id="vp-1"),
    )


@given(st.text())
def test_a_name_is_one_that_endpoints_take(title: str) -> None:
    name = Schema[Any]({"title": title}).name
    assert len(name) <= 64
    assert all(char.isascii() and (char.isalnum() or char in "_-") for char in name)


def test_a_long_name_is_cut_at_what_endpoints_take() -> None:
    assert len(Schema[Any]({"title": "a" * 80}).name) == 64


@pytest.mark.parametrize(
    ("answer", "value"),
    [('{"n": 3}', {"n": 3}), ('{"n": 3.0}', {"n": 3}), ('{"n": 9007199254740993.0}', None)],
)
def test_a_whole_number_may_be_written_with_a_point(answer: str, value: Any) -> None:
    class Counted(BaseModel):
        n: int

    schema: Schema[Counted] = Schema(Counted)
    if value is None:
        with pytest.raises(MisfitError):
            schema.read(answer)
    else:
        assert schema.read(answer)[1] == value
