"""Chat as a client meets it: whole, streamed, with what arrived told in the answer."""

from __future__ import annotations

import hashlib
from pathlib import Path

import orjson

from tests.sandbox.calls import CHAT, JPEG, PNG, chat, image, send, text
from visionpipe.testing.images import image_bytes
from visionpipe.testing.sandbox import SandboxHandle, running_sandbox


def test_the_answer_tells_what_arrived(sandbox: SandboxHandle) -> None:
    answer = send(sandbox, body=chat(image(PNG), image(JPEG), text()))
    assert answer.status == 200
    assert "png 40x30" in answer.text and hashlib.sha256(PNG).hexdigest() in answer.text
    assert "jpeg 64x48" in answer.text and hashlib.sha256(JPEG).hexdigest() in answer.text


def test_the_log_tells_it_too_without_key_or_content(sandbox: SandboxHandle) -> None:
    body = chat(request_id="my-request-1")
    send(sandbox, body=body)
    record = sandbox.log()[-1]
    assert record["model"] == "glm-4.6v"
    assert record["request_id"] == "my-request-1"
    assert record["status"] == 200 and record["code"] is None
    assert record["media"][0]["sha256"] == hashlib.sha256(PNG).hexdigest()
    assert record["bytes_in"] > len(PNG)
    assert sandbox.key not in str(record) and sandbox.key.split(".")[0] not in str(record)


def test_a_whole_answer_has_the_fields_of_the_service(sandbox: SandboxHandle) -> None:
    document = send(sandbox, body=chat(request_id="my-request-2")).json
    assert document["request_id"] == "my-request-2" and document["model"] == "glm-4.6v"
    assert document["choices"][0]["finish_reason"] == "stop"
    usage = document["usage"]
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]
    assert "object" not in document


def test_a_stream_ends_with_usage_and_done(sandbox: SandboxHandle) -> None:
    answer = send(sandbox, body=chat(stream=True))
    assert answer.headers["content-type"].startswith("text/event-stream")
    *events, last, done = answer.events
    assert done == "[DONE]"
    assert last["choices"][0]["finish_reason"] == "stop" and last["usage"]["total_tokens"] > 0
    assert all("usage" not in event for event in events)
    said = "".join(event["choices"][0]["delta"].get("content", "") for event in events)
    assert said == send(sandbox, body=chat()).text


def test_a_thinking_model_thinks_first_and_only_if_it_may(sandbox: SandboxHandle) -> None:
    thought = send(sandbox, body=chat(stream=True)).events[0]["choices"][0]["delta"]
    assert thought["reasoning_content"]
    quiet = send(sandbox, body=chat(thinking={"type": "disabled"})).json
    assert "reasoning_content" not in quiet["choices"][0]["message"]
    never = send(sandbox, body=chat(model="glm-4v-plus-0111")).json
    assert "reasoning_content" not in never["choices"][0]["message"]


def test_max_tokens_and_stop_are_kept(sandbox: SandboxHandle) -> None:
    short = send(sandbox, body=chat(max_tokens=5, thinking={"type": "disabled"})).json
    assert short["choices"][0]["finish_reason"] == "length"
    assert short["usage"]["completion_tokens"] <= 5
    stopped = send(sandbox, body=chat(stop=[" sha256"])).json
    assert stopped["choices"][0]["message"]["content"].endswith("bytes,")
    assert stopped["choices"][0]["finish_reason"] == "stop"


def test_a_request_id_is_used_once(sandbox: SandboxHandle) -> None:
    assert send(sandbox, body=chat(request_id="again-again")).status == 200
    assert send(sandbox, body=chat(request_id="again-again")).code == "1231"
    assert send(sandbox, body=chat(request_id="another-one")).status == 200


def test_duplicates_of_content_are_counted(sandbox: SandboxHandle) -> None:
    for data in (PNG, JPEG, PNG, PNG):
        send(sandbox, body=chat(image(data), text()))
    stats = sandbox.stats()
    assert (stats["media"], stats["duplicates"]) == (4, 2)


def test_scripted_answers_go_by_turn_prompt_and_image(sandbox: SandboxHandle) -> None:
    sandbox.set_scenario(
        {
            "answer": [
                {"text": "first"},
                {"text": "second"},
                {"text": "a dog", "contains": "dog"},
                {"text": "that one", "sha256": hashlib.sha256(JPEG).hexdigest()[:8]},
            ]
        }
    )
    turns = [send(sandbox, body=chat()).text for _ in range(3)]
    assert turns == ["first", "second", "first"]
    assert send(sandbox, body=chat(image(), text("a dog?"))).text == "a dog"
    assert send(sandbox, body=chat(image(JPEG), text())).text == "that one"


def test_saw_json_and_the_embedded_engine(sandbox: SandboxHandle) -> None:
    with running_sandbox(answers="saw_json") as other:
        report = orjson.loads(send(other, body=chat()).text)
        assert report["media"][0]["width"] == 40 and report["prompt"] == "What is this?"
    with running_sandbox(answers="engine") as other:
        said = send(other, body=chat(image(JPEG), text()))
        assert said.status == 200 and said.text and "sha256" not in said.text
        asked_in_chinese = send(other, body=chat(image(JPEG), text("图中有什么？"))).text
        assert not asked_in_chinese.isascii()
        large = image_bytes("jpeg", 640, 480)
        cut = send(other, body=chat(image(large[: len(large) * 3 // 4]), text()))
        assert cut.status == 400 and cut.code == "1210"
        assert send(other, body=chat(text("hello"))).text.endswith("hello")
    assert sandbox.stats()["requests"] == 0


def test_script_mode_without_a_text_says_so() -> None:
    with running_sandbox(answers="script") as sandbox:
        assert send(sandbox, body=chat()).text == "The sandbox has no text for this request."


def test_json_is_answered_where_the_model_can(sandbox: SandboxHandle, tmp_path: Path) -> None:
    wanted = {"type": "json_object"}
    assert send(sandbox, body=chat(response_format={"type": "poem"})).code == "1214"
    overlay = tmp_path / "overlay.toml"
    overlay.write_text('[[model]]\nid = "structured"\nbase = "glm-4.6v"\nstructured_output = true\n')
    with running_sandbox(overlay=overlay) as other:
        told = send(other, body=chat(image(), text(), model="structured", response_format=wanted))
        assert orjson.loads(told.text)["media"][0]["format"] == "png"


def test_an_unknown_address_and_method(sandbox: SandboxHandle) -> None:
    assert send(sandbox, "/api/paas/v4/nothing", {}).code == "1222"
    assert send(sandbox, "/nothing", {}).status == 404
    assert send(sandbox, CHAT, method="GET").status == 405


def test_a_schema_at_the_end_of_a_prompt_is_followed_by_the_engine() -> None:
    schema = '{"type":"object","properties":{"name":{"type":"string"}},"required":["name"]}'
    with running_sandbox(answers="engine") as sandbox:
        photo = image(image_bytes("jpeg", 64, 48))
        asked = send(sandbox, body=chat(photo, text(f"What is it? As this schema says:\n{schema}"))).text
        assert isinstance(orjson.loads(asked)["name"], str)
        assert not send(sandbox, body=chat(photo, text("What is {it}?"))).text.startswith("{")
