"""Each endpoint has its sender, and a client that only plans has one that sends nothing."""

from __future__ import annotations

import asyncio

import orjson
import pytest

from tests.loopback import Loopback
from visionpipe.errors import ConfigurationError
from visionpipe.registry.lookup import Registry
from visionpipe.transport._async.connect import connect_async
from visionpipe.transport._sync.connect import connect
from visionpipe.wire.http import HttpRequest, HttpResponse

REGISTRY = Registry.load()
MODELS = HttpRequest("GET", "/models")
CHAT = HttpRequest("POST", "/chat/completions")


def awaited(url: str, key: str | None, request: HttpRequest) -> HttpResponse:
    async def main() -> HttpResponse:
        sender = connect_async(REGISTRY.endpoint(url), key)
        try:
            return await sender.send(request)
        finally:
            await sender.close()

    return asyncio.run(main())


@pytest.mark.parametrize("key", ["a-key", None])
def test_a_service_is_reached_over_http_with_its_key(loopback: Loopback, key: str | None) -> None:
    sender = connect(REGISTRY.endpoint(loopback.url), key)
    answers = [sender.send(MODELS), awaited(loopback.url, key, MODELS)]
    sender.close()
    assert [answer.status for answer in answers] == [200, 200]
    carried = [seen.headers.get("authorization") for seen in loopback.requests]
    assert carried == [f"Bearer {key}" if key else None] * 2


def test_the_embedded_engine_is_asked_in_this_process() -> None:
    sender = connect(REGISTRY.endpoint("embedded"), None)
    answers = [sender.send(CHAT), awaited("embedded", None, CHAT)]
    sender.close()
    # An empty question is refused, by the engine itself.
    assert [answer.status for answer in answers] == [400, 400]
    assert all("error" in orjson.loads(answer.body) for answer in answers)


@pytest.mark.parametrize("name", ["embedded", "bigmodel"])
def test_planning_sends_nothing(name: str) -> None:
    endpoint = REGISTRY.endpoint(name)
    sender = connect(endpoint, "id.secret", plan_only=True)
    for attempt in (sender.send, sender.open):
        with pytest.raises(ConfigurationError, match="only plans"):
            attempt(CHAT)
    sender.close()

    async def main() -> None:
        waiting = connect_async(endpoint, "id.secret", plan_only=True)
        for attempt in (waiting.send, waiting.open):
            with pytest.raises(ConfigurationError, match="only plans"):
                await attempt(CHAT)
        await waiting.close()

    asyncio.run(main())
