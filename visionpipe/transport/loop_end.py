"""Connections closed with their event loop, where nobody closed them before.

The rule: what an ``asyncio.run`` leaves open is closed while its loop still turns, since afterwards nobody
can close it without noise. A loop that ends tells its asynchronous generators so, and one of them waits here
for each loop.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncGenerator, Sequence
from typing import Protocol
from weakref import WeakSet


class Closable(Protocol):
    """What may be left open."""

    async def aclose(self) -> None: ...


_Waiting = tuple[AsyncGenerator[None, None], WeakSet[Closable]]
_waiting: dict[asyncio.AbstractEventLoop, _Waiting] = {}
_tasks: set[asyncio.Task[None]] = set()
_foreign: list[Closable] = []


async def close_with_loop(one: Closable) -> None:
    """Have ``one`` closed when the running loop ends, if it is still there."""
    loop = asyncio.get_running_loop()
    if loop not in _waiting:
        for ended in [other for other in _waiting if other.is_closed()]:
            del _waiting[ended]
        left: WeakSet[Closable] = WeakSet()
        waiter = _until_the_end(loop, left)
        _waiting[loop] = (waiter, left)
        await anext(waiter)
    _waiting[loop][1].add(one)


async def _until_the_end(
    loop: asyncio.AbstractEventLoop, left: WeakSet[Closable]
) -> AsyncGenerator[None, None]:
    try:
        yield
    finally:
        _waiting.pop(loop, None)
        await _close_all(list(left))


async def _close_all(left: Sequence[Closable]) -> None:
    for one in left:
        await one.aclose()
    await asyncio.sleep(0)  # the loop closes sockets at its next turn


def drop(left: Sequence[Closable], loop: asyncio.AbstractEventLoop, process: int) -> None:
    """Close what nobody will close any more, from any thread, also from a finalizer.

    Args:
        left: made on ``loop``.
        process: in which it was made. In a forked one it is left alone, because taking it off the loop would
            take it off the other process's loop too.
    """
    if process != os.getpid():
        _foreign.extend(left)
        return

    def begin() -> None:
        task = loop.create_task(_close_all(left))
        _tasks.add(task)
        task.add_done_callback(_tasks.discard)

    if left and not loop.is_closed():
        with contextlib.suppress(RuntimeError):  # it was closed just now, and has closed them itself
            loop.call_soon_threadsafe(begin)
