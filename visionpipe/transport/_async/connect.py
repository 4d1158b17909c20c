"""The sender that belongs to an endpoint."""

from __future__ import annotations

from collections.abc import Sequence

from visionpipe.errors import ConfigurationError
from visionpipe.registry.records import EndpointRecord
from visionpipe.wire.http import AsyncByteStream, AsyncSender, HttpRequest, HttpResponse


def connect_async(
    endpoint: EndpointRecord,
    api_key: str | None,
    *,
    plan_only: bool = False,
    pool: Sequence[EndpointRecord] = (),
) -> AsyncSender:
    """A sender for ``endpoint``: the embedded engine for a local one, HTTP for every other; for all servers
    of a ``pool`` where there is one; with ``plan_only`` one that refuses to send."""
    if plan_only:
        return AsyncPlanOnlySender()
    if pool:
        return AsyncPoolSender([connect_async(each, api_key) for each in pool])
    if endpoint.local:
        from visionpipe.transport.embedded import AsyncEmbeddedSender

        return AsyncEmbeddedSender()
    from visionpipe.transport._async.http_sender import AsyncHttpSender
    from visionpipe.transport.auth import ApiKey

    auth = ApiKey(api_key, endpoint.key_header) if api_key else None
    return AsyncHttpSender(endpoint.base_url, auth=auth, headers=endpoint.headers)


class AsyncPoolSender:
    """Sends each request to its ``server``.

    Args:
        senders: one for each.
    """

    def __init__(self, senders: Sequence[AsyncSender]) -> None:
        self._senders = senders

    async def send(self, request: HttpRequest) -> HttpResponse:
        """As that server's sender."""
        return await self._senders[request.server].send(request)

    async def open(self, request: HttpRequest) -> AsyncByteStream:
        """As that server's sender."""
        return await self._senders[request.server].open(request)

    async def close(self) -> None:
        """Closes all."""
        for sender in self._senders:
            await sender.close()


class AsyncPlanOnlySender:
    """Holds a client to planning: whatever is sent is an error."""

    async def send(self, request: HttpRequest) -> HttpResponse:
        """Raises ConfigurationError."""
        raise _refused()

    async def open(self, request: HttpRequest) -> AsyncByteStream:
        """Raises ConfigurationError."""
        raise _refused()

    async def close(self) -> None:
        """Nothing to give back."""


def _refused() -> ConfigurationError:
    return ConfigurationError("this client only plans", cure="Make one without plan_only.", subject="client")
