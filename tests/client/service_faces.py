"""Any call of either client, by name, so that a test of the services runs on both.

``call(setup, "tasks.wait", "id")`` makes a client, calls ``client.tasks.wait("id")`` and closes the client.
What is a stream is read to its end, and given as its pieces and its reply.
"""

from __future__ import annotations

import asyncio
import inspect
from functools import reduce
from typing import Any, Protocol

from tests.client.faces import _awaited
from visionpipe.client import AsyncClient, Client
from visionpipe.client._async.stream import AsyncEventStream
from visionpipe.client._sync.stream import EventStream


class Calling(Protocol):
    """Calls one method of a client; ``then`` names a method of what it gives, called with the client open."""

    def __call__(
        self, setup: dict[str, Any], method: str, *args: Any, then: str | None = None, **kwargs: Any
    ) -> Any: ...


def call_sync(setup: dict[str, Any], method: str, *args: Any, then: str | None = None, **kwargs: Any) -> Any:
    with Client(**setup) as client:
        result = _named(client, method)(*args, **kwargs)
        if isinstance(result, EventStream):
            with result:
                return list(result), result.reply
        return _named(result, then)() if then else result


def call_async(setup: dict[str, Any], method: str, *args: Any, then: str | None = None, **kwargs: Any) -> Any:
    async def finished(result: Any) -> Any:
        return await result if inspect.isawaitable(result) else result

    async def run() -> Any:
        async with AsyncClient(**_awaited(setup)) as client:
            result = await finished(_named(client, method)(*args, **kwargs))
            if isinstance(result, AsyncEventStream):
                async with result:
                    return [piece async for piece in result], result.reply
            return await finished(_named(result, then)()) if then else result

    return asyncio.run(run())


def _named(thing: Any, path: str) -> Any:
    return reduce(getattr, path.split("."), thing)
