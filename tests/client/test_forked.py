"""A client that was used before its process forked: parent and children never share a connection."""

from __future__ import annotations

import subprocess
import sys

from tests.client.faces import KEY, chat
from tests.loopback import Loopback

WORKER = """
import os, sys
from visionpipe.client import Client
from visionpipe.testing.images import jpeg_bytes

image = jpeg_bytes(64, 48)
client = Client("glm-4v-plus-0111", base_url="bigmodel+" + sys.argv[1], api_key=sys.argv[2])
client.describe(image)
child = os.fork()
client.describe(image) if child == 0 else os.waitpid(child, 0)
client.describe(image)
client.close()
"""


def test_a_forked_process_asks_on_connections_of_its_own(loopback: Loopback) -> None:
    loopback.script(chat("A caption."))
    done = subprocess.run(
        [sys.executable, "-c", WORKER, loopback.url, KEY],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    first, *in_child, last = [seen.connection for seen in loopback.requests]
    assert len(in_child) == 2
    assert first == last
    assert first not in in_child
