"""What compressed answers may cost: memory and time are those of what was asked for, not more."""

from __future__ import annotations

import gzip
import itertools
import tracemalloc
import zlib

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.loopback import Answer, Loopback
from tests.transport.faces import KINDS, Kind, sending
from visionpipe.errors import UnreadableAnswerError
from visionpipe.transport.errors import TimeUpError
from visionpipe.transport.exchange import PIECE_BYTES, Decoder
from visionpipe.wire.http import Body, HttpRequest

both = pytest.mark.parametrize("kind", KINDS)
POST = HttpRequest("POST", "/chat/completions", Body((b"{}",)))
BOMB = gzip.compress(bytes(100_000_000))


def decoder(coding: str, deadline: float = 1e9, step: float = 0.0) -> Decoder:
    ticks = itertools.count(step, step)
    return Decoder(coding, "host", {"read": 60.0, "deadline": deadline}, lambda: next(ticks))


@both
@pytest.mark.parametrize("coding", ["gzip, gzip", "gzip,deflate", "x-gzip , identity, gzip", "br", "zstd"])
def test_one_coding_is_taken_and_a_second_is_refused_before_anything_is_undone(
    kind: Kind, coding: str, loopback: Loopback
) -> None:
    loopback.script(Answer(body=gzip.compress(BOMB), headers={"Content-Encoding": coding}))
    with sending(kind, loopback.url) as sender:
        tracemalloc.start()
        with pytest.raises(UnreadableAnswerError, match="one gzip was asked for"):
            sender.send(POST)
        with pytest.raises(UnreadableAnswerError, match="one gzip was asked for"):
            sender.stream(POST)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak < 10_000_000
    assert loopback.requests[0].headers["accept-encoding"] == "gzip"


@both
def test_a_bomb_costs_no_more_than_the_limit(kind: Kind, loopback: Loopback) -> None:
    loopback.script(Answer(body=BOMB, headers={"Content-Encoding": "gzip"}))
    with sending(kind, loopback.url, max_answer_bytes=1_000_000) as sender:
        tracemalloc.start()
        with pytest.raises(UnreadableAnswerError, match="1000000 bytes"):
            sender.send(POST)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 10_000_000
        assert len(sender.stream(POST, take=1).chunks[0]) <= PIECE_BYTES


def test_the_deadline_is_looked_at_before_each_piece() -> None:
    size = 0
    with pytest.raises(TimeUpError):
        for piece in decoder("gzip", deadline=8, step=1).feed(BOMB):
            size += len(piece)
    assert size == 7 * PIECE_BYTES


def test_memory_is_that_of_a_piece() -> None:
    tracemalloc.start()
    size = sum(map(len, decoder("gzip").feed(BOMB)))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert size == 100_000_000
    assert peak < 1_000_000


@given(
    st.sampled_from(["gzip", "X-GZIP", "identity, gzip", "deflate", "raw", "", "utf-8"]),
    st.lists(st.binary(max_size=300).map(lambda part: part * 700), max_size=3),
    st.integers(1, 5_000),
)
def test_what_was_compressed_comes_back_however_it_is_cut(coding: str, parts: list[bytes], cut: int) -> None:
    whole = b"".join(parts)
    if "gzip" in coding.lower():
        sent = b"".join(map(gzip.compress, parts))  # a member each, as gzip files may be joined
    elif coding == "deflate":
        sent = zlib.compress(whole)
    elif coding == "raw":
        packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
        sent, coding = packer.compress(whole) + packer.flush(), "deflate"
    else:
        sent = whole
    undo = decoder(coding)
    pieces = (sent[at : at + cut] for at in range(0, len(sent), cut))
    assert b"".join(piece for data in pieces for piece in undo.feed(data)) == whole


def test_damage_is_told() -> None:
    with pytest.raises(httpx.DecodingError):
        list(decoder("gzip").feed(b"no gzip at all"))
