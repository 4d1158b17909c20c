"""The asyncio client that asks as a blocking one does, for a job that asks about many items on one loop."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

from visionpipe.client._async.calls import AsyncCalls
from visionpipe.client._async.client import AsyncClient
from visionpipe.client._sync.client import Client
from visionpipe.transport._async.connect import connect_async


def asyncio_twin(client: Client) -> AsyncClient | None:
    """A client with the settings, the health of servers and the callbacks of ``client``, and connections of
    its own; without its cache of answers. To be closed by who asked for it.

    Returns:
        None where ``client`` sends in a way that its maker gave it, is of a class of its own, or answers
        through the embedded engine, which computes and does not wait.
    """
    if type(client) is not Client or not client._connects or client.settings.endpoint.local:
        return None
    settings, calls = client.settings, client._calls
    twin = AsyncClient.__new__(AsyncClient)
    twin.settings, twin.servers, twin.defaults = settings, client.servers, client.defaults
    twin._connects = True
    twin._preparer = client._preparer
    twin._cache, twin._own_cache = None, False
    twin._sender = connect_async(settings.endpoint, settings.api_key, pool=settings.pool)
    twin._calls = AsyncCalls(
        settings,
        twin._sender,
        _sleep_as(calls.sleep),
        calls.policy,
        calls.timeouts,
        calls.clock,
        calls.request_id,
        calls.forms,
        calls.on_attempt,
        calls.servers,
    )
    return twin


def _sleep_as(sleep: Callable[[float], None]) -> Callable[[float], Awaitable[None]]:
    if sleep is time.sleep:
        return asyncio.sleep

    async def in_thread(seconds: float) -> None:
        await asyncio.to_thread(sleep, seconds)

    return in_thread
