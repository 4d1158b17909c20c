"""The service's refusals become the error they stand for: by code and status, never by wording."""

from __future__ import annotations

import orjson
import pytest

from visionpipe import errors
from visionpipe.registry.records import EndpointRecord
from visionpipe.registry.service_codes import SERVICE_CODES
from visionpipe.wire.errors import read_error
from visionpipe.wire.http import HttpResponse

GLM = EndpointRecord(id="glm", title="GLM", base_url="https://glm.example", unknown_model="u", dialect="glm")
OPENAI = EndpointRecord(
    id="o",
    title="A server",
    base_url="https://o.example",
    unknown_model="u",
    error_hints={"mmproj": "Start the server with --mmproj and the model's projector file."},
)


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
    for code, meaning in SERVICE_CODES.items():
        error = refused(400, code)
        assert isinstance(error, meaning.error)
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
        ({"retry_after": "Sun, 22 Nov 2026 10:00:30 GMT"}, None),
    ],
)
def test_retry_after(headers: dict[str, str], seconds: float | None) -> None:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    response = HttpResponse(429, named, b'{"error":{"code":"1302"}}')
    assert read_error(response, GLM, request_id="x").retry_after == seconds


def test_a_known_symptom_brings_its_own_cure_and_is_not_retried() -> None:
    error = refused(500, "", "image input is not supported - hint: provide the mmproj", endpoint=OPENAI)
    assert error.retryable is False
    assert "--mmproj" in error.cure
