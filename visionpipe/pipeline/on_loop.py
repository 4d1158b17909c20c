"""The waits of many items on one event loop: answers as they come, commits in one other thread, and whatever
blocks in threads of its own.

Dozens of threads that each send, wait and record take the interpreter from one another at every step. On a
loop one thread does it for all of them, and what is to be committed meanwhile is committed together.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack, suppress
from functools import partial
from queue import SimpleQueue
from types import TracebackType
from typing import Any, Self, TypeAlias, TypeVar

from visionpipe.errors import ConfigurationError
from visionpipe.pipeline.answerer import Answer, Answerer, LoopAnswerer, PreparedItem
from visionpipe.pipeline.gate import Lease
from visionpipe.pipeline.ledger import Ledger

T = TypeVar("T")

_Unstored: TypeAlias = "tuple[int, asyncio.Future[None]]"
_Work: TypeAlias = "tuple[Callable[[], Any], asyncio.Future[Any]]"


class OnLoop:
    """As ``Waiting``, on the event loop that it is entered on.

    Args:
        answerer: asked on the loop where it can be, else in threads.
        ledger: committed to in one thread.
        one_line: whether all wait for the same leases, so that one wait at a time is enough.
    """

    def __init__(self, answerer: Answerer, ledger: Ledger, *, one_line: bool) -> None:
        self._answerer = answerer
        self._store = ledger.store
        self._one_line = one_line
        self._line = asyncio.Lock()
        self._answer: Callable[[PreparedItem, float | None], Awaitable[Answer]] = self._answer_in_thread
        self._open = AsyncExitStack()
        self._threads = Threads()
        self._unstored: deque[_Unstored] = deque()
        self._storing = False

    async def __aenter__(self) -> Self:
        if isinstance(self._answerer, LoopAnswerer):
            answer = await self._open.enter_async_context(self._answerer.on_loop())
            self._answer = answer or self._answer
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._threads.close()
        await self._open.aclose()

    async def lease(
        self,
        at_once: Callable[[], Lease | None],
        waiting: Callable[[], Lease | None],
        give_back: Callable[[Lease], object],
    ) -> Lease | None:
        """As ``Waiting.lease``."""
        if not self._one_line:
            return await self._lease_in_thread(waiting, give_back)
        if not self._line.locked():
            lease = at_once()
            if lease is not None:
                return lease
        async with self._line:
            return at_once() or await self._lease_in_thread(waiting, give_back)

    async def _lease_in_thread(
        self, waiting: Callable[[], Lease | None], give_back: Callable[[Lease], object]
    ) -> Lease | None:
        getting: asyncio.Future[Lease | None] = self._threads.run(waiting)

        def got(future: asyncio.Future[Lease | None]) -> None:
            lease = None if future.cancelled() or future.exception() else future.result()
            if lease is not None:
                give_back(lease)

        try:
            return await asyncio.shield(getting)
        except asyncio.CancelledError:
            getting.add_done_callback(got)
            raise

    async def answer(self, prepared: PreparedItem, seconds: float | None) -> Answer:
        """As ``Waiting.answer``."""
        return await self._answer(prepared, seconds)

    async def stored(self, ticket: int) -> None:
        """As ``Waiting.stored``."""
        future = asyncio.get_running_loop().create_future()
        self._unstored.append((ticket, future))
        if not self._storing:
            self._begin_storing()
        await future

    async def run(self, work: Callable[[], T]) -> T:
        """As ``Waiting.run``."""
        found: T = await self._threads.run(work)
        return found

    async def _answer_in_thread(self, prepared: PreparedItem, seconds: float | None) -> Answer:
        return await self.run(partial(self._answerer.answer, prepared, seconds))

    def _begin_storing(self) -> None:
        # All that has come since the last commit; while this one is under way the next gathers.
        group = [*self._unstored]
        self._unstored.clear()
        try:
            storing = self._threads.run(partial(self._store, max(ticket for ticket, _ in group)))
        except ConfigurationError as error:
            _tell(group, error)
        else:
            self._storing = True
            storing.add_done_callback(partial(self._stored, group))

    def _stored(self, group: list[_Unstored], storing: asyncio.Future[None]) -> None:
        self._storing = False
        _tell(group, None if storing.cancelled() else storing.exception())
        if self._unstored:
            self._begin_storing()


def _tell(group: list[_Unstored], error: BaseException | None) -> None:
    for _, future in group:
        if future.done():
            continue
        if error is None:
            future.set_result(None)
        else:
            future.set_exception(error)


class Threads:
    """Threads for what blocks, as many as are wanted at once and used again. A process that ends does not
    wait for them. All but what runs in them belongs to one event loop."""

    def __init__(self) -> None:
        self._work: SimpleQueue[_Work | None] = SimpleQueue()
        self._free = self._count = 0

    def run(self, work: Callable[[], Any]) -> asyncio.Future[Any]:
        """Begins ``work``.

        Raises:
            ConfigurationError: the system gives no more threads.
        """
        loop = asyncio.get_running_loop()
        if self._free:
            self._free -= 1
        else:
            try:
                threading.Thread(target=self._serve, args=(loop,), daemon=True).start()
            except RuntimeError as error:
                raise ConfigurationError(
                    f"the system starts {self._count} threads, and no more",
                    cure="Lower the concurrency, or raise the limit of processes.",
                    subject="concurrency",
                    code="threads",
                ) from error
            self._count += 1
        future = loop.create_future()
        self._work.put((work, future))
        return future

    def close(self) -> None:
        """Has each thread end when it has nothing to do."""
        for _ in range(self._count):
            self._work.put(None)

    def _serve(self, loop: asyncio.AbstractEventLoop) -> None:
        while (given := self._work.get()) is not None:
            work, future = given
            value, error = None, None
            try:
                value = work()
            except BaseException as raised:
                error = raised
            with suppress(RuntimeError):  # the loop is closed, and nobody waits
                loop.call_soon_threadsafe(self._told, future, value, error)
            del given, work, future, value, error

    def _told(self, future: asyncio.Future[Any], value: object, error: BaseException | None) -> None:
        self._free += 1
        if future.done():
            return
        if error is None:
            future.set_result(value)
        else:
            future.set_exception(error)
