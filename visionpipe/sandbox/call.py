"""One chat request, checked through: which model, what it is asked, whether it fits the context.

The order of the checks: the body is JSON, the model exists, it can be called this way, then parameters,
tools, messages, and the context last.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import orjson

from visionpipe.registry.records import ModelRecord
from visionpipe.sandbox.conversation import Conversation, Reader
from visionpipe.sandbox.models import ModelShelf
from visionpipe.sandbox.options import Options
from visionpipe.sandbox.parameters import Parameters, read_parameters
from visionpipe.sandbox.received import MediaForms
from visionpipe.sandbox.refusals import Dialect, Refusal
from visionpipe.sandbox.tokens import media_tokens
from visionpipe.sandbox.tools import Tools, read_tools


@dataclass(frozen=True, slots=True)
class Call:
    """A chat request that is in order."""

    model: str
    record: ModelRecord
    parameters: Parameters
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
    body: dict[str, Any], shelf: ModelShelf, dialect: Dialect, options: Options, *, task: bool = False
) -> Call:
    """Check one request; Refusal with the service's code where it would refuse.

    Args:
        body: the JSON object.
        shelf: the models that exist.
        dialect: GLM takes bare base64, OPENAI data URIs; a lenient sandbox takes either.
        options: the sandbox's settings.
        task: whether this is an asynchronous call, which not every model supports (1212).
    """
    name = body.get("model")
    if name is None:
        raise Refusal("1213", "model")
    if not isinstance(name, str):
        raise Refusal("1214", "model must be text")
    record = shelf.find(name)
    if task and not record.tasks and record.state != "generic":
        raise Refusal("1212", "this model has no asynchronous calls")
    parameters = read_parameters(body, record, dialect)
    tools = read_tools(body, record)
    openai = dialect is Dialect.OPENAI
    forms = MediaForms(
        bare=not openai or options.lenient,
        data_uri=openai or options.lenient,
        inline_video=options.lenient,
        url_only=options.url_only,
        decode=options.decode,
        fetch=options.fetch_links,
    )
    strict_keys = not (openai or options.lenient)
    conversation = Reader(record, forms, strict_keys).read(body.get("messages"))
    tokens = conversation.text_tokens + sum(media_tokens(conversation.media, record))
    if record.context_tokens is not None:
        room = record.context_tokens - (parameters.max_tokens or record.default_output_tokens or 0)
        if tokens > room:
            raise Refusal("1261", f"{tokens} tokens, of {room} for input")
    return Call(name, record, parameters, tools, conversation, tokens)
