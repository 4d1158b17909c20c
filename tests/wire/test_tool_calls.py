"""Whatever holds the fragments of a call together, no two calls become one, and none becomes two."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from visionpipe.request import ToolCall
from visionpipe.wire.tool_calls import CallAssembler, read_tool_calls

OSLO, ROME = '{"city": "Oslo"}', '{"city": "Rome", "days": 2}'


def part(arguments: Any = None, name: Any = None, **more: Any) -> dict[str, Any]:
    """A fragment of a call; ``more``: id, index."""
    function = {key: value for key, value in (("name", name), ("arguments", arguments)) if value is not None}
    return {**more, "function": function}


def assembled(*frames: list[dict[str, Any]]) -> list[tuple[str, str, str]]:
    assembler = CallAssembler()
    for frame in frames:
        assembler.feed({"tool_calls": frame})
    return [(call.id, call.name, call.arguments) for call in assembler.calls()[0]]


def arguments(*frames: list[dict[str, Any]]) -> list[tuple[str, str]]:
    return [(name, text) for _, name, text in assembled(*frames)]


TWO = [("weather", OSLO), ("weather", ROME)]


@pytest.mark.parametrize(
    "frames",
    [
        pytest.param(
            [
                [part("", "weather", id="a", index=0)],
                [part(OSLO[:5], index=0)],
                [part(OSLO[5:], index=0)],
                [part("", "weather", id="b", index=1)],
                [part(ROME[:7], index=1)],
                [part(ROME[7:], index=1)],
            ],
            id="by index",
        ),
        pytest.param(
            [
                [part("", "weather", id="a", index=0), part("", "weather", id="b", index=1)],
                [part(ROME[:7], index=1), part(OSLO[:5], index=0)],
                [part(ROME[7:], index=1), part(OSLO[5:], index=0)],
            ],
            id="interleaved",
        ),
        pytest.param(
            [
                [part("", "weather", id="a", index=0)],
                [part(OSLO, id="a", index=0)],
                [part("", "weather", id="b", index=0)],
                [part(ROME, id="b", index=0)],
            ],
            id="index 0 for all, new ids",
        ),
        pytest.param(
            [
                [part("", "weather", id="a", index=0)],
                [part(OSLO[:5], index=0)],
                [part(OSLO[5:], index=0)],
                [part("", "weather", id="b", index=0)],
                [part(ROME, index=0)],
            ],
            id="index 0 for all, ids at the head",
        ),
        pytest.param(
            [
                [part("", "weather", index=0)],
                [part(OSLO, index=0)],
                [part("", "weather", index=0)],
                [part(ROME, index=0)],
            ],
            id="index 0 for all, no ids",
        ),
        pytest.param(
            [[part(OSLO, "weather", index=0)], [part(ROME, "weather", index=0)]], id="whole, index 0 for all"
        ),
        pytest.param([[part(OSLO, "weather"), part(ROME, "weather")]], id="whole, in one frame, no index"),
        pytest.param([[part(OSLO, "weather")], [part(ROME, "weather")]], id="whole, no index"),
        pytest.param(
            [[part("", "weather")], [part(OSLO[:4])], [part(OSLO[4:])], [part("", "weather")], [part(ROME)]],
            id="only order",
        ),
        pytest.param(
            [
                [part("", "weather", id="a", index="0")],
                [part(OSLO, index="0")],
                [part("", "weather", id="b", index="1")],
                [part(ROME, index="1")],
            ],
            id="index as text",
        ),
        pytest.param(
            [
                [part("", "weather", id="a", index=None)],
                [part(OSLO, id="a", index=None)],
                [part("", "weather", id="b", index=None)],
                [part(ROME, id="b", index=None)],
            ],
            id="index null, by id",
        ),
        pytest.param(
            [
                [part(OSLO[:5], "weather", id="same", index=0)],
                [part(ROME[:5], "weather", id="same", index=1)],
                [part(OSLO[5:], id="same", index=0)],
                [part(ROME[5:], id="same", index=1)],
            ],
            id="one id for all, by index",
        ),
        pytest.param(
            [[part(OSLO, "weather", id="same")], [part(ROME, "weather", id="same")]],
            id="one id for all, whole",
        ),
        pytest.param(
            [
                [part(OSLO[:5], "weather", id="a", index=0)],
                [part(OSLO[5:], id="a2", index=0)],
                [part(ROME[:5], "weather", id="b", index=1)],
                [part(ROME[5:], id="b2", index=1)],
            ],
            id="a new id with each fragment",
        ),
        pytest.param(
            [
                [part(OSLO[:5], "weather", id="a", index=0)],
                [part(OSLO[5:], "weather", id="a", index=0)],
                [part(ROME[:5], "weather", id="b", index=1)],
                [part(ROME[5:], "weather", id="b", index=1)],
            ],
            id="the name with each fragment",
        ),
        pytest.param(
            [
                [part(OSLO[:5], "weather", id="a", index=0)],
                [part(OSLO[5:], id="a", index=0)],
                [part(OSLO, "weather", id="a", index=0)],
                [part(ROME, "weather", id="b", index=1)],
                [part(ROME, "weather", id="b", index=1)],
            ],
            id="repeated whole",
        ),
        pytest.param(
            [
                [part(OSLO[:5], "weather", index=0)],
                [part(OSLO[:9], "weather", index=0)],
                [part(OSLO, "weather", index=0)],
                [part(ROME[:5], "weather", index=1)],
                [part(ROME, "weather", index=1)],
            ],
            id="all so far with each fragment",
        ),
        pytest.param(
            [
                [part("{}", "weather", id="a", index=0)],
                [part(OSLO[:5], index=0)],
                [part(OSLO[5:], index=0)],
                [part("{}", "weather", id="b", index=1)],
                [part(ROME, index=1)],
            ],
            id="an empty object first",
        ),
        pytest.param(
            [
                [part(None, "weather", id="a", index=0)],
                [part({"city": "Oslo"}, index=0)],
                [part(None, "weather", id="b", index=1)],
                [part({"city": "Rome", "days": 2}, index=1)],
            ],
            id="objects",
        ),
    ],
)
def test_two_calls_are_two(frames: list[list[dict[str, Any]]]) -> None:
    found = assembled(*frames)
    assert [(name, orjson.loads(text)) for _, name, text in found] == [
        (name, orjson.loads(text)) for name, text in TWO
    ]
    first, second = (identity for identity, _, _ in found)
    assert first
    assert second
    assert first != second


def test_a_name_in_parts_is_one_name() -> None:
    assert arguments(
        [part("", "get_", id="a", index=0)], [part("", "weather", id="a", index=0)], [part(OSLO, index=0)]
    ) == [("get_weather", OSLO)]


def test_an_object_within_an_object_of_the_same_beginning_is_not_taken_for_a_repeat() -> None:
    head, rest = '{"a": ', '{"a": 1}}'
    assert arguments([part(head, "f", index=0)], [part(rest, index=0)]) == [("f", head + rest)]


def test_what_cannot_be_told_apart_stays_broken() -> None:
    (found,) = arguments([part(OSLO, "f", index=0)], [part(ROME, index=0)])
    with pytest.raises(orjson.JSONDecodeError):
        orjson.loads(found[1])


def test_a_function_call_of_old_is_one_call() -> None:
    assembler = CallAssembler()
    for piece in ({"name": "weather", "arguments": ""}, {"arguments": OSLO[:4]}, {"arguments": OSLO[4:]}):
        assembler.feed({"function_call": piece})
    (call,), (note,) = assembler.calls()
    assert call == ToolCall("call_1", "weather", OSLO)
    assert note.kind == "tool_ids"
    whole = {"content": None, "function_call": {"name": "weather", "arguments": OSLO}}
    assert read_tool_calls(whole) == assembler.calls()
    assert read_tool_calls({"tool_calls": None, "function_call": None}) == ((), ())


@pytest.mark.parametrize(
    ("ids", "distinct"),
    [
        (["a", "b"], ["a", "b"]),
        (["", ""], ["call_1", "call_2"]),
        ([None, "call_1"], ["call_2", "call_1"]),
        (["a", "a", "a"], ["a", "call_1", "call_2"]),
        ([0, 7], ["call_1", "7"]),
    ],
)
def test_every_call_has_an_id_of_its_own(ids: list[Any], distinct: list[str]) -> None:
    calls, notes = read_tool_calls({"tool_calls": [{"id": i, **part("{}", "f")} for i in ids]})
    assert [call.id for call in calls] == distinct
    assert bool(notes) == (list(map(str, ids)) != distinct)


JSON_OBJECTS = st.dictionaries(st.text(max_size=3), st.integers(-99, 99) | st.text(max_size=4), max_size=3)


@given(st.lists(st.tuples(st.sampled_from(["f", "g"]), JSON_OBJECTS), min_size=1, max_size=4), st.data())
def test_any_cuts_by_id_and_index_give_the_calls_again(
    calls: list[tuple[str, dict[str, Any]]], data: st.DataObject
) -> None:
    frames = []
    for index, (name, value) in enumerate(calls):
        text = orjson.dumps(value).decode()
        head = part("", name, id=f"id{index}", index=index)
        cut = data.draw(st.integers(1, len(text)))
        pieces = [part(text[at : at + cut], index=index) for at in range(0, len(text), cut)]
        frames += [[piece] for piece in [head, *pieces]]
    assert [(name, orjson.loads(text)) for name, text in arguments(*frames)] == calls
