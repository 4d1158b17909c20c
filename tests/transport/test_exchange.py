"""An exchange reads and writes what is plain itself: to the same end as h11 does."""

from __future__ import annotations

from itertools import pairwise

import h11
import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from visionpipe.transport.exchange import Exchange, Step, read_headers

HOST = (b"host", b"example.org")
NAMES = st.sampled_from(
    [b"Content-Type", b"content-length", b"Connection", b"Transfer-Encoding", b"X-Trace", b"Date"]
)
VALUES = st.sampled_from(
    [
        b"application/json",
        b"5",
        b"0",
        b"12",
        b" 5 ",
        b"keep-alive",
        b"close",
        b"chunked",
        b"",
        b"a\tb",
        b"\xe9",
    ]
)
LINES = st.lists(st.tuples(NAMES, st.sampled_from([b":", b": "]), VALUES).map(b"".join), max_size=4)
FIRST = st.sampled_from(
    [b"HTTP/1.1 200 OK", b"HTTP/1.1 404", b"HTTP/1.0 200 OK", b"HTTP/1.1 204 No Content", b"HTTP/1.1 100 -"]
)
BODIES = st.sampled_from([b"", b"hello", b"hello and more", b"5\r\nhello\r\n0\r\n\r\n"])


def sent(method: bytes) -> Exchange:
    exchange = Exchange()
    exchange.request(method, b"/", [HOST, (b"content-length", b"2")])
    exchange.given += 2
    exchange.end()
    return exchange


def read(exchange: Exchange, pieces: list[bytes]) -> object:
    """What comes of an answer that arrives in these pieces, and then ends."""
    left = [*pieces, b""]
    try:
        while (head := exchange.head()) is None:
            exchange.receive(left.pop(0))
        body = bytearray()
        while (piece := exchange.body()) is not Step.END:
            if isinstance(piece, bytes):
                body += piece
            else:
                exchange.receive(left.pop(0))
    except h11.RemoteProtocolError:
        return "no HTTP"
    return head[0], list(head[1].items()), bytes(body), exchange.reusable, exchange.oddities


@given(st.sampled_from([b"POST", b"HEAD"]), FIRST, LINES, BODIES, st.lists(st.integers(0, 120), max_size=3))
def test_a_plain_answer_is_read_as_h11_reads_it(
    method: bytes, first: bytes, lines: list[bytes], body: bytes, cuts: list[int]
) -> None:
    answer = b"\r\n".join([first, *lines, b"", body])
    places = sorted({0, *cuts, len(answer)})
    pieces = [answer[here:there] for here, there in pairwise(places) if here < len(answer)]
    by_h11 = sent(method)
    by_h11._read_by_h11(b"")
    assert read(sent(method), pieces) == read(by_h11, pieces)


@given(st.lists(st.tuples(NAMES, VALUES), max_size=4), st.sampled_from([b"/", b"/a?b=%20", b"/a b"]))
def test_a_request_is_written_as_h11_writes_it(headers: list[tuple[bytes, bytes]], target: bytes) -> None:
    try:
        request = h11.Request(method="POST", target=target, headers=[HOST, *headers])
    except h11.LocalProtocolError:
        with pytest.raises(h11.LocalProtocolError):
            Exchange().request(b"POST", target, [HOST, *headers])
        return
    by_h11 = h11.Connection(our_role=h11.CLIENT).send(request)
    written = Exchange().request(b"POST", target, [HOST, *headers])
    assert by_h11 is not None
    assert written.lower() == by_h11.lower()


@pytest.mark.parametrize("value", [b"a\r\nx: y", b"a\nb", b"a\0b"])
def test_a_value_adds_no_header(value: bytes) -> None:
    with pytest.raises(h11.LocalProtocolError):
        Exchange().request(b"GET", b"/", [HOST, (b"x-mine", value)])


def test_a_body_of_another_length_than_announced_does_not_end() -> None:
    exchange = Exchange()
    exchange.request(b"POST", b"/", [HOST, (b"content-length", b"3")])
    exchange.given += 2
    with pytest.raises(h11.LocalProtocolError):
        exchange.end()


def test_a_connection_is_not_used_again_before_the_request_was_sent_whole() -> None:
    exchange = Exchange()
    exchange.request(b"POST", b"/", [HOST, (b"content-length", b"2")])
    assert read(exchange, [b"HTTP/1.1 413 -\r\ncontent-length: 0\r\n\r\n"]) == (
        413,
        [("content-length", "0")],
        b"",
        False,
        [],
    )


@given(st.lists(st.tuples(NAMES, st.one_of(VALUES, st.binary(max_size=3))), max_size=5))
def test_headers_read_as_httpx_reads_them(headers: list[tuple[bytes, bytes]]) -> None:
    assert list(read_headers(headers).items()) == list(dict(httpx.Headers(headers)).items())
