"""What the services say, a row a saying: class, scope, whether it is asked again, and the message, whole and
streamed, on both clients."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import orjson
import pytest

from tests.client.faces import KEY, Clock, Face, chat
from tests.loopback import Answer, Loopback
from visionpipe import Client, errors
from visionpipe.stages.retry import RetryPolicy

TWICE = RetryPolicy(attempts=2, first_wait=1, longest_wait=1, jitter=0, broken_answers=True)


@dataclass(frozen=True)
class Row:
    """One saying. ``finish`` and ``message`` make an answer with status 200, ``body`` one outside it."""

    name: str
    kind: type[errors.VisionPipeError]
    scope: str
    retried: bool
    says: str
    status: int = 200
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    finish: str = "stop"
    message: dict[str, Any] | None = None
    waits: float | None = None
    dialect: str = "openai-compatible"
    model: str = "some-model"


def error(message: str, code: Any = None, kind: Any = None, **more: Any) -> dict[str, Any]:
    return {"error": {"message": message, "type": kind, "param": None, "code": code, **more}}


ACCOUNT = [
    Row(
        "DeepSeek 402",
        errors.AccountError,
        "job",
        False,
        "Insufficient Balance",
        402,
        error("Insufficient Balance", "invalid_request_error", "unknown_error"),
    ),
    Row(
        "OpenRouter 402",
        errors.AccountError,
        "job",
        False,
        "more credits",
        402,
        error("This request requires more credits", 402),
    ),
    Row(
        "DashScope",
        errors.AccountError,
        "job",
        False,
        "good standing",
        400,
        error("Access denied, please make sure your account is in good standing.", "Arrearage", "Arrearage"),
    ),
    Row(
        "Moonshot",
        errors.AccountError,
        "job",
        False,
        "suspended",
        429,
        error("Your account is suspended", None, "exceeded_current_quota_error"),
    ),
    Row(
        "OpenAI",
        errors.AccountError,
        "job",
        False,
        "check your plan",
        429,
        error(
            "You exceeded your current quota, please check your plan",
            "insufficient_quota",
            "insufficient_quota",
        ),
    ),
    Row(
        "new-api",
        errors.AccountError,
        "job",
        False,
        "用户额度不足",
        403,
        error("用户额度不足, 剩余额度: 0", "insufficient_user_quota", "new_api_error"),
    ),
    Row(
        "new-api by its words alone",
        errors.AccountError,
        "job",
        False,
        "额度不足",
        403,
        error("用户额度不足"),
    ),
    Row("402 inside a 200", errors.AccountError, "job", False, "no credits", 200, error("no credits", 402)),
    Row(
        "BigModel",
        errors.AccountError,
        "job",
        False,
        "余额不足",
        429,
        error("余额不足", "1113"),
        dialect="bigmodel",
    ),
    Row(
        "DashScope throttles",
        errors.RateLimitError,
        "item",
        True,
        "Allocated quota",
        429,
        error(
            "Allocated quota exceeded, please increase your quota limit.",
            "insufficient_quota",
            "insufficient_quota",
        ),
    ),
]

FILTERED = [
    Row(
        "filtered without text",
        errors.FilteredAnswerError,
        "item",
        False,
        "content_filter",
        finish="content_filter",
        message={"content": ""},
    ),
    Row(
        "filtered with text",
        errors.FilteredAnswerError,
        "item",
        False,
        "content_filter",
        finish="content_filter",
        message={"content": "A ca"},
    ),
    Row(
        "sensitive",
        errors.FilteredAnswerError,
        "item",
        False,
        "sensitive",
        finish="sensitive",
        message={"content": "A ca"},
    ),
    Row(
        "refusal",
        errors.FilteredAnswerError,
        "item",
        False,
        "refused to answer .it says: I cannot",
        message={"content": None, "refusal": "I cannot."},
    ),
    Row(
        "Azure",
        errors.ContentPolicyError,
        "item",
        False,
        "content management policy",
        400,
        error(
            "The prompt triggered the content management policy.",
            "content_filter",
            innererror={"code": "ResponsibleAIPolicyViolation"},
        ),
    ),
    Row(
        "Azure by its inner code",
        errors.ContentPolicyError,
        "item",
        False,
        "triggered",
        400,
        error("It triggered something.", None, innererror={"code": "ResponsibleAIPolicyViolation"}),
    ),
    Row(
        "DashScope inspects",
        errors.ContentPolicyError,
        "item",
        False,
        "inappropriate",
        400,
        error("Input data may contain inappropriate content.", "data_inspection_failed"),
    ),
    Row(
        "OpenRouter moderates",
        errors.ContentPolicyError,
        "item",
        False,
        "flagged",
        403,
        error("Your input was flagged", 403, metadata={"reasons": ["x"]}),
    ),
]

BROKEN = [
    Row(
        "OpenRouter error",
        errors.InterruptedAnswerError,
        "item",
        True,
        "finish_reason error",
        finish="error",
        message={"content": "A ca"},
    ),
    Row(
        "SGLang abort",
        errors.InterruptedAnswerError,
        "item",
        True,
        "finish_reason abort",
        finish="abort",
        message={"content": ""},
    ),
    Row(
        "network_error",
        errors.InterruptedAnswerError,
        "item",
        True,
        "finish_reason network_error",
        finish="network_error",
        message={"content": ""},
    ),
    Row(
        "only thinking",
        errors.EmptyAnswerError,
        "item",
        False,
        r"only its thinking \(4 characters\)",
        message={"content": "", "reasoning": "Hmm."},
    ),
    Row(
        "only thinking, cut",
        errors.EmptyAnswerError,
        "item",
        False,
        "used up its output",
        finish="MAX_TOKENS",
        message={"content": "", "reasoning_content": "Hmm."},
    ),
    Row("nothing", errors.EmptyAnswerError, "item", False, "wrote no answer", message={"content": ""}),
]

BODIES = [
    Row(
        "a list (Gemini)",
        errors.AuthenticationError,
        "job",
        False,
        "API key not valid",
        400,
        [error("API key not valid. Please pass a valid API key.", 400, status="INVALID_ARGUMENT")],
    ),
    Row(
        "detail as text (FastAPI)",
        errors.RejectedRequestError,
        "item",
        False,
        "no such field",
        422,
        {"detail": "no such field"},
    ),
    Row(
        "detail as a list (FastAPI)",
        errors.RejectedRequestError,
        "item",
        False,
        "field required",
        422,
        {"detail": [{"loc": ["body", "model"], "msg": "field required", "type": "missing"}]},
    ),
    Row(
        "flat (vLLM)",
        errors.RejectedRequestError,
        "item",
        False,
        "too many images",
        400,
        {"object": "error", "message": "too many images", "type": "BadRequestError", "code": 400},
    ),
    Row(
        "plain text",
        errors.ServerError,
        "item",
        True,
        "upstream connect error",
        503,
        b"upstream connect error",
    ),
    Row(
        "a proxy's page",
        errors.ServerError,
        "item",
        True,
        "the service failed. Try",
        502,
        b"<html><h1>Bad gateway</h1></html>",
    ),
    Row(
        "metadata.raw (OpenRouter)",
        errors.RateLimitError,
        "item",
        True,
        "Provider returned error: slow down",
        429,
        error(
            "Provider returned error",
            429,
            metadata={"raw": '{"error":{"message":"slow down"}}', "provider_name": "P"},
        ),
    ),
    Row(
        "metadata.raw as text",
        errors.RateLimitError,
        "item",
        True,
        "Provider returned error: m is busy",
        429,
        error("Provider returned error", 429, metadata={"raw": "m is busy"}),
    ),
    Row(
        "success: false in a 200",
        errors.RejectedRequestError,
        "item",
        False,
        "bad image",
        200,
        {"success": False, "message": "bad image"},
    ),
    Row(
        "success: false with a code",
        errors.ServerError,
        "item",
        True,
        "404 NOT_FOUND",
        200,
        {"code": 500, "msg": "404 NOT_FOUND", "success": False},
    ),
    Row(
        "no message at all",
        errors.RejectedRequestError,
        "item",
        False,
        "The service gives no reason",
        400,
        b"",
    ),
    Row(
        "a code without a message",
        errors.QuotaError,
        "job",
        False,
        "console says when",
        429,
        {"error": {"code": "1308"}},
        dialect="bigmodel",
    ),
]

MODELS = [
    Row(
        "Ollama",
        errors.UnknownModelError,
        "job",
        False,
        'model "llava" not found',
        404,
        error('model "llava" not found, try pulling it first', None, "api_error"),
    ),
    Row(
        "vLLM",
        errors.UnknownModelError,
        "job",
        False,
        "does not exist",
        404,
        error("The model `x` does not exist.", 404, "NotFoundError"),
    ),
    Row(
        "vLLM, flat",
        errors.UnknownModelError,
        "job",
        False,
        "does not exist",
        404,
        {"object": "error", "message": "The model `x` does not exist.", "type": "NotFoundError", "code": 404},
    ),
    Row(
        "SiliconFlow",
        errors.UnknownModelError,
        "job",
        False,
        "Model does not exist",
        400,
        {"code": 20012, "message": "Model does not exist. Please check it carefully.", "data": None},
    ),
    Row(
        "nothing at this address",
        errors.AccessError,
        "job",
        False,
        "nothing at this address",
        404,
        {"detail": "Not Found"},
    ),
    Row(
        "a redirect",
        errors.AccessError,
        "job",
        False,
        "points to https://api.example/v1.* use https://api.example/v1 as",
        308,
        b"",
        {"location": "https://u:p@api.example/v1/chat/completions?key=1"},
    ),
    Row(
        "GLM's codes behind a gateway",
        errors.AccountError,
        "job",
        False,
        "resource pack",
        429,
        error("余额", "1113"),
        model="z-ai/glm-4.6v",
    ),
    Row(
        "1233",
        errors.RejectedRequestError,
        "item",
        False,
        "no such task",
        400,
        error("任务不存在", "1233"),
        dialect="bigmodel",
    ),
]

WAITS = [
    Row(
        "Retry-After",
        errors.RateLimitError,
        "item",
        True,
        "too many",
        429,
        b"{}",
        {"retry-after": "7"},
        waits=7,
    ),
    Row(
        "a date without Date",
        errors.RateLimitError,
        "item",
        True,
        "too many",
        429,
        b"{}",
        {"retry-after": "Fri, 31 Dec 1999 23:59:59 GMT"},
        waits=1,
    ),
    Row(
        "retry-after-ms",
        errors.RateLimitError,
        "item",
        True,
        "too many",
        429,
        b"{}",
        {"retry-after-ms": "6500"},
        waits=6.5,
    ),
    Row(
        "x-ratelimit-reset-tokens",
        errors.RateLimitError,
        "item",
        True,
        "too many",
        429,
        b"{}",
        {"x-ratelimit-reset-tokens": "6s"},
        waits=6,
    ),
    Row(
        "in words",
        errors.RateLimitError,
        "item",
        True,
        "try again",
        429,
        error("Rate limit reached. Please try again in 1m6s."),
        waits=66,
    ),
    Row(
        "in words, inside a 200",
        errors.RateLimitError,
        "item",
        True,
        "retry",
        200,
        error("Please retry in 34.5s.", 429),
        waits=34.5,
    ),
    Row(
        "1305 without one",
        errors.RateLimitError,
        "item",
        True,
        "overloaded",
        429,
        error("忙", "1305"),
        waits=1,
        dialect="bigmodel",
    ),
]

ROWS = [*ACCOUNT, *FILTERED, *BROKEN, *BODIES, *MODELS, *WAITS]


def scripted(row: Row, *, streamed: bool) -> Answer:
    if row.message is not None:
        holder = "delta" if streamed else "message"
        value: Any = {"choices": [{"index": 0, "finish_reason": row.finish, holder: row.message}]}
    else:
        value = row.body
    data = value if isinstance(value, bytes) else orjson.dumps(value)
    if streamed and row.status == 200:
        data = b"data: " + data + b"\n\ndata: [DONE]\n\n"
        return Answer(200, [data], {"Content-Type": "text/event-stream"})
    return Answer(row.status, data, row.headers)


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_what_services_say(face: Face, loopback: Loopback, row: Row, streamed: bool) -> None:
    clock = Clock()
    setup = {
        "base_url": f"{row.dialect}+{loopback.url}",
        "model": row.model,
        "api_key": KEY,
        "retry": TWICE,
        "clock": clock,
        "sleep": clock.sleep,
    }
    loopback.script(scripted(row, streamed=streamed))
    with pytest.raises(errors.VisionPipeError, match=f"(?s){row.says}") as caught:
        (face.stream if streamed else face.ask)("What?", setup=setup)
    assert type(caught.value) is row.kind
    assert caught.value.scope == row.scope
    # Nothing is sent again once a stream has begun; there the error itself says whether to.
    begun = streamed and row.status == 200
    assert len(loopback.requests) == (2 if row.retried and not begun else 1)
    if begun and row.retried:
        assert caught.value.retryable
    if row.waits is not None and not begun:
        assert clock.sleeps == [row.waits]
    if row.message is not None and row.message.get("content"):
        assert isinstance(caught.value, errors.AnswerError)
        assert caught.value.reply is not None
        assert caught.value.reply.text == row.message["content"]
    if not row.says.startswith("The service gives"):
        assert "the service's message" not in caught.value.cure or "the service says" in caught.value.reason


@pytest.mark.parametrize("word", ["length", "max_tokens", "MAX_TOKENS", "model_context_window_exceeded"])
@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
def test_a_cut_answer_is_kept_with_a_note(face: Face, loopback: Loopback, word: str, streamed: bool) -> None:
    row = Row("cut", errors.AnswerError, "item", False, "", finish=word, message={"content": "A ca"})
    loopback.script(scripted(row, streamed=streamed))
    setup = {"base_url": loopback.url, "model": "some-model", "api_key": KEY}
    reply = face.stream("What?", setup=setup)[1] if streamed else face.ask("What?", setup=setup)
    assert reply.text == "A ca"
    assert [note.kind for note in reply.notes] == ["truncated"]


@pytest.mark.parametrize(
    "names", [("reasoning",), ("reasoning_content",), ("reasoning", "reasoning_content")]
)
@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
def test_thinking_is_read_under_either_name(
    face: Face, loopback: Loopback, names: tuple[str, ...], streamed: bool
) -> None:
    message = {"content": "A cat.", **dict.fromkeys(names, "Whiskers.")}
    row = Row("thinking", errors.AnswerError, "item", False, "", message=message)
    loopback.script(scripted(row, streamed=streamed))
    setup = {"base_url": loopback.url, "model": "some-model", "api_key": KEY}
    reply = face.stream("What?", setup=setup)[1] if streamed else face.ask("What?", setup=setup)
    assert (reply.text, reply.reasoning) == ("A cat.", "Whiskers.")


def limit_refused(field_name: str, other: str) -> Answer:
    words = f"Unsupported parameter: '{field_name}' is not supported with this model. Use '{other}' instead."
    return Answer(400, orjson.dumps(error(words, "unsupported_parameter", "invalid_request_error")))


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
def test_a_server_that_wants_another_name_for_max_tokens_is_asked_so_once(
    face: Face, loopback: Loopback, streamed: bool
) -> None:
    answer = scripted(
        Row("", errors.AnswerError, "", False, "", message={"content": "A cat."}), streamed=streamed
    )
    loopback.script(limit_refused("max_tokens", "max_completion_tokens"), answer)
    setup = {"base_url": loopback.url, "model": "some-model", "api_key": KEY}
    if streamed:
        reply = face.stream("What?", setup=setup, max_tokens=9)[1]
    else:
        reply = face.ask("What?", setup=setup, max_tokens=9)
    assert reply.text == "A cat."
    bodies = [seen.json() for seen in loopback.requests]
    assert [("max_tokens" in b, b.get("max_completion_tokens")) for b in bodies] == [(True, None), (False, 9)]
    assert [(a.kind, a.subject) for a in reply.adjustments] == [("renamed", "max_tokens")]
    assert [attempt.failed_with for attempt in reply.attempts] == ["unsupported_parameter", None]


def test_what_a_server_asked_for_is_learnt_by_its_client(loopback: Loopback) -> None:
    loopback.script(limit_refused("max_tokens", "max_completion_tokens"), chat("A cat."))
    with Client("some-model", base_url=loopback.url, api_key=KEY) as client:
        replies = [client.ask("What?", max_tokens=9) for _ in range(3)]
    assert len(loopback.requests) == 4
    assert all(reply.adjustments for reply in replies)


def test_a_server_that_refuses_both_names_is_asked_twice(face: Face, loopback: Loopback) -> None:
    loopback.script(
        limit_refused("max_tokens", "max_completion_tokens"),
        limit_refused("max_completion_tokens", "max_tokens"),
    )
    with pytest.raises(errors.RejectedRequestError):
        face.ask("What?", setup={"base_url": loopback.url, "model": "m", "api_key": KEY}, max_tokens=9)
    assert len(loopback.requests) == 2


REFUSED_SCHEMAS = [
    "This response_format type is unavailable now",
    "Invalid parameter: 'response_format' of type 'json_schema' is not supported with this model.",
    "json_schema is not supported",
    "This model does not support structured outputs",
]


@pytest.mark.parametrize("words", REFUSED_SCHEMAS)
def test_a_refused_schema_is_asked_for_in_words_once(loopback: Loopback, words: str) -> None:
    refused_once = Answer(400, orjson.dumps(error(words, "invalid_request_error")))
    loopback.script(refused_once, chat('{"name": "cat"}'))
    schema = {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}
    with Client("some-model", base_url=loopback.url, api_key=KEY) as client:
        found = client.extract(schema)
        again = client.extract(schema)
    assert found.data == again.data == {"name": "cat"}
    bodies = [seen.json() for seen in loopback.requests]
    assert ["response_format" in body for body in bodies] == [True, False, False]
    assert all('"name"' in body["messages"][-1]["content"][-1]["text"] for body in bodies)
    assert [(a.kind, a.subject) for a in found.reply.adjustments] == [("dropped", "response_format")]


def test_azures_key_goes_in_a_header_of_its_own_and_the_version_behind_the_path(
    face: Face, loopback: Loopback
) -> None:
    loopback.script(chat("A cat."))
    base_url = f"azure+{loopback.url}/openai/deployments/eyes?api-version=2024-10-21"
    face.ask("What?", setup={"base_url": base_url, "model": "gpt-5.4", "api_key": KEY}, max_tokens=9)
    (seen,) = loopback.requests
    assert seen.path == "/v1/openai/deployments/eyes/chat/completions?api-version=2024-10-21"
    assert seen.headers["api-key"] == KEY
    assert "authorization" not in seen.headers
    assert seen.json()["max_completion_tokens"] == 9
