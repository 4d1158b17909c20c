"""Chat as the wire has it: whole, as the events of a stream, as a task, in OpenAI's form, and only counted.

Whatever way a request comes, it goes through ``ask``, so the same checks, limits and faults hold for all. A
task never expires (the platform's FAQ). OpenAI's form differs so: images come as data URIs (call.py), errors
have a type, an answer names its ``object`` and no ``request_id``, and a stream's usage stands in an event of
its own with empty choices, only where ``stream_options`` asks for it. Models that are not in the tokenizer's
enum: 1212.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from visionpipe.sandbox.answers import ChatAnswer
from visionpipe.sandbox.call import Call, read_call, read_object
from visionpipe.sandbox.connection import Exchange
from visionpipe.sandbox.delivery import alter
from visionpipe.sandbox.received import media_tokens
from visionpipe.sandbox.replies import Dialect, JsonReply, Refusal, Reply, StreamReply
from visionpipe.sandbox.scenario import TaskFault

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
) -> tuple[dict[str, Any], Call, ChatAnswer]:
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


def usage(call: Call, answer: ChatAnswer) -> dict[str, Any]:
    """Tokens, in both dialects' form."""
    return {
        "prompt_tokens": call.prompt_tokens,
        "completion_tokens": answer.tokens,
        "total_tokens": call.prompt_tokens + answer.tokens,
        "prompt_tokens_details": {"cached_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": answer.reasoning_tokens},
    }


def whole(head: Mapping[str, Any], call: Call, answer: ChatAnswer) -> dict[str, Any]:
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


def events(head: Mapping[str, Any], call: Call, answer: ChatAnswer) -> Iterator[dict[str, Any]]:
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


def _indexed(answer: ChatAnswer) -> list[dict[str, Any]]:
    return [{"index": index, **call} for index, call in enumerate(answer.tool_calls)]


def pieces(text: str) -> Iterator[str]:
    """A text in the portions of a stream."""
    for start in range(0, len(text), PIECE):
        yield text[start : start + PIECE]


TASK_KIND = "task"


async def submit_task(exchange: Exchange) -> Reply:
    """``POST /async/chat/completions``. Models without asynchronous calls: 1212."""
    service = exchange.service
    head, call, answer = await ask(exchange, Dialect.GLM, task=True)
    task = {
        "id": head["id"],
        "created": service.clock(),
        "polls": 0,
        "failed": isinstance(exchange.planned.fault, TaskFault),
        "result": whole(head, call, answer),
    }
    service.store.put(TASK_KIND, task)
    return JsonReply({**_named_task(task["result"]), "task_status": "PROCESSING"})


async def task_result(exchange: Exchange) -> Reply:
    """``GET /async-result/{id}``: PROCESSING, then SUCCESS with the answer, or FAIL."""
    await exchange.admit()
    service = exchange.service
    task = service.store.get(TASK_KIND, exchange.path_values["id"])
    if task is None:
        raise Refusal("1233", exchange.path_values["id"])
    gone = service.store.ask(task)
    service.store.put(TASK_KIND, task)
    if gone < 1:
        return JsonReply({**_named_task(task["result"]), "task_status": "PROCESSING"})
    if task["failed"]:
        return JsonReply({**_named_task(task["result"]), "task_status": "FAIL"})
    return JsonReply({**task["result"], "task_status": "SUCCESS"})


def _named_task(head: dict[str, object]) -> dict[str, object]:
    return {name: head[name] for name in ("id", "request_id", "model")}


async def complete_as_openai(exchange: Exchange) -> Reply:
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


async def count_tokens(exchange: Exchange) -> Reply:
    """``POST /tokenizer``: ``usage`` with prompt_tokens, image_tokens, video_tokens, total_tokens."""
    service = exchange.service
    call = read_call(read_object(exchange.body), service.models, Dialect.GLM, service.options)
    if not call.record.counts_tokens and call.record.state != "generic":
        raise Refusal("1212", "the tokenizer does not know this model")
    exchange.note(call)
    await exchange.admit(call.model)
    images, videos = media_tokens(call.conversation.media, call.record)
    head = service.new_head(call.model, call.parameters.request_id)
    counts = {
        "prompt_tokens": call.conversation.text_tokens,
        "image_tokens": images,
        "video_tokens": videos,
        "total_tokens": call.prompt_tokens,
    }
    return JsonReply({name: head[name] for name in ("id", "created", "request_id")} | {"usage": counts})
