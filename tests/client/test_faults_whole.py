"""Every fault of the sandbox, met by a whole call: sent again, failed with its class, or completed with a
note; never waited on for ever."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from tests.client.faces import Clock, Face
from tests.client.faulty import DEADLINE, TEXT, request_ids, requests, struck
from visionpipe import errors
from visionpipe.client import Client
from visionpipe.testing.sandbox import SandboxHandle


@pytest.fixture(autouse=True)
def in_time() -> Iterator[None]:
    begun = time.monotonic()
    yield
    assert time.monotonic() - begun < DEADLINE


PASSING = [
    ({"kind": "error", "code": "1302"}, "1302", 1),
    ({"kind": "error", "code": "1303"}, "1303", 1),
    ({"kind": "error", "code": "1305", "retry_after": "7"}, "1305", 7),
    ({"kind": "error", "code": "1312", "retry_after": "0"}, "1312", 1),
    ({"kind": "error", "code": "1234"}, "1234", 1),
    ({"kind": "error", "code": "500"}, "500", 1),
    ({"kind": "error", "code": "529"}, "529", 1),
    ({"kind": "error", "code": "9999", "status": 503}, "9999", 1),
    ({"kind": "error", "code": "9999", "status": 408}, "9999", 1),
    ({"kind": "reset", "when": "request"}, "connection", 1),
    ({"kind": "reset", "when": "first_byte"}, "connection", 1),
    ({"kind": "body", "form": "html"}, "server", 1),
    ({"kind": "body", "form": "html", "status": 429}, "rate_limit", 1),
]
"""Faults that pass in either way of calling: what the first attempt failed with, and the wait."""


@pytest.mark.parametrize(("fault", "code", "wait"), PASSING)
def test_what_passes_is_sent_again(
    face: Face, sandbox: SandboxHandle, fault: dict[str, Any], code: str, wait: float
) -> None:
    clock = Clock()
    reply = face.ask("Tell me.", setup=struck(sandbox, fault, count=1, clock=clock))
    assert reply.text == TEXT
    assert [attempt.failed_with for attempt in reply.attempts] == [code, None]
    assert clock.sleeps == [wait]
    assert requests(sandbox) == 2
    ids = request_ids(sandbox)
    assert len(set(ids)) == len(ids) and ids[-1] == reply.request_id


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        ({"kind": "body", "form": "error_frame", "code": "1234"}, "1234"),
        ({"kind": "body", "form": "error_frame", "code": "1302"}, "1302"),
    ],
)
def test_an_answer_of_no_use_is_asked_for_again(
    face: Face, sandbox: SandboxHandle, fault: dict[str, Any], code: str
) -> None:
    reply = face.ask("Tell me.", setup=struck(sandbox, fault, count=1))
    assert reply.text == TEXT
    assert [attempt.failed_with for attempt in reply.attempts] == [code, None]
    assert requests(sandbox) == 2


BROKEN = [
    {"kind": "reset", "when": "body"},
    {"kind": "finish", "reason": "network_error", "text": "A gr"},
]


@pytest.mark.parametrize("fault", BROKEN)
def test_an_answer_that_broke_off_is_not_paid_for_twice(
    face: Face, sandbox: SandboxHandle, fault: dict[str, Any]
) -> None:
    with pytest.raises(errors.InterruptedAnswerError) as caught:
        face.ask("Tell me.", setup=struck(sandbox, fault, count=1))
    assert (caught.value.code, caught.value.retryable, caught.value.attempts) == (
        "interrupted_answer",
        True,
        1,
    )
    assert requests(sandbox) == 1


@pytest.mark.parametrize("fault", BROKEN)
def test_who_takes_the_risk_gets_a_broken_answer_whole(
    face: Face, sandbox: SandboxHandle, fault: dict[str, Any]
) -> None:
    setup = struck(sandbox, fault, count=1)
    reply = face.ask("Tell me.", setup={**setup, "retry": replace(setup["retry"], broken_answers=True)})
    assert reply.text == TEXT
    assert [attempt.failed_with for attempt in reply.attempts] == ["interrupted_answer", None]
    assert requests(sandbox) == 2


LASTING = [
    ({"kind": "error", "code": "1302"}, errors.RateLimitError, "1302"),
    ({"kind": "error", "code": "1234"}, errors.ServerError, "1234"),
    ({"kind": "reset"}, errors.ConnectionFailedError, "connection"),
    ({"kind": "body", "form": "html", "status": 504}, errors.ServerError, "server"),
]


@pytest.mark.parametrize(("fault", "kind", "code"), LASTING)
def test_what_lasts_fails_after_the_last_attempt(
    face: Face,
    sandbox: SandboxHandle,
    fault: dict[str, Any],
    kind: type[errors.VisionPipeError],
    code: str,
) -> None:
    clock = Clock()
    with pytest.raises(kind) as caught:
        face.ask("Tell me.", setup=struck(sandbox, fault, clock=clock))
    error = caught.value
    assert (error.code, error.retryable, error.attempts) == (code, True, 3)
    assert clock.sleeps == [1, 2]
    assert requests(sandbox) == 3
    assert error.request_id


ONCE = [
    ({"kind": "error", "code": "1113"}, errors.AccountError, "1113", "job"),
    ({"kind": "error", "code": "1002"}, errors.AuthenticationError, "1002", "job"),
    ({"kind": "error", "code": "1220"}, errors.AccessError, "1220", "job"),
    ({"kind": "error", "code": "1308"}, errors.QuotaError, "1308", "job"),
    ({"kind": "error", "code": "1301"}, errors.ContentPolicyError, "1301", "item"),
    ({"kind": "error", "code": "1210"}, errors.RejectedRequestError, "1210", "item"),
    ({"kind": "error", "code": "1302", "retry_after": "7200"}, errors.RateLimitError, "1302", "item"),
    ({"kind": "body", "form": "html", "status": 403}, errors.AccessError, "access", "job"),
    ({"kind": "body", "form": "html", "status": 200}, errors.UnreadableAnswerError, None, "item"),
    ({"kind": "body", "form": "empty_choices"}, errors.UnreadableAnswerError, None, "item"),
    ({"kind": "finish", "reason": "length"}, errors.EmptyAnswerError, "empty_answer", "item"),
    ({"kind": "finish", "reason": "sensitive"}, errors.FilteredAnswerError, "filtered_answer", "item"),
]


@pytest.mark.parametrize(
    ("fault", "kind", "code", "scope"),
    [
        *ONCE,
        ({"kind": "body", "form": "error_frame", "code": "1301"}, errors.ContentPolicyError, "1301", "item"),
        ({"kind": "body", "form": "error_frame", "code": "1113"}, errors.AccountError, "1113", "job"),
    ],
)
def test_what_cannot_pass_is_sent_once(
    face: Face,
    sandbox: SandboxHandle,
    fault: dict[str, Any],
    kind: type[errors.VisionPipeError],
    code: str | None,
    scope: str,
) -> None:
    clock = Clock()
    with pytest.raises(kind) as caught:
        face.ask("Tell me.", setup=struck(sandbox, fault, clock=clock))
    error = caught.value
    assert (error.code, error.scope, error.attempts) == (code or kind.default_code, scope, 1)
    assert (requests(sandbox), clock.sleeps) == (1, [])
    assert error.request_id == request_ids(sandbox)[0]


def test_a_document_that_is_cut_off_behind_its_text_is_read_with_a_note(
    face: Face, sandbox: SandboxHandle
) -> None:
    clock = Clock()
    fault = {"kind": "body", "form": "invalid_json"}
    reply = face.ask("Tell me.", setup=struck(sandbox, fault, clock=clock))
    assert reply.text and "damaged" in [note.kind for note in reply.notes]
    assert (requests(sandbox), clock.sleeps) == (1, [])


@pytest.mark.parametrize("reason", ["sensitive", "network_error"])
def test_a_useless_end_keeps_what_was_written(face: Face, sandbox: SandboxHandle, reason: str) -> None:
    setup = struck(sandbox, {"kind": "finish", "reason": reason, "text": "A grey c"})
    with pytest.raises(errors.AnswerError) as caught:
        face.ask("Tell me.", setup=setup)
    assert caught.value.reply is not None
    assert (caught.value.reply.text, caught.value.reply.finish_reason) == ("A grey c", reason)


SLOW = [
    ({"kind": "latency", "seconds": 1}, {"first_byte": 0.1}),
    ({"kind": "hold"}, {"first_byte": 0.1}),
    ({"kind": "hold"}, {"total": 0.1}),
    ({"kind": "slow_reader", "bytes_per_second": 200}, {"first_byte": 0.1}),
]


@pytest.mark.parametrize(
    ("fault", "timeouts"),
    [*SLOW, ({"kind": "slow_writer", "bytes_per_second": 100}, {"total": 0.2})],
)
def test_no_answer_in_time_is_not_sent_again(
    face: Face, sandbox: SandboxHandle, fault: dict[str, Any], timeouts: dict[str, float]
) -> None:
    with pytest.raises(errors.ReplyTimeoutError) as caught:
        face.ask("Tell me.", setup=struck(sandbox, fault, timeouts=timeouts))
    assert (caught.value.code, caught.value.retryable, caught.value.attempts) == ("timeout", True, 1)
    assert requests(sandbox) == 1


def test_latency_within_the_time_is_waited_for(face: Face, sandbox: SandboxHandle) -> None:
    setup = struck(sandbox, {"kind": "latency", "low": 0.02, "high": 0.05}, timeouts={"first_byte": 2})
    assert face.ask("Tell me.", setup=setup).text == TEXT
    assert sandbox.log()[0]["ms"] >= 20


def test_an_oversized_answer_is_given_up(face: Face, sandbox: SandboxHandle) -> None:
    with pytest.raises(errors.UnreadableAnswerError, match="67108864 bytes") as caught:
        face.ask("Tell me.", setup=struck(sandbox, {"kind": "body", "form": "oversized"}))
    assert (caught.value.code, caught.value.attempts, requests(sandbox)) == ("answer_too_long", 1, 1)


@pytest.mark.parametrize(
    ("form", "notes", "reasoning"),
    [
        ("box", ["markup_removed"], ""),
        ("think", ["markup_removed"], "I look closely."),
        ("answer", ["markup_removed"], "I look closely."),
        ("parts", [], ""),
    ],
)
def test_markup_ends_in_a_note(
    face: Face, sandbox: SandboxHandle, form: str, notes: list[str], reasoning: str
) -> None:
    reply = face.ask("Tell me.", setup=struck(sandbox, {"kind": "markup", "form": form}))
    assert (reply.text, reply.reasoning.strip()) == (TEXT, reasoning)
    assert [note.kind for note in reply.notes] == notes


def test_a_cut_answer_is_complete_with_a_note(face: Face, sandbox: SandboxHandle) -> None:
    setup = struck(sandbox, {"kind": "finish", "reason": "length", "text": "A grey"})
    reply = face.ask("Tell me.", setup=setup)
    assert (reply.text, [note.kind for note in reply.notes]) == ("A grey", ["truncated"])


def test_an_answer_without_usage_is_complete_and_costs_nobody_knows(
    face: Face, sandbox: SandboxHandle
) -> None:
    reply = face.ask("Tell me.", setup=struck(sandbox, {"kind": "body", "form": "no_usage"}))
    assert (reply.text, reply.usage, reply.cost) == (TEXT, None, None)


def test_a_burst_is_sat_out(face: Face, sandbox: SandboxHandle) -> None:
    setup = struck(sandbox, {"kind": "error", "code": "1302"}, every=9, burst=2)
    assert len(face.ask("Tell me.", setup=setup).attempts) == 3
    assert sandbox.stats()["per_code"] == {"1302": 2}


def test_errors_at_a_rate_are_each_sent_again_and_counted(sandbox: SandboxHandle) -> None:
    with Client(**struck(sandbox, {"kind": "error", "code": "1305"}, rate=0.3)) as client:
        replies = [client.ask("Tell me.") for _ in range(20)]
    failed = sum(len(reply.attempts) - 1 for reply in replies)
    assert failed > 0
    assert sandbox.stats()["per_code"] == {"1305": failed}
    assert requests(sandbox) == 20 + failed


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        ({"kind": "slow_writer", "bytes_per_second": 100}, errors.ReplyTimeoutError),
        ({"kind": "hold"}, errors.ReplyTimeoutError),
        ({"kind": "error", "code": "1302", "retry_after": "7"}, errors.RateLimitError),
        ({"kind": "error", "code": "1234"}, errors.ServerError),
    ],
)
def test_an_items_seconds_hold_for_drips_and_for_waits(
    sandbox: SandboxHandle, fault: dict[str, Any], kind: type[errors.VisionPipeError]
) -> None:
    clock = Clock()
    with Client(**struck(sandbox, fault, clock=clock)) as client, pytest.raises(kind) as caught:
        client.send(client.prepare("Tell me."), seconds=0.2)
    assert (caught.value.attempts, clock.sleeps) == (1, [])
