"""The sender that belongs to an endpoint."""

from __future__ import annotations

from visionpipe.registry.records import EndpointRecord
from visionpipe.transport.sender import AsyncSender, Sender


def connect(endpoint: EndpointRecord, api_key: str | None) -> Sender:
    """A sender for ``endpoint``: the embedded engine for a local one, HTTP for every other."""
    if endpoint.local:
        from visionpipe.transport.embedded import EmbeddedSender

        return EmbeddedSender()
    from visionpipe.transport.auth import ApiKey
    from visionpipe.transport.httpx_sync import HttpSender

    auth = ApiKey(api_key) if api_key else None
    return HttpSender(endpoint.base_url, auth=auth, headers=endpoint.headers)


def connect_async(endpoint: EndpointRecord, api_key: str | None) -> AsyncSender:
    """As :func:`connect`, for asyncio."""
    if endpoint.local:
        from visionpipe.transport.embedded import AsyncEmbeddedSender

        return AsyncEmbeddedSender()
    from visionpipe.transport.auth import ApiKey
    from visionpipe.transport.httpx_async import AsyncHttpSender

    auth = ApiKey(api_key) if api_key else None
    return AsyncHttpSender(endpoint.base_url, auth=auth, headers=endpoint.headers)
