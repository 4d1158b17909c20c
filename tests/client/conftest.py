"""Each test that takes ``face`` runs on the synchronous and on the asyncio client."""

from __future__ import annotations

import pytest

from tests.client.faces import AsyncFace, Face, SyncFace
from tests.client.service_faces import Calling, call_async, call_sync


@pytest.fixture(params=[SyncFace, AsyncFace], ids=["sync", "async"])
def face(request: pytest.FixtureRequest) -> Face:
    found: Face = request.param()
    return found


@pytest.fixture(params=[call_sync, call_async], ids=["sync", "async"])
def call(request: pytest.FixtureRequest) -> Calling:
    """Calls one method of a client by its name, of either client."""
    found: Calling = request.param
    return found
