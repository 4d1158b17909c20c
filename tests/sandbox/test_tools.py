"""Tools: the priority of their kinds, one function a call, and a search that is offline unless enabled."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.sandbox.calls import chat, image, send, text
from visionpipe.sandbox.tools import example
from visionpipe.testing.sandbox import SandboxHandle, running_sandbox

WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}, "days": {"type": "integer", "minimum": 3}},
        },
    },
}
TIME = {"type": "function", "function": {"name": "get_time"}}
RETRIEVAL = {"type": "retrieval", "retrieval": {"knowledge_id": "k-1"}}
SEARCH = {"type": "web_search", "web_search": {"enable": True, "search_result": True}}


def test_a_function_is_called_and_its_result_taken_up(sandbox: SandboxHandle) -> None:
    body = chat(text("What is the weather?"), tools=[TIME, WEATHER])
    body["messages"][0]["content"][0]["text"] = "Use get_weather."
    choice = send(sandbox, body=body).json["choices"][0]
    assert choice["finish_reason"] == "tool_calls" and choice["message"]["content"] is None
    (call,) = choice["message"]["tool_calls"]
    assert call["function"]["name"] == "get_weather"
    assert orjson.loads(call["function"]["arguments"]) == {"city": "example", "days": 3}
    body["messages"] += [
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": call["id"], "content": '{"sky": "clear"}'},
    ]
    assert "clear" in send(sandbox, body=body).text


def test_a_function_call_in_a_stream(sandbox: SandboxHandle) -> None:
    events = send(sandbox, body=chat(text(), tools=[TIME], stream=True)).events
    calls = [c for e in events[:-1] for c in e["choices"][0]["delta"].get("tool_calls", [])]
    assert [call["function"]["name"] for call in calls] == ["get_time"]
    assert events[-2]["choices"][0]["finish_reason"] == "tool_calls"


@pytest.mark.parametrize(
    "tools",
    [
        [RETRIEVAL],  # a vision model knows functions only
        [SEARCH, RETRIEVAL],
        [{"type": "code"}],
        [{"type": "function", "function": {"name": "no spaces"}}],
        [{"type": "function", "function": {"name": "f", "parameters": 1}}],
        [TIME] * 129,
        "none",
    ],
)
def test_tools_that_are_refused(sandbox: SandboxHandle, tools: Any) -> None:
    assert send(sandbox, body=chat(tools=tools)).code in ("1210", "1214")


def test_tool_choice_is_auto_or_refused(sandbox: SandboxHandle) -> None:
    assert send(sandbox, body=chat(tools=[TIME], tool_choice="auto")).status == 200
    assert send(sandbox, body=chat(tools=[TIME], tool_choice="required")).code == "1210"


def test_the_priority_and_the_default_of_enable(tmp_path: Any) -> None:
    overlay = tmp_path / "overlay.toml"
    overlay.write_text(
        '[[model]]\nid = "all-tools"\nbase = "glm-4.6v"\ntools = ["function", "retrieval", "web_search"]\n'
    )
    with running_sandbox(overlay=overlay) as sandbox:

        def answered(*tools: Any) -> Any:
            return send(sandbox, body=chat(image(), text(), model="all-tools", tools=list(tools))).json

        assert answered(SEARCH, RETRIEVAL, TIME)["choices"][0]["finish_reason"] == "tool_calls"
        assert "web_search" not in answered(SEARCH, RETRIEVAL)
        assert answered(SEARCH)["web_search"][0]["link"].startswith("https://")
        silent = {"type": "web_search", "web_search": {"search_result": True}}
        assert "web_search" not in answered(silent)
        streamed = chat(image(), text(), model="all-tools", tools=[SEARCH], stream=True)
        assert send(sandbox, body=streamed).events[-2]["web_search"]


SCHEMAS = st.recursive(
    st.sampled_from(["string", "integer", "number", "boolean", "null"]).map(lambda kind: {"type": kind}),
    lambda inner: st.one_of(
        inner.map(lambda items: {"type": "array", "items": items}),
        st.dictionaries(st.text(max_size=3), inner, max_size=3).map(
            lambda fields: {"type": "object", "properties": fields}
        ),
    ),
)
KINDS: dict[str, type] = {
    "string": str,
    "integer": int,
    "number": int,
    "boolean": bool,
    "null": type(None),
    "array": list,
    "object": dict,
}


@given(SCHEMAS)
def test_arguments_fit_their_schema(schema: dict[str, Any]) -> None:
    value: Any = example(schema)
    if schema["type"] == "object":
        assert value.keys() == schema["properties"].keys()
    assert isinstance(value, KINDS[schema["type"]])


def test_examples_by_const_default_and_enum() -> None:
    assert example({"const": 7}) == 7
    assert example({"default": "x", "type": "string"}) == "x"
    assert example({"enum": ["b", "a"]}) == "b"
    assert example({"type": ["string", "null"]}) == "example"
