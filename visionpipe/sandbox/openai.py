"""The OpenAI dialect: the same chat, in the form of OpenAI's documents, and the list of models.

Where it differs: images come as data URIs (call.py), errors have a type (refusals.py), an answer names its
``object`` and no ``request_id``, and a stream's usage stands in an event of its own with empty choices, only
where ``stream_options`` asks for it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from visionpipe.sandbox.chat import ask, events, whole
from visionpipe.sandbox.exchange import Exchange
from visionpipe.sandbox.replies import Dialect, JsonReply, Reply, StreamReply


async def complete(exchange: Exchange) -> Reply:
    """``POST /v1/chat/completions``, whole or streamed."""
    head, call, answer = await ask(exchange, Dialect.OPENAI)
    times = call.parameters.choices
    if not call.parameters.stream:
        document = _named(whole(head, call, answer), "chat.completion")
        (choice,) = document["choices"]
        document["choices"] = [{**choice, "index": index} for index in range(times)]
        return JsonReply(_counted(document, times))
    chunks = [_named(event, "chat.completion.chunk") for event in events(head, call, answer)]
    usage = _counted(chunks[-1], times).pop("usage")
    chunks[-1].pop("usage")
    chunks = [chunk for event in chunks for chunk in _repeated(event, times)]
    if call.parameters.stream_usage:
        chunks.append({**chunks[-1], "choices": [], "usage": usage})
    return StreamReply(tuple(chunks))


async def models(exchange: Exchange) -> Reply:
    """``GET /v1/models``."""
    await exchange.admit()
    return _listed(exchange.service.models.ids())


async def text_models(exchange: Exchange) -> Reply:
    """``GET /models`` of the GLM dialect, which leaves vision models out."""
    await exchange.admit()
    return _listed(exchange.service.models.text_ids())


def _listed(names: Iterable[str]) -> Reply:
    rows = [{"id": name, "object": "model", "created": 0, "owned_by": "visionpipe"} for name in names]
    return JsonReply({"object": "list", "data": rows})


def _repeated(document: dict[str, Any], times: int) -> list[dict[str, Any]]:
    """An event of a stream, once for each of the choices that were asked for."""
    if times == 1 or not document["choices"]:
        return [document]
    return [{**document, "choices": [{**document["choices"][0], "index": index}]} for index in range(times)]


def _counted(document: dict[str, Any], times: int) -> dict[str, Any]:
    usage = dict(document["usage"])
    usage["completion_tokens"] *= times
    usage["total_tokens"] = usage["prompt_tokens"] + usage["completion_tokens"]
    return {**document, "usage": usage}


def _named(document: dict[str, Any], kind: str) -> dict[str, Any]:
    kept = {name: value for name, value in document.items() if name not in ("request_id", "web_search")}
    return {**kept, "object": kind}
