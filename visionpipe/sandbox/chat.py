"""A chat answer as the wire has it: whole, or as the events of a stream.

Whatever way a request comes (whole, streamed, in OpenAI's form, as a task), it goes through
``ask``, so the same checks, limits and faults hold for all.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from visionpipe.sandbox.answers import Answer
from visionpipe.sandbox.call import Call, read_call, read_object
from visionpipe.sandbox.damage import alter
from visionpipe.sandbox.exchange import Exchange
from visionpipe.sandbox.replies import Dialect, JsonReply, Reply, StreamReply

PIECE = 12
"""Characters of text an event."""


async def complete(exchange: Exchange) -> Reply:
    """``POST /chat/completions``, whole or streamed."""
    head, call, answer = await ask(exchange, Dialect.GLM)
    if call.parameters.stream:
        return StreamReply(tuple(events(head, call, answer)))
    return JsonReply(whole(head, call, answer))


async def ask(
    exchange: Exchange, dialect: Dialect, *, task: bool = False
) -> tuple[dict[str, Any], Call, Answer]:
    """Check one chat request, let it in, and have it answered; the head of its answer, itself, the answer.

    Args:
        exchange: the request.
        dialect: the forms of media and parameters that are taken.
        task: whether it is an asynchronous call.

    Raises:
        Refusal: whatever the service would refuse.
    """
    service = exchange.service
    call = read_call(read_object(exchange.body), service.models, dialect, service.options, task=task)
    exchange.note(call)
    request_id = call.parameters.request_id
    head = service.new_head(call.model, request_id)
    exchange.record.request_id = head["request_id"]
    if request_id is not None:
        service.request_ids.claim(exchange.record.key, request_id)
    await exchange.admit(call.model, call.parameters.stream, limited=True)
    answer = alter(await service.answerer.answer(call), exchange.planned.fault)
    return head, call, answer


def usage(call: Call, answer: Answer) -> dict[str, Any]:
    """Tokens, in both dialects' form."""
    return {
        "prompt_tokens": call.prompt_tokens,
        "completion_tokens": answer.tokens,
        "total_tokens": call.prompt_tokens + answer.tokens,
        "prompt_tokens_details": {"cached_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": answer.reasoning_tokens},
    }


def whole(head: Mapping[str, Any], call: Call, answer: Answer) -> dict[str, Any]:
    """The answer as one document."""
    content: Any = [{"type": "text", "text": answer.text}] if answer.as_parts else answer.text
    message: dict[str, Any] = {"role": "assistant", "content": content}
    if answer.reasoning:
        message["reasoning_content"] = answer.reasoning
    if answer.tool_calls:
        message["content"] = answer.text or None
        message["tool_calls"] = _indexed(answer)
    choice = {"index": 0, "finish_reason": answer.finish_reason, "message": message}
    document = {**head, "choices": [choice], "usage": usage(call, answer)}
    if answer.web_search:
        document["web_search"] = list(answer.web_search)
    return document


def events(head: Mapping[str, Any], call: Call, answer: Answer) -> Iterator[dict[str, Any]]:
    """The answer in pieces: thinking, text or a function call; the last has finish_reason and usage."""

    def event(delta: dict[str, Any], finish_reason: str | None = None) -> dict[str, Any]:
        choice = {"index": 0, "delta": {"role": "assistant", **delta}, "finish_reason": finish_reason}
        return {**head, "choices": [choice]}

    for piece in pieces(answer.reasoning):
        yield event({"reasoning_content": piece})
    for piece in pieces(answer.text):
        yield event({"content": piece})
    if answer.tool_calls:
        yield event({"tool_calls": _indexed(answer)})
    last = {**event({"content": ""}, answer.finish_reason), "usage": usage(call, answer)}
    if answer.web_search:
        last["web_search"] = list(answer.web_search)
    yield last


def _indexed(answer: Answer) -> list[dict[str, Any]]:
    return [{"index": index, **call} for index, call in enumerate(answer.tool_calls)]


def pieces(text: str) -> Iterator[str]:
    """A text in the portions of a stream."""
    for start in range(0, len(text), PIECE):
        yield text[start : start + PIECE]
