"""The GLM dialect's text models, their list, and which models batch files take."""

from __future__ import annotations

import orjson
import pytest

from tests.sandbox.calls import CHAT, chat, send, text, upload
from visionpipe.testing.sandbox import SandboxHandle

SEARCH = {"type": "web_search", "web_search": {"enable": True, "search_result": True}}
RETRIEVAL = {"type": "retrieval", "retrieval": {"knowledge_id": "1"}}


@pytest.mark.parametrize("tool", [SEARCH, RETRIEVAL])
def test_text_models_are_there_for_what_no_vision_model_takes(sandbox: SandboxHandle, tool: object) -> None:
    body = {"model": "glm-4-flash", "messages": [{"role": "user", "content": "News?"}], "tools": [tool]}
    answer = send(sandbox, CHAT, body)
    assert answer.status == 200
    assert bool(answer.json.get("web_search")) == (tool is SEARCH)
    assert send(sandbox, CHAT, chat(model="glm-4-flash")).code == "1210"


def test_a_text_model_is_tuned(sandbox: SandboxHandle) -> None:
    identity = upload(sandbox, "pairs.jsonl", "fine-tune", b"{}\n").json["id"]
    path = "/api/paas/v4/fine_tuning/jobs"
    assert send(sandbox, path, {"model": "glm-4-flash", "training_file": identity}).status == 200


def test_the_list_of_models_leaves_vision_models_out(sandbox: SandboxHandle) -> None:
    ids = {row["id"] for row in send(sandbox, "/api/paas/v4/models").json["data"]}
    assert "glm-4-flash" in ids
    assert "glm-4.6v" not in ids


def line(model: str) -> bytes:
    entry = {
        "custom_id": "line-01",
        "method": "POST",
        "url": "/v4/chat/completions",
        "body": chat(text(), model=model),
    }
    return orjson.dumps(entry) + b"\n"


def test_a_batch_file_for_another_model_is_refused_at_the_upload(sandbox: SandboxHandle) -> None:
    refused = upload(sandbox, "a.jsonl", "batch", line("glm-4.6v"))
    assert (refused.status, refused.code) == (400, "1210")
    assert "glm-4v-plus-0111" in refused.json["error"]["message"]
    assert upload(sandbox, "a.jsonl", "batch", line("glm-4v-plus-0111")).status == 200
    assert upload(sandbox, "a.jsonl", "agent", line("glm-4.6v")).status == 200
