"""Answers as the service gives them, in all their forms, become one Reply or one clear error; whole and
streamed answers are read alike."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from visionpipe import errors
from visionpipe.registry.records import EndpointRecord, ModelRecord, Price
from visionpipe.reply import Answered, Attempt, Reply
from visionpipe.request import Request
from visionpipe.values import Money, Usage
from visionpipe.wire.reply import ReadingContext, read_reply
from visionpipe.wire.stream import StreamReader

ENDPOINT = EndpointRecord(id="g", title="G", base_url="https://g.example", unknown_model="u", dialect="glm")
MODEL = ModelRecord(id="m", prices=(Price(input=Decimal(2), output=Decimal(6)),))
CONTEXT = ReadingContext(Request("m", ()), MODEL, ENDPOINT)
ANSWERED = Answered("vp-1", (Attempt("vp-1", 0.1),))
USAGE = {
    "prompt_tokens": 1000,
    "completion_tokens": 500,
    "total_tokens": 1500,
    "prompt_tokens_details": {"cached_tokens": 10},
}


def whole(message: dict[str, Any], finish: str = "stop", **more: Any) -> Reply:
    answer = {
        "model": "m",
        "choices": [{"index": 0, "finish_reason": finish, "message": message}],
        "usage": USAGE,
        **more,
    }
    return read_reply(orjson.dumps(answer), CONTEXT, ANSWERED)


def frame(finish: str | None = None, usage: Any = None, **delta: Any) -> bytes:
    found: dict[str, Any] = {"model": "m", "choices": [{"index": 0, "delta": delta}]}
    if finish:
        found["choices"][0]["finish_reason"] = finish
    if usage:
        found["usage"] = usage
    return b"data: " + orjson.dumps(found) + b"\n\n"


DONE = b"data: [DONE]\n\n"


def streamed(data: bytes, size: int = 7) -> tuple[str, Reply]:
    reader = StreamReader(CONTEXT, ANSWERED)
    pieces: list[str] = []
    for begin in range(0, len(data), size):
        pieces += reader.feed(data[begin : begin + size])
    last, reply = reader.finish()
    return "".join([*pieces, *last]), reply


def test_a_plain_answer() -> None:
    reply = whole({"role": "assistant", "content": "A cat."})
    assert (reply.text, reply.finish_reason, reply.request_id) == ("A cat.", "stop", "vp-1")
    assert reply.usage == Usage(1000, 500, 10)
    assert reply.cost == Money(Decimal("0.005"), "CNY")
    assert reply.attempts == ANSWERED.attempts
    assert reply.local is False


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ([{"type": "text", "text": "A "}, {"type": "text", "text": "cat."}], "A cat."),
        ("<|begin_of_box|>A cat.<|end_of_box|>", "A cat."),
        ("line\u2028separator and\u0085next", "line\u2028separator and\u0085next"),
    ],
)
def test_forms_of_content(content: Any, text: str) -> None:
    assert whole({"content": content}).text == text


def test_thinking_is_kept_apart() -> None:
    reply = whole({"content": "<think>hmm</think>A cat.", "reasoning_content": "first"})
    assert reply.text == "A cat."
    assert reply.reasoning == "first\nhmm"
    assert [note.kind for note in reply.notes] == ["markup_removed"]


def test_tool_calls_need_no_text() -> None:
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": {"a": 1}}}
    reply = whole({"content": None, "tool_calls": [call]}, "tool_calls")
    assert [(c.id, c.name, c.arguments) for c in reply.tool_calls] == [("c", "f", '{"a":1}')]


@pytest.mark.parametrize("calls", ["look", [7, {"function": "look"}]])
def test_what_is_no_tool_call_is_none(calls: Any) -> None:
    assert whole({"content": "A cat.", "tool_calls": calls}).tool_calls == ()


@pytest.mark.parametrize("usage", [None, "much", [1]])
def test_usage_that_is_none_costs_nobody_knows(usage: Any) -> None:
    reply = whole({"content": "A cat."}, usage=usage)
    assert (reply.usage, reply.cost) == (None, None)


@pytest.mark.parametrize(
    "usage",
    [
        {"prompt_tokens": 1000.0, "completion_tokens": 500.0},
        {"prompt_tokens": "1000", "completion_tokens": "500"},
        {"prompt_tokens": 1000, "completion_tokens": 500, "prompt_tokens_details": None},
    ],
)
def test_usage_as_floats_or_texts_is_read(usage: Any) -> None:
    assert whole({"content": "A cat."}, usage=usage).usage == Usage(1000, 500)
    data = frame("stop", usage, content="A cat.") + DONE
    assert streamed(data)[1].usage == Usage(1000, 500)


@pytest.mark.parametrize("count", [True, "many", -1, 1e300, float("inf"), [3], None, 2**60])
def test_a_count_that_is_none_is_nought(count: Any) -> None:
    reply = whole({"content": "A cat."}, usage={"prompt_tokens": count, "completion_tokens": 2})
    assert reply.usage == Usage(0, 2)


def test_input_from_the_cache_costs_what_the_catalog_says() -> None:
    price = Price(input=Decimal(2), output=Decimal(6), cached=Decimal(1))
    context = ReadingContext(Request("m", ()), ModelRecord(id="m", prices=(price,)), ENDPOINT)
    answer = {"choices": [{"finish_reason": "stop", "message": {"content": "A cat."}}], "usage": USAGE}
    assert read_reply(orjson.dumps(answer), context, ANSWERED).cost == Money(Decimal("0.00499"), "CNY")


def test_pages_of_a_web_search() -> None:
    found = [{"title": "Cats", "link": "https://cats.example", "media": None}, 7]
    [source] = whole({"content": "A cat."}, web_search=found).sources
    assert (source.title, source.link, source.media) == ("Cats", "https://cats.example", "")


@pytest.mark.parametrize(
    ("message", "finish", "kind"),
    [
        ({"content": ""}, "stop", errors.EmptyAnswerError),
        ({"content": None}, "stop", errors.EmptyAnswerError),
        ({"content": "", "reasoning_content": "thinking"}, "length", errors.EmptyAnswerError),
        ({"content": "half"}, "sensitive", errors.FilteredAnswerError),
        ({"content": "half"}, "network_error", errors.InterruptedAnswerError),
    ],
)
def test_answers_without_use(message: dict[str, Any], finish: str, kind: type[errors.AnswerError]) -> None:
    with pytest.raises(kind) as caught:
        whole(message, finish)
    assert caught.value.reply is not None
    assert caught.value.reply.text == (message["content"] or "")
    assert caught.value.request_id == "vp-1"


@pytest.mark.parametrize(
    ("finish", "thought", "again", "words"),
    [
        ("length", "", False, "used up its output"),
        ("length", "look", False, "used up its output"),
        ("stop", "", True, "wrote no answer"),
        ("stop", "look", True, "only its thinking"),
    ],
)
def test_output_that_was_used_up_is_not_paid_for_again(
    finish: str, thought: str, again: bool, words: str
) -> None:
    with pytest.raises(errors.EmptyAnswerError, match=words) as at_once:
        whole({"content": "", "reasoning_content": thought}, finish)
    with pytest.raises(errors.EmptyAnswerError, match=words) as in_pieces:
        streamed(frame(finish, USAGE, content="", reasoning_content=thought) + DONE)
    assert at_once.value.retryable is in_pieces.value.retryable is again
    assert ("max_tokens" in at_once.value.cure) is (not again or thought != "")


@pytest.mark.parametrize(
    ("said", "model"), [("m-2026-01", "m-2026-01"), (None, "m"), ("", "m")], ids=["said", "null", "empty"]
)
def test_the_model_of_a_reply_is_the_one_that_answered(said: str | None, model: str) -> None:
    assert whole({"content": "A cat."}, model=said).model == model
    frames = frame(content="A ") + frame("stop", USAGE, content="cat.") + DONE
    told = b'"model":' + orjson.dumps(said)
    assert streamed(frames.replace(b'"model":"m"', told))[1].model == model


def test_an_answer_that_broke_off_names_the_model_that_answered() -> None:
    with pytest.raises(errors.InterruptedAnswerError) as caught:
        streamed(frame(content="A ca").replace(b'"model":"m"', b'"model":"m-2026-01"'))
    assert caught.value.reply is not None
    assert caught.value.reply.model == "m-2026-01"


def test_a_cut_answer_is_kept_with_a_note() -> None:
    reply = whole({"content": "A long"}, "length", content_filter=[{"role": "user", "level": 2}])
    assert [note.kind for note in reply.notes] == ["truncated", "content_filter"]


@pytest.mark.parametrize(
    "body", [b"<html>", b"", b"[]", b"{}", b'{"choices":[]}', b'{"choices":[{}]}', b'{"choices":[1]}']
)
def test_what_is_no_answer(body: bytes) -> None:
    with pytest.raises(errors.UnreadableAnswerError, match="base URL") as caught:
        read_reply(body, CONTEXT, ANSWERED)
    assert caught.value.retryable  # a network's sign-in page is gone tomorrow


def test_an_error_with_status_200() -> None:
    with pytest.raises(errors.RateLimitError):
        read_reply(b'{"error":{"code":"1302","message":"slow"}}', CONTEXT, ANSWERED)


STREAM = (
    frame(role="assistant", reasoning_content="look")
    + b": a comment\n\n"
    + frame(content="A ")
    + b'data: {"choices":[]}\n\n'
    + frame(content="cat.")
    + frame("stop", USAGE, content="")
    + DONE
)


@given(st.integers(1, 400))
def test_a_stream_reads_like_a_whole_answer(size: int) -> None:
    text, reply = streamed(STREAM, size)
    same = whole({"content": "A cat.", "reasoning_content": "look"})
    assert text == reply.text == same.text
    assert (reply.usage, reply.cost, reply.reasoning) == (same.usage, same.cost, same.reasoning)


@pytest.mark.parametrize(
    "data",
    [
        STREAM.removesuffix(DONE),
        STREAM.replace(b"\n\n", b"\n"),
        STREAM.replace(b"\n", b"\r\n"),
        STREAM.rstrip(b"\n"),
    ],
    ids=["no [DONE]", "no blank lines", "CRLF", "no last newline"],
)
def test_streams_that_are_almost_right(data: bytes) -> None:
    text, reply = streamed(data)
    assert text == "A cat."
    assert reply.usage == Usage(1000, 500, 10)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (frame(content="A ca"), "ended before"),
        (frame(content="A ca") + b'data: {"choices":[{"del\n\n', "no JSON"),
        (frame(content="A ca") + b'data: {"error":{"code":"1234","message":"x"}}\n\n', "network error"),
    ],
)
def test_a_broken_stream_keeps_what_came(data: bytes, words: str) -> None:
    with pytest.raises(errors.InterruptedAnswerError, match=words) as caught:
        streamed(data)
    assert caught.value.reply is not None
    assert caught.value.reply.text == "A ca"


def test_an_error_frame_before_any_text_is_the_services_error() -> None:
    with pytest.raises(errors.RateLimitError):
        streamed(b'data: {"error":{"code":"1302","message":"slow"}}\n\n')


def test_markup_is_not_shown_while_streaming() -> None:
    data = frame(content="<think>hm") + frame(content="m</thi") + frame("stop", content="nk>A cat.") + DONE
    text, reply = streamed(data)
    assert text == reply.text == "A cat."
    assert reply.reasoning == "hmm"


def test_a_page_instead_of_a_stream() -> None:
    with pytest.raises(errors.UnreadableAnswerError, match="no stream of events"):
        streamed(b"<html><body>Bad gateway</body></html>")


def test_a_tool_call_in_parts() -> None:
    data = (
        frame(tool_calls=[{"index": 0, "id": "c", "function": {"name": "f", "arguments": '{"a"'}}])
        + frame("tool_calls", tool_calls=[{"index": 0, "function": {"arguments": ":1}"}}])
        + DONE
    )
    _, reply = streamed(data)
    assert [(c.id, c.name, c.arguments) for c in reply.tool_calls] == [("c", "f", '{"a":1}')]


@pytest.mark.parametrize(
    ("body", "kind", "code"),
    [
        (b'{"error": "the model is still loading"}', errors.RejectedRequestError, "rejected"),
        (b'{"code": 500, "msg": "404 NOT_FOUND", "success": false}', errors.ServerError, "500"),
        (
            b'{"error": {"code": null, "type": "overloaded", "message": null}}',
            errors.ServiceError,
            "overloaded",
        ),
        (b'{"error": {"code": 429, "message": "slow"}}', errors.RateLimitError, "429"),
    ],
)
def test_errors_in_place_of_an_answer_in_all_their_forms(
    body: bytes, kind: type[errors.ServiceError], code: str
) -> None:
    with pytest.raises(kind) as whole_error:
        read_reply(body, CONTEXT, ANSWERED)
    with pytest.raises(kind) as stream_error:
        streamed(b"data: " + body + b"\n\n")
    assert whole_error.value.code == stream_error.value.code == code


def test_a_stream_longer_than_allowed_is_given_up() -> None:
    reader = StreamReader(CONTEXT, ANSWERED, max_bytes=400)
    text = "".join(reader.feed(frame(content="A cat.")))
    with pytest.raises(errors.UnreadableAnswerError, match="400 bytes") as caught:
        reader.feed(b": " + b"x" * 400)
    reader.complete_error(caught.value)
    assert (text, caught.value.attempts, caught.value.request_id) == ("A cat.", 1, "vp-1")
    assert caught.value.reply is not None and caught.value.reply.text == "A cat."


def test_odd_values_in_a_stream_do_no_harm() -> None:
    calls = [{"index": 0, "id": None, "function": {"name": None, "arguments": 5}}]
    text, reply = streamed(
        frame(tool_calls=calls)
        + frame(content=[{"type": "text", "text": None}])
        + frame("stop", content="ok")
        + DONE
    )
    assert (text, reply.text) == ("ok", "ok")
    # No id, no name, no arguments: there is no call in it.
    assert reply.tool_calls == ()


@pytest.mark.parametrize(("count", "read"), [(0, 0), (1, 1), (2**53 - 1, 2**53 - 1), (2**53, 0)])
def test_counts_are_read_up_to_what_a_journal_holds(count: int, read: int) -> None:
    usage = whole({"content": "A cat."}, usage={"prompt_tokens": count, "completion_tokens": 2}).usage
    assert usage == Usage(read, 2)
