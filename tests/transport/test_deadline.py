"""An exchange ends at its deadline, however busy the server keeps the line: it drips its head or its body,
takes the request a little at a time, or never stops."""

from __future__ import annotations

import math
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager

import pytest

from tests.loopback import Answer, Loopback
from tests.transport.faces import KINDS, Kind, sending
from visionpipe.errors import InterruptedAnswerError, ReplyTimeoutError
from visionpipe.wire.http import Body, HttpRequest, Timeouts

both = pytest.mark.parametrize("kind", KINDS)
BRIEF = Timeouts(connect=5, write=5, first_byte=5, idle=5, total=0.15)


def post(body: bytes = b"{}", timeouts: Timeouts = BRIEF) -> HttpRequest:
    return HttpRequest("POST", "/chat/completions", Body((body,)), timeouts=timeouts)


def dripping() -> Answer:
    """A byte every few milliseconds, far longer than any test waits."""
    pace = threading.Event()
    return Answer(body=[b"x"] * 5000, gate=lambda _: pace.wait(0.005))


@both
def test_a_dripping_answer_is_no_answer_in_time(kind: Kind, loopback: Loopback) -> None:
    loopback.script(dripping())
    begun = time.monotonic()
    with sending(kind, loopback.url) as sender, pytest.raises(ReplyTimeoutError, match="whole answer") as hit:
        sender.send(post())
    assert time.monotonic() - begun < 2
    assert "billed" in hit.value.cure


@both
def test_a_dripping_stream_gives_what_came(kind: Kind, loopback: Loopback) -> None:
    loopback.script(dripping())
    with sending(kind, loopback.url) as sender:
        streamed = sender.stream(post())
    assert isinstance(streamed.error, InterruptedAnswerError)
    assert "did not end in time" in streamed.error.reason
    assert set(b"".join(streamed.chunks)) == {ord("x")}


@both
def test_a_stream_at_full_speed_ends_as_well(kind: Kind, loopback: Loopback) -> None:
    loopback.script(Answer(body=[bytes(8000)] * 200_000))
    with sending(kind, loopback.url) as sender:
        streamed = sender.stream(post())
    assert isinstance(streamed.error, InterruptedAnswerError)
    assert "did not end in time" in streamed.error.reason


@both
def test_a_dripping_head(kind: Kind) -> None:
    with (
        one_by_one(b"HTTP/1.1 200 OK\r\nX: " + b"y" * 5000) as url,
        sending(kind, url) as sender,
        pytest.raises(ReplyTimeoutError),
    ):
        sender.send(post())


@both
def test_a_server_that_sips_the_request(kind: Kind) -> None:
    with sipping() as url, sending(kind, url) as sender, pytest.raises(ReplyTimeoutError):
        sender.send(post(bytes(60_000_000)))


@both
def test_through_a_proxy(kind: Kind, loopback: Loopback) -> None:
    loopback.script(dripping())
    with (
        sending(kind, "http://api.example/v1", proxy=f"http://{loopback.host}") as sender,
        pytest.raises(ReplyTimeoutError, match="whole answer"),
    ):
        sender.send(post())


@both
def test_an_answer_within_the_time_is_untouched(kind: Kind, loopback: Loopback) -> None:
    loopback.script(Answer(body=[b"1", b"2"]))
    with sending(kind, loopback.url) as sender:
        assert sender.send(post(timeouts=Timeouts(total=5))).body == b"12"


@contextmanager
def one_by_one(data: bytes) -> Iterator[str]:
    """A server that answers with a byte every few milliseconds."""
    done = threading.Event()

    def serve(listener: socket.socket) -> None:
        connection, _ = listener.accept()
        with connection:
            connection.recv(65_536)
            for place in range(len(data)):
                if done.wait(0.005):
                    return
                try:
                    connection.sendall(data[place : place + 1])
                except OSError:
                    return  # the client has had enough

    with _listening(serve) as url:
        yield url
        done.set()


@contextmanager
def sipping() -> Iterator[str]:
    """A server that reads the request a little at a time and never answers."""
    done = threading.Event()

    def serve(listener: socket.socket) -> None:
        connection, _ = listener.accept()
        with connection:
            while not done.wait(0.005):
                try:
                    if not connection.recv(10_000):
                        return
                except OSError:
                    return  # the client has had enough

    with _listening(serve) as url:
        yield url
        done.set()


@contextmanager
def _listening(serve: Callable[[socket.socket], None]) -> Iterator[str]:
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        thread = threading.Thread(target=serve, args=(listener,), daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/v1"
        thread.join(5)


@both
def test_time_without_end_is_as_good_as_long(kind: Kind, loopback: Loopback) -> None:
    loopback.script(Answer(body=b"{}"))
    endless = Timeouts(math.inf, math.inf, math.inf, math.inf, math.inf, math.inf)
    with sending(kind, loopback.url) as sender:
        assert sender.send(post(bytes(20_000_000), endless)).body == b"{}"
        assert b"".join(sender.stream(post(timeouts=endless)).chunks) == b"{}"
