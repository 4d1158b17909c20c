"""What is to be sent back, as values: documents, bytes, streams, and the service's error codes.

Codes and statuses: docs.bigmodel.cn/cn/faq/api-code, read 2026-09. The texts are the sandbox's own: clients
are to go by the code.

Other servers (vLLM, Ollama, OpenRouter) write OpenAI's documents with fields of their own and leave some out,
as was seen of them in 2026.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Literal, TypeAlias


@dataclass(frozen=True, slots=True)
class JsonReply:
    """One JSON document."""

    value: Any
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class BytesReply:
    """Bytes as they are: a file's content."""

    data: bytes
    media_type: str = "application/octet-stream"


@dataclass(frozen=True, slots=True)
class StreamReply:
    """Server-sent events: the JSON object of each; ``[DONE]`` follows the last."""

    events: tuple[Mapping[str, Any], ...]


Reply: TypeAlias = JsonReply | BytesReply | StreamReply


class Dialect(Enum):
    """GLM: ``{"error": {"code", "message"}}``. OPENAI: the same with type and param. FLAT: the older
    application API's ``{"code", "message"}``."""

    GLM = "glm"
    OPENAI = "openai"
    FLAT = "flat"


CODES: dict[str, tuple[int, str]] = {
    "401": (401, "the token has expired or cannot be verified"),
    "404": (404, "not found"),
    "405": (405, "this method is not allowed here"),
    "413": (413, "the request body is too large"),
    "500": (500, "internal error"),
    "502": (502, "bad gateway"),
    "503": (503, "service unavailable"),
    "504": (504, "gateway timeout"),
    "529": (529, "overloaded"),
    "1000": (401, "authentication failed"),
    "1001": (401, "no Authorization arrived in the header"),
    "1002": (401, "the Authorization token is not valid"),
    "1003": (401, "the Authorization token has expired"),
    "1004": (401, "the Authorization token could not be verified"),
    "1005": (401, "a second factor is needed"),
    "1100": (401, "the account cannot be read or written"),
    "1110": (401, "the account is not active"),
    "1111": (401, "the account does not exist"),
    "1112": (401, "the account is locked"),
    "1113": (429, "the account is in arrears"),
    "1120": (429, "the account cannot be reached"),
    "1121": (401, "the account is locked for a violation"),
    "1200": (500, "the API call failed"),
    "1210": (400, "the API parameters are wrong"),
    "1211": (400, "the model does not exist"),
    "1212": (400, "the model does not support this way of calling"),
    "1213": (400, "a parameter did not arrive"),
    "1214": (400, "a parameter is not legal"),
    "1215": (400, "two parameters cannot be set together"),
    "1220": (403, "no right to this API"),
    "1221": (400, "the API is offline"),
    "1222": (400, "the API does not exist"),
    "1230": (500, "the API call's processing failed"),
    "1231": (400, "there is already a request with this id"),
    "1233": (400, "there is no task with this id"),
    "1234": (500, "network error"),
    "1261": (400, "the prompt is too long"),
    "1300": (400, "the call was blocked by a policy"),
    "1301": (400, "unsafe or sensitive content was found"),
    "1302": (429, "the account has reached its limit of concurrent requests"),
    "1303": (429, "requests come too often"),
    "1304": (429, "the daily limit is reached"),
    "1305": (429, "the platform is overloaded"),
    "1308": (429, "the usage limit is reached; it resets at 2026-01-01 00:00:00"),
    "1309": (429, "the plan has expired"),
    "1310": (429, "the weekly or monthly limit is reached; it resets at 2026-01-01 00:00:00"),
    "1311": (429, "the plan does not hold this model"),
    "1312": (429, "the model has too much traffic"),
    "1313": (429, "the fair-use limit is reached"),
    "1314": (429, "the enterprise plan does not allow this"),
    "1315": (429, "the key is of the wrong kind"),
    **{
        str(code): (429, "the usage limit is reached; it resets at 2026-01-01 00:00:00")
        for code in range(1316, 1322)
    },
    "1701": (429, "the web search is busy"),
    "1702": (400, "no search engine is available"),
    "1703": (400, "the search found nothing"),
}


class Refusal(Exception):
    """A request that is not answered: the service's code, what was wrong, and the HTTP status."""

    def __init__(
        self,
        code: str,
        detail: str | None = None,
        *,
        status: int | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        known_status, text = CODES.get(code, (400, "refused"))
        self.code = code
        self.message = f"{text}: {detail}" if detail else text
        self.status = known_status if status is None else status
        self.headers = dict(headers or {})
        super().__init__(f"{code} {self.message}")


_OPENAI_CODES = {
    "401": "invalid_api_key",
    "1000": "invalid_api_key",
    "1001": "invalid_api_key",
    "1003": "invalid_api_key",
    "1113": "insufficient_quota",
    "1211": "model_not_found",
    "1261": "context_length_exceeded",
    "1301": "content_filter",
    "1302": "rate_limit_exceeded",
    "1303": "rate_limit_exceeded",
}


def status_of(refusal: Refusal, dialect: Dialect) -> int:
    """The HTTP status: OpenAI's form answers 404 where the model is not known."""
    return 404 if dialect is Dialect.OPENAI and refusal.code == "1211" else refusal.status


def error_body(refusal: Refusal, dialect: Dialect) -> dict[str, Any]:
    """The error as the JSON object that the dialect's clients expect."""
    match dialect:
        case Dialect.GLM:
            return {"error": {"code": refusal.code, "message": refusal.message}}
        case Dialect.FLAT:
            return {"code": int(refusal.code), "message": refusal.message}
        case Dialect.OPENAI:
            kind = "server_error" if refusal.status >= 500 else "invalid_request_error"
            return {
                "error": {
                    "message": refusal.message,
                    "type": "rate_limit_error" if refusal.status == 429 else kind,
                    "param": None,
                    "code": _OPENAI_CODES.get(refusal.code),
                }
            }


Form: TypeAlias = Literal["vllm", "ollama", "openrouter"]


def shaped(document: Mapping[str, Any], form: Form) -> dict[str, Any]:
    """A whole answer, or an event of a stream, in a server's own shape."""
    choices = [_choice(choice, form) for choice in document.get("choices", [])]
    found = {**document, "choices": choices}
    match form:
        case "vllm":
            found |= {"prompt_logprobs": None, "kv_transfer_params": None}
            found.setdefault("usage", None)
        case "ollama":
            found["system_fingerprint"] = "fp_ollama"
            found["id"] = "chatcmpl-1"
        case "openrouter":
            found |= {"provider": "Sandbox", "id": f"gen-{document.get('id', '')}"}
    return found


def shaped_error(body: Mapping[str, Any], status: int, form: Form) -> dict[str, Any]:
    """A refusal, given in OpenAI's form, as the server tells it."""
    error = body.get("error")
    error = error if isinstance(error, Mapping) else {}
    message = error.get("message", "")
    match form:
        case "vllm":
            return {
                "object": "error",
                "message": message,
                "type": error.get("type"),
                "param": None,
                "code": status,
            }
        case "ollama":
            return {"error": message}
    raw = {"raw": message, "provider_name": "Sandbox"}
    return {"error": {"message": "Provider returned error", "code": status, "metadata": raw}}


def _choice(choice: Mapping[str, Any], form: Form) -> dict[str, Any]:
    found = dict(choice)
    for name in ("message", "delta"):
        said = found.get(name)
        if isinstance(said, Mapping):
            found[name] = _said(said, form)
    match form:
        case "vllm":
            found["stop_reason"] = None
        case "openrouter":
            found["native_finish_reason"] = choice.get("finish_reason")
    return found


def _said(said: Mapping[str, Any], form: Form) -> dict[str, Any]:
    found = dict(said)
    thinking = found.pop("reasoning_content", None)
    if thinking is not None:
        found["reasoning"] = thinking
        if form == "vllm":
            found["reasoning_content"] = thinking
    if form == "ollama" and "tool_calls" in found:
        # Every call has the index 0, and a new id.
        found["tool_calls"] = [{**call, "index": 0} for call in found["tool_calls"]]
    if form == "openrouter":
        found |= {"refusal": None}
    return found
