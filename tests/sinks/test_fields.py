"""The columns that a schema's fields become, and what stands in them."""

from __future__ import annotations

import datetime
import enum
import json
import sys
from typing import Any, Literal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from pydantic import BaseModel
from pydantic import Field as Described

from tests.sinks.structured_results import CUP, MISFIT, NAMES, SCHEMA
from visionpipe.errors import ParameterError
from visionpipe.prompts import presets
from visionpipe.sinks.columns import COLUMNS, Value
from visionpipe.sinks.fields import DEEPEST, MOST, Field, fields_of


def kinds(schema: Any) -> dict[str, str]:
    """Each column's kind; a list's as list[kind]."""
    columns = [field.column for field in fields_of(schema)]
    return {c.name: f"list[{c.items}]" if c.items is not None else c.kind for c in columns}


def read(schema: Any, data: Any) -> dict[str, Value | list[Value]]:
    return {field.column.name: field.value(data) for field in fields_of(schema)}


def a_field(node: Any) -> dict[str, Any]:
    return {"type": "object", "properties": {"x": node}}


class Grade(enum.IntEnum):
    GOOD = 1
    POOR = 2


class Size(BaseModel):
    width: float = Described(description="In cm")
    height: float | None = None


class Node(BaseModel):
    value: int
    child: Node | None = None
    children: list[Node] = []


class Product(BaseModel):
    name: str = Described(description="As printed")
    stock: int
    weight: float | int | None = None
    sold: bool | None
    grade: Grade
    condition: Literal["new", "used"]
    made: datetime.date | datetime.datetime
    size: Size
    spare: Size | None = None
    tags: set[str] = set()
    days: list[datetime.date | None] = []
    pair: tuple[int, str]
    either: int | str
    counts: dict[str, int]
    anything: Any
    node: Node


def test_a_pydantic_model_becomes_typed_columns() -> None:
    expected = {
        "data_name": "text",
        "data_stock": "integer",
        "data_weight": "real",
        "data_sold": "boolean",
        "data_grade": "integer",
        "data_condition": "text",
        "data_made": "text",
        "data_size_width": "real",
        "data_size_height": "real",
        "data_spare_width": "real",
        "data_spare_height": "real",
        "data_tags": "list[text]",
        "data_days": "list[text]",
        "data_pair": "json",
        "data_either": "json",
        "data_counts": "json",
        "data_anything": "json",
        "data_node_value": "integer",
        "data_node_child": "json",
        "data_node_children": "json",
    }
    assert kinds(Product) == expected
    assert kinds(Product | None) == expected
    assert kinds(Node) == {"data_value": "integer", "data_child": "json", "data_children": "json"}
    meanings = {field.column.name: field.column.meaning for field in fields_of(Product)}
    assert meanings["data_name"] == "name in data: As printed"
    assert meanings["data_spare_width"] == "spare.width in data: In cm"


def test_presets_with_a_schema_become_typed_columns() -> None:
    assert kinds(presets.tags.schema) == {"data_tags": "list[text]"}
    assert kinds(presets.product.schema)["data_price"] == "text"
    assert kinds(presets.chart.schema)["data_series"] == "json"
    assert kinds(presets.caption.schema) == {}


@pytest.mark.parametrize(
    "schema",
    [
        None,
        {},
        list[Product],
        int,
        int | Product,
        {"type": "array", "items": {"type": "string"}},
        {"type": "object"},
        {"$ref": "#"},
        {"$ref": "#/nowhere"},
        {"anyOf": "?", "properties": 7},
    ],
)
def test_a_document_without_fields_has_none(schema: Any) -> None:
    assert fields_of(schema) == ()


def test_what_is_no_schema_is_refused() -> None:
    with pytest.raises(ParameterError, match="schema"):
        fields_of(object())


@pytest.mark.parametrize(
    ("node", "kind"),
    [
        ({"type": "string", "format": "date-time"}, "text"),
        ({"type": ["null", "integer"]}, "integer"),
        ({"type": ["integer", "number"]}, "real"),
        ({"type": ["string", "integer"]}, "json"),
        ({"enum": ["a", "b", None]}, "text"),
        ({"enum": [1, 2.5]}, "real"),
        ({"enum": [True, False]}, "boolean"),
        ({"enum": [1, "a"]}, "json"),
        ({"enum": [[1]]}, "json"),
        ({"const": "a"}, "text"),
        ({"const": None}, "json"),
        ({"oneOf": [{"type": "boolean"}, {"const": None}]}, "boolean"),
        ({"allOf": [{"type": "number"}], "description": "n"}, "real"),
        ({"allOf": [{"type": "number"}, {"minimum": 1}]}, "json"),
        ({"anyOf": [{"type": "number"}, {"type": "integer"}]}, "real"),
        ({"anyOf": [{"type": "number"}, {"type": "object"}]}, "json"),
        ({"type": "array", "items": {"type": ["number", "null"]}}, "list[real]"),
        ({"type": "array", "items": {"type": "array", "items": {"type": "string"}}}, "json"),
        ({"type": "array", "prefixItems": [{}], "items": {"type": "string"}}, "json"),
        ({"type": "array"}, "json"),
        ({"type": "null"}, "json"),
        ({"$ref": "https://example.org/schema.json"}, "json"),
        ({"$ref": "#anchor"}, "json"),
        ({"$ref": "#/properties/x"}, "json"),
        (True, "json"),
        ("?", "json"),
        ({"type": {"odd": 1}}, "json"),
    ],
)
def test_a_node_has_the_kind_that_all_its_values_have(node: Any, kind: str) -> None:
    assert kinds(a_field(node)) == {"data_x": kind}


def test_references_lead_into_the_schema() -> None:
    schema = {
        "properties": {
            "a": {"$ref": "#/$defs/in~1cm~0%20x"},
            "b": {"$ref": "#/$defs/list/1"},
            "c": {"$ref": "#/$defs/list/2"},
        },
        "$defs": {"in/cm~ x": {"type": "number"}, "list": [0, {"type": "string"}]},
    }
    assert kinds(schema) == {"data_a": "real", "data_b": "text", "data_c": "json"}


def test_names_are_plain_and_never_taken_twice() -> None:
    text = {"type": "string"}
    names = ["a b", "a_b", "A.B", "", "价格", "a\0b", '"; DROP', "\ud800"]
    schema = {"type": "object", "properties": dict.fromkeys(names, text)}
    columns = list(kinds(schema))
    assert columns[:5] == ["data_a_b", "data_a_b_2", "data_A_B_3", "data_", "data_价格"]
    assert all(name.isidentifier() for name in columns)
    everything = [*columns, *(column.name for column in COLUMNS)]
    assert len({name.casefold() for name in everything}) == len(everything)
    assert kinds(SCHEMA).keys() == set(NAMES)


def test_objects_are_flattened_to_a_depth() -> None:
    node: dict[str, Any] = {"type": "integer"}
    for name in "fedcba":
        node = {"type": "object", "properties": {name: node}}
    assert read(node, {"a": {"b": {"c": {"d": {"e": {"f": 1}}}}}}) == {"data_a_b_c_d": '{"e":{"f":1}}'}
    assert DEEPEST == 4


def test_a_schema_of_very_many_fields_is_flattened_less() -> None:
    def wide(count: int, node: Any) -> dict[str, Any]:
        return {"type": "object", "properties": {f"f{n}": node for n in range(count)}}

    assert len(fields_of(wide(30, wide(30, {"type": "string"})))) == 900 == MOST
    nested = wide(30, wide(30, wide(30, wide(30, {"type": "string"}))))
    assert len(fields_of(nested)) == 900
    assert set(kinds(wide(31, wide(30, {"type": "string"}))).values()) == {"json"}
    assert fields_of(wide(901, {"type": "string"})) == ()


@pytest.mark.parametrize(
    ("kind", "value", "found"),
    [
        ("string", "a", "a"),
        ("string", "", ""),
        ("string", "\ud800", "\\ud800"),
        ("string", 7, None),
        ("integer", -7, -7),
        ("integer", 7.0, 7),
        ("integer", "7", 7),
        ("integer", 7.5, None),
        ("integer", True, None),
        ("integer", 2**63, None),
        ("integer", "9" * 19, None),
        ("integer", float("inf"), None),
        ("number", 7, 7.0),
        ("number", "-7.5e1", -75.0),
        ("number", "1e999", None),
        ("number", 10**400, None),
        ("number", float("nan"), None),
        ("number", False, None),
        ("number", "seven", None),
        ("number", "٧", None),
        ("boolean", False, False),
        ("boolean", "True", True),
        ("boolean", 1, None),
        ("boolean", None, None),
    ],
)
def test_a_value_that_does_not_fit_is_null(kind: str, value: Any, found: Value) -> None:
    value_found = read(a_field({"type": kind}), {"x": value})["data_x"]
    assert value_found == found
    assert type(value_found) is type(found)


def test_data_of_another_shape_is_null_everywhere() -> None:
    for data in (None, [], "text", 7, [{"name": "x"}]):
        assert set(read(SCHEMA, data).values()) == {None}


def test_a_misfit_keeps_what_fits() -> None:
    found = {name: value for name, value in read(SCHEMA, MISFIT.data).items() if value is not None}
    assert found == {"data_price": 12.5, "data_scores": [1, None, 3], "data_extra": '"none"'}


SCALARS: list[tuple[Any, st.SearchStrategy[Any]]] = [
    ({"type": "string"}, st.text(st.characters(exclude_categories=["Cs"]))),
    ({"type": "integer"}, st.integers(-(2**63), 2**63 - 1)),
    ({"type": "number"}, st.floats(allow_nan=False, allow_infinity=False)),
    ({"type": "boolean"}, st.booleans()),
    ({"enum": ["a", "b"]}, st.sampled_from("ab")),
    ({"type": ["string", "null"]}, st.none() | st.text("ab")),
    ({"anyOf": [{"type": "integer"}, {"type": "null"}]}, st.none() | st.integers(0, 9)),
    ({"type": ["string", "number"]}, st.text("ab") | st.integers(0, 9)),
    ({}, st.recursive(st.none() | st.booleans() | st.text("ab"), st.lists)),
    ({"type": "object"}, st.dictionaries(st.text("ab"), st.integers(0, 9))),
]


def conforming() -> st.SearchStrategy[tuple[Any, st.SearchStrategy[Any]]]:
    """Schemas, each with a strategy for documents that fit it."""

    def lists(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
        return inner.map(lambda pair: ({"type": "array", "items": pair[0]}, st.lists(pair[1], max_size=3)))

    def objects(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
        names = st.sampled_from(["a", "b", "a_b", "a b", "A", "data", "价"])
        return st.dictionaries(names, inner, min_size=1, max_size=4).map(
            lambda found: (
                {
                    "type": "object",
                    "properties": {name: schema for name, (schema, _) in found.items()},
                    "additionalProperties": False,
                },
                st.fixed_dictionaries({}, optional={name: values for name, (_, values) in found.items()}),
            )
        )

    nodes = st.recursive(st.sampled_from(SCALARS), lambda inner: lists(inner) | objects(inner), max_leaves=12)
    return objects(nodes)


def rebuilt(fields: tuple[Field, ...], data: Any) -> dict[str, Any]:
    """The document that the columns alone tell."""
    document: dict[str, Any] = {}
    for field in fields:
        value = field.cell(data)
        if value is None:
            continue
        place = document
        for name in field.path[:-1]:
            place = place.setdefault(name, {})
        place[field.path[-1]] = json.loads(str(value)) if field.column.kind == "json" else value
    return document


def without_nothing(data: Any, fields: tuple[Field, ...], path: tuple[str, ...] = ()) -> Any:
    """``data`` without what a flat row cannot tell from nothing: nulls, and flattened empty objects."""
    if not isinstance(data, dict) or any(field.path == path for field in fields):
        return data
    kept = {name: without_nothing(value, fields, (*path, name)) for name, value in data.items()}
    flat = {field.path[: len(path) + 1] for field in fields if len(field.path) > len(path) + 1}
    return {
        name: value
        for name, value in kept.items()
        if value is not None and not (value == {} and (*path, name) in flat)
    }


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_flattening_loses_nothing_that_fits(draw: st.DataObject) -> None:
    schema, documents = draw.draw(conforming())
    data = draw.draw(documents)
    Draft202012Validator(schema).validate(data)
    fields = fields_of(schema)
    assert rebuilt(fields, data) == without_nothing(data, fields)


ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=4),
    max_leaves=12,
)
KEYWORDS = ["type", "properties", "items", "anyOf", "allOf", "oneOf", "$ref", "$defs", "enum", "const", "a"]
WORDS = ["string", "object", "array", "null", "number", "#", "#/$defs/a", "#/properties/a", "#/anyOf/0"]
ANY_SCHEMA = st.recursive(
    st.none() | st.booleans() | st.integers() | st.sampled_from(WORDS),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(KEYWORDS), inner, max_size=5),
    max_leaves=20,
).filter(lambda found: isinstance(found, dict))


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(ANY_SCHEMA, ANY_JSON)
def test_no_schema_and_no_document_raises(schema: Any, data: Any) -> None:
    wrapped = {"type": "object", "properties": {"a": schema}}
    for field in (*fields_of(schema), *fields_of(wrapped), *fields_of(SCHEMA)):
        for document in (data, {"a": data}, {**CUP.data, "name": data, "size": data}):  # type: ignore[dict-item]  # an object
            cell = field.cell(document)
            assert cell is None or isinstance(cell, str | int | float)
            assert not isinstance(cell, float) or abs(cell) <= sys.float_info.max
