"""Connections to a proxy stay with the process and the loop that made them, and close when dropped."""

from __future__ import annotations

import asyncio
import gc
import subprocess
import sys
import warnings

import pytest

from tests.loopback import Answer, Loopback
from visionpipe.transport._async.http_sender import AsyncHttpSender
from visionpipe.transport._sync.http_sender import HttpSender
from visionpipe.wire.http import HttpRequest

URL = "http://service.example/v1"

HEAD = """
import asyncio, gc, os, sys
from visionpipe.transport._async.http_sender import AsyncHttpSender
from visionpipe.transport._sync.http_sender import HttpSender
from visionpipe.wire.http import HttpRequest

ask = HttpRequest("GET", "/x")
url, options = "http://service.example/v1", {"proxy": "http://" + sys.argv[1]}
"""
BLOCKING = """
sender = HttpSender(url, **options)
sender.send(ask)
child = os.fork()
sender.send(ask) if child == 0 else os.waitpid(child, 0)
sender.send(ask)
"""
AWAITED = """
sender = AsyncHttpSender(url, **options)

async def work():
    await sender.send(ask)
    child = os.fork()
    if child == 0:
        # The parent's loop is not the child's; a thread begins one of its own.
        from threading import Thread
        thread = Thread(target=lambda: asyncio.run(both()))
        thread.start()
        thread.join()
        os._exit(0)
    os.waitpid(child, 0)
    await sender.send(ask)

async def both():
    await sender.send(ask)
    await sender.send(ask)

asyncio.run(work())
"""
AWAITED_DIRECTLY = AWAITED.replace(
    "AsyncHttpSender(url, **options)", "AsyncHttpSender('http://' + sys.argv[1] + '/v1')"
)


@pytest.mark.parametrize("worker", [BLOCKING, AWAITED, AWAITED_DIRECTLY])
def test_a_forked_process_asks_on_connections_of_its_own(loopback: Loopback, worker: str) -> None:
    loopback.script(Answer(body=b"{}"))
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", HEAD + worker, loopback.host],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    first, *in_child, last = [seen.connection for seen in loopback.requests]
    assert len(in_child) == 2
    assert first == last
    assert first not in in_child


def test_each_loop_has_connections_of_its_own(loopback: Loopback) -> None:
    loopback.script(Answer(body=b"{}"))
    sender = AsyncHttpSender(URL, proxy=f"http://{loopback.host}")

    async def twice() -> None:
        await sender.send(HttpRequest("GET", "/x"))
        await sender.send(HttpRequest("GET", "/x"))

    asyncio.run(twice())
    asyncio.run(twice())
    one, again, two, last = [seen.connection for seen in loopback.requests]
    assert one == again != two == last


def test_a_dropped_sender_closes_its_connections(loopback: Loopback) -> None:
    loopback.script(Answer(body=b"{}"))
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        sender = HttpSender(URL, proxy=f"http://{loopback.host}")
        sender.send(HttpRequest("GET", "/x"))
        del sender

        async def drops() -> None:
            sender = AsyncHttpSender(URL, proxy=f"http://{loopback.host}")
            await sender.send(HttpRequest("GET", "/x"))
            del sender
            gc.collect()

        async def leaves() -> None:
            await AsyncHttpSender(URL, proxy=f"http://{loopback.host}").send(HttpRequest("GET", "/x"))

        asyncio.run(drops())
        asyncio.run(leaves())
        gc.collect()
    assert [str(one.message) for one in told] == []
