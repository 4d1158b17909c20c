"""An asyncio client that nobody closed leaves nothing open behind it, and makes no noise."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.client.faces import KEY, chat
from tests.loopback import Loopback

HEAD = """
import asyncio, gc, socket, sys, threading
from visionpipe.client import AsyncClient
from visionpipe.testing.images import jpeg_bytes

image = jpeg_bytes(64, 48)

def make():
    return AsyncClient("glm-4v-plus-0111", base_url="bigmodel+" + sys.argv[1], api_key=sys.argv[2])

async def several(client):
    await asyncio.gather(*(client.describe(image) for _ in range(3)))
"""

WAYS = {
    "dropped in its loop": """
async def main():
    client = make()
    await several(client)
    del client
    gc.collect()
    for _ in range(5):
        await asyncio.sleep(0)
    sockets = [one for one in gc.get_objects() if type(one) is socket.socket and one.fileno() >= 0]
    assert [one for one in sockets if one.family == socket.AF_INET] == []
asyncio.run(main())
""",
    "dropped with its loop": """
async def main():
    await several(make())
asyncio.run(main())
gc.collect()
""",
    "outlives its loop": """
client = make()
asyncio.run(several(client))
asyncio.run(several(client))
del client
gc.collect()
""",
    "alive at the end of the program": """
client = make()
asyncio.run(several(client))
""",
    "dropped in another thread": """
async def main():
    kept = [make()]
    await several(kept[0])
    thread = threading.Thread(target=kept.clear)
    thread.start()
    await asyncio.to_thread(thread.join)
asyncio.run(main())
gc.collect()
""",
    "in a ring of references": """
async def main():
    client = make()
    await several(client)
    client.ring = client
asyncio.run(main())
gc.collect()
""",
    "a stream left in the middle": """
async def main():
    client = make()
    stream = await client.stream("What?", image)
    async for piece in stream:
        break
asyncio.run(main())
gc.collect()
""",
    "cancelled": """
async def main():
    client = make()
    await client.describe(image)
    task = asyncio.create_task(several(client))
    await asyncio.sleep(0)
    task.cancel()
asyncio.run(main())
gc.collect()
""",
}


@pytest.mark.parametrize("way", WAYS)
def test_nothing_is_left_open_and_nothing_is_said(loopback: Loopback, way: str) -> None:
    loopback.script(chat("A caption."))
    done = subprocess.run(
        [sys.executable, "-X", "dev", "-c", HEAD + WAYS[way], loopback.url, KEY],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    # Development mode also tells of steps of the loop that took long, which a busy machine has.
    assert [line for line in done.stderr.splitlines() if not line.startswith("Executing <")] == []
    assert loopback.requests
