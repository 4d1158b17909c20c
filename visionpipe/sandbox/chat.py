"""A chat answer as the wire has it: whole, or as the events of a stream.

Where GLM and OpenAI differ: OpenAI's form names its ``object``, and puts usage into an event of its own with
empty choices, only where it was asked for; GLM's carries ``request_id``, and usage in its last event.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from visionpipe.sandbox.answers import Answer
from visionpipe.sandbox.call import Call, read_call, read_object
from visionpipe.sandbox.damage import alter
from visionpipe.sandbox.exchange import Exchange
from visionpipe.sandbox.refusals import Dialect
from visionpipe.sandbox.replies import JsonReply, Reply, StreamReply

PIECE = 12
"""Characters of text an event."""


async def complete(exchange: Exchange) -> Reply:
    """``POST /chat/completions``, whole or streamed."""
    service, dialect = exchange.service, exchange.dialect
    body = read_object(exchange.body)
    call = read_call(body, service.shelf, dialect, service.options)
    exchange.note(call)
    head = service.new_head(call.model, call.parameters.request_id)
    exchange.record.request_id = head["request_id"]
    if call.parameters.request_id is not None:
        service.request_ids.claim(exchange.record.key, call.parameters.request_id)
    await exchange.admit(call.model, call.parameters.stream, limited=True)
    answer = alter(await service.answerer.answer(call), exchange.strike.fault)
    if dialect is Dialect.OPENAI:
        del head["request_id"]
    if call.parameters.stream:
        return StreamReply(tuple(events(head, call, answer, dialect)))
    return JsonReply(whole(head, call, answer, dialect))


def usage(call: Call, answer: Answer) -> dict[str, Any]:
    """Tokens, in both dialects' form."""
    return {
        "prompt_tokens": call.prompt_tokens,
        "completion_tokens": answer.tokens,
        "total_tokens": call.prompt_tokens + answer.tokens,
        "prompt_tokens_details": {"cached_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": answer.reasoning_tokens},
    }


def whole(head: Mapping[str, Any], call: Call, answer: Answer, dialect: Dialect) -> dict[str, Any]:
    """The answer as one document."""
    content: Any = [{"type": "text", "text": answer.text}] if answer.as_parts else answer.text
    message: dict[str, Any] = {"role": "assistant", "content": content}
    if answer.reasoning:
        message["reasoning_content"] = answer.reasoning
    if answer.tool_call:
        message["content"] = None
        message["tool_calls"] = [{"index": 0, **answer.tool_call}]
    document = {
        **head,
        "choices": [{"index": 0, "finish_reason": answer.finish_reason, "message": message}],
        "usage": usage(call, answer),
    }
    if dialect is Dialect.OPENAI:
        document["object"] = "chat.completion"
    elif answer.web_search:
        document["web_search"] = list(answer.web_search)
    return document


def events(head: Mapping[str, Any], call: Call, answer: Answer, dialect: Dialect) -> Iterator[dict[str, Any]]:
    """The answer in pieces: thinking, text or a function call, then the finish_reason."""
    openai = dialect is Dialect.OPENAI
    shared = {**head, "object": "chat.completion.chunk"} if openai else dict(head)

    def event(delta: dict[str, Any], finish_reason: str | None = None) -> dict[str, Any]:
        choice = {"index": 0, "delta": {"role": "assistant", **delta}, "finish_reason": finish_reason}
        return {**shared, "choices": [choice]}

    for piece in pieces(answer.reasoning):
        yield event({"reasoning_content": piece})
    for piece in pieces(answer.text):
        yield event({"content": piece})
    if answer.tool_call:
        yield event({"tool_calls": [{"index": 0, **answer.tool_call}]})
    last = event({"content": ""}, answer.finish_reason)
    if not openai:
        last["usage"] = usage(call, answer)
        if answer.web_search:
            last["web_search"] = list(answer.web_search)
    yield last
    if openai and call.parameters.stream_usage:
        yield {**shared, "choices": [], "usage": usage(call, answer)}


def pieces(text: str) -> Iterator[str]:
    for start in range(0, len(text), PIECE):
        yield text[start : start + PIECE]
