"""A refusal as the service sent it -> the error it stands for.

Only the code and the HTTP status decide, never the message, whose language and wording vary.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Any

import orjson

from visionpipe.errors import (
    AccessError,
    AuthenticationError,
    ContentPolicyError,
    RateLimitError,
    RejectedRequestError,
    ServerError,
    ServiceError,
    UnknownModelError,
)
from visionpipe.registry.records import EndpointRecord
from visionpipe.registry.service_codes import SERVICE_CODES
from visionpipe.wire.http import HttpResponse

_MESSAGE_LIMIT = 500
_MASK = "***"
_LONGEST_WAIT_S = 10 * 365 * 86400.0
"""Ten years: what is beyond that is never, and more than some systems can wait."""
# Gateways wrap the message as "[1210][text][request id]".
_WRAPPED = re.compile(r"^\[(\d{3,4})\]")
_HTTP_STATUS = re.compile(r"[45]\d\d")


def read_error(
    response: HttpResponse, endpoint: EndpointRecord, *, request_id: str, key: str | None = None
) -> ServiceError:
    """The error that a response outside 2xx stands for.

    ``key`` is masked where the service quotes it.
    ``retry_after`` is taken from a Retry-After header in seconds or as a date where there is one.
    """
    code, message = _code_and_message(response.body)
    return service_error(
        code,
        message,
        status=response.status,
        endpoint=endpoint,
        request_id=request_id,
        key=key,
        retry_after=retry_after(response),
    )


def error_in(answer: Mapping[str, Any]) -> tuple[str, str] | None:
    """Code and message of an error that came where an answer was promised (status 200, or a stream's frame);
    None where it is no error."""
    error = answer.get("error")
    if isinstance(error, Mapping) or (isinstance(error, str) and error):
        return _told(answer)
    if "choices" not in answer and answer.get("code"):
        return _told(answer)
    return None


def service_error(
    code: str,
    message: str,
    *,
    status: int | None,
    endpoint: EndpointRecord,
    request_id: str,
    key: str | None,
    retry_after: float | None = None,
) -> ServiceError:
    """The error for a service code (``"1302"``, or ``""`` where only the status is known). A code that is an
    HTTP status stands for one where there is no other. Some servers quote the ``key`` they were sent; it is
    masked."""
    secret = (key or "").strip()
    if secret:
        code, message = code.replace(secret, _MASK), message.replace(secret, _MASK)
    message = message[:_MESSAGE_LIMIT]
    known = SERVICE_CODES.get(code) if endpoint.dialect == "glm" else None
    hint = next((cure for text, cure in endpoint.error_hints.items() if text in message.lower()), None)
    said = f" (the service says: {message})" if message else ""
    if known is not None:
        return known.error(
            f"{known.reason}{said}",
            cure=hint or known.cure,
            subject=f"code {code}",
            code=code,
            request_id=request_id,
            retryable=known.retryable and hint is None,
            status=status,
            service_message=message,
            retry_after=retry_after,
        )
    standing_for = int(code) if status is None and _HTTP_STATUS.fullmatch(code) else status
    kind, reason, cure = _by_status(standing_for, code)
    return kind(
        f"{reason}{said}",
        cure=hint or cure,
        subject=f"HTTP {status}" if status is not None else endpoint.title,
        code=code or None,
        request_id=request_id,
        retryable=False if hint is not None else None,
        status=status,
        service_message=message,
        retry_after=retry_after,
    )


def _by_status(status: int | None, code: str) -> tuple[type[ServiceError], str, str]:
    later = "Try again in a moment."
    if code in {"insufficient_quota", "billing_hard_limit_reached"}:
        from visionpipe.errors import AccountError

        return AccountError, "the account has no balance for this call", "Top up the account, then run again."
    if code == "content_policy_violation":
        return ContentPolicyError, "the content was refused", "Leave this item out."
    match status:
        case 401:
            return AuthenticationError, "the key was refused", "Check the API key and the base URL."
        case 403:
            return AccessError, "access is denied", "Check the key's rights and the account's state."
        case 404 if code in {"model_not_found", "not_found_error"}:
            return (
                UnknownModelError,
                "the model does not exist here",
                "Check the model's id and the base URL.",
            )
        case 404:
            return AccessError, "there is nothing at this address", "Check the base URL."
        case 408 | 409 | 425:
            return ServerError, "the service asks to try again", later
        case 413:
            return RejectedRequestError, "the request is too large", "Send fewer or smaller images."
        case 429:
            return RateLimitError, "too many requests", "Lower the concurrency, or try again in a moment."
        case int() if status >= 500:
            return ServerError, "the service failed", later
        case _:
            return RejectedRequestError, "the request was refused", "See the service's message."


def _code_and_message(body: bytes) -> tuple[str, str]:
    try:
        found: Any = orjson.loads(body)
    except orjson.JSONDecodeError:
        # A proxy's page, not the service: only the status counts.
        return "", ""
    return _told(found) if isinstance(found, dict) else ("", "")


def _told(answer: Mapping[str, Any]) -> tuple[str, str]:
    error = answer.get("error", answer)
    if isinstance(error, str):
        return "", error
    if not isinstance(error, Mapping):
        return "", ""
    # The service's gateway says "msg".
    message = error.get("message") or error.get("msg")
    code = error.get("code") or error.get("type") or ""
    text = message if isinstance(message, str) else ""
    wrapped = _WRAPPED.match(text)
    if not code and wrapped:
        code = wrapped.group(1)
    return str(code), text


def retry_after(response: HttpResponse) -> float | None:
    """The seconds that a Retry-After header asks to wait, given in seconds or as a date; None without one."""
    value = response.headers.get("retry-after", "").strip()
    if not value:
        return None
    try:
        seconds = float(value)
        return min(max(0.0, seconds), _LONGEST_WAIT_S) if seconds == seconds else None
    except ValueError:
        pass  # the header's other form is a date
    try:
        moment = parsedate_to_datetime(value)
        now = parsedate_to_datetime(response.headers["date"])
        seconds = (moment - now).total_seconds()
    except (ValueError, KeyError, TypeError, OverflowError):
        return None
    return min(max(0.0, seconds), _LONGEST_WAIT_S)
