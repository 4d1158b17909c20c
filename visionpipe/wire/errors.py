"""A refusal as the service sent it -> the error it stands for.

Every shape in which servers tell an error is read here; what its code, words and status mean stands in the
catalog's table (``visionpipe.registry.dialects``).
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Mapping
from email.utils import parsedate_to_datetime
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import orjson

from visionpipe.errors import ServiceError
from visionpipe.registry.dialects import dialects
from visionpipe.registry.records import EndpointRecord, ModelRecord
from visionpipe.wire.http import HttpResponse
from visionpipe.wire.secrets import masked

MAX_REFUSAL_BYTES = 1024 * 1024
"""More than this is not read of a refusal's body: its status alone says what happened, so that a body which
breaks off, drips or is far too long for an error's words never hides it."""
_MESSAGE_LIMIT = 500
_LONGEST_WAIT_S = 10 * 365 * 86400.0
"""Ten years: what is beyond that is never, and more than some systems can wait."""
# Gateways wrap the message as "[1210][text][request id]".
_WRAPPED = re.compile(r"^\[(\d{3,4})\]")
_HTTP_STATUS = re.compile(r"[45]\d\d")
_MARKUP = re.compile(r"^\s*<(!doctype|html|\?xml|head|body)", re.IGNORECASE)
_WORDS = ("message", "msg", "detail", "error_msg", "error_description", "reason", "title")
_CODES = ("code", "type", "status", "error_code")
_DEEPEST = 6
"""How far errors inside of errors are followed."""


class Told(NamedTuple):
    """An error in the service's words: its code (``""`` where there is none), its message, and all codes and
    types that stand beside it."""

    code: str
    message: str
    also: tuple[str, ...] = ()


def read_error(
    response: HttpResponse,
    endpoint: EndpointRecord,
    *,
    request_id: str,
    key: str | None = None,
    model: ModelRecord | None = None,
) -> ServiceError:
    """The error that a response outside 2xx stands for.

    ``key`` is masked where the service quotes it; ``model`` is the record of the model asked.
    ``retry_after`` is what a header or the message asks to wait.
    """
    return service_error(
        *told_in_body(response.body),
        status=response.status,
        endpoint=endpoint,
        request_id=request_id,
        key=key,
        model=model,
        retry_after=retry_after(response),
        redirect=_without_secrets(response.headers.get("location", "")),
    )


def error_in(answer: Mapping[str, Any]) -> Told | None:
    """The error that came where an answer was promised (status 200, or a stream's frame); None where it is
    none."""
    error = answer.get("error")
    if error and isinstance(error, Mapping | str | list):
        return _told(answer)
    if "choices" in answer:
        return None
    failed = answer.get("success") is False or answer.get("object") == "error" or answer.get("detail")
    return _told(answer) if failed or answer.get("code") or isinstance(error, Mapping) else None


def service_error(
    code: str,
    message: str,
    also: tuple[str, ...] = (),
    *,
    status: int | None,
    endpoint: EndpointRecord,
    request_id: str,
    key: str | None,
    model: ModelRecord | None = None,
    retry_after: float | None = None,
    redirect: str = "",
) -> ServiceError:
    """The error for a service's code (``"1302"``, or ``""`` where only the status is known) and its message.

    Args:
        code: as the service gave it; an HTTP status stands for one where there is no other.
        message: the service's words.
        also: further codes and types beside it.
        status: of HTTP; None where the error came inside an answer.
        endpoint: which was asked.
        request_id: sent with the request.
        key: masked wherever the service quotes it, after the code was read.
        model: the record of the model asked.
        retry_after: seconds that a header asked to wait.
        redirect: where the service points instead.
    """
    standing_for = int(code) if status is None and _HTTP_STATUS.fullmatch(code) else status
    rule = dialects().rule(
        [code, *also] if code else also,
        message,
        status=standing_for,
        dialect=endpoint.dialect,
        model_id=None if model is None else model.id,
    )
    hint = next((cure for text, cure in endpoint.error_hints.items() if text in message.lower()), None)
    secrets = (key or "", *endpoint.headers.values())
    shown = masked(message, secrets)[:_MESSAGE_LIMIT]
    said = f" (the service says: {shown})" if shown else ""
    own = None if model is None else model.cures.get(code)
    cure = hint or own or (rule.cure if shown else rule.silent_cure)
    if redirect:
        said, cure = f"; it points to {redirect}", _at(redirect)
    subject = f"HTTP {status}" if status is not None else endpoint.title
    known = code.lower() in rule.codes
    return rule.error(
        f"{rule.reason}{said}",
        cure=cure,
        subject=f"code {code}" if known and rule.dialect is not None else subject,
        code=(code if known else masked(code, secrets)) or None,
        request_id=request_id,
        retryable=False if hint is not None else rule.retry,
        scope=rule.scope,
        status=status,
        service_message=shown,
        retry_after=retry_after if retry_after is not None else asked_wait(message),
    )


def told_in_body(body: bytes) -> Told:
    """The error in the body of a refusal, in any of the shapes that servers give it."""
    try:
        found: Any = orjson.loads(body)
    except orjson.JSONDecodeError:
        text = body.decode("utf-8", "replace").strip()
        # A proxy's page is not the service: only the status counts.
        return Told("", "" if _MARKUP.match(text) else text)
    return _told(found)


def _told(answer: Any) -> Told:
    codes = list(dict.fromkeys(_codes(answer)))
    text = _words(answer)
    wrapped = _WRAPPED.match(text)
    if not codes and wrapped:
        codes = [wrapped[1]]
    return Told(codes[0] if codes else "", text, tuple(codes[1:]))


def _words(value: Any, depth: int = 0) -> str:
    """The message of an error: its text, a field's, or that of the error inside of it."""
    if depth > _DEEPEST:
        return ""
    if isinstance(value, str):
        return value.strip()
    if isinstance(value, list):
        said = dict.fromkeys(_words(entry, depth + 1) for entry in value[:3])
        return "; ".join(text for text in said if text)
    if not isinstance(value, Mapping):
        return ""
    inner = next((value[name] for name in ("error", "errors") if value.get(name)), None)
    text = _words(inner, depth + 1) if inner is not None else ""
    if not text:
        found = (_words(value.get(name), depth + 1) for name in _WORDS)
        text = next((words for words in found if words), "")
    raw = _raw(value.get("metadata"), depth)
    return f"{text}: {raw}" if text and raw and raw not in text else text or raw


def _raw(metadata: Any, depth: int) -> str:
    """What the provider behind a gateway said, JSON or not."""
    raw = metadata.get("raw") if isinstance(metadata, Mapping) else None
    if not isinstance(raw, str):
        return _words(raw, depth + 1)
    try:
        return _words(orjson.loads(raw), depth + 1) or raw.strip()
    except orjson.JSONDecodeError:
        return raw.strip()


def _codes(value: Any, depth: int = 0) -> Iterator[str]:
    """Codes and types, the outermost first."""
    if depth > _DEEPEST:
        return
    if isinstance(value, list):
        for entry in value[:1]:
            yield from _codes(entry, depth + 1)
    if not isinstance(value, Mapping):
        return
    inner = next((value[name] for name in ("error", "errors") if value.get(name)), None)
    yield from _codes(inner, depth + 1)
    for name in _CODES:
        code = value.get(name)
        if isinstance(code, str | int) and not isinstance(code, bool) and code and code != "error":
            yield str(code)
    for name in ("innererror", "detail"):
        yield from _codes(value.get(name), depth + 1)


# ---------------------------------------------------------------------------------------------- waits

_PART = r"\d+(?:\.\d+)?\s*(?:milliseconds?|ms|seconds?|secs?|s|minutes?|mins?|m|hours?|hrs?|h)(?![a-z])"
_LENGTH = re.compile(rf"(?:{_PART}\s*)+", re.IGNORECASE)
_WAIT = re.compile(rf"\b(?:try again|retry|wait)\D{{0,30}}?(?P<length>(?:{_PART}\s*)+)", re.IGNORECASE)
_AMOUNT = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|mil|m|s|h)", re.IGNORECASE)
_UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001, "mil": 0.001}


def retry_after(response: HttpResponse, now: Callable[[], float] = time.time) -> float | None:
    """The seconds that a response's headers ask to wait; None where they do not.

    Retry-After in seconds or as a date (by the response's own Date, else by this machine's clock ``now``,
    seconds since 1970), ``retry-after-ms``, and on a 429 the time until the limit on tokens or requests
    opens again (``x-ratelimit-reset-tokens: 6s``).
    """
    headers = response.headers
    for found in (
        _number(headers.get("retry-after-ms"), 0.001),
        _number(headers.get("retry-after")),
        _until(headers.get("retry-after"), headers.get("date"), now),
    ):
        if found is not None:
            return min(max(0.0, found), _LONGEST_WAIT_S)
    if response.status != 429:
        return None
    for kind in ("tokens", "requests"):
        wait = _length(headers.get(f"x-ratelimit-reset-{kind}", ""))
        left = _number(headers.get(f"x-ratelimit-remaining-{kind}"))
        if wait is not None and (kind == "tokens" or not left):
            return min(wait, _LONGEST_WAIT_S)
    return None


def asked_wait(message: str) -> float | None:
    """The seconds that a message's words ask to wait ("Please try again in 6s"); None where they do not."""
    found = _WAIT.search(message)
    return None if found is None else min(_seconds(found["length"]), _LONGEST_WAIT_S)


def _number(text: str | None, unit: float = 1.0) -> float | None:
    try:
        number = float(text or "")
    except ValueError:
        return None
    return number * unit if number == number else None


def _until(text: str | None, date: str | None, now: Callable[[], float]) -> float | None:
    try:
        moment = parsedate_to_datetime(text or "").timestamp()
    except (ValueError, TypeError, OverflowError):
        return None
    try:
        return moment - parsedate_to_datetime(date or "").timestamp()
    except (ValueError, TypeError, OverflowError):
        return moment - now()


def _length(text: str) -> float | None:
    """A length of time such as ``6s``, ``1m30.5s``, ``120ms``, or a bare number of seconds."""
    number = _number(text)
    if number is not None:
        return max(0.0, number)
    return _seconds(text) if _LENGTH.fullmatch(text.strip()) else None


def _seconds(length: str) -> float:
    return sum(float(number) * _UNITS[unit.lower()] for number, unit in _AMOUNT.findall(length))


# ------------------------------------------------------------------------------------------- redirects


def _without_secrets(location: str) -> str:
    """Where a redirect points to, without user, query and fragment."""
    if not location:
        return ""
    parts = urlsplit(location.strip())
    try:
        host = f"{parts.hostname}:{parts.port}" if parts.port else parts.hostname or ""
    except ValueError:
        return ""
    path = "".join(character for character in parts.path if character.isprintable())[:_MESSAGE_LIMIT]
    return f"{parts.scheme}://{host}{path}" if host else path


def _at(redirect: str) -> str:
    if "://" not in redirect:
        return "Check the base URL."
    base = redirect.removesuffix("/chat/completions").rstrip("/")
    return f"If you trust that address, use {base} as the base URL."
