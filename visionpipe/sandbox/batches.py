"""Batches: made, worked through line by line, asked for, listed, cancelled.

A bad line never stops the others; it goes to the error file under its own custom_id.

A batch goes validating, in_progress, finalizing, completed, one step a question (see store.py), and shows its
files at the end; a file that is no batch goes to failed, a cancelled batch through cancelling to cancelled.
Facts: docs.bigmodel.cn, batch guide and OpenAPI, 2026-04.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import orjson

from visionpipe.registry.records import BATCH_LINES, BATCH_METADATA
from visionpipe.sandbox import files
from visionpipe.sandbox.call import read_call, read_object
from visionpipe.sandbox.chat import whole
from visionpipe.sandbox.connection import Exchange
from visionpipe.sandbox.delivery import alter
from visionpipe.sandbox.replies import Dialect, JsonReply, Refusal, Reply, error_body
from visionpipe.sandbox.scenario import ErrorFault
from visionpipe.sandbox.service import Service
from visionpipe.sandbox.store import page

ENDPOINT = "/v4/chat/completions"
RESULT = "batch_result"
LEAST_ID = 6
"""Characters of a custom_id; docs.bigmodel.cn, batch FAQ, 2026-11."""


def _lines(data: bytes) -> Iterator[tuple[int, bytes]]:
    return ((number, line) for number, line in enumerate(data.splitlines(), 1) if line.strip())


def validate(data: bytes) -> tuple[list[dict[str, Any]], int]:
    """What makes a whole file unusable, and its number of lines: no JSON, a missing or repeated custom_id,
    another method or address, two models, too many lines or none."""
    problems: list[dict[str, Any]] = []
    seen: set[str] = set()
    models: set[str] = set()
    count = 0
    for number, line in _lines(data):
        count += 1
        reason = _problem(line, seen, models)
        if reason:
            problems.append({"code": "1210", "line": number, "message": reason, "param": None})
    if not count or count > BATCH_LINES:
        reason = f"the file has {count} lines; 1 to {BATCH_LINES} are taken"
        problems.append({"code": "1210", "line": None, "message": reason, "param": None})
    if len(models) > 1:
        reason = f"one file asks one model, not {', '.join(sorted(models))}"
        problems.append({"code": "1210", "line": None, "message": reason, "param": "model"})
    return problems[:100], count


def _problem(line: bytes, seen: set[str], models: set[str]) -> str | None:
    try:
        entry = orjson.loads(line)
    except orjson.JSONDecodeError:
        return "the line is not JSON"
    if not isinstance(entry, dict) or not isinstance(entry.get("body"), dict):
        return "the line is no object with a body"
    custom_id = entry.get("custom_id")
    if not isinstance(custom_id, str) or len(custom_id) < LEAST_ID or custom_id in seen:
        return f"custom_id is missing, has fewer than {LEAST_ID} characters or stands twice"
    seen.add(custom_id)
    if isinstance(entry["body"].get("model"), str):
        models.add(entry["body"]["model"])
    if entry.get("method") != "POST" or entry.get("url") != ENDPOINT:
        return f"method must be POST and url {ENDPOINT}"
    return None


async def work(service: Service, identity: str) -> None:
    """Answer all lines of a stored batch and keep the outcome apart until the batch is completed."""
    batch = service.store.get("batch", identity)
    assert batch is not None, "a batch is stored before its work begins"
    data = service.store.content(batch["shown"]["input_file_id"]) or b""
    outputs: list[bytes] = []
    errors: list[bytes] = []
    for _, line in _lines(data):
        entry = orjson.loads(line)
        status, body = await _answer(service, entry["body"])
        response = {"status_code": status, "body": body}
        row = {"response": response, "custom_id": entry["custom_id"], "id": identity}
        (outputs if status == 200 else errors).append(orjson.dumps(row))
        await asyncio.sleep(0)  # other requests come between the lines
    service.store.put_content(f"{identity}/output", b"\n".join(outputs))
    service.store.put_content(f"{identity}/error", b"\n".join(errors))
    service.store.put(RESULT, {"id": identity, "completed": len(outputs), "failed": len(errors)})


async def _answer(service: Service, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
    try:
        call = read_call(body, service.models, Dialect.GLM, service.options)
        planned = service.fault_plan.next(ENDPOINT, call.model, False)
        if isinstance(planned.fault, ErrorFault):
            raise Refusal(planned.fault.code, planned.fault.message, status=planned.fault.status)
        answer = alter(await service.answerer.answer(call), planned.fault)
    except Refusal as refusal:
        return refusal.status, error_body(refusal, Dialect.GLM)
    return 200, whole(service.new_head(call.model, call.parameters.request_id), call, answer)


def is_done(service: Service, identity: str) -> bool:
    """Whether all lines are answered."""
    return service.store.get(RESULT, identity) is not None


def finish(service: Service, batch: dict[str, Any]) -> None:
    """Give a completed batch its counts and files, and delete its input where that was asked for."""
    identity, shown = batch["id"], batch["shown"]
    outcome = service.store.get(RESULT, identity) or {}
    shown["request_counts"]["completed"] = outcome["completed"]
    shown["request_counts"]["failed"] = outcome["failed"]
    for name in ("output", "error"):
        data = service.store.content(f"{identity}/{name}")
        if data:
            record = files.add(service, f"{identity}_{name}.jsonl", "batch", data)
            shown[f"{name}_file_id"] = record["id"]
        service.store.delete_content(f"{identity}/{name}")
    if batch["delete_input"]:
        files.remove(service, shown["input_file_id"])


KIND = "batch"
STATES = ("validating", "in_progress", "finalizing", "completed")
FINAL = frozenset({"completed", "failed", "expired", "cancelled"})


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
    if metadata is not None and (not isinstance(metadata, dict) or len(metadata) > BATCH_METADATA):
        raise Refusal("1214", f"metadata has at most {BATCH_METADATA} keys")
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
