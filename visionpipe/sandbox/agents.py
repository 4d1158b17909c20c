"""Agents: asked through an address of their own; some answer later, under an ``async_id``.

Facts: docs.bigmodel.cn, agent API OpenAPI, 2026-04: ``image_url`` is a plain string in an agent's message, a
choice holds ``messages``, and the states are other words than a chat task's. The sandbox takes any agent id.
"""

from __future__ import annotations

from typing import Any

from visionpipe.sandbox.answers import ChatAnswer
from visionpipe.sandbox.call import Call, read_call, read_object
from visionpipe.sandbox.chat import pieces, usage
from visionpipe.sandbox.connection import Exchange
from visionpipe.sandbox.delivery import alter
from visionpipe.sandbox.replies import Dialect, JsonReply, Refusal, Reply, StreamReply
from visionpipe.sandbox.scenario import TaskFault

KIND = "agent_task"


async def invoke(exchange: Exchange) -> Reply:
    """``POST /api/v1/agents``, whole, streamed, or submitted."""
    service = exchange.service
    body = read_object(exchange.body)
    agent = body.get("agent_id")
    if agent is None:
        raise Refusal("1213", "agent_id")
    if not isinstance(agent, str) or not agent:
        raise Refusal("1214", "agent_id must be text")
    call = read_call(_as_chat(body, service.models.default), service.models, Dialect.GLM, service.options)
    exchange.note(call)
    exchange.record.model = agent
    await exchange.admit(agent, call.parameters.stream, limited=True)
    answer = alter(await service.answerer.answer(call), exchange.planned.fault)
    given = body.get("conversation_id")
    head = {
        "id": service.new_id(),
        "agent_id": agent,
        "conversation_id": given if isinstance(given, str) else f"conv_{service.new_id()}",
    }
    document = _whole(head, call, answer)
    if agent in service.options.async_agents:
        task = {
            "id": f"async_{service.new_id()}",
            "created": service.clock(),
            "polls": 0,
            "failed": isinstance(exchange.planned.fault, TaskFault),
            "result": document,
        }
        service.store.put(KIND, task)
        return JsonReply({"agent_id": agent, "async_id": task["id"], "status": "pending"})
    if call.parameters.stream:
        return StreamReply(tuple(_events(head, call, answer)))
    return JsonReply(document)


async def result(exchange: Exchange) -> Reply:
    """``POST .../agents/async-result``: ``agent_id`` and ``async_id``; pending, then success or failed."""
    body = read_object(exchange.body)
    identity = body.get("async_id")
    if identity is None:
        raise Refusal("1213", "async_id")
    await exchange.admit()
    service = exchange.service
    task = service.store.get(KIND, identity) if isinstance(identity, str) else None
    if task is None or task["result"]["agent_id"] != body.get("agent_id"):
        raise Refusal("1214", "there is no such task of this agent")
    gone = service.store.ask(task)
    service.store.put(KIND, task)
    named = {"agent_id": task["result"]["agent_id"], "async_id": identity}
    if gone < 1:
        return JsonReply({**named, "status": "pending"})
    if task["failed"]:
        error = {"code": "1234", "message": "the agent failed"}
        return JsonReply({**named, "status": "failed", "error": error})
    return JsonReply({**task["result"], **named, "status": "success"})


def _as_chat(body: dict[str, Any], model: str) -> dict[str, Any]:
    """The agent's body as a chat request to the default model, so that the same checks hold."""
    messages = body.get("messages")
    if isinstance(messages, list):
        messages = [_message(message) for message in messages]
    return {"model": model, "messages": messages, "stream": body.get("stream")}


def _message(message: Any) -> Any:
    content = message.get("content") if isinstance(message, dict) else None
    if isinstance(content, dict):
        content = [content]
    if not isinstance(content, list):
        return message
    return {**message, "content": [_part(part) for part in content]}


def _part(part: Any) -> Any:
    if isinstance(part, dict) and isinstance(part.get("image_url"), str):
        return {**part, "image_url": {"url": part["image_url"]}}
    return part


def _whole(head: dict[str, Any], call: Call, answer: ChatAnswer) -> dict[str, Any]:
    message = {"role": "assistant", "content": {"type": "text", "text": answer.text}}
    choice = {"index": 0, "messages": [message], "finish_reason": answer.finish_reason}
    return {**head, "choices": [choice], "usage": _usage(call, answer)}


def _events(head: dict[str, Any], call: Call, answer: ChatAnswer) -> list[dict[str, Any]]:
    def event(text: str, finish_reason: str | None) -> dict[str, Any]:
        delta = {"role": "assistant", "content": {"type": "text", "text": text}}
        return {**head, "choices": [{"index": 0, "delta": delta, "finish_reason": finish_reason}]}

    parts = [event(piece, None) for piece in pieces(answer.text)]
    return [*parts, {**event("", answer.finish_reason), "usage": _usage(call, answer)}]


def _usage(call: Call, answer: ChatAnswer) -> dict[str, Any]:
    counted = usage(call, answer)
    return {name: counted[name] for name in ("prompt_tokens", "completion_tokens", "total_tokens")}
