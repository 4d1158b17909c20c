"""One chat request, checked through: which model, what it is asked, whether it fits the context.

A field that is missing is 1213, one of a wrong type or out of its range 1214, one that this model
does not know 1210. null counts as absent, because the official SDKs send it. Fields that no schema of the
service names (seed, penalties; ``n`` outside OpenAI's dialect) are passed over: what the service does with
them is not known.

The order of the checks: the body is JSON, the model exists, it can be called this way, then parameters,
tools, messages, and the context last.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from visionpipe.registry.records import REQUEST_ID_LENGTHS, USER_ID_LENGTHS, ModelRecord
from visionpipe.sandbox.conversation import Conversation, Reader
from visionpipe.sandbox.models import ModelList
from visionpipe.sandbox.received import MediaForms, media_tokens
from visionpipe.sandbox.replies import Dialect, Refusal
from visionpipe.sandbox.scenario import Options
from visionpipe.sandbox.tools import Tools, read_tools

MOST_STOP_TEXTS = 4
MOST_CHOICES = 8


@dataclass(frozen=True, slots=True)
class CallParameters:
    """What steers the answer; ``thinks`` says whether this model thinks aloud on this request."""

    stream: bool = False
    max_tokens: int | None = None
    stop: tuple[str, ...] = ()
    request_id: str | None = None
    thinks: bool = False
    json_answer: bool = False
    json_schema: Mapping[str, Any] | None = None
    choices: int = 1
    stream_usage: bool = True


def read_parameters(body: Mapping[str, Any], record: ModelRecord, dialect: Dialect) -> CallParameters:
    """Check every field against the model's record; Refusal 1210 or 1214."""
    openai = dialect is Dialect.OPENAI
    sampling = record.sampling
    _number(body, "temperature", 0.0, 2.0 if openai else sampling.temperature_max)
    _number(body, "top_p", 0.0, sampling.top_p_max)
    _boolean(body, "do_sample")
    _text(body, "user_id", USER_ID_LENGTHS)
    stream = _boolean(body, "stream") or False
    options = body.get("stream_options")
    return CallParameters(
        stream=stream,
        max_tokens=_max_tokens(body, record, openai),
        stop=_stop(body, sampling.max_stop or MOST_STOP_TEXTS, openai),
        request_id=_text(body, "request_id", REQUEST_ID_LENGTHS),
        thinks=_thinks(body, record),
        json_answer=_json_answer(body, record, openai),
        json_schema=_json_schema(body) if openai else None,
        choices=_choices(body) if openai else 1,
        stream_usage=not openai or (isinstance(options, dict) and options.get("include_usage") is True),
    )


def _number(body: Mapping[str, Any], name: str, low: float, high: float) -> None:
    value = body.get(name)
    if value is None:
        return
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        raise Refusal("1214", f"{name} must be a number from {low} to {high}")


def _boolean(body: Mapping[str, Any], name: str) -> bool | None:
    value = body.get(name)
    if value is not None and not isinstance(value, bool):
        raise Refusal("1214", f"{name} must be true or false")
    return value


def _text(body: Mapping[str, Any], name: str, lengths: range) -> str | None:
    value = body.get(name)
    if value is None:
        return None
    if not isinstance(value, str) or len(value) not in lengths:
        raise Refusal("1214", f"{name} must have {lengths[0]} to {lengths[-1]} characters")
    return value


def _max_tokens(body: Mapping[str, Any], record: ModelRecord, openai: bool) -> int | None:
    name = "max_completion_tokens" if openai and "max_completion_tokens" in body else "max_tokens"
    value = body.get(name)
    if value is None:
        return None
    most = record.max_output_tokens
    if isinstance(value, bool) or not isinstance(value, int) or value < 1 or (most and value > most):
        raise Refusal("1214", f"{name} must be a whole number from 1 to {most or 'any'}")
    return value


def _stop(body: Mapping[str, Any], most: int, openai: bool) -> tuple[str, ...]:
    value = body.get("stop")
    if value is None:
        return ()
    if openai and isinstance(value, str):
        value = [value]
    if not isinstance(value, list) or not all(isinstance(text, str) and text for text in value):
        raise Refusal("1214", "stop must be a list of texts")
    if len(value) > most:
        raise Refusal("1214", f"stop takes at most {most} texts")
    return tuple(value)


def _thinks(body: Mapping[str, Any], record: ModelRecord) -> bool:
    mode = record.thinking.mode
    wanted = True
    thinking = body.get("thinking")
    if thinking is not None:
        kind = thinking.get("type") if isinstance(thinking, dict) else None
        if kind not in ("enabled", "disabled"):
            raise Refusal("1214", "thinking.type must be enabled or disabled")
        wanted = kind == "enabled"
        if not wanted and mode == "always":
            raise Refusal("1210", "this model's thinking cannot be disabled")
    effort = body.get("reasoning_effort")
    if effort is not None and effort not in record.thinking.efforts:
        known = ", ".join(record.thinking.efforts) or "nothing"
        raise Refusal("1210", f"reasoning_effort takes {known} with this model")
    return mode == "always" or (mode == "switchable" and wanted)


def _json_answer(body: Mapping[str, Any], record: ModelRecord, openai: bool) -> bool:
    """Whether JSON is asked for; obeyed in OpenAI's dialect and where the record says the model can, else the
    field is passed over, because what the service does with it is not known."""
    wanted = body.get("response_format")
    if wanted is None:
        return False
    kind = wanted.get("type") if isinstance(wanted, dict) else None
    if kind not in ("text", "json_object", "json_schema"):
        raise Refusal("1214", "response_format.type must be text, json_object or json_schema")
    return (openai or record.structured_output) and kind != "text"


def _json_schema(body: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The schema that an answer has to fit; Refusal 1210 where OpenAI takes none such."""
    wanted = body.get("response_format")
    if not isinstance(wanted, dict) or wanted.get("type") != "json_schema":
        return None
    holder = wanted.get("json_schema")
    if not isinstance(holder, dict) or not isinstance(holder.get("name"), str):
        raise Refusal("1213", "response_format.json_schema.name")
    schema = holder.get("schema")
    if not isinstance(schema, dict):
        raise Refusal("1213", "response_format.json_schema.schema")
    if schema.get("type") != "object":
        kind = schema.get("type")
        raise Refusal("1210", f"response_format: the schema must be of type object at its root, not {kind!r}")
    return schema


def _choices(body: Mapping[str, Any]) -> int:
    value = body.get("n")
    if value is None:
        return 1
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= MOST_CHOICES:
        raise Refusal("1214", f"n must be a whole number from 1 to {MOST_CHOICES}")
    return value


@dataclass(frozen=True, slots=True)
class Call:
    """A chat request that is in order."""

    model: str
    record: ModelRecord
    parameters: CallParameters
    tools: Tools
    conversation: Conversation
    prompt_tokens: int


def read_object(body: bytes) -> dict[str, Any]:
    """The body as a JSON object; Refusal 1210 where it is not one."""
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise Refusal("1210", "the body is not JSON") from None
    if not isinstance(value, dict):
        raise Refusal("1210", "the body is not a JSON object")
    return value


def read_call(
    body: dict[str, Any], models: ModelList, dialect: Dialect, options: Options, *, task: bool = False
) -> Call:
    """Check one request; Refusal with the service's code where it would refuse.

    Args:
        body: the JSON object.
        models: the models that exist.
        dialect: GLM takes bare base64, OPENAI data URIs; a lenient sandbox takes either.
        options: the sandbox's settings.
        task: whether this is an asynchronous call, which not every model supports (1212).
    """
    name = body.get("model")
    if name is None:
        raise Refusal("1213", "model")
    if not isinstance(name, str):
        raise Refusal("1214", "model must be text")
    record = models.find(name)
    if task and not record.tasks and record.state != "generic":
        raise Refusal("1212", "this model has no asynchronous calls")
    parameters = read_parameters(body, record, dialect)
    openai = dialect is Dialect.OPENAI
    tools = read_tools(body, record, openai=openai)
    forms = MediaForms(
        bare=not openai or options.lenient,
        data_uri=openai or options.lenient,
        inline_video=options.lenient,
        url_only=options.url_only,
        decode=options.decode,
        fetch=options.fetch_links,
    )
    strict_keys = not (openai or options.lenient)
    conversation = Reader(record, forms, strict_keys, openai=openai).read(body.get("messages"))
    tokens = conversation.text_tokens + sum(media_tokens(conversation.media, record))
    if record.context_tokens is not None:
        room = record.context_tokens - (parameters.max_tokens or record.default_output_tokens or 0)
        if tokens > room:
            raise Refusal("1261", f"{tokens} tokens, of {room} for input")
    return Call(name, record, parameters, tools, conversation, tokens)
