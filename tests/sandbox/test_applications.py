"""The older application API: flat errors, files by id, streamed unless told not to."""

from __future__ import annotations

from typing import Any

from tests.sandbox.calls import form, send
from visionpipe.testing.sandbox import SandboxHandle

OPEN = "/api/llm-application/open"
INVOKE = f"{OPEN}/v3/application/invoke"


def asked(*content: Any, **fields: Any) -> dict[str, Any]:
    typed = {"type": "input", "value": "Which city?", "key": "用户输入"}
    return {"app_id": "app-1", "messages": [{"role": "user", "content": [typed, *content]}], **fields}


def test_files_are_uploaded_asked_for_and_shown(sandbox: SandboxHandle) -> None:
    body, media_type = form({"app_id": "app-1", "file_type": "4"}, "city.png", b"...", name="files")
    reply = send(sandbox, f"{OPEN}/v2/application/file_upload", body, headers={"Content-Type": media_type})
    (stored,) = reply.json["data"]["successInfo"]
    states = send(sandbox, f"{OPEN}/v2/application/file_stat", {"file_ids": [stored["fileId"], "none"]}).json
    assert [state["code"] for state in states["data"]] == [1, 11009]
    shown = {"type": "upload_image", "value": stored["fileId"], "key": "图片"}
    answer = send(sandbox, INVOKE, asked(shown, stream=False)).json
    said = answer["choices"][0]["messages"]["content"]["msg"]
    assert "Which city?" in said and "city.png" in said
    *parts, last, _ = send(sandbox, INVOKE, asked(shown)).events
    assert "".join(part["choices"][0]["delta"]["content"]["msg"] for part in parts) == said
    assert last["choices"][0]["finish_reason"] == "stop"


def test_variables_and_conversation(sandbox: SandboxHandle) -> None:
    variables = send(sandbox, f"{OPEN}/v2/application/app-1/variables").json
    assert variables["code"] == 200 and {v["type"] for v in variables["data"]} == {"input", "upload_image"}
    begun = send(sandbox, f"{OPEN}/v2/application/app-1/conversation", {}).json["data"]["conversation_id"]
    answer = send(sandbox, INVOKE, asked(stream=False, conversation_id=begun)).json
    assert answer["conversation_id"] == begun


def test_a_failed_application(sandbox: SandboxHandle) -> None:
    sandbox.set_scenario({"rule": [{"fault": {"kind": "task"}}]})
    failed = send(sandbox, INVOKE, asked(stream=False)).json
    assert failed["choices"][0]["finish_reason"] == "error" and failed["error_msg"]["code"] == 1234
    assert send(sandbox, INVOKE, asked()).events[0]["error_msg"]


def test_errors_are_flat(sandbox: SandboxHandle) -> None:
    refused = [
        send(sandbox, INVOKE, {"messages": []}),
        send(sandbox, INVOKE, {"app_id": "a"}),
        send(sandbox, INVOKE, asked({"type": "upload_image", "value": "none"})),
        send(sandbox, INVOKE, asked({"type": "video", "value": "x"})),
        send(sandbox, INVOKE, asked({"type": "input", "value": ""})),
        send(sandbox, INVOKE, {"app_id": "a", "messages": [{"content": "x"}]}),
        send(sandbox, f"{OPEN}/v2/application/file_stat", {}),
        send(sandbox, INVOKE, asked(), key="wrong.key"),
    ]
    assert [answer.json["code"] for answer in refused] == [1213, 1213, 1214, 1214, 1214, 1214, 1213, 401]
    path = f"{OPEN}/v2/application/file_upload"
    body, media_type = form({}, "a.png", b"...", name="files")
    assert send(sandbox, path, body, headers={"Content-Type": media_type}).json["code"] == 1213
    fields_only = body.replace(b'name="files"; filename="a.png"', b'name="app_id"')
    assert send(sandbox, path, fields_only, headers={"Content-Type": media_type}).json["code"] == 1213
