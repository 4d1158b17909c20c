"""A function's signature as a schema, the model's text as its arguments, its value as text."""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from decimal import Decimal
from enum import Enum
from typing import Annotated, Any, Literal

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, Field

from visionpipe.errors import ParameterError
from visionpipe.stages.tools import ArgumentsError, FunctionTool, read_arguments, result_text


class Unit(Enum):
    C = "celsius"
    F = "fahrenheit"


class Place(BaseModel):
    city: str
    country: str = "NO"


def weather(
    place: Place,
    day: datetime.date,
    unit: Unit = Unit.C,
    schema: Annotated[Literal["short", "long"], Field(description="how much to say")] = "short",
) -> str:
    """Tell the weather.

    Args: a place and a day.
    """
    return f"{place.city} {day} {unit} {schema}"


def test_signature_and_docstring_become_the_tool() -> None:
    sent = FunctionTool.of(weather).to_json()
    assert sent["type"] == "function"
    function: Any = sent["function"]
    assert function["name"] == "weather"
    assert function["description"].startswith("Tell the weather.\n\nArgs")
    schema = function["parameters"]
    assert schema["type"] == "object"
    assert schema["additionalProperties"] is False
    assert schema["required"] == ["place", "day"]
    assert schema["properties"]["day"] == {"type": "string", "format": "date"}
    assert schema["properties"]["schema"]["description"] == "how much to say"
    assert schema["$defs"]["Place"]["properties"]["city"] == {"type": "string"}


def test_arguments_arrive_typed_and_defaults_are_the_functions_own() -> None:
    tool = FunctionTool.of(weather)
    given_ = tool.arguments('{"place": {"city": "Oslo"}, "day": "2026-11-05", "unit": "fahrenheit"}')
    assert given_ == {"place": Place(city="Oslo"), "day": datetime.date(2026, 11, 5), "unit": Unit.F}
    assert weather(**given_) == "Oslo 2026-11-05 Unit.F short"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"place": {"city": "Oslo"', "no valid JSON"),
        ("[1]", "no JSON object"),
        ("", "place: Field required"),
        ('{"place": {"city": "Oslo"}, "day": "soon"}', "day: "),
        ('{"place": {}, "day": "2026-11-05"}', r"place\.city: Field required"),
        ('{"place": {"city": "Oslo"}, "day": "2026-11-05", "wind": 1}', "wind: Extra inputs"),
    ],
)
def test_arguments_that_do_not_fit_say_why(text: str, words: str) -> None:
    with pytest.raises(ArgumentsError, match=words):
        FunctionTool.of(weather).arguments(text)


def test_a_schema_of_ones_own_is_held_to() -> None:
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
    tool = FunctionTool("square", "n times n", schema, lambda n: n * n)
    assert tool.arguments('{"n": 3}') == {"n": 3}
    with pytest.raises(ArgumentsError, match=r"\$\.n: 'x' is not of type 'integer'"):
        tool.arguments('{"n": "x"}')


class Speaker:
    async def say(self, _words: str) -> None:
        """Say it."""

    def __call__(self, loud: bool) -> None: ...


def test_methods_and_callables_are_functions_too() -> None:
    said = FunctionTool.of(Speaker().say)
    assert (said.name, said.description, said.asynchronous) == ("say", "Say it.", True)
    assert said.arguments('{"_words": "hello"}') == {"_words": "hello"}
    called = FunctionTool.of(Speaker(), name="speak", description="Speak up.")
    assert (called.name, called.description, called.asynchronous) == ("speak", "Speak up.", False)
    assert called.parameters["required"] == ["loud"]


def test_a_function_without_parameters_takes_empty_arguments() -> None:
    def now() -> str:
        return "noon"

    tool = FunctionTool.of(now)
    assert tool.parameters["properties"] == {}
    assert tool.arguments("") == tool.arguments("{}") == {}
    assert "description" not in tool.to_json()["function"]  # type: ignore[operator]  # it is an object


def untyped(a, b: int) -> None: ...  # type: ignore[no-untyped-def]  # that is the point
def spread(*numbers: int) -> None: ...
def positional(a: int, /) -> None: ...
def unknown(a: NoSuchType) -> None: ...  # type: ignore[name-defined]  # noqa: F821  # that is the point
def unserialisable(a: Speaker) -> None: ...


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (untyped, "a has no type hint"),
        (spread, "numbers cannot be given by name"),
        (positional, "a cannot be given by name"),
        (unknown, "signature cannot be read"),
        (unserialisable, "no JSON Schema"),
        (lambda: None, "letters, digits"),
    ],
)
def test_what_cannot_be_a_tool_is_refused_with_the_reason(function: Any, words: str) -> None:
    with pytest.raises(ParameterError, match=words):
        FunctionTool.of(function)


def test_a_default_that_json_cannot_hold_is_not_told() -> None:
    marker = Decimal("1.5")

    def price(value: Decimal = marker) -> Decimal:
        return value

    tool = FunctionTool.of(price)
    assert "default" not in tool.parameters["properties"]["value"]
    assert tool.arguments("{}") == {}


@pytest.mark.parametrize("name", ["", "ä", "two words", "x" * 65, "a.b", "a\n"])
def test_names_the_service_does_not_take(name: str) -> None:
    with pytest.raises(ParameterError, match="1 to 64"):
        FunctionTool(name, "", {})


@dataclass
class Point:
    x: int
    when: datetime.date


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("sunny", "sunny"),
        ("", '""'),
        (None, "null"),
        (3, "3"),
        ({"a": [1, "é"]}, '{"a":[1,"é"]}'),
        (Point(1, datetime.date(2026, 1, 2)), '{"x":1,"when":"2026-01-02"}'),
        (Place(city="Oslo"), '{"city":"Oslo","country":"NO"}'),
    ],
)
def test_results_are_text(value: Any, text: str) -> None:
    assert result_text(value) == text


def test_a_result_without_json_is_an_error() -> None:
    with pytest.raises(ValueError, match="Unable to serialize"):
        result_text(object())


def total(numbers: list[int], factor: float = 1.0, label: str | None = None) -> float:
    return sum(numbers) * factor


@settings(max_examples=80, deadline=None)
@given(
    st.fixed_dictionaries(
        {"numbers": st.lists(st.integers(-(2**53), 2**53))},
        optional={
            "factor": st.floats(allow_nan=False, allow_infinity=False),
            "label": st.none() | st.text(),
        },
    )
)
def test_any_fitting_arguments_come_through_unchanged(arguments: dict[str, Any]) -> None:
    text = orjson.dumps(arguments).decode("utf-8")
    assert FunctionTool.of(total).arguments(text) == arguments


@settings(max_examples=100, deadline=None)
@given(st.text())
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        read = FunctionTool.of(total).arguments(text)
    except ArgumentsError:
        return
    assert isinstance(read["numbers"], list)


def paint(colour: str, coats: int = 1) -> str:
    """Paint it."""
    return f"{colour} x {coats}"


@pytest.mark.parametrize(
    ("text", "given"),
    [
        ('{"colour": "red"}', {"colour": "red"}),
        ('```json\n{"colour": "red", "coats": 2}\n```', {"colour": "red", "coats": 2}),
        ('"{\\"colour\\": \\"red\\"}"', {"colour": "red"}),
        ('{\\"colour\\": \\"red\\"}', {"colour": "red"}),
        ("{'colour': 'red', 'coats': 2,}", {"colour": "red", "coats": 2}),
        ('Calling: {"colour": "red"}', {"colour": "red"}),
    ],
)
def test_arguments_are_read_in_every_wrapping(text: str, given: dict[str, Any]) -> None:
    assert FunctionTool.of(paint).arguments(text) == given


@pytest.mark.parametrize(
    "text", ["", "  ", "null", "None", "{}", "[]", '""', "```\n\n```", "```json\nnull\n```"]
)
def test_no_arguments_in_every_form(text: str) -> None:
    def wait(seconds: int = 1) -> int:
        return seconds

    assert FunctionTool.of(wait).arguments(text) == {}


@pytest.mark.parametrize(
    "text",
    [
        '{"colour": "red"',
        '{"colour": "red"} {"colour": "blue"}',
        '{"colour": "red"}{"coats": 2}',
        '{"colour": "red", "colour": "blue"}',
        '{"colour": "red", "coats": true}',
        '["red"]',
        "red",
        '"red"',
        "7",
    ],
)
def test_arguments_that_could_be_something_else_are_refused(text: str) -> None:
    with pytest.raises(ArgumentsError):
        FunctionTool.of(paint).arguments(text)


def test_a_whole_number_keeps_its_digits() -> None:
    def look_up(number: int) -> int:
        return number

    assert FunctionTool.of(look_up).arguments('{"number": 12345678901234567890123}') == {
        "number": 12345678901234567890123
    }


@pytest.mark.parametrize("parameters", [{"$ref": "#/$defs/Gone"}, {"type": "objekt"}, {"maximum": 2**70}])
def test_parameters_that_no_service_reads_fail_when_the_tool_is_made(parameters: dict[str, Any]) -> None:
    with pytest.raises(ParameterError) as caught:
        FunctionTool("look", "", parameters)
    assert caught.value.subject == "look"


def test_two_documents_of_arguments_are_told_from_one_that_is_no_object() -> None:
    with pytest.raises(ArgumentsError, match="several JSON documents"):
        read_arguments('{"city": "Oslo"} {"city": "Rome"}')
    with pytest.raises(ArgumentsError, match="no JSON object"):
        read_arguments("[1]")
