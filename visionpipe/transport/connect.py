"""The sender that belongs to an endpoint."""

from __future__ import annotations

from visionpipe.errors import ConfigurationError
from visionpipe.registry.records import EndpointRecord
from visionpipe.transport.sender import AsyncByteStream, AsyncSender, ByteStream, Sender
from visionpipe.wire.http import HttpRequest, HttpResponse


def connect(endpoint: EndpointRecord, api_key: str | None, *, plan_only: bool = False) -> Sender:
    """A sender for ``endpoint``: the embedded engine for a local one, HTTP for every other; with
    ``plan_only`` one that refuses to send."""
    if plan_only:
        return PlanOnlySender()
    if endpoint.local:
        from visionpipe.transport.embedded import EmbeddedSender

        return EmbeddedSender()
    from visionpipe.transport.auth import ApiKey
    from visionpipe.transport.httpx_sync import HttpSender

    auth = ApiKey(api_key) if api_key else None
    return HttpSender(endpoint.base_url, auth=auth, headers=endpoint.headers)


def connect_async(endpoint: EndpointRecord, api_key: str | None, *, plan_only: bool = False) -> AsyncSender:
    """As :func:`connect`, for asyncio."""
    if plan_only:
        return AsyncPlanOnlySender()
    if endpoint.local:
        from visionpipe.transport.embedded import AsyncEmbeddedSender

        return AsyncEmbeddedSender()
    from visionpipe.transport.auth import ApiKey
    from visionpipe.transport.httpx_async import AsyncHttpSender

    auth = ApiKey(api_key) if api_key else None
    return AsyncHttpSender(endpoint.base_url, auth=auth, headers=endpoint.headers)


class PlanOnlySender:
    """Holds a client to planning: whatever is sent is an error."""

    def send(self, request: HttpRequest) -> HttpResponse:
        raise _refused()

    def open(self, request: HttpRequest) -> ByteStream:
        raise _refused()

    def close(self) -> None:
        """Nothing to give back."""


class AsyncPlanOnlySender:
    """As :class:`PlanOnlySender`, awaited."""

    async def send(self, request: HttpRequest) -> HttpResponse:
        raise _refused()

    async def open(self, request: HttpRequest) -> AsyncByteStream:
        raise _refused()

    async def close(self) -> None:
        """Nothing to give back."""


def _refused() -> ConfigurationError:
    return ConfigurationError("this client only plans", cure="Make one without plan_only.", subject="client")
