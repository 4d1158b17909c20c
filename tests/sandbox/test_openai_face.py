"""The OpenAI-compatible face: data URIs in, OpenAI's documents and errors out."""

from __future__ import annotations

from typing import Any

from tests.sandbox.calls import PNG, chat, image, linked, send, text
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
