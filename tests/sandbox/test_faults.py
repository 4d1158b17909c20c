"""Each fault as it looks on the wire."""

from __future__ import annotations

import http.client
import time
from typing import Any

import orjson
import pytest

from tests.sandbox.calls import CHAT, Answer, chat, connect, send, text
from visionpipe.testing.sandbox import SandboxHandle


def set_fault(sandbox: SandboxHandle, **fault: Any) -> None:
    sandbox.set_scenario({"rule": [{"fault": fault}]})


def raw(sandbox: SandboxHandle, body: Any) -> tuple[int, bytes, type[Exception] | None]:
    """Status (0: none), the bytes that arrived, and what broke the connection."""
    connection = connect(sandbox)
    status, read = 0, b""
    try:
        connection.request("POST", CHAT, orjson.dumps(body), {"Authorization": f"Bearer {sandbox.key}"})
        response = connection.getresponse()
        status = response.status
        while piece := response.read1(65536):
            read += piece
        return status, read, None
    except http.client.IncompleteRead as error:
        return status, read + error.partial, type(error)
    except (http.client.HTTPException, OSError) as error:
        return status, read, type(error)
    finally:
        connection.close()


@pytest.fixture
def body() -> dict[str, Any]:
    return chat(text("Tell me."), thinking={"type": "disabled"})


@pytest.fixture
def streamed(body: dict[str, Any]) -> dict[str, Any]:
    return {**body, "stream": True}


def test_an_error_with_its_status_and_retry_after(sandbox: SandboxHandle, body: dict[str, Any]) -> None:
    set_fault(sandbox, kind="error", code="1305", retry_after="7")
    answer = send(sandbox, body=body)
    assert (answer.status, answer.code, answer.headers["retry-after"]) == (429, "1305", "7")
    set_fault(sandbox, kind="error", code="529", message="busy")
    assert send(sandbox, body=body).status == 529
    set_fault(sandbox, kind="error", code="9999", status=503)
    assert send(sandbox, body=body).status == 503
    assert sandbox.log()[-1]["fault"] == "error:9999"


def test_a_request_that_would_be_refused_meets_no_fault(sandbox: SandboxHandle) -> None:
    sandbox.set_scenario({"rule": [{"count": 1, "fault": {"kind": "error", "code": "1302"}}]})
    assert send(sandbox, body=chat(model="none")).code == "1211"
    assert send(sandbox, body=chat()).code == "1302"


def test_latency_is_waited_for(sandbox: SandboxHandle, body: dict[str, Any]) -> None:
    set_fault(sandbox, kind="latency", seconds=0.05)
    begun = time.perf_counter()
    assert send(sandbox, body=body).status == 200
    assert time.perf_counter() - begun >= 0.05
    assert sandbox.log()[-1]["ms"] >= 50


@pytest.mark.parametrize("when", ["request", "first_byte"])
def test_reset_before_the_first_byte(sandbox: SandboxHandle, body: dict[str, Any], when: str) -> None:
    set_fault(sandbox, kind="reset", when=when)
    status, read, error = raw(sandbox, body)
    assert (status, read) == (0, b"")
    assert error in (ConnectionResetError, http.client.RemoteDisconnected)
    assert sandbox.log()[-1]["status"] == 0


def test_reset_is_a_true_rst(sandbox: SandboxHandle, body: dict[str, Any]) -> None:
    set_fault(sandbox, kind="reset")
    assert raw(sandbox, body)[2] is ConnectionResetError


@pytest.mark.parametrize("stream", [False, True])
def test_reset_in_the_middle_of_the_body(sandbox: SandboxHandle, body: dict[str, Any], stream: bool) -> None:
    whole = send(sandbox, body={**body, "stream": stream}).body
    set_fault(sandbox, kind="reset", when="body")
    status, read, error = raw(sandbox, {**body, "stream": stream})
    assert status == 200 and error is not None
    assert 0 < len(read) < len(whole)
    if stream:
        assert read.endswith(b"\n\n")


def test_reset_in_the_middle_of_a_frame(sandbox: SandboxHandle, streamed: dict[str, Any]) -> None:
    set_fault(sandbox, kind="reset", when="frame")
    status, read, error = raw(sandbox, streamed)
    assert status == 200 and error is not None
    last = read.rpartition(b"\n\n")[2]
    assert last.startswith(b"data: ") and not last.endswith(b"}")


def test_a_stream_that_never_ends(sandbox: SandboxHandle, streamed: dict[str, Any]) -> None:
    set_fault(sandbox, kind="stream", form="endless", every=0.001)
    connection = connect(sandbox)
    connection.request("POST", CHAT, orjson.dumps(streamed), {"Authorization": f"Bearer {sandbox.key}"})
    response = connection.getresponse()
    lines = [response.readline() for _ in range(200)]
    assert sum(line.startswith(b"data: ") for line in lines) == 100
    assert not any(b"[DONE]" in line or b'"stop"' in line for line in lines)
    response.close()
    connection.close()


def test_a_stream_that_stalls_ends_with_its_client(sandbox: SandboxHandle, streamed: dict[str, Any]) -> None:
    set_fault(sandbox, kind="stream", form="stall")
    connection = connect(sandbox)
    connection.request("POST", CHAT, orjson.dumps(streamed), {"Authorization": f"Bearer {sandbox.key}"})
    response = connection.getresponse()
    assert response.readline().startswith(b"data: ")
    assert sandbox.stats()["in_flight"] == 1
    response.close()
    connection.close()
    while sandbox.stats()["in_flight"]:
        assert sandbox.stats()["internal_errors"] == 0
    assert sandbox.log()[-1]["fault"] == "stream:stall"


def test_streams_without_their_end(sandbox: SandboxHandle, streamed: dict[str, Any]) -> None:
    set_fault(sandbox, kind="stream", form="no_done")
    events = send(sandbox, body=streamed).events
    assert "[DONE]" not in events and events[-1]["usage"]
    set_fault(sandbox, kind="stream", form="cut")
    events = send(sandbox, body=streamed).events
    assert "[DONE]" not in events and "usage" not in events[-1]


def test_a_stream_without_blank_lines(sandbox: SandboxHandle, streamed: dict[str, Any]) -> None:
    plain = send(sandbox, body=streamed)
    set_fault(sandbox, kind="stream", form="no_blank_lines")
    answer = send(sandbox, body=streamed)
    assert b"\n\n" not in answer.body and b"\n\n" in plain.body
    assert len(answer.events) == len(plain.events)


def test_empty_choices_no_usage_and_an_error_frame(
    sandbox: SandboxHandle, body: dict[str, Any], streamed: dict[str, Any]
) -> None:
    set_fault(sandbox, kind="body", form="empty_choices")
    assert send(sandbox, body=body).json["choices"] == []
    assert all(event["choices"] == [] for event in send(sandbox, body=streamed).events[:-1])
    set_fault(sandbox, kind="body", form="no_usage")
    assert "usage" not in send(sandbox, body=body).json
    assert all("usage" not in event for event in send(sandbox, body=streamed).events[:-1])
    set_fault(sandbox, kind="body", form="error_frame", code="1301")
    assert send(sandbox, body=body).code == "1301"
    assert send(sandbox, body=streamed).events[-1]["error"]["code"] == "1301"


def test_invalid_json(sandbox: SandboxHandle, body: dict[str, Any], streamed: dict[str, Any]) -> None:
    set_fault(sandbox, kind="body", form="invalid_json")
    answer = send(sandbox, body=body)
    assert answer.status == 200 and answer.headers["content-type"].startswith("application/json")
    with pytest.raises(orjson.JSONDecodeError):
        orjson.loads(answer.body)
    with pytest.raises(orjson.JSONDecodeError):
        assert send(sandbox, body=streamed).events


def test_html_from_a_proxy(sandbox: SandboxHandle, body: dict[str, Any]) -> None:
    set_fault(sandbox, kind="body", form="html", status=503)
    answer = send(sandbox, body=body)
    assert answer.status == 503 and answer.headers["content-type"] == "text/html"
    assert answer.body.startswith(b"<html>")


@pytest.mark.parametrize("stream", [False, True])
def test_an_oversized_answer(sandbox: SandboxHandle, body: dict[str, Any], stream: bool) -> None:
    set_fault(sandbox, kind="body", form="oversized", bytes=3_000_000)
    answer = send(sandbox, body={**body, "stream": stream})
    assert len(answer.body) > 3_000_000
    told = answer.events[0]["choices"][0]["delta"]["content"] if stream else answer.text
    assert len(told) == 3_000_000


@pytest.mark.parametrize("reason", ["sensitive", "network_error", "length"])
def test_other_ends(
    sandbox: SandboxHandle, body: dict[str, Any], streamed: dict[str, Any], reason: str
) -> None:
    set_fault(sandbox, kind="finish", reason=reason)
    choice = send(sandbox, body=body).json["choices"][0]
    assert (choice["finish_reason"], choice["message"]["content"]) == (reason, "")
    assert send(sandbox, body=streamed).events[-2]["choices"][0]["finish_reason"] == reason
    set_fault(sandbox, kind="finish", reason=reason, text="so far")
    assert send(sandbox, body=body).text == "so far"


def test_markup(sandbox: SandboxHandle, body: dict[str, Any]) -> None:
    plain = send(sandbox, body=body).text
    set_fault(sandbox, kind="markup", form="box")
    assert send(sandbox, body=body).text == f"<|begin_of_box|>{plain}<|end_of_box|>"
    set_fault(sandbox, kind="markup", form="think")
    assert send(sandbox, body=body).text.startswith("<think>") and plain in send(sandbox, body=body).text
    set_fault(sandbox, kind="markup", form="answer")
    assert send(sandbox, body=body).text.endswith(f"<answer>{plain}</answer>")
    set_fault(sandbox, kind="markup", form="parts")
    assert send(sandbox, body=body).json["choices"][0]["message"]["content"] == [
        {"type": "text", "text": plain}
    ]


def test_a_slow_reader_and_a_slow_writer(sandbox: SandboxHandle, body: dict[str, Any]) -> None:
    size = len(orjson.dumps(body))
    set_fault(sandbox, kind="slow_reader", bytes_per_second=size / 0.1)
    begun = time.perf_counter()
    plain = send(sandbox, body=body)
    assert time.perf_counter() - begun >= 0.1
    set_fault(sandbox, kind="slow_writer", bytes_per_second=len(plain.body) / 0.1)
    begun = time.perf_counter()
    slow = send(sandbox, body=body)
    assert time.perf_counter() - begun >= 0.1
    assert slow.text == plain.text
    stream: Answer = send(sandbox, body={**body, "stream": True})
    assert stream.events[-1] == "[DONE]"
