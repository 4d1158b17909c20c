"""Each test that takes ``face`` runs on the synchronous and on the asyncio client."""

from __future__ import annotations

import pytest

from tests.client.faces import AsyncFace, Face, SyncFace


@pytest.fixture(params=[SyncFace, AsyncFace], ids=["sync", "async"])
def face(request: pytest.FixtureRequest) -> Face:
    found: Face = request.param()
    return found
