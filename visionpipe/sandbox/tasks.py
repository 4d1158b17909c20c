"""Asynchronous chat: submitted once, asked for until it is done; it never expires (the platform's FAQ)."""

from __future__ import annotations

from visionpipe.sandbox.chat import ask, whole
from visionpipe.sandbox.exchange import Exchange
from visionpipe.sandbox.replies import Dialect, JsonReply, Refusal, Reply
from visionpipe.sandbox.scenario import TaskFault

KIND = "task"


async def submit(exchange: Exchange) -> Reply:
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
    service.store.put(KIND, task)
    return JsonReply({**_name(task["result"]), "task_status": "PROCESSING"})


async def result(exchange: Exchange) -> Reply:
    """``GET /async-result/{id}``: PROCESSING, then SUCCESS with the answer, or FAIL."""
    await exchange.admit()
    service = exchange.service
    task = service.store.get(KIND, exchange.path_values["id"])
    if task is None:
        raise Refusal("1233", exchange.path_values["id"])
    gone = service.store.ask(task)
    service.store.put(KIND, task)
    if gone < 1:
        return JsonReply({**_name(task["result"]), "task_status": "PROCESSING"})
    if task["failed"]:
        return JsonReply({**_name(task["result"]), "task_status": "FAIL"})
    return JsonReply({**task["result"], "task_status": "SUCCESS"})


def _name(head: dict[str, object]) -> dict[str, object]:
    return {name: head[name] for name in ("id", "request_id", "model")}
