"""The server: where it binds, what it refuses unread, how it starts and stops, and what it survives."""

from __future__ import annotations

import asyncio
import logging
import socket
import struct
import threading
import time
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import orjson
import psutil
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.sandbox.calls import CHAT, DEADLINE, chat, connect, send, text
from visionpipe.sandbox.loopback import address, bind
from visionpipe.sandbox.scenario import Options
from visionpipe.sandbox.server import ServerThread
from visionpipe.sandbox.service import Service
from visionpipe.testing.sandbox import SandboxHandle, running_sandbox


def open_socket(sandbox: SandboxHandle) -> socket.socket:
    parts = urlsplit(sandbox.url)
    assert parts.hostname is not None and parts.port is not None
    return socket.create_connection((parts.hostname, parts.port), timeout=DEADLINE)


def head(sandbox: SandboxHandle, length: int | str, path: str = CHAT) -> bytes:
    return (
        f"POST {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {sandbox.key}\r\n"
        f"Content-Length: {length}\r\n\r\n"
    ).encode()


def test_it_binds_to_loopback() -> None:
    listener = bind()
    try:
        assert listener.getsockname()[0] == "127.0.0.1"
        assert address(listener) == f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        listener.close()


def test_it_starts_and_stops_quickly_and_frees_its_port() -> None:
    before = set(threading.enumerate())
    begun = time.perf_counter()
    with running_sandbox() as sandbox:
        assert send(sandbox, body=chat(text())).status == 200
        port = urlsplit(sandbox.url).port
    assert time.perf_counter() - begun < 2
    assert set(threading.enumerate()) <= before
    listener = bind(port=port or 0)
    listener.close()
    sandbox.stop()


def test_stopping_ends_answers_that_would_never_end() -> None:
    with running_sandbox() as sandbox:
        sandbox.set_scenario({"rule": [{"fault": {"kind": "stream", "form": "stall"}}]})
        connection = connect(sandbox)
        body = orjson.dumps(chat(text(), stream=True))
        connection.request("POST", CHAT, body, {"Authorization": f"Bearer {sandbox.key}"})
        response = connection.getresponse()
        assert response.readline().startswith(b"data: ")
        begun = time.perf_counter()
    assert time.perf_counter() - begun < 2
    response.close()
    connection.close()


def test_it_refuses_a_body_over_its_limit_before_reading_it() -> None:
    with running_sandbox(max_body_bytes=2_000_000) as sandbox, open_socket(sandbox) as raw:
        raw.sendall(head(sandbox, 10_000_000_000))
        answer = b""
        while b'"code":"413"' not in answer:
            piece = raw.recv(65536)
            assert piece, answer
            answer += piece
        assert answer.startswith(b"HTTP/1.1 413")
        assert b"connection: close" in answer.lower()


def test_it_stops_reading_a_body_of_unknown_length_at_its_limit() -> None:
    with running_sandbox(max_body_bytes=100_000) as sandbox, open_socket(sandbox) as raw:
        start = head(sandbox, 0).replace(b"Content-Length: 0", b"Transfer-Encoding: chunked")
        raw.sendall(start + (b"%x\r\n" % 60_000 + b"x" * 60_000 + b"\r\n") * 3 + b"0\r\n\r\n")
        assert raw.recv(65536).startswith(b"HTTP/1.1 413")


def test_a_client_that_is_still_sending_gets_its_answer() -> None:
    with running_sandbox(max_body_bytes=1_000_000) as sandbox:
        refused = send(sandbox, body=b"x" * 20_000_000)
        assert (refused.status, refused.code) == (413, "413")
        unknown = send(sandbox, body=b"x" * 20_000_000, key="wrong.key")
        assert unknown.status == 401


def test_a_refused_key_leaves_the_connection_usable(sandbox: SandboxHandle) -> None:
    connection = connect(sandbox)
    body = orjson.dumps(chat())
    for key, status in (("wrong.key", 401), (sandbox.key, 200)):
        connection.request("POST", CHAT, body, {"Authorization": f"Bearer {key}"})
        response = connection.getresponse()
        assert response.status == status and response.read()
    connection.close()


def test_an_error_of_its_own_is_answered_counted_and_logged(caplog: pytest.LogCaptureFixture) -> None:
    def broken_clock() -> float:
        raise RuntimeError("the clock is broken")

    service = Service(Options(answers="saw"), clock=broken_clock)
    listener = bind()
    thread = ServerThread(service, listener)
    handle = SandboxHandle(service, thread, address(listener))
    thread.start()
    try:
        answer = send(handle, body=chat(text()))
        assert (answer.status, answer.code) == (500, "500")
        assert handle.stats()["internal_errors"] == 1
        assert "the clock is broken" in caplog.text
    finally:
        handle.stop()


def test_work_that_fails_is_counted_and_logged(caplog: pytest.LogCaptureFixture) -> None:
    service = Service(Options(answers="saw"))

    async def fail() -> None:
        raise RuntimeError("the work is broken")

    async def run() -> None:
        service.start(fail(), "a batch")
        assert service.runs("a batch")
        (task,) = asyncio.all_tasks() - {asyncio.current_task()}
        await asyncio.wait({task})
        await asyncio.sleep(0)  # what is called when it ends comes after it
        assert not service.runs("a batch")
        service.stop("a batch")

    asyncio.run(run())
    assert service.figures()["internal_errors"] == 1
    assert "the work is broken" in caplog.text
    service.close()


def test_the_log_file_has_one_line_a_request(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    with running_sandbox(log=path) as sandbox:
        send(sandbox, body=chat())
        send(sandbox, body=chat(text("")))
        kept = sandbox.log()
    assert [orjson.loads(line) for line in path.read_bytes().splitlines()] == kept


def test_an_unknown_option_and_a_missing_extra() -> None:
    with pytest.raises(TypeError, match="speed"), running_sandbox(speed=3):
        pass


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False)
    | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=12,
)
FIELDS = st.sampled_from(
    ["model", "messages", "tools", "stream", "thinking", "stop", "max_tokens", "temperature", "request_id",
     "response_format", "reasoning_effort", "tool_choice", "stream_options"]
)  # fmt: skip
PART_NAMES = ("text", "image_url", "video_url", "file_url", "file")
PARTS = st.fixed_dictionaries(
    {"type": st.sampled_from(PART_NAMES) | JSON},
    optional={
        name: JSON | st.fixed_dictionaries({"url": JSON})
        for name in ("text", "image_url", "video_url", "file_url", "file")
    },
)
MESSAGES = st.fixed_dictionaries(
    {"role": st.sampled_from(["system", "user", "assistant", "tool"]) | JSON},
    optional={"content": JSON | st.lists(PARTS, max_size=3), "tool_calls": JSON, "tool_call_id": JSON},
)
BODIES = st.one_of(
    st.binary(max_size=60),
    JSON.map(orjson.dumps),
    st.builds(
        lambda base, changes: orjson.dumps({**base, **changes}),
        st.builds(lambda turns: {"model": "glm-4.6v", "messages": turns}, st.lists(MESSAGES, max_size=3)),
        st.dictionaries(FIELDS, JSON, max_size=3),
    ),
)
PATHS = st.sampled_from(
    [CHAT, "/v1/chat/completions", "/api/paas/v4/async/chat/completions", "/api/paas/v4/batches",
     "/api/paas/v4/tokenizer", "/api/v1/agents", "/api/v1/agents/async-result", "/api/paas/v4/files",
     "/api/paas/v4/fine_tuning/jobs", "/api/llm-application/open/v3/application/invoke",
     "/api/llm-application/open/v2/application/file_stat"]
)  # fmt: skip


@given(path=PATHS, body=BODIES)
@settings(max_examples=200, deadline=None)
def test_whatever_comes_in_something_of_the_protocol_goes_out(
    sandbox_server: SandboxHandle, path: str, body: bytes
) -> None:
    answer = send(sandbox_server, path, body)
    assert answer.status in (200, 400, 404)
    if answer.status != 200:
        assert answer.json
    assert sandbox_server.stats()["internal_errors"] == 0


@given(st.binary(max_size=200))
@settings(max_examples=100, deadline=None)
def test_bytes_that_are_no_http(sandbox_server: SandboxHandle, data: bytes) -> None:
    with open_socket(sandbox_server) as raw:
        raw.sendall(data)
        raw.shutdown(socket.SHUT_WR)
        answer = b""
        while piece := raw.recv(65536):
            answer += piece
    assert answer == b"" or answer.startswith(b"HTTP/1.1 ")


class Keeper:
    """Requests one after the other over one kept connection, opened anew when the server closes it."""

    def __init__(self, sandbox: SandboxHandle) -> None:
        self._sandbox = sandbox
        self._raw = open_socket(sandbox)
        self._buffer = b""

    def ask(self, request: bytes) -> int:
        try:
            self._raw.sendall(request)
            return self._status()
        except ConnectionError:
            self.close()
            self._raw, self._buffer = open_socket(self._sandbox), b""
            return 0

    def _status(self) -> int:
        while b"\r\n\r\n" not in self._buffer:
            self._fill()
        fields, _, rest = self._buffer.partition(b"\r\n\r\n")
        lowered = fields.lower()
        length = int(lowered.partition(b"content-length: ")[2].split(b"\r\n")[0] or 0)
        chunked = b"transfer-encoding: chunked" in lowered
        while len(rest) < length or (chunked and not rest.endswith(b"0\r\n\r\n")):
            self._buffer = b""
            self._fill()
            rest += self._buffer
        self._buffer = b"" if chunked else rest[length:]
        if b"connection: close" in lowered:
            self.close()
            self._raw, self._buffer = open_socket(self._sandbox), b""
        return int(fields[9:12])

    def _fill(self) -> None:
        piece = self._raw.recv(65536)
        if not piece:
            raise ConnectionError
        self._buffer += piece

    def close(self) -> None:
        self._raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._raw.close()


def malformed(sandbox: SandboxHandle, number: int) -> bytes:
    """The number-th of a thousand kinds of bad request, each cheap to make and to refuse."""
    picture = {"type": "image_url", "image_url": {"url": "A" * (number % 50)}}
    clip = {"type": "video_url", "video_url": {"url": f"data:{number}"}}
    bodies: list[Any] = [
        b"", b"{", b"[]", b"null", b"\xff\xfe\x00", b"{}" * 3,
        {"model": None}, {"model": []}, {"model": "x" * 300}, {"model": "glm-4.6v"},
        {"model": "glm-4.6v", "messages": {}}, {"model": "glm-4.6v", "messages": [number]},
        chat({"type": number}), chat(picture), chat(clip), chat(text("x"), temperature=number + 2),
        chat(text("x"), stop=[number]), chat(text("x"), tools=[{"type": "function"}]),
    ]  # fmt: skip
    paths = [
        CHAT, "/api/paas/v4/batches", "/api/paas/v4/files", "/v1/chat/completions", "/api/v1/agents",
        f"/{number}",
    ]  # fmt: skip
    body = bodies[number % len(bodies)]
    data = body if isinstance(body, bytes) else orjson.dumps(body)
    request = head(sandbox, len(data), paths[number % len(paths)]) + data
    match number % 23:
        case 0:
            return request.replace(b"Bearer ", b"Basic ", 1)
        case 1:
            return request.replace(b"HTTP/1.1", b"HTTP/9.9", 1)
        case 2:
            return request.replace(b"POST", b"P\0ST", 1)
        case 3:
            return request.replace(b"Content-Length: ", b"Content-Length: -", 1)
        case 4:
            return request.replace(b"Authorization", b"X-Nothing", 1)
    return request


def test_ten_thousand_malformed_requests(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.ERROR, "visionpipe.sandbox")
    process = psutil.Process()
    with running_sandbox() as sandbox, closing(Keeper(sandbox)) as keeper:
        begun = time.perf_counter()
        for number in range(1_000):
            keeper.ask(malformed(sandbox, number))
        before = process.memory_info().rss
        statuses = [keeper.ask(malformed(sandbox, number)) for number in range(1_000, 11_000)]
        grown = process.memory_info().rss - before
        assert time.perf_counter() - begun < 30
        assert set(statuses) <= {0, 400, 401, 404, 405}, set(statuses)
        assert statuses.count(0) < 1_000  # closed without a word: what is no HTTP at all
        assert send(sandbox, body=chat()).status == 200
        stats = sandbox.stats()
        assert stats["internal_errors"] == 0 and stats["in_flight"] == 0 and stats["open"] == 0
    assert not caplog.records
    assert grown < 30_000_000, f"{grown / 1e6:.0f} MB more after 10,000 requests"
