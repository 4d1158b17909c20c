"""Connections closed with their event loop, where nobody closed them before.

What an ``asyncio.run`` leaves open is closed while its loop still turns, since afterwards nobody
can close it without noise. A loop that ends tells its asynchronous generators so, and one of them waits here
for each loop.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, field
from typing import Protocol
from weakref import WeakSet


class Closable(Protocol):
    """What may be left open."""

    async def aclose(self) -> None: ...


@dataclass(slots=True)
class _Left:
    """What is open on one loop: somebody's still, or nobody's and about to be closed."""

    used: WeakSet[Closable] = field(default_factory=WeakSet)
    dropped: set[Closable] = field(default_factory=set)
    closing: set[asyncio.Task[None]] = field(default_factory=set)
    waiter: AsyncGenerator[None, None] | None = None


_loops: dict[asyncio.AbstractEventLoop, _Left] = {}
_foreign: list[Closable] = []


async def close_with_loop(one: Closable) -> None:
    """Have ``one`` closed when the running loop ends, if it is still there."""
    loop = asyncio.get_running_loop()
    if loop not in _loops:
        for ended in [other for other in _loops if other.is_closed()]:
            del _loops[ended]
        left = _loops[loop] = _Left()
        left.waiter = _until_the_end(loop, left)
        await anext(left.waiter)
    _loops[loop].used.add(one)


async def _until_the_end(loop: asyncio.AbstractEventLoop, left: _Left) -> AsyncGenerator[None, None]:
    try:
        yield
    finally:
        _loops.pop(loop, None)
        await _close_all([*left.dropped, *left.used])
        if left.closing:
            await asyncio.wait(left.closing)


async def _close_all(connections: Sequence[Closable]) -> None:
    for connection in connections:
        await connection.aclose()
    await asyncio.sleep(0)  # the loop closes sockets at its next turn


def drop(connection: Closable, loop: asyncio.AbstractEventLoop, process: int) -> None:
    """Close what nobody will close any more; from any thread, and from a finalizer.

    Args:
        connection: made on ``loop``.
        process: in which it was made. In a forked one it is left alone, because taking it off the loop would
            take it off the other process's loop too.
    """
    if process != os.getpid():
        _foreign.append(connection)
        return
    left = _loops.get(loop)
    if left is None or loop.is_closed():
        return
    left.dropped.add(connection)  # held until it is closed: a loop that ends cancels the task that does it

    def begin() -> None:
        task = loop.create_task(_close_all([connection]))
        left.closing.add(task)
        task.add_done_callback(ended)

    def ended(task: asyncio.Task[None]) -> None:
        left.closing.discard(task)
        if not task.cancelled() and task.exception() is None:
            left.dropped.discard(connection)

    with contextlib.suppress(RuntimeError):  # it was closed just now, and has closed everything itself
        loop.call_soon_threadsafe(begin)
