"""A client that nobody closed, as in a short script, leaves nothing open behind it."""

from __future__ import annotations

import gc
import warnings

from tests.client.faces import KEY, chat
from tests.loopback import Loopback
from visionpipe.client import Client
from visionpipe.testing.images import jpeg_bytes


def test_a_dropped_client_closes_its_connections(loopback: Loopback) -> None:
    loopback.script(chat("A caption."))
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        client = Client("glm-4v-plus-0111", base_url=f"bigmodel+{loopback.url}", api_key=KEY)
        assert client.describe(jpeg_bytes(64, 48)).text == "A caption."
        del client
        gc.collect()
    assert [str(one.message) for one in told if issubclass(one.category, ResourceWarning)] == []
