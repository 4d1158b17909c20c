"""What came damaged is read as well as it can be, whole and streamed, and the reply says so."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from visionpipe.errors import InterruptedAnswerError, RateLimitError, ServiceError
from visionpipe.registry.records import EndpointRecord, ModelRecord
from visionpipe.reply import Answered, Attempt, Reply
from visionpipe.request import Request
from visionpipe.values import Usage
from visionpipe.wire.reply import ReadingContext, read_reply
from visionpipe.wire.stream import StreamReader

ENDPOINT = EndpointRecord(id="g", title="G", base_url="https://g.example", unknown_model="u", dialect="glm")
CONTEXT = ReadingContext(Request("m", ()), ModelRecord(id="m"), ENDPOINT)
ANSWERED = Answered("vp-1", (Attempt("vp-1", 0.1),))
DONE = b"data: [DONE]\n\n"


def reader() -> StreamReader:
    return StreamReader(CONTEXT, ANSWERED)


def frame(content: str = "", finish: str | None = None, **more: Any) -> bytes:
    choice = {"index": 0, "delta": {"content": content}, "finish_reason": finish}
    return b"data: " + orjson.dumps({"choices": [choice], **more}) + b"\n\n"


def raw(content: bytes, extra: bytes = b"") -> bytes:
    return b'data: {"choices": [{"index": 0, "delta": {"content": "' + content + b'"}' + extra + b"}]}\n\n"


def streamed(*chunks: bytes) -> tuple[str, Reply]:
    stream = reader()
    pieces = [piece for chunk in chunks for piece in stream.feed(chunk)]
    last, reply = stream.finish()
    return "".join([*pieces, *last]), reply


@pytest.mark.parametrize(
    ("bad", "text", "kinds"),
    [
        (raw(b"caf\xe9 "), "A caf\ufffd cat.", ["damaged"]),
        (raw(b"\\ud83d") + raw(b"\\ude00 "), "A 😀 cat.", ["damaged"]),
        (raw(b"\\ud83d") + raw(b"x "), "A \ufffdx cat.", ["damaged"]),
        (raw(b"\xe4\xb8") + raw(b"\xad "), "A 中 cat.", ["damaged"]),
        (raw(b"big ", b', "logprobs": [-Infinity, NaN]'), "A big cat.", ["damaged"]),
        (raw(b"tab\there "), "A tab\there cat.", ["damaged"]),
        (b"data: ping\n\n", "A cat.", ["frame_skipped"]),
        (b"data: ping\n\n" * 3, "A cat.", ["frame_skipped"]),
        (b"data: \xff\xfe\n\n", "A cat.", ["frame_skipped"]),
        (b'event: ping\ndata: {"type": "ping"}\n\n', "A cat.", []),
        (b"\xef\xbb\xbf" + frame("grey "), "A grey cat.", []),
        (b"data: \xef\xbb\xbf" + frame("grey ")[6:], "A grey cat.", ["damaged"]),
    ],
)
@pytest.mark.parametrize("size", [1, 17, 10_000])
def test_one_bad_frame_costs_no_more_than_itself(bad: bytes, text: str, kinds: list[str], size: int) -> None:
    data = frame("A ") + bad + frame("cat.") + frame("", "stop") + DONE
    shown, reply = streamed(*(data[at : at + size] for at in range(0, len(data), size)))
    assert shown == reply.text == text
    assert [note.kind for note in reply.notes] == kinds
    assert orjson.dumps(reply.raw)


def test_what_was_held_for_its_other_half_is_given_at_the_end() -> None:
    shown, reply = streamed(frame("A "), raw(b"\\ud83d"), frame("", "stop"), DONE)
    assert shown == reply.text == "A \ufffd"


def test_thinking_and_its_halves_are_joined_too() -> None:
    def thought(half: bytes) -> bytes:
        return b'data: {"choices": [{"delta": {"reasoning_content": "' + half + b'"}}]}\n\n'

    _, reply = streamed(thought(b"\\ud83d"), thought(b"\\ude00"), frame("Yes.", "stop"), DONE)
    assert reply.reasoning == "😀"


def test_the_pieces_before_a_bad_frame_reach_the_caller_and_then_its_error() -> None:
    for bad in (b"data: {broken\n\n", b'data: {"error": {"code": "1302", "message": "slowly"}}\n\n'):
        stream = reader()
        assert stream.feed(frame("A ") + frame("cat") + bad + frame("lost")) == ["A ", "cat"]
        assert stream.complete
        with pytest.raises(InterruptedAnswerError) as caught:
            stream.finish()
        assert caught.value.reply is not None
        assert caught.value.reply.text == "A cat"
        with pytest.raises(InterruptedAnswerError):
            stream.feed(frame("more"))


def test_a_bad_frame_behind_the_end_takes_nothing_away() -> None:
    shown, reply = streamed(frame("A cat.", "stop") + b"data: {broken\n\n" + DONE)
    assert shown == "A cat."
    assert [note.kind for note in reply.notes] == ["stream_end"]


@pytest.mark.parametrize(
    ("event", "code", "words"),
    [
        (b'event: error\ndata: {"code": "1302", "message": "slowly"}\n\n', "1302", "slowly"),
        (b'event: error\ndata: {"error": {"code": "1302", "message": "slowly"}}\n\n', "1302", "slowly"),
        (b'event:error\ndata: {"message": "out of order"}\n\n', "rejected", "out of order"),
        (b"event: error\ndata: out of order\n\n", "rejected", "out of order"),
        (
            b'data: {"choices": []}\nevent: error\ndata: {"code": "1302", "message": "slowly"}\n\n',
            "1302",
            "slowly",
        ),
    ],
)
def test_an_event_named_error_keeps_its_code(event: bytes, code: str, words: str) -> None:
    with pytest.raises(ServiceError, match=words) as caught:
        reader().feed(event)
    assert caught.value.code == code
    assert isinstance(caught.value, RateLimitError) == (code == "1302")


def test_an_events_name_is_forgotten_with_it() -> None:
    shown, _ = streamed(b"event: error\n\n" + frame("A cat."), frame("", "stop"), DONE)
    assert shown == "A cat."


FULL = {"prompt_tokens": 1000, "completion_tokens": 5, "prompt_tokens_details": {"cached_tokens": 10}}


@pytest.mark.parametrize(
    ("usages", "counted"),
    [
        ([FULL, None], Usage(1000, 5, 10)),
        ([FULL, {}], Usage(1000, 5, 10)),
        ([FULL, {"prompt_tokens": 0, "completion_tokens": 0}], Usage(1000, 5, 10)),
        ([FULL, {"prompt_tokens": None, "completion_tokens": 9}], Usage(1000, 9, 10)),
        ([{"prompt_tokens": 1000, "completion_tokens": 1}, FULL], Usage(1000, 5, 10)),
        ([{"prompt_tokens": 1000.0, "completion_tokens": "5"}], Usage(1000, 5)),
        ([{"prompt_tokens": "1000.0", "completion_tokens": "five"}, None], Usage(1000, 0)),
    ],
)
def test_a_later_usage_that_says_nothing_erases_nothing(usages: list[Any], counted: Usage) -> None:
    frames = [frame("x", usage=usage) for usage in usages]
    _, reply = streamed(*frames, frame("", "stop"), DONE)
    assert reply.usage == counted


def test_usage_inside_the_choice_counts() -> None:
    choice = {"delta": {"content": "x"}, "finish_reason": "stop", "usage": FULL}
    _, reply = streamed(b"data: " + orjson.dumps({"choices": [choice]}) + b"\n\n", DONE)
    assert reply.usage == Usage(1000, 5, 10)


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b'{"choices": [{"message": {"content": "caf\xe9"}}]}', "caf\ufffd"),
        (b'{"choices": [{"message": {"content": "\\ud83d!"}}]}', "\ufffd!"),
        (b'{"choices": [{"message": {"content": "ok"}, "logprobs": -Infinity}], "usage": NaN}', "ok"),
        (b'\xef\xbb\xbf{"choices": [{"message": {"content": "ok"}}]}', "ok"),
        (b'{"choices": [{"message": {"content": "two\nlines"}}]}', "two\nlines"),
    ],
)
def test_a_whole_answer_that_is_damaged_is_not_thrown_away(body: bytes, text: str) -> None:
    reply = read_reply(body, CONTEXT, ANSWERED)
    assert reply.text == text
    assert [note.kind for note in reply.notes] == ["damaged"]
    assert orjson.dumps(reply.raw)
