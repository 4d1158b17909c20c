"""Agents and the older applications on both clients."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.client.faces import Clock, setup_for
from tests.client.service_faces import Calling
from tests.client.test_tasks import CHINA, sandbox_setup
from tests.loopback import Answer, Loopback
from tests.wire.test_task_codec import JSON
from visionpipe.client import Client
from visionpipe.errors import (
    ContentPolicyError,
    InterruptedAnswerError,
    ParameterError,
    RejectedRequestError,
    ReplyTimeoutError,
    ServerError,
    UnreadableAnswerError,
    UnsupportedError,
)
from visionpipe.testing.sandbox import SandboxHandle
from visionpipe.values import Usage
from visionpipe.wire import agents as agent_codec
from visionpipe.wire import applications as application_codec
from visionpipe.wire.agents import AgentStatus
from visionpipe.wire.applications import FileKind, FileReadiness, Value

LINK = "https://example.com/receipt.png"
APP = "1791378613740900352"


def says(**answer: Any) -> Answer:
    return Answer(body=orjson.dumps(answer))


def events(*values: Any, done: bool = True) -> Answer:
    frames = [b"data: " + orjson.dumps(value) + b"\n\n" for value in values]
    return Answer(body=[*frames, *([b"data: [DONE]\n\n"] if done else [])])


def part(text: str) -> dict[str, Any]:
    return {"role": "assistant", "content": {"type": "text", "text": text}}


def test_an_agent_answers(call: Calling, sandbox: SandboxHandle) -> None:
    setup = sandbox_setup(sandbox)
    reply = call(setup, "agents.invoke", "receipt_recognition_agent", "Read it.", images=[LINK])
    assert "1 image" in reply.text
    assert (reply.agent_id, reply.status, reply.done) == (
        "receipt_recognition_agent",
        AgentStatus.SUCCESS,
        True,
    )
    assert reply.usage is not None and reply.usage.prompt_tokens > 0
    again = call(
        setup,
        "agents.invoke",
        "receipt_recognition_agent",
        "And now?",
        conversation_id=reply.conversation_id,
    )
    assert again.conversation_id == reply.conversation_id


def test_what_an_agent_is_sent(call: Calling, loopback: Loopback) -> None:
    loopback.script(says(choices=[{"messages": [part("Yes.")], "finish_reason": "stop"}]))
    reply = call(
        setup_for(loopback),
        "agents.invoke",
        "a1",
        "Is it?",
        images=[LINK],
        history=[{"role": "user", "content": "hello"}],
        variables={"pages": 2},
    )
    (seen,) = loopback.requests
    assert (seen.method, seen.path) == ("POST", "/api/v1/agents")
    assert seen.json() == {
        "agent_id": "a1",
        "stream": False,
        "messages": [
            {"role": "user", "content": "hello"},
            {
                "role": "user",
                "content": [{"type": "image_url", "image_url": LINK}, {"type": "text", "text": "Is it?"}],
            },
        ],
        "custom_variables": {"pages": 2},
    }
    assert (str(reply), reply.finish_reason, reply.agent_id) == ("Yes.", "stop", "a1")
    assert reply.request_id.startswith("vp-")


def test_an_agent_that_answers_later(call: Calling, sandbox: SandboxHandle) -> None:
    setup = sandbox_setup(sandbox)
    pending = call(setup, "agents.invoke", "async_agent", "Make slides.")
    assert (pending.done, pending.status, pending.text) == (False, AgentStatus.PENDING, "")
    assert not call(setup, "agents.result", "async_agent", pending.async_id).done
    reply = call(setup, "agents.wait", "async_agent", pending.async_id)
    assert reply.status is AgentStatus.SUCCESS
    assert reply.text
    with pytest.raises(RejectedRequestError):
        call(setup, "agents.wait", "another", pending.async_id)


def test_an_agent_that_fails(call: Calling, sandbox: SandboxHandle, loopback: Loopback) -> None:
    sandbox.set_scenario({"rule": [{"path": "*/agents", "fault": {"kind": "task"}}]})
    setup = sandbox_setup(sandbox)
    pending = call(setup, "agents.invoke", "async_agent", "Make slides.")
    with pytest.raises(ServerError, match="failed"):
        call(setup, "agents.wait", "async_agent", pending.async_id)
    loopback.script(says(status="failed", agent_id="a1"))
    with pytest.raises(ServerError) as caught:
        call(setup_for(loopback), "agents.wait", "a1", "x")
    assert caught.value.code == "agent_failed"
    loopback.script(says(error={"code": "1301", "message": "no"}))
    with pytest.raises(ContentPolicyError):
        call(setup_for(loopback), "agents.invoke", "a1", "What?")


def test_a_deadline_for_an_agent(call: Calling, loopback: Loopback) -> None:
    loopback.script(says(status="pending", async_id="x"))
    clock = Clock()
    with pytest.raises(ReplyTimeoutError, match=r"agents\.wait\('a1', 'x'\)"):
        call(setup_for(loopback, clock), "agents.wait", "a1", "x", 20.0)
    assert clock.now == pytest.approx(20)


def test_an_agent_is_streamed(call: Calling, sandbox: SandboxHandle) -> None:
    setup = sandbox_setup(sandbox)
    pieces, reply = call(setup, "agents.stream", "a1", "Read it.", images=[LINK])
    assert len(pieces) > 1
    assert "".join(pieces) == reply.text
    assert reply.usage == call(setup, "agents.invoke", "a1", "Read it.", images=[LINK]).usage
    assert (reply.finish_reason, reply.parts) == ("stop", ({"type": "text", "text": reply.text},))


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (events({"choices": [{"delta": part("A")}]}, done=False), InterruptedAnswerError),
        (events({"error": {"code": "1301", "message": "no"}}), ContentPolicyError),
        (Answer(body=[b"data: {no\n\n"]), InterruptedAnswerError),
        (Answer(body=b"<html>"), UnreadableAnswerError),
    ],
    ids=["cut", "error", "no JSON", "no events"],
)
def test_a_stream_that_goes_wrong(
    call: Calling, loopback: Loopback, answer: Answer, error: type[Exception]
) -> None:
    loopback.script(answer)
    with pytest.raises(error):
        call(setup_for(loopback), "agents.stream", "a1", "What?")


def test_a_streams_reply_is_there_at_its_end(loopback: Loopback) -> None:
    loopback.script(events({"choices": [{"delta": part("A")}]}, 3))
    with Client(**setup_for(loopback)) as client, client.agents.stream("a1", "What?") as stream:
        with pytest.raises(InterruptedAnswerError, match="Iterate"):
            assert stream.reply
        assert list(stream) == ["A"]
        assert stream.reply.text == "A"


def test_what_an_agent_does_not_take(call: Calling, loopback: Loopback) -> None:
    with pytest.raises(UnsupportedError, match="link"):
        call(setup_for(loopback), "agents.invoke", "a1", "What?", images=[str(CHINA)])
    with pytest.raises(ParameterError):
        call(setup_for(loopback), "agents.invoke", "a1")
    elsewhere = {**setup_for(loopback), "base_url": f"zai+{loopback.url}"}
    with pytest.raises(UnsupportedError, match="no agents"):
        call(elsewhere, "agents.invoke", "a1", "What?")
    with pytest.raises(UnsupportedError, match="no applications"):
        call(elsewhere, "agents.applications.invoke", APP, "What?")
    assert loopback.requests == []


def test_an_application_from_variables_to_answer(call: Calling, sandbox: SandboxHandle) -> None:
    setup = sandbox_setup(sandbox)
    text, image = call(setup, "agents.applications.variables", APP)
    assert (text.kind, image.kind) == ("input", "upload_image")
    conversation = call(setup, "agents.applications.conversation", APP)
    (file,) = call(
        setup,
        "agents.applications.upload",
        APP,
        CHINA,
        kind=FileKind.IMAGE,
        unit_id=image.id,
        conversation_id=conversation,
    )
    assert (file.name, file.problem) == ("china.jpg", None)
    states = call(setup, "agents.applications.file_states", APP, [file.id, "none"])
    assert states == {file.id: FileReadiness.READY, "none": FileReadiness.MISSING}
    values = (Value("What is it?", text.name), Value(file.id, image.name, image.kind))
    reply = call(setup, "agents.applications.invoke", APP, *values, conversation_id=conversation)
    assert "What is it?" in reply.text and "china.jpg" in reply.text
    assert (reply.conversation_id, reply.finish_reason) == (conversation, "stop")
    pieces, streamed = call(setup, "agents.applications.stream", APP, *values)
    assert len(pieces) > 1
    assert "".join(pieces) == streamed.text == reply.text


def test_what_an_application_is_sent(call: Calling, loopback: Loopback, tmp_path: Path) -> None:
    usage = [{"inputTokenCount": 30, "outputTokenCount": 8}, {"inputTokenCount": 1, "outputTokenCount": 2}]
    message = {"content": {"msg": "Rain.", "type": "text"}}
    loopback.script(says(choices=[{"messages": message, "finish_reason": "stop"}], usage=usage))
    reply = call(setup_for(loopback), "agents.applications.invoke", APP, "Weather?", conversation_id="c1")
    assert (str(reply), reply.usage) == ("Rain.", Usage(31, 10))
    (seen,) = loopback.requests
    assert seen.path == "/api/llm-application/open/v3/application/invoke"
    assert seen.json() == {
        "app_id": APP,
        "stream": False,
        "send_log_event": False,
        "messages": [{"role": "user", "content": [{"type": "input", "value": "Weather?"}]}],
        "conversation_id": "c1",
    }
    loopback.script(
        says(
            code=200,
            data={
                "success_info": [{"file_id": "f1", "file_name": "a.png"}],
                "failInfo": [{"fileName": "b.png", "failReason": "too large"}],
            },
        )
    )
    for name in ("a.png", "b.png"):
        (tmp_path / name).write_bytes(name.encode())
    taken, failed = call(
        setup_for(loopback), "agents.applications.upload", APP, tmp_path / "a.png", tmp_path / "b.png"
    )
    assert (taken.id, taken.problem, failed.id, failed.problem) == ("f1", None, None, "too large")
    body = loopback.requests[-1].body
    assert body.count(b'name="files"; filename=') == 2
    assert body.count(b"Content-Type: image/png") == 2
    with pytest.raises(ParameterError):
        call(setup_for(loopback), "agents.applications.upload", APP)


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (says(code=1214, message="no"), RejectedRequestError),
        (says(choices=[{"finish_reason": "error", "error_msg": {"code": 1234, "msg": "no"}}]), ServerError),
        (Answer(status=400, body=b'{"code":1301,"message":"no"}'), ContentPolicyError),
        (Answer(body=b"<html>"), UnreadableAnswerError),
    ],
    ids=["envelope", "error_msg", "flat", "no JSON"],
)
def test_an_application_that_fails(
    call: Calling, loopback: Loopback, answer: Answer, error: type[Exception]
) -> None:
    setup = setup_for(loopback)
    loopback.script(answer)
    with pytest.raises(error):
        call(setup, "agents.applications.invoke", APP, "What?")


def test_a_failed_stream_of_an_application(call: Calling, sandbox: SandboxHandle) -> None:
    sandbox.set_scenario({"rule": [{"path": "*/invoke", "fault": {"kind": "task"}}]})
    with pytest.raises(ServerError):
        call(sandbox_setup(sandbox), "agents.applications.stream", APP, "What?")


@pytest.mark.parametrize(
    "read",
    [
        application_codec.variables_of,
        application_codec.conversation_of,
        application_codec.uploads_of,
        application_codec.file_states_of,
        application_codec.reply_of,
        application_codec.error_of,
        agent_codec.error_of,
        lambda answer: agent_codec.reply_of(answer, "a1", "r1"),
    ],
)
@given(
    st.dictionaries(
        st.sampled_from(["data", "choices", "error", "code", "usage", "status", "async_id"]),
        JSON
        | st.lists(
            st.dictionaries(
                st.sampled_from(["messages", "delta", "content", "finish_reason", "id", "type"]),
                JSON,
                max_size=3,
            ),
            max_size=2,
        ),
        max_size=4,
    )
)
def test_any_answer_is_read_or_refused(
    read: Callable[[dict[str, Any]], object], answer: dict[str, Any]
) -> None:
    try:
        read(answer)
    except UnreadableAnswerError as error:
        assert error.cure
    else:
        assert answer is not None
