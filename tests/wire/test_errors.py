"""The service's refusals become the error they stand for: by code and status, never by wording."""

from __future__ import annotations

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from visionpipe import errors
from visionpipe.registry.dialects import dialects
from visionpipe.registry.records import EndpointRecord
from visionpipe.wire.errors import asked_wait, read_error, retry_after
from visionpipe.wire.http import HttpResponse

GLM = EndpointRecord(id="glm", title="GLM", base_url="https://glm.example", unknown_model="u", dialect="glm")
OPENAI = EndpointRecord(
    id="o",
    title="A server",
    base_url="https://o.example",
    unknown_model="u",
    error_hints={"mmproj": "Start the server with --mmproj and the model's projector file."},
)


NAMES = st.sampled_from(["error", "errors", "message", "msg", "code", "type", "detail", "metadata", "raw"])


def refused(
    status: int, code: str = "", message: str = "", *, endpoint: EndpointRecord = GLM
) -> errors.ServiceError:
    body = orjson.dumps({"error": {"code": code, "message": message}})
    return read_error(HttpResponse(status, {}, body), endpoint, request_id="vp-1")


@pytest.mark.parametrize(
    ("status", "code", "kind", "retryable", "scope"),
    [
        (401, "1002", errors.AuthenticationError, False, "job"),
        (401, "401", errors.AuthenticationError, False, "job"),
        (429, "1113", errors.AccountError, False, "job"),
        (429, "1302", errors.RateLimitError, True, "item"),
        (429, "1305", errors.RateLimitError, True, "item"),
        (429, "1304", errors.QuotaError, False, "job"),
        (429, "1308", errors.QuotaError, False, "job"),
        (429, "1319", errors.QuotaError, False, "job"),
        (429, "", errors.RateLimitError, True, "item"),
        (400, "1210", errors.RejectedRequestError, False, "item"),
        (400, "1211", errors.UnknownModelError, False, "job"),
        (400, "1301", errors.ContentPolicyError, False, "item"),
        (500, "1234", errors.ServerError, True, "item"),
        (529, "", errors.ServerError, True, "item"),
        (434, "", errors.AccessError, False, "job"),
        (435, "", errors.RejectedRequestError, False, "item"),
        (402, "", errors.AccountError, False, "job"),
        (413, "", errors.RejectedRequestError, False, "item"),
        (418, "", errors.RejectedRequestError, False, "item"),
    ],
)
def test_code_and_status_decide(
    status: int, code: str, kind: type[errors.ServiceError], retryable: bool, scope: str
) -> None:
    error = refused(status, code, "随便什么话")
    assert type(error) is kind
    assert (error.retryable, error.scope, error.status) == (retryable, scope, status)
    assert error.request_id == "vp-1"
    assert "随便什么话" in str(error)
    assert error.cure in str(error)


def test_every_documented_code_has_a_reason_and_a_cure() -> None:
    codes = {code: rule for rule in dialects().rules if rule.dialect == "glm" for code in rule.codes}
    assert {"1000", "1113", "1233", "1321", "1703"} < codes.keys()
    for code, rule in codes.items():
        error = refused(400, code)
        assert type(error) is rule.error
        assert error.code == code
        assert error.cure.endswith(".")


def test_glm_codes_mean_nothing_on_another_dialect() -> None:
    assert type(refused(500, "1113", endpoint=OPENAI)) is errors.ServerError


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (429, "insufficient_quota", errors.AccountError),
        (400, "content_policy_violation", errors.ContentPolicyError),
        (403, "", errors.AccessError),
        (404, "model_not_found", errors.UnknownModelError),
        (404, "", errors.AccessError),
        (408, "", errors.ServerError),
        (425, "", errors.ServerError),
    ],
)
def test_other_services_words_and_statuses(status: int, code: str, kind: type[errors.ServiceError]) -> None:
    assert type(refused(status, code, endpoint=OPENAI)) is kind


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"<html>502 Bad Gateway</html>", errors.ServerError),
        (b"", errors.ServerError),
        (b'{"error": "overloaded"}', errors.ServerError),
        (b"[1]", errors.ServerError),
        (b'{"error": 7}', errors.ServerError),
        (b'{"code": 1113, "message": "flat"}', errors.AccountError),
        (b'{"error": {"message": "[1210][bad image][id]"}}', errors.RejectedRequestError),
    ],
)
def test_other_forms_of_body(body: bytes, kind: type[errors.ServiceError]) -> None:
    assert type(read_error(HttpResponse(502, {}, body), GLM, request_id="x")) is kind


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry_after": "7"}, 7.0),
        ({"retry_after": "0.5"}, 0.5),
        ({"retry_after": "-3"}, 0.0),
        ({"retry_after": "soon"}, None),
        ({"retry_after": "nan"}, None),
        ({"retry_after": "inf"}, 315_360_000.0),
        ({"retry_after": "99999999999999999999"}, 315_360_000.0),
        (
            {"retry_after": "Fri, 31 Dec 9999 23:59:59 GMT", "date": "Sun, 22 Nov 2026 10:00:00 GMT"},
            315_360_000.0,
        ),
        ({"retry_after": "Sun, 22 Nov 2026 10:00:30 +99999999999999", "date": "Sun, 22 Nov 2026"}, None),
        ({}, None),
        (
            {"retry_after": "Sun, 22 Nov 2026 10:00:30 GMT", "date": "Sun, 22 Nov 2026 10:00:00 GMT"},
            30.0,
        ),
    ],
)
def test_retry_after(headers: dict[str, str], seconds: float | None) -> None:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    response = HttpResponse(429, named, b'{"error":{"code":"1302"}}')
    assert read_error(response, GLM, request_id="x").retry_after == seconds


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "Sun, 22 Nov 2026 10:00:30 GMT"}, 30.0),
        ({"retry-after": "Sun, 22 Nov 2026 09:00:00 GMT"}, 0.0),
        ({"retry-after-ms": "1500", "retry-after": "9"}, 1.5),
        ({"x-ratelimit-reset-tokens": "1m30.5s"}, 90.5),
        ({"x-ratelimit-reset-tokens": "120ms"}, 0.12),
        ({"x-ratelimit-reset-requests": "17h", "x-ratelimit-remaining-requests": "9"}, None),
        ({"x-ratelimit-reset-requests": "8.64s", "x-ratelimit-remaining-requests": "0"}, 8.64),
        ({"x-ratelimit-reset-requests": "2"}, 2.0),
        ({"x-ratelimit-reset-tokens": "soon"}, None),
    ],
)
def test_every_header_that_asks_to_wait(headers: dict[str, str], seconds: float | None) -> None:
    """At ten o'clock, as this machine's clock has it."""
    now = 1_795_341_600.0
    assert retry_after(HttpResponse(429, headers, b""), lambda: now) == seconds
    assert retry_after(HttpResponse(200, {"x-ratelimit-reset-tokens": "6s"}, b"")) is None


@pytest.mark.parametrize(
    ("words", "seconds"),
    [
        ("Please try again in 6s.", 6.0),
        ("Please try again in 1m2.5s. Visit", 62.5),
        ("Please retry in 34.07s", 34.07),
        ("try again in 120ms", 0.12),
        ("Retry after 30 seconds", 30.0),
        ("wait 2 hours", 7200.0),
        ("try again in 5 minutes", 300.0),
        ("try again later", None),
        ("try again in 3 days", None),
        ("limit 30s", None),
    ],
)
def test_words_that_ask_to_wait(words: str, seconds: float | None) -> None:
    assert asked_wait(words) == seconds


@given(
    st.recursive(
        st.none() | st.integers(0, 999) | st.text(), lambda c: st.lists(c) | st.dictionaries(NAMES, c)
    )
)
def test_any_json_is_an_error_that_says_something(body: object) -> None:
    error = read_error(HttpResponse(400, {}, orjson.dumps(body)), OPENAI, request_id="x")
    assert isinstance(error, errors.ServiceError)
    assert ("service's message" in str(error)) == ("the service says" in error.reason)


@given(st.binary(max_size=80), st.integers(300, 599))
def test_any_bytes_are_an_error(body: bytes, status: int) -> None:
    error = read_error(HttpResponse(status, {}, body), OPENAI, request_id="x")
    assert error.status == status
    assert error.cure.endswith(".")


@pytest.mark.parametrize(
    ("location", "shown"),
    [
        ("https://u:p@new.example/v1/chat/completions?key=k#f", "https://new.example/v1"),
        ("/v2/chat/completions", "/v2/chat/completions"),
        ("https://new.example:99999/", "HTTP 302"),
    ],
)
def test_a_redirect_names_its_target(location: str, shown: str) -> None:
    error = read_error(HttpResponse(302, {"location": location}, b""), OPENAI, request_id="x")
    assert type(error) is errors.AccessError
    assert shown in str(error)
    assert "u:p" not in str(error) and "key=" not in str(error)


def test_a_known_symptom_brings_its_own_cure_and_is_not_retried() -> None:
    error = refused(500, "", "image input is not supported - hint: provide the mmproj", endpoint=OPENAI)
    assert error.retryable is False
    assert "--mmproj" in error.cure


def test_of_many_reasons_the_first_three_are_told() -> None:
    body = b'{"detail": ["one", "two", "three", "four"]}'
    error = read_error(HttpResponse(400, {}, body), GLM, request_id="x")
    assert "one; two; three" in str(error) and "four" not in str(error)
