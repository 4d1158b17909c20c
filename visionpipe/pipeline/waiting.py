"""How a worker waits for what takes time: in the thread that called it, or on an event loop beside others.

What a worker does with an item is written once, as a coroutine. In a thread it never suspends, because each
wait is over when its call returns.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, Protocol, TypeVar

from visionpipe.pipeline.answerer import Answer, Answerer, PreparedItem
from visionpipe.pipeline.gate import Lease
from visionpipe.pipeline.ledger import Ledger

T = TypeVar("T")


class Waiting(Protocol):
    """The waits of an item on its way."""

    async def lease(
        self,
        at_once: Callable[[], Lease | None],
        waiting: Callable[[], Lease | None],
        give_back: Callable[[Lease], object],
    ) -> Lease | None:
        """A lease.

        Args:
            at_once: gives one where there is room now.
            waiting: waits for one; None where there will be none.
            give_back: takes one that came when it was wanted no more.
        """
        ...

    async def answer(self, prepared: PreparedItem, seconds: float | None) -> Answer:
        """As ``Answerer.answer``."""
        ...

    async def stored(self, ticket: int) -> None:
        """As ``Ledger.store``."""
        ...

    async def run(self, work: Callable[[], T]) -> T:
        """What ``work`` returns, or raises; it may take long."""
        ...


class InThread:
    """Waits here and now."""

    def __init__(self, answerer: Answerer, ledger: Ledger) -> None:
        self._answerer, self._ledger = answerer, ledger

    async def lease(
        self,
        at_once: Callable[[], Lease | None],
        waiting: Callable[[], Lease | None],
        give_back: Callable[[Lease], object],
    ) -> Lease | None:
        """As ``Waiting.lease``."""
        return waiting()

    async def answer(self, prepared: PreparedItem, seconds: float | None) -> Answer:
        """As ``Waiting.answer``."""
        return self._answerer.answer(prepared, seconds)

    async def stored(self, ticket: int) -> None:
        """As ``Waiting.stored``."""
        self._ledger.store(ticket)

    async def run(self, work: Callable[[], T]) -> T:
        """As ``Waiting.run``."""
        return work()


def finished(work: Coroutine[Any, Any, T]) -> T:
    """What a coroutine that waits ``InThread`` returns, or raises."""
    try:
        work.send(None)
    except StopIteration as end:
        value: T = end.value
        return value
    raise AssertionError("it suspends only on an event loop")
