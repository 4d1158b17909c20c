"""The sandbox's own addresses, and its figures."""

from __future__ import annotations

import asyncio
import http.client
import socket
from typing import Any

import orjson
import pytest

from tests.sandbox.calls import CHAT, chat, connect, send, text
from visionpipe.sandbox.app import build_app
from visionpipe.sandbox.scenario import Options
from visionpipe.sandbox.service import Service
from visionpipe.testing.sandbox import SandboxHandle

SCENARIO = "/_sandbox/scenario"


def test_a_scenario_in_either_form_and_its_end(sandbox: SandboxHandle) -> None:
    toml = b"[[rule]]\nfault = { kind = 'error', code = '1305' }\n"
    assert send(sandbox, SCENARIO, toml, key=None).json == {"seed": 0, "rules": 1, "answers": 0}
    assert send(sandbox, body=chat()).code == "1305"
    assert send(sandbox, SCENARIO, {"answer": [{"text": "hello"}]}, key=None).status == 200
    assert send(sandbox, body=chat()).text == "hello"
    assert send(sandbox, SCENARIO, key=None).json == {"answer": [{"text": "hello"}]}
    assert send(sandbox, SCENARIO, method="DELETE", key=None).status == 200
    assert send(sandbox, body=chat()).text.startswith("I see")


def test_a_scenario_that_is_refused_changes_nothing(sandbox: SandboxHandle) -> None:
    answer = send(sandbox, SCENARIO, {"rule": [{"fault": {"kind": "none"}}]}, key=None)
    assert answer.status == 400 and "kind" in answer.json["error"]
    assert send(sandbox, body=chat()).status == 200


def test_limits(sandbox: SandboxHandle) -> None:
    set_to = send(sandbox, "/_sandbox/limits", {"total": 0, "models": {"glm-4.6v": 2}}, key=None).json
    assert set_to == {"per_model": None, "total": 0, "models": {"glm-4.6v": 2}, "serves": None}
    assert send(sandbox, body=chat()).code == "1302"
    for body in (
        b"[]",
        b"{",
        b'{"total": -1}',
        b'{"totals": 1}',
        b'{"models": {"a": true}}',
        b'{"models": 3}',
    ):
        assert send(sandbox, "/_sandbox/limits", body, key=None).status == 400
    assert send(sandbox, "/_sandbox/limits", key=None).json == set_to


@pytest.mark.parametrize("path", ["/_sandbox/stats", "/stats"])
def test_stats(sandbox: SandboxHandle, path: str) -> None:
    send(sandbox, body=chat())
    send(sandbox, body=chat(text("")))
    stats = send(sandbox, path, key=None).json
    assert stats == sandbox.stats()
    assert stats["requests"] == 2 and stats["per_code"] == {"1214": 1}
    assert stats["per_status"] == {"200": 1, "400": 1} and stats["open"] == 0
    assert stats["bytes_in"] > 0 and stats["bytes_out"] > 0


def test_the_log_and_reset(sandbox: SandboxHandle) -> None:
    for _ in range(3):
        send(sandbox, body=chat())
    lines = send(sandbox, "/_sandbox/log?newest=2", key=None).body.splitlines()
    assert [orjson.loads(line)["number"] for line in lines] == [2, 3]
    assert send(sandbox, "/_sandbox/release", b"", key=None).status == 200
    assert send(sandbox, "/_sandbox/reset", b"", key=None).status == 200
    assert sandbox.log() == [] and sandbox.stats()["requests"] == 0


def begun(sandbox: SandboxHandle, data: bytes) -> http.client.HTTPConnection:
    """A chat request that has come so far that the sandbox asks for its body."""
    connection = connect(sandbox)
    connection.putrequest("POST", CHAT)
    for name, value in (
        ("Authorization", f"Bearer {sandbox.key}"),
        ("Content-Length", str(len(data))),
        ("Expect", "100-continue"),
    ):
        connection.putheader(name, value)
    connection.endheaders()
    assert connection.sock.recv(25, socket.MSG_WAITALL) == b"HTTP/1.1 100 Continue\r\n\r\n"
    return connection


def ended(connection: http.client.HTTPConnection, data: bytes) -> int:
    connection.send(data)
    response = connection.getresponse()
    response.read()
    return response.status


def test_a_scenario_begins_with_the_next_request_that_comes(sandbox: SandboxHandle) -> None:
    data = orjson.dumps(chat())
    connection = begun(sandbox, data)
    sandbox.set_scenario({"rule": [{"fault": {"kind": "error", "code": "1305"}, "count": 1}]})
    assert ended(connection, data) == 200
    assert send(sandbox, body=chat()).code == "1305"
    connection.close()


def test_what_came_before_a_reset_is_not_counted_after_it(sandbox: SandboxHandle) -> None:
    data = orjson.dumps(chat())
    connection = begun(sandbox, data)
    sandbox.reset()
    assert sandbox.stats()["open"] == 1
    assert ended(connection, data) == 200
    connection.request("POST", CHAT, b"{", {"Authorization": f"Bearer {sandbox.key}"})
    assert connection.getresponse().status == 400
    connection.close()
    assert [(record["number"], record["code"]) for record in sandbox.log()] == [(1, "1210")]
    stats = sandbox.stats()
    assert (stats["requests"], stats["open"], stats["per_status"]) == (1, 0, {"400": 1})


def test_a_web_page_does_not_reach_them(sandbox: SandboxHandle) -> None:
    answer = send(sandbox, "/_sandbox/reset", b"", key=None, headers={"Origin": "https://evil.example"})
    assert answer.status == 403
    assert send(sandbox, "/_sandbox/reset", key=None).status == 405
    assert send(sandbox, SCENARIO, b" " * (5 * 1024 * 1024), key=None).status == 413


def test_a_sandbox_that_others_can_reach_asks_for_a_key_here_too() -> None:
    service = Service(Options(answers="saw"))
    app = build_app(service, keyed_control=True)
    key = f"Bearer {service.options.keys[0]}".encode()

    async def status(headers: list[tuple[bytes, bytes]]) -> int:
        sent: list[Any] = []

        async def receive() -> Any:
            return {"type": "http.request", "body": b"", "more_body": False}

        async def send_back(message: Any) -> None:
            sent.append(message)

        scope = {"type": "http", "method": "GET", "path": "/stats", "query_string": b"", "headers": headers}
        await app(scope, receive, send_back)
        found: int = sent[0]["status"]
        return found

    assert asyncio.run(status([])) == 401
    assert asyncio.run(status([(b"authorization", key)])) == 200
    service.close()
