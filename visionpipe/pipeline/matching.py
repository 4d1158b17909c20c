"""Whether an item is the first of its content, waits for the first, or shares a recorded answer.

The first holds a claim until its end is recorded, so a duplicate either finds the claim and waits, or finds
the record. Near duplicates are compared in the order of the listing, however many threads read pictures, so
the same listing gives the same ones.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from enum import Enum, auto

from visionpipe.pipeline.duplicates import InFlight
from visionpipe.pipeline.items import OpenItem
from visionpipe.pipeline.near_duplicates import Resemblance
from visionpipe.pipeline.reading import JournalView
from visionpipe.results import ItemResult, Outcome


class InOrder:
    """Lets numbered threads pass in order.

    Numbers count up from 1, without gaps; each leaves, however it ends, so that none is waited for in vain.
    """

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._gone = 0
        self._left_early: set[int] = set()

    def wait(self, number: int) -> None:
        """Returns when every lower number has left."""
        with self._condition:
            while self._gone < number - 1:
                self._condition.wait()

    def leave(self, number: int) -> None:
        """``number`` is past the point, or never comes there. May be called twice."""
        with self._condition:
            if number <= self._gone:
                return
            self._left_early.add(number)
            while self._gone + 1 in self._left_early:
                self._gone += 1
                self._left_early.discard(self._gone)
            self._condition.notify_all()


class Match(Enum):
    """FIRST: has to be asked about, and settled. WAITING: comes out when the first of its content does."""

    FIRST = auto()
    WAITING = auto()


class Matching:
    """Finds the duplicates of items, from any number of threads.

    Args:
        journal: where former ends are found.
        since_run: the first run whose ends may be shared.
        resemblance: how near duplicates are judged; None where they are not asked for.
        stopped: ends the waiting for room.
    """

    def __init__(
        self,
        journal: JournalView,
        since_run: int,
        resemblance: Resemblance | None,
        stopped: Callable[[], bool],
    ) -> None:
        self._journal = journal
        self._since = since_run
        self._resemblance = resemblance
        self._stopped = stopped
        self._in_flight: InFlight[OpenItem] = InFlight()
        self._near_lock = threading.Lock()
        self._in_order = InOrder()

    def match(self, item: OpenItem, *, may_wait: bool) -> Match | ItemResult:
        """Matches ``item`` with what is under way or recorded; a result is an original's, to be shared.

        Args:
            may_wait: wait while too many duplicates are waiting (never in a thread that others wait for).

        Raises:
            VisionPipeError: the picture cannot be read.
        """
        question = item.key.question
        original = self._near(item, may_wait)
        if original is not None:
            return original
        while not item.claimed:
            item.claimed = self._in_flight.claim(item.content, question)
            if not item.claimed and self._join(item.content, item, may_wait):
                return Match.WAITING
        return self._journal.shared(item.content, question, self._since) or Match.FIRST

    def settle(self, item: OpenItem) -> list[OpenItem]:
        """The end of ``item`` is recorded: every item that waited for it."""
        if not item.claimed:
            return []
        item.claimed = False
        return self._in_flight.settle(item.content, item.key.question)

    def leave(self, number: int) -> None:
        """The item of this number in the listing was matched, or need not be. May be called twice."""
        if self._resemblance is not None:
            self._in_order.leave(number)

    def wake(self) -> None:
        """Lets waiting threads see that the run is over."""
        self._in_flight.wake()

    def _near(self, item: OpenItem, may_wait: bool) -> Match | ItemResult | None:
        if self._resemblance is None or item.compared:
            # An item that comes here again waited for a first that failed; it is now asked about itself.
            item.near = None
            return None
        item.compared = True
        signature = self._resemblance.signature(item.content, item.source)
        self._in_order.wait(item.number)
        with self._near_lock:
            near = self._resemblance.first_like(item.content, item.source.name, signature)
            if near is None:
                item.claimed = self._in_flight.claim(item.content, item.key.question)
        self._in_order.leave(item.number)
        if near is None:
            return None
        item.near = near
        if self._join(near.content, item, may_wait):
            return Match.WAITING
        original = self._journal.shared(near.content, item.key.question, self._since)
        if original is not None and original.outcome is Outcome.DONE:
            return original
        item.near = None
        return None

    def _join(self, content: str, item: OpenItem, may_wait: bool) -> bool:
        def stopped() -> bool:
            return not may_wait or self._stopped()

        return self._in_flight.join(content, item.key.question, item, stopped)
