"""Batch jobs against a sandbox, and the ways in which their process may end."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

from visionpipe.client import Client
from visionpipe.pipeline.job_setup import BatchOptions, Prompt
from visionpipe.pipeline.pipeline import Pipeline
from visionpipe.results import ItemResult
from visionpipe.testing.images import image_bytes
from visionpipe.testing.sandbox import SandboxHandle
from visionpipe.transport._sync.http_sender import HttpSender
from visionpipe.transport.auth import ApiKey
from visionpipe.wire.http import ByteStream, HttpRequest, HttpResponse

MODEL = "glm-4v-plus-0111"


def album(folder: Path, count: int) -> Path:
    folder.mkdir()
    for number in range(count):
        name = f"{number:04}.png"
        (folder / name).write_bytes(image_bytes("png", 8 + number % 40, 8 + number // 40))
    return folder


def client_for(service: SandboxHandle, **more: Any) -> Client:
    more.setdefault("sleep", lambda seconds: None)
    return Client(MODEL, base_url=f"bigmodel+{service.base_url}", api_key=service.key, **more)


OF_BATCHES = {field.name for field in fields(BatchOptions)}


def job(client: Client, tmp_path: Path, prompt: Prompt = "What is it?", **more: Any) -> Pipeline:
    """A job through batch files; ``more`` are arguments of the pipeline and of its BatchOptions."""
    batch = {"sleep": lambda seconds: None, **{name: more.pop(name) for name in OF_BATCHES & set(more)}}
    more.setdefault("journal", tmp_path / "job.journal")
    return Pipeline(prompt, client=client, via="batch", batch=BatchOptions(**batch), **more)


def ends(results: list[ItemResult]) -> dict[str, str]:
    assert len({result.source for result in results}) == len(results), "an item came out twice"
    return {result.source: str(result.outcome) for result in results}


def lines_at(service: SandboxHandle) -> list[int]:
    """How many lines each batch at the service has."""
    with client_for(service) as client:
        return [batch.total or 0 for batch in client.batches.list(limit=100).items]


class Killed(BaseException):
    """The end of a process, as far as one can have it without ending it."""


class Mortal:
    """A sender that dies at its n-th request, before it goes out or after it was answered."""

    def __init__(self, service: SandboxHandle, dies_at: int, answered: bool) -> None:
        self._inner = HttpSender(service.base_url, auth=ApiKey(service.key))
        self._left = dies_at
        self._answered = answered

    def send(self, request: HttpRequest) -> HttpResponse:
        self._die(before=True)
        response = self._inner.send(request)
        self._die(before=False)
        return response

    def open(self, request: HttpRequest) -> ByteStream:
        self._die(before=True)
        stream = self._inner.open(request)
        if not self._left and self._answered:
            stream.close()
        self._die(before=False)
        return stream

    def close(self) -> None:
        self._inner.close()

    def _die(self, *, before: bool) -> None:
        if before:
            self._left -= 1
        if self._left == 0 and before is not self._answered:
            raise Killed
