"""Every fault of the sandbox, met by a streamed call: what came before a break is kept, nothing is sent again
once the stream has begun, and a stream ends however long its server would go on."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Any

import orjson
import pytest

from tests.client.faces import Clock, Face, chat, refusal, setup_for
from tests.client.faulty import DEADLINE, TEXT, requests, struck
from tests.client.test_faults_whole import LASTING, ONCE, PASSING, SLOW
from tests.loopback import Answer, Loopback
from visionpipe import errors
from visionpipe.testing.sandbox import SandboxHandle
from visionpipe.wire.http import Timeouts


@pytest.fixture(autouse=True)
def in_time() -> Iterator[None]:
    begun = time.monotonic()
    yield
    assert time.monotonic() - begun < DEADLINE


@pytest.mark.parametrize(("fault", "code", "wait"), PASSING)
def test_before_the_first_byte_it_is_sent_again(
    face: Face, sandbox: SandboxHandle, fault: dict[str, Any], code: str, wait: float
) -> None:
    clock = Clock()
    pieces, reply = face.stream("Tell me.", setup=struck(sandbox, fault, count=1, clock=clock))
    assert "".join(pieces) == reply.text == TEXT
    assert [attempt.failed_with for attempt in reply.attempts] == [code, None]
    assert (clock.sleeps, requests(sandbox)) == ([wait], 2)


@pytest.mark.parametrize(("fault", "kind", "code"), LASTING)
def test_what_lasts_fails_after_the_last_attempt(
    face: Face,
    sandbox: SandboxHandle,
    fault: dict[str, Any],
    kind: type[errors.VisionPipeError],
    code: str,
) -> None:
    with pytest.raises(kind) as caught:
        face.stream("Tell me.", setup=struck(sandbox, fault))
    assert (caught.value.code, caught.value.retryable, caught.value.attempts) == (code, True, 3)
    assert requests(sandbox) == 3


@pytest.mark.parametrize(("fault", "kind", "code", "scope"), ONCE)
def test_what_cannot_pass_is_sent_once(
    face: Face,
    sandbox: SandboxHandle,
    fault: dict[str, Any],
    kind: type[errors.VisionPipeError],
    code: str | None,
    scope: str,
) -> None:
    with pytest.raises(kind) as caught:
        face.stream("Tell me.", setup=struck(sandbox, fault))
    error = caught.value
    assert (error.code, error.scope, error.attempts) == (code or kind.default_code, scope, 1)
    assert requests(sandbox) == 1
    assert error.request_id


@pytest.mark.parametrize(("fault", "timeouts"), SLOW)
def test_no_answer_in_time_is_not_sent_again(
    face: Face, sandbox: SandboxHandle, fault: dict[str, Any], timeouts: dict[str, float]
) -> None:
    with pytest.raises(errors.ReplyTimeoutError) as caught:
        face.stream("Tell me.", setup=struck(sandbox, fault, timeouts=timeouts))
    assert (caught.value.attempts, requests(sandbox)) == (1, 1)


@pytest.mark.parametrize(
    ("fault", "timeouts", "words", "came"),
    [
        ({"kind": "reset", "when": "body"}, {}, "broke off", TEXT[:36]),
        ({"kind": "reset", "when": "frame"}, {}, "broke off", TEXT[:36]),
        ({"kind": "stream", "form": "cut"}, {}, "ended before the answer did", TEXT[:24]),
        ({"kind": "stream", "form": "stall"}, {"idle": 0.1}, "stalled", TEXT[:24]),
        ({"kind": "stream", "form": "stall"}, {"total": 0.1}, "did not end in time", TEXT[:24]),
        ({"kind": "body", "form": "invalid_json"}, {}, "no JSON", TEXT[:12]),
        ({"kind": "finish", "reason": "network_error", "text": "A gr"}, {}, "network_error", "A gr"),
    ],
)
def test_what_breaks_on_the_way_keeps_what_came(
    face: Face,
    sandbox: SandboxHandle,
    fault: dict[str, Any],
    timeouts: dict[str, float],
    words: str,
    came: str,
) -> None:
    with pytest.raises(errors.InterruptedAnswerError, match=words) as caught:
        face.stream("Tell me.", setup=struck(sandbox, fault, timeouts=timeouts))
    error = caught.value
    assert error.reply is not None
    assert (error.reply.text, error.reply.request_id) == (came, error.request_id)
    assert (error.code, error.retryable, error.attempts) == ("interrupted_answer", True, 1)
    assert requests(sandbox) == 1


@pytest.mark.parametrize(
    ("code", "retryable", "scope"), [("1234", True, "item"), ("1301", False, "item"), ("1113", False, "job")]
)
def test_an_error_frame_says_what_is_wrong_and_keeps_what_came(
    face: Face, sandbox: SandboxHandle, code: str, retryable: bool, scope: str
) -> None:
    with pytest.raises(errors.InterruptedAnswerError) as caught:
        face.stream("Tell me.", setup=struck(sandbox, {"kind": "body", "form": "error_frame", "code": code}))
    error = caught.value
    assert (error.code, error.retryable, error.scope) == (code, retryable, scope)
    assert error.reply is not None and error.reply.text == TEXT[:24]
    assert isinstance(error.__cause__, errors.ServiceError)


def test_a_stream_that_never_ends_is_ended(face: Face, sandbox: SandboxHandle) -> None:
    fault = {"kind": "stream", "form": "endless", "every": 0.01}
    with pytest.raises(errors.InterruptedAnswerError, match="did not end in time") as caught:
        face.stream("Tell me.", setup=struck(sandbox, fault, timeouts={"idle": 1, "total": 0.3}))
    assert caught.value.reply is not None
    assert caught.value.reply.text.startswith(TEXT)


def test_a_dripping_stream_is_ended(face: Face, sandbox: SandboxHandle) -> None:
    fault = {"kind": "slow_writer", "bytes_per_second": 100}
    with pytest.raises(errors.InterruptedAnswerError, match="did not end in time"):
        face.stream("Tell me.", setup=struck(sandbox, fault, timeouts={"idle": 1, "total": 0.3}))
    assert requests(sandbox) == 1


def test_a_slow_stream_within_the_time_is_read(face: Face, sandbox: SandboxHandle) -> None:
    fault = {"kind": "slow_writer", "bytes_per_second": 20_000}
    assert face.stream("Tell me.", setup=struck(sandbox, fault))[1].text == TEXT


def test_an_oversized_stream_is_given_up(face: Face, sandbox: SandboxHandle) -> None:
    with pytest.raises(errors.UnreadableAnswerError, match="67108864 bytes") as caught:
        face.stream("Tell me.", setup=struck(sandbox, {"kind": "body", "form": "oversized"}))
    assert (caught.value.code, caught.value.attempts, requests(sandbox)) == ("answer_too_long", 1, 1)


@pytest.mark.parametrize(
    "fault",
    [
        {"kind": "stream", "form": "no_done"},
        {"kind": "stream", "form": "no_blank_lines"},
        {"kind": "markup", "form": "parts"},
    ],
)
def test_what_only_looks_odd_is_read(face: Face, sandbox: SandboxHandle, fault: dict[str, Any]) -> None:
    pieces, reply = face.stream("Tell me.", setup=struck(sandbox, fault))
    assert "".join(pieces) == reply.text == TEXT
    assert reply.usage is not None
    assert (reply.finish_reason, reply.notes, len(reply.attempts)) == ("stop", (), 1)


def test_an_answer_without_usage(face: Face, sandbox: SandboxHandle) -> None:
    reply = face.stream("Tell me.", setup=struck(sandbox, {"kind": "body", "form": "no_usage"}))[1]
    assert (reply.text, reply.usage, reply.cost) == (TEXT, None, None)


@pytest.mark.parametrize(
    ("form", "reasoning"), [("box", ""), ("think", "I look closely."), ("answer", "I look closely.")]
)
def test_markup_ends_in_a_note(face: Face, sandbox: SandboxHandle, form: str, reasoning: str) -> None:
    pieces, reply = face.stream("Tell me.", setup=struck(sandbox, {"kind": "markup", "form": form}))
    assert "".join(pieces).strip() == reply.text == TEXT
    assert reply.reasoning.strip() == reasoning
    assert [note.kind for note in reply.notes] == ["markup_removed"]


def test_other_ends(face: Face, sandbox: SandboxHandle) -> None:
    cut = {"kind": "finish", "reason": "length", "text": "A grey"}
    reply = face.stream("Tell me.", setup=struck(sandbox, cut))[1]
    assert (reply.text, [note.kind for note in reply.notes]) == ("A grey", ["truncated"])
    filtered = {"kind": "finish", "reason": "sensitive", "text": "A grey"}
    with pytest.raises(errors.FilteredAnswerError) as caught:
        face.stream("Tell me.", setup=struck(sandbox, filtered))
    assert caught.value.reply is not None and caught.value.reply.text == "A grey"


def event(**choice: Any) -> bytes:
    return b"data: " + orjson.dumps({"choices": [{"index": 0, **choice}]}) + b"\n\n"


LAST = event(finish_reason="stop", delta={})
EVENTS = {"Content-Type": "text/event-stream"}


def brief(loopback: Loopback, **timeouts: float) -> dict[str, Any]:
    return setup_for(loopback, timeouts=Timeouts(**{"total": DEADLINE, **timeouts}))


@pytest.mark.parametrize(
    ("tail", "reset", "words"),
    [
        ([], "middle", "broke off"),
        ([b"never sent"], "", "stalled"),
        ([b'data: {"usage": {"prom'], "", "no JSON"),
    ],
)
def test_what_breaks_behind_the_end_is_a_note(
    face: Face, loopback: Loopback, tail: list[bytes], reset: str, words: str
) -> None:
    never = threading.Event()
    stall = (lambda place: never.wait(10) if place == 3 else None) if words == "stalled" else None
    frames = [event(delta={"content": "A "}), event(delta={"content": "cat."}), LAST, *tail]
    loopback.script(Answer(body=frames, headers=EVENTS, reset=reset, gate=stall))
    pieces, reply = face.stream("What?", setup=brief(loopback, idle=0.1))
    never.set()
    assert "".join(pieces) == reply.text == "A cat."
    assert [note.kind for note in reply.notes] == ["stream_end"]
    assert words in reply.notes[0].detail


def test_an_error_in_place_of_a_first_piece_keeps_its_class(face: Face, loopback: Loopback) -> None:
    frame = b'data: {"error": {"code": "1302", "message": "slow"}}\n\n'
    loopback.script(Answer(body=frame, headers=EVENTS))
    with pytest.raises(errors.RateLimitError) as caught:
        face.stream("What?", setup=brief(loopback))
    assert (caught.value.code, caught.value.retryable, caught.value.attempts) == ("1302", True, 1)
    assert caught.value.request_id == loopback.requests[0].json()["request_id"]


def test_a_server_that_does_not_stream_is_read_all_the_same(face: Face, loopback: Loopback) -> None:
    loopback.script(chat("A cat."))
    pieces, reply = face.stream("What?", setup=brief(loopback))
    assert (pieces, reply.text) == (["A cat."], "A cat.")
    assert reply.usage is not None
    loopback.script(Answer(body=refusal(400, "1301").body))
    with pytest.raises(errors.ContentPolicyError):
        face.stream("What?", setup=brief(loopback))


@pytest.mark.parametrize(
    ("answer", "kind", "words"),
    [
        (Answer(401, refusal(401, "1002").body, reset="middle"), errors.AuthenticationError, "key"),
        (Answer(403, [b"x" * 100_000] * 50), errors.AccessError, "access"),
        (
            Answer(400, [b'{"error": {"code": "1210", "message": "no"}}'], reset="middle"),
            errors.RejectedRequestError,
            "says: no",
        ),
    ],
)
def test_a_refusal_counts_however_its_body_ends(
    face: Face, loopback: Loopback, answer: Answer, kind: type[errors.VisionPipeError], words: str
) -> None:
    loopback.script(answer)
    with pytest.raises(kind, match=words) as caught:
        face.stream("What?", setup=brief(loopback))
    assert (caught.value.attempts, len(loopback.requests)) == (1, 1)
