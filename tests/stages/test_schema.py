"""A schema that could not be read or sent fails before anything is; a root that is no object is wrapped."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field

from visionpipe.errors import ParameterError
from visionpipe.media import Text
from visionpipe.registry.records import ModelRecord
from visionpipe.request import Message, Request
from visionpipe.stages.extraction import Schema, with_schema
from visionpipe.stages.schema import MappedShape, MisfitError, root_wrapped


class Node(BaseModel):
    name: str
    children: list[Node] = []


def properties(**of: Any) -> dict[str, Any]:
    return {"type": "object", "properties": of}


@pytest.mark.parametrize(
    ("schema", "reason"),
    [
        (properties(a={"$ref": "#/$defs/Missing"}), "leads to nothing"),
        (properties(a={"$ref": "#/properties/b"}), "leads to nothing"),
        (properties(a={"$ref": "#somewhere"}), "leads to nothing"),
        (properties(a={"$ref": "https://a.example/schema.json"}), "leads to nothing"),
        (properties(a={"$ref": "other.json#/$defs/A"}), "leads to nothing"),
        (properties(a={"$ref": "http://json-schema.org/draft-07/schema#"}), "leads to nothing"),
        ({"$ref": "#"}, "back to itself"),
        ({"anyOf": [{"type": "string"}, {"$ref": "#"}]}, "back to itself"),
        (
            {
                **properties(a={"$ref": "#/$defs/A"}),
                "$defs": {"A": {"$ref": "#/$defs/B"}, "B": {"$ref": "#/$defs/A"}},
            },
            "back to itself",
        ),
        (properties(a={"type": "integer", "maximum": 2**70}), "64"),
        (properties(a={"maximum": float("inf")}), "infinite"),
        (properties(a={"default": Decimal("1.5")}), "cannot be written"),
        (properties(a={"enum": {1, 2}}), "cannot be written"),
        ({1: "a"}, "cannot be written"),
        (properties(a={"type": "integer", "exclusiveMinimum": True}), "no JSON Schema"),
        (properties(a={"items": [{"type": "string"}]}), "no JSON Schema"),
        (properties(a={"type": "string", "pattern": "("}), "no JSON Schema"),
        ({"$schema": "https://json-schema.org/draft/2077-01/schema", "type": "object"}, "draft"),
        ({"type": "cat"}, "no JSON Schema"),
    ],
)
def test_a_schema_that_cannot_be_read_or_sent(schema: Any, reason: str) -> None:
    with pytest.raises(ParameterError, match=reason) as caught:
        Schema[Any](schema)
    assert caught.value.subject == "schema"


def test_a_type_whose_schema_cannot_be_sent() -> None:
    with pytest.raises(ParameterError, match="64"):
        Schema[Any](Annotated[int, Field(le=2**70)])


@pytest.mark.parametrize(
    ("schema", "fits", "does_not"),
    [
        (properties(child={"$ref": "#"}), {"child": {"child": {}}}, {"child": {"child": 1}}),
        (
            {**properties(a={"$ref": "#/$defs/A"}), "$defs": {"A": properties(b={"$ref": "#/$defs/A"})}},
            {"a": {"b": {"b": {}}}},
            {"a": {"b": 1}},
        ),
        (
            {
                "$schema": "http://json-schema.org/draft-07/schema#",
                "type": "array",
                "items": [{"type": "string"}],
            },
            ["a", 1],
            [1],
        ),
        (
            {"$schema": "http://json-schema.org/draft-04/schema#", "minimum": 1, "exclusiveMinimum": True},
            2,
            1,
        ),
        (
            {**properties(a={"$ref": "pixel"}), "$defs": {"P": {"$id": "pixel", "type": "integer"}}},
            {"a": 1},
            {"a": "x"},
        ),
        (properties(**{"$ref": {"type": "integer"}}), {"$ref": 1}, {"$ref": "x"}),
        (properties(a={"const": {"$ref": "#/nowhere"}}), {"a": {"$ref": "#/nowhere"}}, {"a": 1}),
        ({"type": "number", "multipleOf": 0.01}, 19.99, 19.999),
        ({"type": "integer"}, 10**22, 1e22),
    ],
)
def test_each_draft_is_read_by_its_own_rules(schema: Any, fits: Any, does_not: Any) -> None:
    shape = MappedShape(schema)
    assert shape.validate(fits) == fits
    with pytest.raises(MisfitError):
        shape.validate(does_not)


def sent(target: Any) -> Any:
    request = Request("m", (Message("user", (Text("What?"),)),))
    asked = with_schema(request, Schema[Any](target), ModelRecord(id="m", structured_output=True), "en")
    assert asked.response_format is not None
    return asked.response_format["json_schema"]["schema"]  # type: ignore[index,call-overload] # plain JSON


@pytest.mark.parametrize(
    "target",
    [
        list[int],
        int,
        str,
        Literal["a", "b"],
        tuple[int, str],
        list[Node],
        Node | int,
        Node,
        dict[str, int],
        {"type": "array", "items": {"$ref": "#"}},
        {"properties": {"a": {}}},
        {"type": ["object", "null"]},
        {},
        {"oneOf": [{"type": "object"}, {"type": "array"}]},
    ],
    ids=str,
)
def test_the_root_that_is_sent_is_an_object_and_still_a_schema(target: Any) -> None:
    schema = sent(target)
    assert schema["type"] == "object"
    assert not schema.keys() & {"anyOf", "oneOf", "$ref", "enum"}
    # Its references lead somewhere, or this raises.
    assert MappedShape(schema).json_schema == schema


def test_what_is_wrapped_is_taken_out_again_and_what_is_not_stays() -> None:
    assert Schema[Any](list[int]).read('{"value": [1]}') == ([1], [1])
    assert Schema[Any](dict[str, int]).read('{"value": 1}') == ({"value": 1}, {"value": 1})
    recursive = Schema[Any]({"type": "array", "items": {"$ref": "#"}})
    assert recursive.sent["properties"]["value"]["items"] == {"$ref": "#/properties/value"}
    assert recursive.read('{"value": [[], [[]]]}') == ([[], [[]]], [[], [[]]])


def test_the_name_of_the_wrapper_is_none_of_the_schema() -> None:
    one, other = properties(value={"type": "integer"}), properties(answer={"type": "integer"})
    _, name = root_wrapped({"anyOf": [one, other]})
    assert name == "result"
    assert Schema[Any]({"anyOf": [one, other]}).read('{"value": 1}')[0] == {"value": 1}


def test_a_strict_model_loses_no_digit() -> None:
    class Price(BaseModel):
        model_config = ConfigDict(strict=True)
        exact: Decimal
        about: float

    read = Schema[Price](Price).read('{"exact": 0.10000000000000000551, "about": 1.10}')[0]
    assert read == Price(exact=Decimal("0.10000000000000000551"), about=1.1)


def test_an_answer_that_was_cut_off_is_no_bare_value() -> None:
    for target, text in ((str, "A red ba"), (int, "12"), (Literal["a", "ab"], "a")):
        assert Schema[Any](target).read(text)[0] in (text, 12)
        with pytest.raises(MisfitError):
            Schema[Any](target).read(text, cut_off=True)
    assert Schema[Any](list[int]).read("[1] and", cut_off=True)[0] == [1]
