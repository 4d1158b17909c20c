"""Both clients behind one plain face, so that every test runs on each of them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Protocol

import orjson

from tests.loopback import Answer, Loopback
from visionpipe.client import AsyncClient, Client
from visionpipe.reply import Reply

KEY = "0123456789abcdef.s3cr3tS3cr3t"


class Face(Protocol):
    """What a test does with a client: one with the given setup, used and closed."""

    def ask(self, prompt: str, *images: Any, setup: dict[str, Any], **options: Any) -> Reply: ...
    def describe(self, *images: Any, setup: dict[str, Any], **options: Any) -> Reply: ...
    def stream(
        self, prompt: str, *images: Any, setup: dict[str, Any], **options: Any
    ) -> tuple[list[str], Reply]: ...


class SyncFace:
    def ask(self, prompt: str, *images: Any, setup: dict[str, Any], **options: Any) -> Reply:
        with Client(**setup) as client:
            return client.ask(prompt, *images, **options)

    def describe(self, *images: Any, setup: dict[str, Any], **options: Any) -> Reply:
        with Client(**setup) as client:
            return client.describe(*images, **options)

    def stream(
        self, prompt: str, *images: Any, setup: dict[str, Any], **options: Any
    ) -> tuple[list[str], Reply]:
        with Client(**setup) as client, client.stream(prompt, *images, **options) as stream:
            pieces = list(stream)
            return pieces, stream.reply


class AsyncFace:
    def ask(self, prompt: str, *images: Any, setup: dict[str, Any], **options: Any) -> Reply:
        async def run() -> Reply:
            async with AsyncClient(**_awaited(setup)) as client:
                return await client.ask(prompt, *images, **options)

        return asyncio.run(run())

    def describe(self, *images: Any, setup: dict[str, Any], **options: Any) -> Reply:
        async def run() -> Reply:
            async with AsyncClient(**_awaited(setup)) as client:
                return await client.describe(*images, **options)

        return asyncio.run(run())

    def stream(
        self, prompt: str, *images: Any, setup: dict[str, Any], **options: Any
    ) -> tuple[list[str], Reply]:
        async def run() -> tuple[list[str], Reply]:
            async with (
                AsyncClient(**_awaited(setup)) as client,
                await client.stream(prompt, *images, **options) as stream,
            ):
                pieces = [piece async for piece in stream]
                return pieces, stream.reply

        return asyncio.run(run())


def _awaited(setup: dict[str, Any]) -> dict[str, Any]:
    sleep: Callable[[float], None] | None = setup.get("sleep")
    if sleep is None:
        return setup

    async def slept(seconds: float) -> None:
        sleep(seconds)

    return {**setup, "sleep": slept}


class Clock:
    """Time that passes only by sleeping."""

    def __init__(self) -> None:
        self.now = 0.0
        self.sleeps: list[float] = []

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.sleeps.append(seconds)
        self.now += seconds


def setup_for(loopback: Loopback, clock: Clock | None = None, **more: Any) -> dict[str, Any]:
    """Arguments for a client of a BigModel-speaking server on loopback."""
    clock = clock or Clock()
    return {
        "base_url": f"bigmodel+{loopback.url}",
        "api_key": KEY,
        "clock": clock,
        "sleep": clock.sleep,
        **more,
    }


def chat(text: str, **more: Any) -> Answer:
    """A whole answer."""
    message = {"role": "assistant", "content": text}
    usage = {"prompt_tokens": 1037, "completion_tokens": 37, "total_tokens": 1074}
    return Answer(
        body=orjson.dumps(
            {
                "id": "8239375684858666781",
                "created": 1703487403,
                "model": "glm-4v-plus-0111",
                "choices": [{"finish_reason": "stop", "index": 0, "message": message}],
                "usage": usage,
                **more,
            }
        )
    )


def refusal(status: int, code: str, **headers: str) -> Answer:
    body = orjson.dumps({"error": {"code": code, "message": "不行"}})
    return Answer(status, body, {name.replace("_", "-"): value for name, value in headers.items()})


def event_stream(*texts: str, done: bool = True) -> Answer:
    """A streamed answer, a chunk a text."""
    chunks = [
        b"data: " + orjson.dumps({"model": "m", "choices": [{"index": 0, "delta": {"content": t}}]}) + b"\n\n"
        for t in texts
    ]
    if done:
        last = {
            "choices": [{"index": 0, "finish_reason": "stop", "delta": {"content": ""}}],
            "usage": {"prompt_tokens": 8, "completion_tokens": 2, "total_tokens": 10},
        }
        chunks += [b"data: " + orjson.dumps(last) + b"\n\n", b"data: [DONE]\n\n"]
    return Answer(body=chunks, headers={"Content-Type": "text/event-stream"})
