"""Streams of agents and applications: their texts as they come, and how they can end."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from visionpipe.errors import InterruptedAnswerError, ServerError, UnreadableAnswerError
from visionpipe.wire.sse import EventReader


@dataclass(frozen=True)
class Line:
    text: str
    finish_reason: str | None
    id: str = ""


def reader() -> EventReader[Line]:
    def refusal(event: Mapping[str, Any]) -> ServerError | None:
        return ServerError(event["error"], cure="Try again.") if "error" in event else None

    return EventReader(
        lambda event: Line(event.get("text", ""), event.get("finish")),
        refusal,
        lambda text, last: Line(text, last.get("finish"), last.get("id", "")),
    )


STREAM = (
    b'data: {"id":"7","text":"A "}\n\n: a comment\n\ndata: ping\n\ndata: [1]\n\n'
    b'data: {"text":"cat","finish":"stop"}\n\ndata: [DONE]\n\n'
)


@given(cuts=st.lists(st.integers(0, len(STREAM)), max_size=8))
def test_texts_come_whole_wherever_the_bytes_are_cut(cuts: list[int]) -> None:
    reading = reader()
    texts: list[str] = []
    places = sorted({0, *cuts, len(STREAM)})
    for start, end in pairwise(places):
        texts += reading.feed(STREAM[start:end])
    assert reading.complete
    rest, reply = reading.finish()
    assert texts + rest == ["A ", "cat"]
    assert reply == Line("A cat", "stop", "7")


def test_an_error_behind_a_text_comes_after_it_and_stays() -> None:
    reading = reader()
    assert reading.feed(b'data: {"text":"A "}\n\ndata: {"error":"it failed"}\n\n') == ["A "]
    assert reading.complete
    for _ in range(2):
        with pytest.raises(ServerError, match="it failed"):
            reading.feed(b'data: {"text":"cat"}\n\n')
    with pytest.raises(ServerError, match="it failed"):
        reading.finish()


def test_an_error_alone_is_raised_at_once() -> None:
    with pytest.raises(ServerError, match="it failed"):
        reader().feed(b'data: {"error":"it failed"}\n\n')


def test_a_broken_event_is_a_broken_answer() -> None:
    with pytest.raises(InterruptedAnswerError, match="an event is no JSON"):
        reader().feed(b'data: {"text": \x00}\n\n')


@pytest.mark.parametrize(
    ("stream", "error"),
    [
        (b"<html>no</html>", UnreadableAnswerError),
        (b"", UnreadableAnswerError),
        (b'data: {"text":"A "}\n\n', InterruptedAnswerError),
    ],
)
def test_a_stream_without_its_end_is_no_answer(stream: bytes, error: type[Exception]) -> None:
    reading = reader()
    reading.feed(stream)
    assert not reading.complete
    with pytest.raises(error):
        reading.finish()
