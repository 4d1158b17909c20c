"""Asynchronous tasks on both clients: submitted, asked after, taken up again, and failed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pytest

from tests.client.faces import KEY, Clock, Face, chat, refusal, setup_for
from tests.client.service_faces import Calling
from tests.loopback import Answer, Loopback
from visionpipe.client import Client
from visionpipe.errors import (
    AuthenticationError,
    ContentPolicyError,
    FilteredAnswerError,
    RejectedRequestError,
    ReplyTimeoutError,
    ServerError,
    UnreadableAnswerError,
    UnsupportedError,
)
from visionpipe.reply import Reply
from visionpipe.testing.sandbox import SandboxHandle
from visionpipe.wire.chat import TaskStatus

SAMPLES = Path(__file__).parent.parent.parent / "samples"
CHINA = SAMPLES / "china.jpg"
HEAD = {"id": "8239", "request_id": "vp-0123456789", "model": "glm-4.6v-flash"}


def told(status: str, *, after: str | None = None, **more: Any) -> Answer:
    """What the service says of a task."""
    headers = {"Retry-After": after} if after else {}
    return Answer(body=orjson.dumps({**HEAD, "task_status": status, **more}), headers=headers)


def success(text: str = "A pavilion.", **more: Any) -> Answer:
    body = chat(text).body
    assert isinstance(body, bytes)
    return told("SUCCESS", **{**orjson.loads(body), **HEAD}, **more)


def sandbox_setup(sandbox: SandboxHandle, **more: Any) -> dict[str, Any]:
    clock = Clock()
    return {
        "base_url": f"bigmodel+{sandbox.base_url}",
        "api_key": sandbox.key,
        "clock": clock,
        "sleep": clock.sleep,
        **more,
    }


def test_a_damaged_answer_to_a_task_is_read_with_a_note(call: Calling, loopback: Loopback) -> None:
    body = success().body
    assert isinstance(body, bytes)
    bad = body.replace(b"pavilion", b"pav\xfflion")
    head = b"HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\n"
    loopback.script(Answer(raw=head + bad, close=True))
    reply = call(setup_for(loopback), "tasks.wait", "8239")
    assert reply.text == "A pav\N{REPLACEMENT CHARACTER}lion."
    notes = [note.detail for note in reply.notes if note.kind == "damaged"]
    assert len(notes) == 2 and "Content-Length is 'many'" in notes[0] and "not all UTF-8" in notes[1]


@pytest.mark.parametrize("model", ["glm-4.6v", "glm-4.6v-flash", "glm-4.1v-thinking-flash"])
def test_a_task_ends_in_the_same_reply_as_a_whole_call(
    call: Calling, face: Face, sandbox: SandboxHandle, model: str
) -> None:
    setup = sandbox_setup(sandbox, model=model)
    whole = face.ask("What is it?", CHINA, setup=setup, max_tokens=300, max_side=200)
    by_task: Reply = call(
        setup, "tasks.submit", "What is it?", CHINA, max_tokens=300, max_side=200, then="wait"
    )
    assert by_task.text == whole.text
    assert "jpeg 160x107" in by_task.text
    for field in ("model", "usage", "cost", "finish_reason", "reasoning", "adjustments", "notes", "local"):
        assert getattr(by_task, field) == getattr(whole, field), field
    assert by_task.request_id.startswith("vp-")
    assert len(by_task.attempts) == 1


def test_another_process_takes_a_task_up_by_its_id(call: Calling, sandbox: SandboxHandle) -> None:
    setup = sandbox_setup(sandbox)
    task = call(setup, "tasks.submit", "What is it?", CHINA)
    assert (task.status, task.done) == (TaskStatus.PROCESSING, False)
    again = call(setup, "tasks.get", task.id)
    assert (again.id, again.model, again.request_id) == (task.id, task.model, task.request_id)
    reply = call(setup, "tasks.wait", task.id)
    assert "jpeg" in reply.text
    assert reply.request_id == task.request_id
    assert call(setup, "tasks.get", task.id).status is TaskStatus.SUCCESS
    assert call(setup, "tasks.wait", task.id).text == reply.text


def test_what_is_submitted(call: Calling, loopback: Loopback) -> None:
    loopback.script(told("PROCESSING"))
    task = call(setup_for(loopback), "tasks.submit", "What?", CHINA, temperature=0.2)
    (seen,) = loopback.requests
    assert (seen.method, seen.path) == ("POST", "/v1/async/chat/completions")
    assert set(seen.json()) == {"model", "messages", "temperature", "request_id"}
    assert seen.headers["authorization"] == f"Bearer {KEY}"
    assert (task.id, task.request_id) == ("8239", seen.json()["request_id"])


def test_waits_grow_and_retry_after_is_a_floor(call: Calling, loopback: Loopback) -> None:
    loopback.script(
        *[told("PROCESSING")] * 3, told("PROCESSING", after="40"), *[told("PROCESSING")] * 4, success()
    )
    clock = Clock()
    reply = call(setup_for(loopback, clock), "tasks.wait", "82/39")
    assert reply.text == "A pavilion."
    assert {seen.path for seen in loopback.requests} == {"/v1/async-result/82%2F39"}
    assert clock.sleeps[:4] == pytest.approx([1, 1.6, 2.56, 40])
    assert clock.sleeps[4:] == pytest.approx([6.5536, 10.48576, 15, 15])


def test_a_deadline_ends_the_waiting_and_not_the_task(call: Calling, loopback: Loopback) -> None:
    loopback.script(told("PROCESSING"))
    clock = Clock()
    with pytest.raises(ReplyTimeoutError, match=r"client\.tasks\.wait\('8239'\)") as caught:
        call(setup_for(loopback, clock), "tasks.wait", "8239", 5.0)
    assert caught.value.code == "task_in_progress"
    assert caught.value.retryable
    assert clock.now == pytest.approx(5.0)
    loopback.script(told("PROCESSING", after="60"))
    with pytest.raises(ReplyTimeoutError):
        call(setup_for(loopback, clock), "tasks.wait", "8239", 5.0)
    assert clock.now == pytest.approx(5.0), "a Retry-After beyond the deadline is not waited for"


def test_a_poll_that_fails_is_asked_again(call: Calling, loopback: Loopback) -> None:
    loopback.script(refusal(500, "1234"), Answer(reset="before"), refusal(429, "1302"), success())
    assert call(setup_for(loopback), "tasks.wait", "8239").text == "A pavilion."


def test_a_poll_that_cannot_succeed_names_the_task(call: Calling, loopback: Loopback) -> None:
    loopback.script(refusal(400, "1214"))
    with pytest.raises(RejectedRequestError) as caught:
        call(setup_for(loopback), "tasks.wait", "8239")
    assert "8239" in caught.value.__notes__[0]
    assert len(loopback.requests) == 1


def test_a_failed_task_is_a_service_error(call: Calling, sandbox: SandboxHandle) -> None:
    sandbox.set_scenario({"rule": [{"path": "*/async/*", "fault": {"kind": "task"}}]})
    with pytest.raises(ServerError, match="Submit it again") as caught:
        call(sandbox_setup(sandbox), "tasks.submit", "What?", CHINA, then="wait")
    assert (caught.value.code, caught.value.retryable) == ("task_failed", True)


def test_a_failed_task_with_a_reason_is_that_error(call: Calling, loopback: Loopback) -> None:
    loopback.script(told("FAIL", error={"code": "1301", "message": "不行"}))
    with pytest.raises(ContentPolicyError, match="不行"):
        call(setup_for(loopback), "tasks.wait", "8239")


def test_an_answer_without_use_is_an_answer_error(call: Calling, sandbox: SandboxHandle) -> None:
    fault = {"kind": "finish", "reason": "sensitive"}
    sandbox.set_scenario({"rule": [{"path": "*/async/*", "fault": fault}]})
    with pytest.raises(FilteredAnswerError):
        call(sandbox_setup(sandbox), "tasks.submit", "What?", CHINA, then="wait")


@pytest.mark.parametrize("body", [b"<html>", b"[]", b"{}", b'{"id": "8239", "task_status": null}'])
def test_an_answer_that_is_no_task(call: Calling, loopback: Loopback, body: bytes) -> None:
    loopback.script(Answer(body=body))
    with pytest.raises(UnreadableAnswerError, match="base URL"):
        call(setup_for(loopback), "tasks.submit", "What?", CHINA)
    with pytest.raises(UnreadableAnswerError, match="base URL"):
        call(setup_for(loopback), "tasks.wait", "8239")


def test_gather_keeps_the_order_and_every_error(call: Calling, loopback: Loopback) -> None:
    rounds: dict[str, list[Answer]] = {
        "a": [told("PROCESSING"), success("First.")],
        "b": [told("FAIL")],
        "c": [success("Third.")],
        "d": [told("PROCESSING")],
        "e": [refusal(400, "1214")],
    }

    def answer(seen: Any) -> Answer:
        left = rounds[seen.path.rsplit("/", 1)[1]]
        return left.pop(0) if len(left) > 1 else left[0]

    loopback.script(answer=answer)
    first, second, third, fourth, fifth = call(
        setup_for(loopback), "tasks.gather", ["a", "b", "c", "d", "e"], 30.0
    )
    assert (first.text, third.text) == ("First.", "Third.")
    assert isinstance(second, ServerError)
    assert isinstance(fourth, ReplyTimeoutError)
    assert isinstance(fifth, RejectedRequestError)
    assert call(setup_for(loopback), "tasks.gather", []) == []


def test_gather_stops_where_every_task_would_fail(call: Calling, loopback: Loopback) -> None:
    loopback.script(refusal(401, "1002"))
    with pytest.raises(AuthenticationError):
        call(setup_for(loopback), "tasks.gather", ["a", "b"])
    assert len(loopback.requests) == 1


def test_gather_against_the_sandbox(sandbox: SandboxHandle) -> None:
    with Client(**sandbox_setup(sandbox)) as client:
        tasks = [client.tasks.submit("What?", CHINA, max_side=side) for side in (100, 200, 300)]
        replies = client.tasks.gather(tasks)
    assert [reply.text.count("x") > 0 for reply in replies if isinstance(reply, Reply)] == [True] * 3
    assert len({str(reply) for reply in replies}) == 3


def test_an_endpoint_without_tasks_names_one_that_has_them(call: Calling, loopback: Loopback) -> None:
    elsewhere = {**setup_for(loopback), "base_url": f"zai+{loopback.url}"}
    for method, args in (("submit", ("What?", CHINA)), ("wait", ("8239",)), ("gather", (["8239"],))):
        with pytest.raises(UnsupportedError, match=r"no asynchronous tasks.*bigmodel"):
            call(elsewhere, f"tasks.{method}", *args)
    with pytest.raises(UnsupportedError, match="bigmodel"):
        call({"base_url": "embedded"}, "tasks.submit", "What?", CHINA)
    assert loopback.requests == []


def test_a_model_without_tasks_names_one_that_has_them(call: Calling, loopback: Loopback) -> None:
    with pytest.raises(UnsupportedError, match=r"autoglm-phone.*glm-4\.6v"):
        call(setup_for(loopback, model="autoglm-phone"), "tasks.submit", "What?", CHINA)
    assert loopback.requests == []


def test_several_requests_cannot_be_one_task(call: Calling, loopback: Loopback) -> None:
    with pytest.raises(UnsupportedError, match="one task"):
        call(
            setup_for(loopback, model="glm-4v-flash"),
            "tasks.submit",
            "What?",
            CHINA,
            CHINA,
            on_too_many="split",
        )
