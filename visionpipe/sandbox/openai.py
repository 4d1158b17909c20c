"""The OpenAI-compatible face: the same chat, in the form of OpenAI's documents, and the list of models.

Where it differs: images come as data URIs (call.py), errors have a type (refusals.py), an answer names its
``object`` and no ``request_id``, and a stream's usage stands in an event of its own with empty choices, only
where ``stream_options`` asks for it.
"""

from __future__ import annotations

from typing import Any

from visionpipe.sandbox.chat import ask, events, whole
from visionpipe.sandbox.exchange import Exchange
from visionpipe.sandbox.replies import Dialect, JsonReply, Reply, StreamReply


async def complete(exchange: Exchange) -> Reply:
    """``POST /v1/chat/completions``, whole or streamed."""
    head, call, answer = await ask(exchange, Dialect.OPENAI)
    if not call.parameters.stream:
        return JsonReply(_named(whole(head, call, answer), "chat.completion"))
    chunks = [_named(event, "chat.completion.chunk") for event in events(head, call, answer)]
    usage = chunks[-1].pop("usage")
    if call.parameters.stream_usage:
        chunks.append({**chunks[-1], "choices": [], "usage": usage})
    return StreamReply(tuple(chunks))


async def models(exchange: Exchange) -> Reply:
    """``GET /v1/models``."""
    await exchange.admit()
    rows = [
        {"id": name, "object": "model", "created": 0, "owned_by": "visionpipe"}
        for name in exchange.service.shelf.ids()
    ]
    return JsonReply({"object": "list", "data": rows})


def _named(document: dict[str, Any], kind: str) -> dict[str, Any]:
    kept = {name: value for name, value in document.items() if name not in ("request_id", "web_search")}
    return {**kept, "object": kind}
