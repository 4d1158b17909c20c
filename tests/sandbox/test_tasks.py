"""Asynchronous chat and agents: submitted once, asked for until done."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.sandbox.calls import CHAT, chat, send, text
from visionpipe.registry.lookup import Registry
from visionpipe.sandbox.scenario import Options
from visionpipe.sandbox.store import NO_END, Store
from visionpipe.testing.sandbox import SandboxHandle, running_sandbox

SUBMIT = "/api/paas/v4/async/chat/completions"


def result(sandbox: SandboxHandle, identity: str) -> Any:
    return send(sandbox, f"/api/paas/v4/async-result/{identity}").json


def test_submitted_processing_success(sandbox: SandboxHandle) -> None:
    submitted = send(sandbox, SUBMIT, chat(request_id="task-request")).json
    assert submitted["task_status"] == "PROCESSING" and submitted["request_id"] == "task-request"
    assert "choices" not in submitted
    assert result(sandbox, submitted["id"])["task_status"] == "PROCESSING"
    done = result(sandbox, submitted["id"])
    assert done["task_status"] == "SUCCESS" and done["usage"]["total_tokens"] > 0
    assert "png 40x30" in done["choices"][0]["message"]["content"]
    assert result(sandbox, submitted["id"]) == done
    assert send(sandbox, CHAT, chat(request_id="task-request")).code == "1231"


def test_a_task_that_fails(sandbox: SandboxHandle) -> None:
    sandbox.set_scenario({"rule": [{"path": "*/async/*", "fault": {"kind": "task"}}]})
    submitted = send(sandbox, SUBMIT, chat()).json
    result(sandbox, submitted["id"])
    assert result(sandbox, submitted["id"])["task_status"] == "FAIL"


def test_refused_tasks(sandbox: SandboxHandle) -> None:
    without = next(r.id for r in Registry.load().models() if not r.tasks and r.state != "generic")
    assert send(sandbox, SUBMIT, chat(text(), model=without)).code == "1212"
    assert send(sandbox, SUBMIT, chat(text(""))).code == "1214"
    assert send(sandbox, "/api/paas/v4/async-result/none").code == "1233"


def test_a_task_survives_a_restart(tmp_path: Path) -> None:
    state = tmp_path / "state.sqlite"
    with running_sandbox(state=state) as sandbox:
        identity = send(sandbox, SUBMIT, chat()).json["id"]
    with running_sandbox(state=state, task_polls=0) as sandbox:
        assert result(sandbox, identity)["task_status"] == "SUCCESS"


@pytest.mark.parametrize(
    ("polls", "seconds", "steps"),
    [(1, 0.0, [0, 1, 2, 3]), (2, 0.0, [0, 0, 1, 1]), (0, 0.0, [NO_END] * 4), (1, 2.0, [0, 1, 1, 2])],
)
def test_how_things_go_on(polls: int, seconds: float, steps: list[int]) -> None:
    moments = iter([100.5, 102.5, 103.5, 104.5])
    store = Store(Options(task_polls=polls, task_seconds=seconds), lambda: next(moments))
    document = {"polls": 0, "created": 100.0}
    assert [store.ask(document) for _ in range(4)] == steps
    store.close()


AGENT = {
    "agent_id": "receipt_recognition_agent",
    "messages": [{"role": "user", "content": [{"type": "image_url", "image_url": "https://e.com/a.png"}]}],
}


@pytest.mark.parametrize("path", ["/api/v1/agents", "/api/paas/v4/v1/agents"])
def test_an_agent_answers(sandbox: SandboxHandle, path: str) -> None:
    document = send(sandbox, path, AGENT).json
    (message,) = document["choices"][0]["messages"]
    assert message["content"]["type"] == "text" and "https://e.com/a.png" in message["content"]["text"]
    assert document["agent_id"] == "receipt_recognition_agent" and document["conversation_id"]
    *parts, last, done = send(sandbox, path, {**AGENT, "stream": True}).events
    said = "".join(part["choices"][0]["delta"]["content"]["text"] for part in parts)
    assert said == message["content"]["text"]
    assert (last["choices"][0]["finish_reason"], done) == ("stop", "[DONE]") and last["usage"]


def test_an_agent_that_answers_later(sandbox: SandboxHandle) -> None:
    asked = {
        "agent_id": "async_agent",
        "messages": [{"role": "user", "content": {"type": "text", "text": "Go"}}],
    }
    submitted = send(sandbox, "/api/v1/agents", asked).json
    assert submitted["status"] == "pending"
    poll = {"agent_id": "async_agent", "async_id": submitted["async_id"]}
    states = [send(sandbox, "/api/v1/agents/async-result", poll).json for _ in range(2)]
    assert [state["status"] for state in states] == ["pending", "success"]
    assert states[1]["choices"][0]["messages"][0]["content"]["text"].endswith("Go")
    sandbox.set_scenario({"rule": [{"fault": {"kind": "task"}}]})
    poll["async_id"] = send(sandbox, "/api/v1/agents", asked).json["async_id"]
    states = [send(sandbox, "/api/v1/agents/async-result", poll).json for _ in range(2)]
    assert states[1]["status"] == "failed" and states[1]["error"]["code"]


def test_refused_agents(sandbox: SandboxHandle) -> None:
    assert send(sandbox, "/api/v1/agents", {"messages": []}).code == "1213"
    assert send(sandbox, "/api/v1/agents", {**AGENT, "agent_id": 3}).code == "1214"
    assert send(sandbox, "/api/v1/agents", {"agent_id": "a"}).code == "1213"
    assert send(sandbox, "/api/v1/agents/async-result", {"agent_id": "a"}).code == "1213"
    assert send(sandbox, "/api/v1/agents/async-result", {"agent_id": "a", "async_id": "b"}).code == "1214"
