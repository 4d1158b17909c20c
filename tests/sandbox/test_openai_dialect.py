"""The OpenAI dialect: data URIs in, OpenAI's documents and errors out."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from tests.sandbox.calls import PNG, chat, image, linked, send, text
from visionpipe.client._sync.client import Client
from visionpipe.errors import ServiceError
from visionpipe.testing.sandbox import SandboxHandle

PATH = "/v1/chat/completions"
URI = linked("image_url", "data:image/png;base64," + image(PNG)["image_url"]["url"])


def test_a_whole_answer(sandbox: SandboxHandle) -> None:
    document = send(
        sandbox, PATH, chat(URI, text(), temperature=1.7, stop="never", max_completion_tokens=99)
    ).json
    assert document["object"] == "chat.completion" and "request_id" not in document
    assert "png 40x30" in document["choices"][0]["message"]["content"]
    assert sandbox.log()[-1]["media"][0]["form"] == "data_uri"


def test_usage_comes_in_a_chunk_of_its_own_and_only_if_asked_for(sandbox: SandboxHandle) -> None:
    body = chat(URI, text(), stream=True)
    silent = send(sandbox, PATH, body).events
    assert silent[-1] == "[DONE]" and not any("usage" in event for event in silent[:-1])
    told = send(sandbox, PATH, {**body, "stream_options": {"include_usage": True}}).events
    assert told[-2]["choices"] == [] and told[-2]["usage"]["total_tokens"] > 0
    assert all(event["object"] == "chat.completion.chunk" for event in told[:-1])
    assert told[-3]["choices"][0]["finish_reason"] == "stop"


def test_bare_base64_and_bad_data_uris_are_refused(sandbox: SandboxHandle) -> None:
    bad: list[Any] = [
        image(PNG),
        linked("image_url", "data:image/png,abc"),
        linked("image_url", "data:;base64,"),
    ]
    for part in bad:
        assert send(sandbox, PATH, chat(part, text())).status == 400


def test_errors_have_the_form_of_openai(sandbox: SandboxHandle) -> None:
    unknown = send(sandbox, PATH, chat(URI, text(), model="gpt-9"))
    assert unknown.status == 404 and unknown.code == "model_not_found"
    assert unknown.json["error"]["type"] == "invalid_request_error"
    assert send(sandbox, PATH, chat(), key="wrong.key").code == "invalid_api_key"
    sandbox.set_scenario({"rule": [{"fault": {"kind": "error", "code": "1302"}}]})
    limited = send(sandbox, PATH, chat(URI, text()))
    assert limited.status == 429 and limited.json["error"]["type"] == "rate_limit_error"
    sandbox.set_scenario({"rule": [{"fault": {"kind": "error", "code": "500"}}]})
    assert send(sandbox, PATH, chat(URI, text())).json["error"]["type"] == "server_error"


def test_the_list_of_models(sandbox: SandboxHandle) -> None:
    ids = {row["id"] for row in send(sandbox, "/v1/models").json["data"]}
    assert {"glm-4.6v", "glm-4v-plus-0111"} <= ids and "unknown-glm" not in ids


ROWS = {"type": "array", "items": {"type": "object", "properties": {"name": {"type": "string"}}}}
PRODUCT = {
    "type": "object",
    "properties": {
        "name": {"$ref": "#/$defs/Name"},
        "rows": ROWS,
        "when": {"type": "string", "format": "date"},
    },
    "$defs": {"Name": {"type": "string"}},
}


def formatted(schema: Any) -> dict[str, Any]:
    return {"type": "json_schema", "json_schema": {"name": "product", "schema": schema}}


def test_json_is_answered_where_it_is_asked_for(sandbox: SandboxHandle) -> None:
    plain = send(sandbox, PATH, chat(URI, text(), response_format={"type": "json_object"})).text
    assert orjson.loads(plain)["media"][0]["format"] == "png"
    shaped = send(sandbox, PATH, chat(URI, text(), response_format=formatted(PRODUCT))).text
    assert orjson.loads(shaped) == {"name": "example", "rows": [{"name": "example"}], "when": "2026-01-31"}


@pytest.mark.parametrize(
    "wanted",
    [
        formatted(ROWS),
        formatted({"type": "integer"}),
        formatted({"anyOf": [PRODUCT]}),
        {"type": "json_schema"},
    ],
)
def test_a_root_that_is_no_object_is_refused_as_openai_does(sandbox: SandboxHandle, wanted: Any) -> None:
    assert send(sandbox, PATH, chat(URI, text(), response_format=wanted)).status == 400


def function(name: str) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name, "parameters": {"type": "object"}}}


TOOLS = [function("first"), function("second")]


@pytest.mark.parametrize(
    ("choice", "called"),
    [
        ("auto", "first"),
        ("required", "first"),
        ({"type": "function", "function": {"name": "second"}}, "second"),
        ("none", None),
    ],
)
def test_the_choice_of_a_function(sandbox: SandboxHandle, choice: Any, called: str | None) -> None:
    message = send(sandbox, PATH, chat(URI, text(), tools=TOOLS, tool_choice=choice)).json["choices"][0][
        "message"
    ]
    assert [call["function"]["name"] for call in message.get("tool_calls", [])] == (
        [called] if called else []
    )


def test_required_asks_for_a_function_after_a_result_too_and_an_unknown_choice_is_refused(
    sandbox: SandboxHandle,
) -> None:
    body = chat(URI, text(), tools=TOOLS, tool_choice="required")
    asked = send(sandbox, PATH, body).json["choices"][0]["message"]
    told = {"role": "tool", "tool_call_id": asked["tool_calls"][0]["id"], "content": "done"}
    body["messages"] += [asked, told]
    again = send(sandbox, PATH, body).json["choices"][0]["message"]
    assert again["tool_calls"][0]["function"]["name"] == "second"
    assert send(sandbox, PATH, {**body, "tool_choice": "auto"}).text == "The function returned: done"
    named = {"type": "function", "function": {"name": "third"}}
    assert send(sandbox, PATH, {**body, "tool_choice": named}).status == 400


@pytest.mark.parametrize("role", ["system", "developer"])
@pytest.mark.parametrize("content", ["Be brief.", [text("Be brief."), text("Be kind.")]])
def test_a_system_message_in_every_form(sandbox: SandboxHandle, role: str, content: Any) -> None:
    body = chat(URI, text())
    body["messages"].insert(0, {"role": role, "content": content})
    assert send(sandbox, PATH, body).status == 200


def test_several_choices(sandbox: SandboxHandle) -> None:
    one = send(sandbox, PATH, chat(URI, text())).json
    three = send(sandbox, PATH, chat(URI, text(), n=3)).json
    assert [choice["index"] for choice in three["choices"]] == [0, 1, 2]
    assert three["usage"]["completion_tokens"] == 3 * one["usage"]["completion_tokens"]
    events = send(sandbox, PATH, chat(URI, text(), n=2, stream=True)).events
    said = [
        "".join(
            e["choices"][0]["delta"].get("content", "") for e in events[:-1] if e["choices"][0]["index"] == i
        )
        for i in (0, 1)
    ]
    assert said[0] == said[1] == one["choices"][0]["message"]["content"]
    assert send(sandbox, PATH, chat(URI, text(), n=0)).status == 400


@pytest.mark.parametrize(
    ("form", "field"),
    [("vllm", "stop_reason"), ("ollama", "finish_reason"), ("openrouter", "native_finish_reason")],
)
@pytest.mark.parametrize("stream", [False, True])
def test_other_servers_shapes(sandbox: SandboxHandle, form: str, field: str, stream: bool) -> None:
    sandbox.set_scenario({"rule": [{"fault": {"kind": "shape", "form": form}}]})
    setup: dict[str, Any] = {
        "base_url": f"openai+{sandbox.openai_url}",
        "api_key": sandbox.key,
        "model": "glm-4.6v",
    }
    answer = send(sandbox, PATH, chat(URI, text(), stream=stream))
    (choice,) = answer.events[0]["choices"] if stream else answer.json["choices"]
    assert field in choice
    said = choice["delta" if stream else "message"]
    assert "reasoning" in said
    assert ("reasoning_content" in said) == (form == "vllm")
    with Client(**setup) as client:
        if stream:
            with client.stream("What is this?", PNG) as pieces:
                read = "".join(pieces)
        else:
            read = client.ask("What is this?", PNG).text
    assert "png 40x30" in read


@pytest.mark.parametrize("form", ["vllm", "ollama", "openrouter"])
def test_other_servers_errors_are_read_by_the_client(sandbox: SandboxHandle, form: str) -> None:
    fault = {"kind": "error", "code": "1210", "message": "out of order", "shape": form}
    sandbox.set_scenario({"rule": [{"fault": fault}]})
    setup: dict[str, Any] = {"base_url": f"openai+{sandbox.openai_url}", "api_key": sandbox.key}
    with Client(**setup, model="glm-4.6v") as client, pytest.raises(ServiceError, match="out of order"):
        client.ask("What is this?", PNG)
