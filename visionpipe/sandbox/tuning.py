"""Fine-tuning jobs: made from a training file, queued, running, succeeded; then the new model exists.

By application only, and a tuned model cannot be downloaded (the platform's FAQ); the calls are those of the
official SDK zhipuai 2.1.5. A tuned model is held to its base model's limits.
"""

from __future__ import annotations

from typing import Any

from visionpipe.sandbox import files
from visionpipe.sandbox.call import read_object
from visionpipe.sandbox.connection import Exchange
from visionpipe.sandbox.replies import JsonReply, Refusal, Reply
from visionpipe.sandbox.service import Service
from visionpipe.sandbox.store import page

KIND = "tuning"
STATES = ("queued", "running", "succeeded")


async def create(exchange: Exchange) -> Reply:
    """``POST /fine_tuning/jobs``: ``model`` and ``training_file``."""
    service = exchange.service
    body = read_object(exchange.body)
    for name in ("model", "training_file"):
        if body.get(name) is None:
            raise Refusal("1213", name)
    if not isinstance(body["model"], str):
        raise Refusal("1214", "model must be text")
    suffix = body.get("suffix")
    if suffix is not None and not isinstance(suffix, str):
        raise Refusal("1214", "suffix must be text")
    service.models.find(body["model"])
    training_file = files.find(service, body["training_file"])
    if training_file["purpose"] != "fine-tune":
        raise Refusal("1214", "the training file's purpose must be fine-tune")
    await exchange.admit()
    job = {
        "id": f"ftjob-{service.new_id()}",
        "created": service.clock(),
        "polls": 0,
        "suffix": suffix or "tuned",
        "shown": {
            "object": "fine_tuning.job",
            "model": body["model"],
            "training_file": training_file["id"],
            "validation_file": body.get("validation_file"),
            "hyperparameters": body.get("hyperparameters") or {},
            "request_id": body.get("request_id") or service.new_id(),
            "status": "queued",
            "fine_tuned_model": None,
            "created_at": int(service.clock()),
            "finished_at": None,
            "result_files": [],
            "trained_tokens": None,
            "error": None,
        },
        "events": [_event(service, "queued")],
    }
    service.store.put(KIND, job)
    return JsonReply(_shown(job))


async def retrieve(exchange: Exchange) -> Reply:
    """``GET /fine_tuning/jobs/{id}``."""
    await exchange.admit()
    job = _find(exchange)
    _go_on(exchange.service, job)
    return JsonReply(_shown(job))


async def listed(exchange: Exchange) -> Reply:
    """``GET /fine_tuning/jobs``, the newest first."""
    await exchange.admit()
    return JsonReply(page(map(_shown, exchange.service.store.all(KIND)), exchange.query))


async def events(exchange: Exchange) -> Reply:
    """``GET /fine_tuning/jobs/{id}/events``, the newest first."""
    await exchange.admit()
    return JsonReply(page(reversed(_find(exchange)["events"]), exchange.query))


async def cancel(exchange: Exchange) -> Reply:
    """``POST /fine_tuning/jobs/{id}/cancel``."""
    await exchange.admit()
    job = _find(exchange)
    if job["shown"]["status"] not in STATES[:2]:
        raise Refusal("1210", f"the job is {job['shown']['status']}")
    _enter(exchange.service, job, "cancelled")
    exchange.service.store.put(KIND, job)
    return JsonReply(_shown(job))


async def delete(exchange: Exchange) -> Reply:
    """``DELETE /fine_tuning/jobs/{id}``."""
    await exchange.admit()
    job = _find(exchange)
    exchange.service.store.delete(KIND, job["id"])
    return JsonReply({"id": job["id"], "object": "fine_tuning.job", "deleted": True})


def restore(service: Service) -> None:
    """Let the models of finished jobs exist again after a restart."""
    for job in service.store.all(KIND):
        if job["shown"]["fine_tuned_model"]:
            service.models.add_tuned(job["shown"]["fine_tuned_model"], job["shown"]["model"])


def _go_on(service: Service, job: dict[str, Any]) -> None:
    shown = job["shown"]
    if shown["status"] not in STATES[:2]:
        return
    state = STATES[min(service.store.ask(job), len(STATES) - 1)]
    if state != shown["status"]:
        _enter(service, job, state)
    if state == "succeeded":
        shown["finished_at"] = int(service.clock())
        shown["fine_tuned_model"] = f"{shown['model']}:{job['suffix']}:{job['id']}"
        service.models.add_tuned(shown["fine_tuned_model"], shown["model"])
    service.store.put(KIND, job)


def _enter(service: Service, job: dict[str, Any], state: str) -> None:
    job["shown"]["status"] = state
    job["events"].append(_event(service, state))


def _event(service: Service, state: str) -> dict[str, Any]:
    return {
        "object": "fine_tuning.job.event",
        "id": f"ftevent-{service.new_id()}",
        "type": "message",
        "created_at": int(service.clock()),
        "level": "info",
        "message": f"The job is {state}.",
    }


def _find(exchange: Exchange) -> dict[str, Any]:
    job = exchange.service.store.get(KIND, exchange.path_values["id"])
    if job is None:
        raise Refusal("1214", "there is no job with this id")
    return job


def _shown(job: dict[str, Any]) -> dict[str, Any]:
    return {"id": job["id"], **job["shown"]}
