"""Streams with odd frames in them, and streams that break: what came is kept, and nothing is made up."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from visionpipe.errors import InterruptedAnswerError, RateLimitError, UnreadableAnswerError
from visionpipe.registry.records import EndpointRecord, ModelRecord
from visionpipe.reply import Answered, Attempt
from visionpipe.request import Request, ToolCall
from visionpipe.wire.reply import ReadingContext
from visionpipe.wire.stream import StreamReader

ENDPOINT = EndpointRecord(id="g", title="G", base_url="https://g.example", unknown_model="u", dialect="glm")
CONTEXT = ReadingContext(Request("m", ()), ModelRecord(id="m"), ENDPOINT)
DONE = b"data: [DONE]\n\n"


def reader() -> StreamReader:
    return StreamReader(CONTEXT, Answered("vp-1", (Attempt("vp-1", 0.1),)))


def frame(value: Any) -> bytes:
    return b"data: " + orjson.dumps(value) + b"\n\n"


def delta(finish: str | None = None, **fields: Any) -> bytes:
    return frame({"choices": [{"index": 0, "delta": fields, "finish_reason": finish}]})


@pytest.mark.parametrize(
    "odd",
    [
        frame([1, 2]),
        frame(7),
        frame({"choices": [7]}),
        frame({"choices": [{"delta": "cat"}]}),
        delta(tool_calls="look"),
        delta(tool_calls=["look"]),
    ],
)
def test_odd_frames_between_good_ones_change_nothing(odd: bytes) -> None:
    stream = reader()
    pieces = stream.feed(delta(content="A ") + odd + delta(content="cat.") + odd + delta("stop") + DONE)
    assert stream.complete
    last, reply = stream.finish()
    assert "".join([*pieces, *last]) == reply.text == "A cat."
    assert reply.tool_calls == ()


@pytest.mark.parametrize(
    ("pieces", "arguments"),
    [
        (['{"at":', '"cat"}'], '{"at":"cat"}'),
        ([{"at": "cat"}], '{"at":"cat"}'),
        ([None, "{}"], "{}"),
        ([7], ""),
    ],
)
def test_a_calls_arguments_in_each_form(pieces: list[Any], arguments: str) -> None:
    stream = reader()
    stream.feed(delta(tool_calls=[{"index": 0, "id": "1", "function": {"name": "look"}}]))
    for piece in pieces:
        stream.feed(delta(tool_calls=[{"index": 0, "function": {"arguments": piece}}]))
    stream.feed(delta(tool_calls=[{"index": 0, "function": "look"}]))
    stream.feed(delta("tool_calls") + DONE)
    _, reply = stream.finish()
    assert reply.tool_calls == (ToolCall("1", "look", arguments),)


def test_what_breaks_behind_the_end_is_a_note() -> None:
    stream = reader()
    stream.feed(delta("stop", content="A cat.") + b"data: {broken")
    assert stream.ended
    assert not stream.complete
    _, reply = stream.finish()
    assert reply.text == "A cat."
    assert [note.kind for note in reply.notes] == ["stream_end"]
    assert "no JSON" in reply.notes[0].detail


def test_what_breaks_before_the_end_is_an_error_with_what_came() -> None:
    stream = reader()
    stream.feed(delta(content="A c") + b"data: {broken")
    with pytest.raises(InterruptedAnswerError, match="no JSON") as caught:
        stream.finish()
    assert caught.value.reply is not None
    assert (caught.value.reply.text, caught.value.reply.request_id) == ("A c", "vp-1")


def test_a_connection_that_broke_behind_the_end_is_a_note_too() -> None:
    stream = reader()
    stream.feed(delta("stop", content="A cat."))
    _, reply = stream.finish(broken="the connection was reset")
    assert "the connection was reset" in reply.notes[0].detail


def test_an_error_frame_is_a_refusal_before_the_text_and_a_break_behind_it() -> None:
    refused = frame({"error": {"code": "1302", "message": "slowly"}})
    with pytest.raises(RateLimitError):
        reader().feed(refused)
    stream = reader()
    stream.feed(delta(content="A c"))
    with pytest.raises(InterruptedAnswerError) as caught:
        stream.feed(refused)
    assert (caught.value.code, caught.value.retryable) == ("1302", True)
    assert caught.value.reply is not None
    assert caught.value.reply.text == "A c"


@pytest.mark.parametrize("content", ["", "A c"])
def test_an_error_from_outside_is_told_what_is_known(content: str) -> None:
    stream = reader()
    stream.feed(delta(content=content))
    error = UnreadableAnswerError("it is too long", cure="Stop.")
    stream.complete_error(error)
    assert (error.request_id, error.attempts) == ("vp-1", 1)
    assert error.reply is not None
    assert error.reply.text == content
    kept = error.reply
    stream.feed(delta(content="at."))
    stream.complete_error(error)
    assert error.reply is kept


def test_only_done_is_no_answer() -> None:
    stream = reader()
    stream.feed(DONE)
    with pytest.raises(UnreadableAnswerError, match="no choices"):
        stream.finish()


def test_damaged_frames_are_counted_by_what_was_wrong_with_them() -> None:
    stream = reader()
    broken = b'data: {"choices": [{"index": 0, "delta": {"content": "cat"}}], "score": NaN}\n\n'
    stream.feed(delta(content="A ") + broken + broken + broken + delta("stop") + DONE)
    _, reply = stream.finish()
    assert reply.text == "A catcatcat"
    (note,) = [note for note in reply.notes if note.kind == "damaged"]
    assert ": 3 (" in note.detail
