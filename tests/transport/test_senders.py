"""Both senders, on the same cases, against a real server."""

from __future__ import annotations

import asyncio
import base64
import gzip
import hashlib
import os
import socket
import ssl
import threading
import tracemalloc
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import cast

import pytest
import trustme

from tests.loopback import Answer, Loopback, Seen, serving
from tests.transport.faces import KINDS, Kind, sending
from visionpipe.errors import (
    ConfigurationError,
    ConnectionFailedError,
    InterruptedAnswerError,
    ParameterError,
    ReplyTimeoutError,
    UnreadableAnswerError,
    UnreadableSourceError,
)
from visionpipe.media import FileContent, MemoryContent
from visionpipe.transport._async.http_sender import AsyncHttpSender
from visionpipe.transport._sync.http_sender import HttpSender
from visionpipe.transport.auth import ApiKey, NoAuth
from visionpipe.wire.http import Base64Piece, Body, FilePiece, HttpRequest, Timeouts

both = pytest.mark.parametrize("kind", KINDS)

BIG = Body((bytes(40_000_000),))
"""More than the system's buffers between two sockets hold."""

COUNT = 20
"""More bodies than go out at once."""


def post(body: Body | None = None, path: str = "/chat/completions", **timeouts: float) -> HttpRequest:
    return HttpRequest("POST", path, body or Body((b"{}",)), timeouts=Timeouts(**timeouts))


@both
def test_a_request_arrives_as_written(kind: Kind, loopback: Loopback) -> None:
    loopback.script(Answer(body=b'{"ok":1}', headers={"X-Log-Id": "7"}))
    with sending(kind, loopback.url, auth=ApiKey("id.secret"), headers={"Accept-Language": "en"}) as sender:
        request = HttpRequest("POST", "/chat/completions", Body((b'{"a":', b"1}")), {"X-One": "two"})
        answer = sender.send(request)
    assert (answer.status, answer.body, answer.headers["x-log-id"]) == (200, b'{"ok":1}', "7")
    seen = loopback.requests[0]
    assert (seen.method, seen.path, seen.body) == ("POST", "/v1/chat/completions", b'{"a":1}')
    assert seen.headers["authorization"] == "Bearer id.secret"
    assert seen.headers["content-type"] == "application/json"
    assert seen.headers["content-length"] == "7"
    assert seen.headers["accept-language"] == "en"
    assert seen.headers["x-one"] == "two"
    assert seen.headers["host"] == loopback.host
    assert "transfer-encoding" not in seen.headers


class Rotating(NoAuth):
    """A key that is another one each time."""

    def __init__(self) -> None:
        self.asked = 0

    def header(self) -> str:  # type: ignore[override]
        self.asked += 1
        return f"key {self.asked}"


@both
def test_headers_of_the_users_win_and_the_key_is_asked_for_each_time(kind: Kind, loopback: Loopback) -> None:
    own = {"User-Agent": "mine", "AUTHORIZATION": "theirs", "X-One": "1"}
    with sending(kind, loopback.url, auth=Rotating(), headers=own) as sender:
        sender.send(HttpRequest("GET", "/x", headers={"ACCEPT": "text/plain", "x-one": "2"}))
        sender.send(HttpRequest("POST", "/x", headers={"Content-Type": "text/plain"}))
    seen = [request.headers for request in loopback.requests]
    names = ("user-agent", "authorization", "accept", "x-one", "content-length")
    assert [tuple(headers.get(name) for name in names) for headers in seen] == [
        ("mine", "key 1", "text/plain", "2", None),
        ("mine", "key 2", "*/*", "1", "0"),
    ]


@both
@pytest.mark.parametrize("size", [65_000, 65_500, 65_535, 65_536, 98_304])
def test_a_body_arrives_behind_one_head(kind: Kind, size: int, loopback: Loopback) -> None:
    loopback.script(Answer(body=b"{}"))
    with sending(kind, loopback.url) as sender:
        assert sender.send(post(Body((b"x" * size,)))).status == 200
    assert loopback.requests[0].body == b"x" * size


@both
def test_addresses(kind: Kind, loopback: Loopback) -> None:
    with sending(kind, loopback.url + "/") as sender:
        sender.send(HttpRequest("GET", "/files?limit=2&after=a%20b"))
        sender.send(HttpRequest("DELETE", "files/file-1"))
        sender.send(HttpRequest("GET", f"http://{loopback.host}/other/agents"))
        with pytest.raises(ParameterError, match="another host"):
            sender.send(HttpRequest("GET", "https://elsewhere.example/agents"))
    assert [(s.method, s.path) for s in loopback.requests] == [
        ("GET", "/v1/files?limit=2&after=a%20b"),
        ("DELETE", "/v1/files/file-1"),
        ("GET", "/other/agents"),
    ]
    assert "authorization" not in loopback.requests[0].headers


@both
@pytest.mark.parametrize("status", [200, 201, 204, 301, 307, 400, 401, 413, 429, 500, 503, 529])
def test_every_status_is_a_value_and_no_redirect_is_followed(
    kind: Kind, loopback: Loopback, status: int
) -> None:
    body = b"" if status == 204 else b"why"
    loopback.script(Answer(status=status, body=body, headers={"Location": "/elsewhere"}))
    with sending(kind, loopback.url) as sender:
        answer = sender.send(post())
        again = sender.stream(post())
    assert (answer.status, answer.body) == (status, body)
    assert (again.status, b"".join(again.chunks)) == (status, body)
    assert len(loopback.requests) == 2


class SlowContent:
    """What lies on a disk that does not answer at the moment."""

    size = 99_999

    def __init__(self) -> None:
        self.reading = threading.Event()
        self.answers = threading.Event()

    @property
    def data(self) -> bytes:
        self.reading.set()
        assert self.answers.wait(60)
        return bytes(self.size)


def test_a_body_that_cannot_be_read_at_the_moment_holds_up_no_other(loopback: Loopback) -> None:
    loopback.script(Answer(body=b"{}"))
    content = SlowContent()
    slow = Body((FilePiece(cast(MemoryContent, content)),))
    with closing(HttpSender(loopback.url, trust_env=False)) as sender, ThreadPoolExecutor(1) as pool:
        try:
            waiting = pool.submit(sender.send, post(slow))
            assert content.reading.wait(60)
            assert [sender.send(post(Body((b"y" * size,)))).status for size in (10, 200_000)] == [200, 200]
            assert not waiting.done()
        finally:
            content.answers.set()
        assert waiting.result(60).status == 200
    assert sorted(seen.size for seen in loopback.requests) == [10, 99_999, 200_000]


def test_bodies_that_a_server_does_not_read_hold_up_no_other() -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        if b"/stuck" in head:
            stuck.append(writer)
            if len(stuck) == COUNT:
                all_stuck.set()
            return
        length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
        await reader.readexactly(length)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
        await writer.drain()
        writer.close()

    async def main() -> int:
        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        sender = AsyncHttpSender(url, trust_env=False)
        waiting = [asyncio.create_task(sender.send(post(BIG, "/stuck"))) for _ in range(COUNT)]
        await all_stuck.wait()
        status = (await sender.send(post(Body((b"y" * 200_000,))))).status
        assert not [task for task in waiting if task.done()]
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
        await sender.close()
        for writer in stuck:
            writer.close()
        server.close()
        return status

    stuck: list[asyncio.StreamWriter] = []
    all_stuck = asyncio.Event()
    assert asyncio.run(asyncio.wait_for(main(), 60)) == 200


@both
def test_media_arrive_identical(kind: Kind, loopback: Loopback, tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(os.urandom(700_001))
    found = path.stat()
    content = FileContent(str(path), found.st_size, found.st_mtime_ns)
    body = Body((b"<", Base64Piece(content), b"|", FilePiece(content), b">"))
    with sending(kind, loopback.url) as sender:
        for _ in range(3):
            sender.send(post(body))
    data = path.read_bytes()
    expected = hashlib.sha256(b"<" + base64.b64encode(data) + b"|" + data + b">").hexdigest()
    assert [s.sha256 for s in loopback.requests] == [expected] * 3
    assert loopback.connections == 1


@both
def test_a_changed_file_sends_nothing(kind: Kind, loopback: Loopback, tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(b"12345")
    body = Body((b"x" * 100_000, Base64Piece(FileContent(str(path), 4, 1))))
    with sending(kind, loopback.url) as sender, pytest.raises(UnreadableSourceError) as caught:
        sender.send(post(body))
    assert caught.value.code == "changed"
    assert loopback.connections == 0


@both
@pytest.mark.parametrize("after", ["close", "hang_up"])
def test_a_connection_closed_while_idle_is_replaced_unnoticed(
    kind: Kind, loopback: Loopback, after: str
) -> None:
    loopback.script(Answer(close=after == "close"))
    with sending(kind, loopback.url) as sender:
        for number in range(1, 4):
            assert sender.send(post()).status == 200
            if after == "hang_up":
                loopback.hang_up()
            assert loopback.ended.acquire(timeout=10)
            assert loopback.connections == number
    assert len(loopback.requests) == 3


@both
def test_a_connection_long_idle_is_not_used_again(kind: Kind, loopback: Loopback) -> None:
    now = [0.0]
    with sending(kind, loopback.url, clock=lambda: now[0]) as sender:
        for seconds, connections in ((0, 1), (29, 1), (29, 1), (31, 2)):
            now[0] += seconds
            sender.send(post())
            assert loopback.connections == connections


@both
def test_only_so_many_idle_connections_are_kept(kind: Kind, loopback: Loopback) -> None:
    with sending(kind, loopback.url, connections=0) as sender:
        sender.send(post())
        sender.send(post())
    assert loopback.connections == 2


@both
def test_stray_bytes_on_an_idle_connection_are_no_answer(kind: Kind, loopback: Loopback) -> None:
    ok = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
    loopback.script(Answer(raw=ok + b"HTTP/1.1 500 Stray\r\nContent-Length: 0\r\n\r\n"), Answer())
    with sending(kind, loopback.url) as sender:
        assert sender.send(post()).status == 200
        assert sender.send(post()).status == 200
    assert loopback.connections == 2


@both
@pytest.mark.parametrize("reset", ["before", "close"])
@pytest.mark.parametrize("body", [Body((b"{}",)), Body((bytes(5_000_000),))], ids=["small", "large"])
def test_no_byte_of_an_answer(kind: Kind, loopback: Loopback, reset: str, body: Body) -> None:
    loopback.script(Answer(reset=reset), Answer())
    with sending(kind, loopback.url) as sender:
        with pytest.raises(ConnectionFailedError) as caught:
            sender.send(post(body))
        assert sender.send(post()).status == 200
    assert caught.value.retryable
    assert caught.value.subject == loopback.host
    assert caught.value.__cause__ is not None
    assert len(loopback.requests) == 2, "the sender does not try again by itself"


@both
@pytest.mark.parametrize("reset", ["head", "middle"])
def test_an_answer_that_breaks_off(kind: Kind, loopback: Loopback, reset: str) -> None:
    loopback.script(Answer(reset=reset, body=b"x" * 1000))
    with sending(kind, loopback.url) as sender, pytest.raises(InterruptedAnswerError) as caught:
        sender.send(post())
    assert caught.value.code == "interrupted_answer"
    assert "billed" in caught.value.cure


@both
def test_a_stream_gives_what_it_has_before_it_breaks(kind: Kind, loopback: Loopback) -> None:
    loopback.script(Answer(body=[b"data: 1\n\n", b"data: 2\n\n"], reset="middle"))
    with sending(kind, loopback.url) as sender:
        streamed = sender.stream(post())
    assert streamed.status == 200
    assert b"".join(streamed.chunks) == b"data: 1\n\ndata: 2\n\n"
    assert isinstance(streamed.error, InterruptedAnswerError)


@both
def test_a_stream_is_read_as_it_arrives(kind: Kind, loopback: Loopback) -> None:
    gate = threading.Semaphore(0)
    loopback.script(Answer(body=[b"1", b"2", b"3"], gate=lambda _: gate.acquire(timeout=10)))
    with sending(kind, loopback.url) as sender:
        first = sender.stream(post(), take=1)  # would wait for the gate if it were read whole
        gate.release(10)
        assert loopback.ended.acquire(timeout=10), "closing early closes the connection"
        whole = sender.stream(post())
        again = sender.send(post())
    assert (first.chunks, b"".join(whole.chunks), again.body) == ([b"1"], b"123", b"123")
    assert loopback.connections == 2


@both
def test_no_answer_in_time(kind: Kind, loopback: Loopback) -> None:
    never = threading.Event()
    loopback.script(Answer(wait=never))
    with sending(kind, loopback.url) as sender, pytest.raises(ReplyTimeoutError) as caught:
        sender.send(post(first_byte=0.05))
    never.set()
    assert "billed" in caught.value.cure


@both
@pytest.mark.parametrize("streamed", [True, False])
def test_an_answer_that_stalls(kind: Kind, loopback: Loopback, streamed: bool) -> None:
    go_on = threading.Event()
    loopback.script(Answer(body=[b"1", b"2"], gate=lambda _: go_on.wait(10)))
    with sending(kind, loopback.url) as sender:
        if streamed:
            result = sender.stream(post(idle=0.05))
            assert result.chunks == [b"1"]
            error = result.error
        else:
            with pytest.raises(InterruptedAnswerError) as caught:
                sender.send(post(idle=0.05))
            error = caught.value
    go_on.set()
    assert isinstance(error, InterruptedAnswerError)
    assert "stalled" in error.reason


@both
def test_a_slow_first_byte_is_not_a_stall(kind: Kind, loopback: Loopback) -> None:
    late = threading.Event()
    timer = threading.Timer(0.2, late.set)
    loopback.script(Answer(wait=late))
    with sending(kind, loopback.url) as sender:
        timer.start()
        assert sender.send(post(idle=0.05)).status == 200


@both
@pytest.mark.parametrize("early", ["keep", "close"])
@pytest.mark.parametrize("status", [401, 413])
def test_an_answer_before_the_body_is_sent_is_heard(
    kind: Kind, loopback: Loopback, early: str, status: int
) -> None:
    loopback.script(Answer(status=status, body=b'{"error":{"code":"x"}}', early=early), Answer())
    with sending(kind, loopback.url) as sender:
        answer = sender.send(post(BIG))
        assert sender.send(post()).status == 200, "the next request has a connection of its own"
    assert (answer.status, answer.body) == (status, b'{"error":{"code":"x"}}')
    assert loopback.connections == 2


@both
def test_a_server_that_stops_reading(kind: Kind) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as deaf:
        url = f"http://127.0.0.1:{deaf.getsockname()[1]}"
        with sending(kind, url) as sender, pytest.raises(ConnectionFailedError, match="stopped taking"):
            sender.send(post(BIG, write=0.1))


@both
def test_nothing_listens(kind: Kind) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as gone:
        url = f"http://127.0.0.1:{gone.getsockname()[1]}/v1"
    with sending(kind, url) as sender, pytest.raises(ConnectionFailedError, match="nothing listens"):
        sender.send(post())


@both
def test_a_name_that_does_not_resolve(kind: Kind) -> None:
    with (
        sending(kind, "http://nowhere.invalid/v1") as sender,
        pytest.raises(ConnectionFailedError, match="could not be resolved"),
    ):
        sender.send(post())


@both
@pytest.mark.parametrize(
    ("encoding", "data"),
    [
        ("gzip", gzip.compress(b"hello " * 50_000)),
        ("deflate", zlib.compress(b"hello " * 50_000)),
        ("identity", b"hello " * 50_000),
    ],
)
def test_compressed_answers(kind: Kind, loopback: Loopback, encoding: str, data: bytes) -> None:
    loopback.script(Answer(body=data, headers={"Content-Encoding": encoding}))
    with sending(kind, loopback.url) as sender:
        assert sender.send(post()).body == b"hello " * 50_000
        assert b"".join(sender.stream(post()).chunks) == b"hello " * 50_000


@both
def test_a_large_answer(kind: Kind, loopback: Loopback) -> None:
    data = os.urandom(5_000_000)
    loopback.script(Answer(body=data))
    with sending(kind, loopback.url) as sender:
        assert sender.send(post()).body == data
        assert b"".join(sender.stream(post()).chunks) == data
    assert loopback.connections == 1


@both
def test_damaged_compression(kind: Kind, loopback: Loopback) -> None:
    loopback.script(Answer(body=b"no gzip at all", headers={"Content-Encoding": "gzip"}))
    with sending(kind, loopback.url) as sender, pytest.raises(UnreadableAnswerError, match="compression"):
        sender.send(post())


@both
def test_an_endless_answer_is_refused(kind: Kind, loopback: Loopback) -> None:
    loopback.script(Answer(body=gzip.compress(bytes(2_000_000)), headers={"Content-Encoding": "gzip"}))
    with sending(kind, loopback.url, max_answer_bytes=1_000_000) as sender:
        with pytest.raises(UnreadableAnswerError, match="1000000 bytes"):
            sender.send(post())
        loopback.script(Answer(body=b"x" * 1_000_000))
        assert len(sender.send(post()).body) == 1_000_000


@both
@pytest.mark.parametrize("raw", [b"SSH-2.0-OpenSSH_9.6\r\n", b"\x15\x03\x01\x00\x02\x02\x16" * 3])
def test_what_is_not_http(kind: Kind, loopback: Loopback, raw: bytes) -> None:
    loopback.script(Answer(raw=raw, close=True))
    with sending(kind, loopback.url) as sender, pytest.raises(UnreadableAnswerError, match="not HTTP"):
        sender.send(post())


@both
def test_informational_answers_are_passed_over(kind: Kind, loopback: Loopback) -> None:
    hints = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
    loopback.script(Answer(raw=hints + b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"))
    with sending(kind, loopback.url) as sender:
        assert sender.send(post()).body == b"ok"


@both
def test_a_connection_with_an_odd_head_is_read_and_not_used_again(kind: Kind, loopback: Loopback) -> None:
    loopback.script(Answer(raw=b"HTTP/1.1 200 OK\r\nX-Trace : 1\r\nContent-Length: 2\r\n\r\n{}"))
    with sending(kind, loopback.url) as sender:
        answers = [sender.send(post()) for _ in range(2)]
    assert [(answer.body, len(answer.oddities)) for answer in answers] == [(b"{}", 1)] * 2
    assert loopback.connections == 2


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def tls_server(authority: trustme.CA) -> Iterator[Loopback]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    with serving(Answer(), ssl_context=context) as server:
        yield server


def test_a_tls_connection_that_waits_takes_little_memory(tls_server: Loopback, authority: trustme.CA) -> None:
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)
    came, may_answer = threading.Semaphore(0), threading.Event()

    def answer(seen: Seen) -> Answer:
        came.release()
        assert may_answer.wait(60)
        return Answer()

    async def main() -> int:
        sender = AsyncHttpSender(tls_server.url, ssl_context=trusting, trust_env=False)
        begun = tracemalloc.get_traced_memory()[0]
        waiting = [asyncio.create_task(sender.send(post(body))) for _ in range(COUNT)]
        for _ in range(COUNT):
            await asyncio.to_thread(came.acquire)
        held = tracemalloc.get_traced_memory()[0] - begun
        may_answer.set()
        assert [answered.status for answered in await asyncio.gather(*waiting)] == [200] * COUNT
        await sender.close()
        return held

    body = Body((bytes(300_000),))
    tls_server.keep_bodies = False
    tls_server.script(answer=answer)
    tracemalloc.start()
    try:
        assert asyncio.run(main()) < COUNT * 200_000
    finally:
        tracemalloc.stop()


@both
def test_tls(kind: Kind, tls_server: Loopback, authority: trustme.CA) -> None:
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)
    before = tls_server.connections
    with sending(kind, tls_server.url, ssl_context=trusting) as sender:
        for _ in range(3):
            tls_server.script(Answer())
            assert sender.send(post(Body((bytes(3_000_000),)))).status == 200
        assert tls_server.connections == before + 1, "a session ticket is no stray byte"
        tls_server.script(Answer(status=413, early="keep"))
        assert sender.send(post(BIG)).status == 413
        tls_server.script(Answer(reset="before"))
        with pytest.raises(ConnectionFailedError):
            sender.send(post())


@both
def test_a_certificate_that_is_not_trusted(kind: Kind, tls_server: Loopback) -> None:
    with sending(kind, tls_server.url) as sender, pytest.raises(ConnectionFailedError) as caught:
        sender.send(post())
    assert "certificate" in caught.value.reason
    assert not caught.value.retryable


@both
def test_tls_spoken_to_a_plain_server(kind: Kind, loopback: Loopback) -> None:
    url = loopback.url.replace("http:", "https:")
    with sending(kind, url) as sender, pytest.raises(ConnectionFailedError, match="secure connection"):
        sender.send(post())


@both
@pytest.mark.parametrize(
    "url", ["", "api.example.com", "ftp://a/b", "http://", "https://user:pw@a/v1", "https://a/v1?key=1"]
)
def test_what_is_no_base_url(kind: Kind, url: str) -> None:
    with pytest.raises(ConfigurationError) as caught, sending(kind, url):
        pass
    assert "pw" not in str(caught.value)


@both
def test_a_header_that_cannot_be_one(kind: Kind) -> None:
    with (
        pytest.raises(ConfigurationError, match="X-Bad"),
        sending(kind, "http://a", headers={"X-Bad": "a\r\nb"}),
    ):
        pass


@both
@pytest.mark.parametrize("header", [{"X-Bad": "a\nb"}, {"X Bad": "a"}, {"X-Bad": "ä"}])
def test_a_request_header_that_cannot_be_one(kind: Kind, loopback: Loopback, header: dict[str, str]) -> None:
    with sending(kind, loopback.url) as sender, pytest.raises(ParameterError, match="header"):
        sender.send(HttpRequest("GET", "/x", headers=header))
    assert loopback.requests == []


@both
def test_a_repr_names_the_endpoint(kind: Kind) -> None:
    with sending(kind, "https://api.example.com/v1") as sender:
        assert "https://api.example.com/v1" in repr(sender)


def test_closing_twice(loopback: Loopback) -> None:
    sender = HttpSender(loopback.url, trust_env=False)
    sender.send(post())
    sender.close()
    sender.close()
    assert loopback.ended.acquire(timeout=10)


def test_many_threads(loopback: Loopback) -> None:
    loopback.script(answer=lambda seen: Answer(body=seen.sha256.encode()))
    bodies = [os.urandom(1 + i * 997) for i in range(300)]
    with (
        closing(HttpSender(loopback.url, trust_env=False, connections=48)) as sender,
        ThreadPoolExecutor(64) as pool,
    ):
        answers = pool.map(lambda b: sender.send(post(Body((FilePiece(MemoryContent(b)),)))).body, bodies)
        assert list(answers) == [hashlib.sha256(b).hexdigest().encode() for b in bodies]
    assert loopback.connections <= 64


def test_many_tasks(loopback: Loopback) -> None:
    loopback.script(answer=lambda seen: Answer(body=seen.sha256.encode()))
    bodies = [os.urandom(1 + i * 997) for i in range(300)]

    async def run() -> list[bytes]:
        sender = AsyncHttpSender(loopback.url, trust_env=False)
        limit = asyncio.Semaphore(64)

        async def one(body: bytes) -> bytes:
            async with limit:
                return (await sender.send(post(Body((body,))))).body

        answers = await asyncio.gather(*map(one, bodies))
        await sender.close()
        await sender.close()
        return answers

    assert asyncio.run(run()) == [hashlib.sha256(b).hexdigest().encode() for b in bodies]
    assert loopback.connections <= 64


def test_one_loop_after_another(loopback: Loopback) -> None:
    sender = AsyncHttpSender(loopback.url, trust_env=False)

    async def run() -> int:
        status = (await sender.send(post())).status
        await sender.close()
        return status

    assert [asyncio.run(run()) for _ in range(3)] == [200] * 3
    assert loopback.connections == 3


def test_cancelling_closes_the_connection(loopback: Loopback) -> None:
    asked, answer = threading.Event(), threading.Event()

    def ask(seen: object) -> Answer:
        asked.set()
        return Answer(wait=answer)

    loopback.script(answer=ask)

    async def run() -> None:
        sender = AsyncHttpSender(loopback.url, trust_env=False)
        task = asyncio.create_task(sender.send(post()))
        await asyncio.to_thread(asked.wait, 10)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        answer.set()
        assert await asyncio.to_thread(loopback.ended.acquire, True, 10)
        loopback.script(Answer())
        assert (await sender.send(post())).status == 200
        await sender.close()

    asyncio.run(run())
    assert loopback.connections == 2


@both
def test_an_answer_behind_a_long_head_is_read(kind: Kind, loopback: Loopback) -> None:
    loopback.script(Answer(body=b'{"ok":1}', headers={f"X-Trace-{n}": "t" * 10_000 for n in range(40)}))
    with sending(kind, loopback.url) as sender:
        assert sender.send(post()).body == b'{"ok":1}'
        assert b"".join(sender.stream(post()).chunks) == b'{"ok":1}'
