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
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AsyncExitStack
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
_Given: TypeAlias = "tuple[Callable[[], Any], Future[Any]]"


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
        self._unstored: deque[_Unstored] = deque()
        self._storing = False

    async def __aenter__(self) -> Self:
        # Closed with the loop.
        asyncio.get_running_loop().set_default_executor(Threads())
        if isinstance(self._answerer, LoopAnswerer):
            answer = await self._open.enter_async_context(self._answerer.on_loop())
            self._answer = answer or self._answer
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
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
        getting = _in_thread(waiting)

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
        return await _in_thread(work)

    async def _answer_in_thread(self, prepared: PreparedItem, seconds: float | None) -> Answer:
        return await self.run(partial(self._answerer.answer, prepared, seconds))

    def _begin_storing(self) -> None:
        # All that has come since the last commit; while this one is under way the next gathers.
        group = [*self._unstored]
        self._unstored.clear()
        try:
            storing = _in_thread(partial(self._store, max(ticket for ticket, _ in group)))
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


def _in_thread(work: Callable[[], T]) -> asyncio.Future[T]:
    return asyncio.get_running_loop().run_in_executor(None, work)


def _tell(group: list[_Unstored], error: BaseException | None) -> None:
    for _, future in group:
        if future.done():
            continue
        if error is None:
            future.set_result(None)
        else:
            future.set_exception(error)


class Threads(ThreadPoolExecutor):
    """Threads for what blocks, as many as are wanted at once and used again.

    A process that ends does not wait for them, as it would for those of any other executor: a name that is
    being looked up, say, would hold up whoever presses Ctrl-C a second time.
    """

    def __init__(self) -> None:
        super().__init__(1)  # of its own threads none is ever started
        self._given: SimpleQueue[_Given | None] = SimpleQueue()
        self._guard = threading.Lock()
        self._free = self._count = 0

    def submit(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> Future[T]:
        """Begins the work.

        Raises:
            ConfigurationError: the system gives no more threads.
        """
        with self._guard:
            if self._free:
                self._free -= 1
            else:
                self._begin_thread()
        future: Future[T] = Future()
        self._given.put((partial(fn, *args, **kwargs), future))
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Has each thread end when it has nothing to do; waits for none."""
        for _ in range(self._count):
            self._given.put(None)

    def _begin_thread(self) -> None:
        try:
            threading.Thread(target=self._serve, daemon=True).start()
        except RuntimeError as error:
            raise ConfigurationError(
                f"the system starts {self._count} threads, and no more",
                cure="Lower the concurrency, or raise the limit of processes.",
                subject="concurrency",
                code="threads",
            ) from error
        self._count += 1

    def _serve(self) -> None:
        while (given := self._given.get()) is not None:
            work, future = given
            del given
            if future.set_running_or_notify_cancel():
                self._work_off(work, future)
            else:
                self._set_free()
            del work, future

    def _work_off(self, work: Callable[[], Any], future: Future[Any]) -> None:
        try:
            value = work()
        except BaseException as error:
            self._set_free()
            future.set_exception(error)
        else:
            self._set_free()
            future.set_result(value)

    def _set_free(self) -> None:
        # Before its work is told to be done, so that whoever waits for that finds it.
        with self._guard:
            self._free += 1
