"""Batches: made, asked for, listed, cancelled.

A batch goes validating, in_progress, finalizing, completed, one step a question (see store.py), and shows its
files at the end; a file that is no batch goes to failed, a cancelled batch through cancelling to cancelled.
Facts: docs.bigmodel.cn, batch guide and OpenAPI, 2026-04.
"""

from __future__ import annotations

from typing import Any

from visionpipe.sandbox import files
from visionpipe.sandbox.batch_work import ENDPOINT, finish, is_done, validate, work
from visionpipe.sandbox.call import read_object
from visionpipe.sandbox.exchange import Exchange
from visionpipe.sandbox.refusals import Refusal
from visionpipe.sandbox.replies import JsonReply, Reply
from visionpipe.sandbox.service import Service
from visionpipe.sandbox.store import page

KIND = "batch"
STATES = ("validating", "in_progress", "finalizing", "completed")
FINAL = frozenset({"completed", "failed", "expired", "cancelled"})
MOST_METADATA = 16


async def create(exchange: Exchange) -> Reply:
    """``POST /batches``: ``input_file_id`` and ``endpoint`` "/v4/chat/completions"."""
    service = exchange.service
    body = read_object(exchange.body)
    for name in ("input_file_id", "endpoint"):
        if body.get(name) is None:
            raise Refusal("1213", name)
    if body["endpoint"] != ENDPOINT:
        raise Refusal("1214", f"endpoint must be {ENDPOINT}")
    metadata = body.get("metadata")
    if metadata is not None and (not isinstance(metadata, dict) or len(metadata) > MOST_METADATA):
        raise Refusal("1214", f"metadata has at most {MOST_METADATA} keys")
    input_file = files.find(service, body["input_file_id"])
    if input_file["purpose"] != "batch":
        raise Refusal("1214", "the input file's purpose must be batch")
    await exchange.admit()
    problems, count = validate(service.store.content(input_file["id"]) or b"")
    now = int(service.clock())
    batch: dict[str, Any] = {
        "id": f"batch_{service.new_id()}",
        "created": service.clock(),
        "polls": 0,
        "done": False,
        "delete_input": body.get("auto_delete_input_file") is not False,
        "shown": {
            "object": "batch",
            "endpoint": ENDPOINT,
            "input_file_id": input_file["id"],
            "completion_window": body.get("completion_window") or "24h",
            "status": "validating",
            "output_file_id": None,
            "error_file_id": None,
            "created_at": now,
            "request_counts": {"total": count, "completed": 0, "failed": 0},
            "metadata": metadata,
        },
        "problems": problems,
    }
    service.store.put(KIND, batch)
    if not problems:
        service.start(work(service, batch["id"]), batch["id"])
    return JsonReply(_shown(batch))


async def retrieve(exchange: Exchange) -> Reply:
    """``GET /batches/{id}``."""
    await exchange.admit()
    batch = _find(exchange)
    _go_on(exchange.service, batch)
    return JsonReply(_shown(batch))


async def listed(exchange: Exchange) -> Reply:
    """``GET /batches``, the newest first."""
    await exchange.admit()
    return JsonReply(page(map(_shown, exchange.service.store.all(KIND)), exchange.query))


async def cancel(exchange: Exchange) -> Reply:
    """``POST /batches/{id}/cancel``; 1210 once it has ended."""
    await exchange.admit()
    batch = _find(exchange)
    if batch["shown"]["status"] in FINAL:
        raise Refusal("1210", f"the batch is {batch['shown']['status']}")
    _enter(exchange.service, batch, "cancelling")
    exchange.service.store.put(KIND, batch)
    exchange.service.stop(batch["id"])
    return JsonReply(_shown(batch))


def _go_on(service: Service, batch: dict[str, Any]) -> None:
    """Move a batch as many steps as are due; its work must be done before it is finalizing."""
    status = batch["shown"]["status"]
    if status in FINAL:
        return
    gone = service.store.ask(batch)
    if status == "cancelling":
        _enter(service, batch, "cancelled")
    elif batch["problems"]:
        if gone:
            _enter(service, batch, "failed")
            batch["shown"]["errors"] = {"object": "list", "data": batch["problems"]}
    else:
        done = is_done(service, batch["id"])
        if not done and not service.runs(batch["id"]):  # the server was stopped in the middle of it
            service.start(work(service, batch["id"]), batch["id"])
        state = STATES[min(gone, len(STATES) - 1 if done else 1)]
        if state != status:
            _enter(service, batch, state)
        if state == "completed":
            finish(service, batch)
    service.store.put(KIND, batch)


def _enter(service: Service, batch: dict[str, Any], state: str) -> None:
    batch["shown"]["status"] = state
    batch["shown"][f"{state}_at"] = int(service.clock())


def _find(exchange: Exchange) -> dict[str, Any]:
    batch = exchange.service.store.get(KIND, exchange.path_values["id"])
    if batch is None:
        raise Refusal("1214", "there is no batch with this id")
    return batch


def _shown(batch: dict[str, Any]) -> dict[str, Any]:
    return {"id": batch["id"], **batch["shown"]}
