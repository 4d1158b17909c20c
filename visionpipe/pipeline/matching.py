"""Where an item stands among its likes: first of its kind, waiting for the first, or answered already.

Whoever has a number leaves, however it ends, so nobody waits for one that never comes.

Whoever is first holds a claim until its end is recorded; so a twin either finds the claim and
waits, or finds the record. Near duplicates are found in the order of the listing, however many threads look
at pictures, so the same listing gives the same ones.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from enum import Enum, auto

from visionpipe.pipeline.duplicates import InFlight
from visionpipe.pipeline.items import Item
from visionpipe.pipeline.near_duplicates import Resemblance
from visionpipe.pipeline.reading import JournalView
from visionpipe.results import ItemResult, Outcome


class InOrder:
    """Numbers count up from 1, without gaps, in the order in which threads take them."""

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._gone = 0
        self._left_early: set[int] = set()

    def wait(self, number: int) -> None:
        """Returns when everybody with a lower number has left."""
        with self._condition:
            while self._gone < number - 1:
                self._condition.wait()

    def leave(self, number: int) -> None:
        """``number`` is past the point, or never comes there. May be said twice."""
        with self._condition:
            if number <= self._gone:
                return
            self._left_early.add(number)
            while self._gone + 1 in self._left_early:
                self._gone += 1
                self._left_early.discard(self._gone)
            self._condition.notify_all()


class Standing(Enum):
    """FIRST: has to be asked about, and settled. WAITING: will be handed out by somebody's settlement."""

    FIRST = auto()
    WAITING = auto()


class Matching:
    """Finds items' likes, from any number of threads.

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
        self._twins: InFlight[Item] = InFlight()
        self._near_lock = threading.Lock()
        self._turnstile = InOrder()

    def place(self, item: Item, *, patient: bool) -> Standing | ItemResult:
        """Where ``item`` stands; a result is an original's, to be shared.

        Args:
            patient: wait while too many twins are waiting (never in a thread that others wait for).

        Raises:
            VisionPipeError: the picture cannot be looked at.
        """
        question = item.key.question
        original = self._near(item, patient)
        if original is not None:
            return original
        while not item.claimed:
            item.claimed = self._twins.claim(item.content, question)
            if not item.claimed and self._join(item.content, item, patient):
                return Standing.WAITING
        return self._journal.shared(item.content, question, self._since) or Standing.FIRST

    def settle(self, item: Item) -> list[Item]:
        """The end of ``item`` is recorded: everybody who waited for it."""
        if not item.claimed:
            return []
        item.claimed = False
        return self._twins.settle(item.content, item.key.question)

    def leave(self, number: int) -> None:
        """The item of this number in the listing was placed, or need not be. May be said twice."""
        if self._resemblance is not None:
            self._turnstile.leave(number)

    def wake(self) -> None:
        """Lets waiting threads see that the run is over."""
        self._twins.wake()

    def _near(self, item: Item, patient: bool) -> Standing | ItemResult | None:
        if self._resemblance is None or item.looked_at:
            # Whoever comes here again waited for a first that failed; it is now asked about itself.
            item.near = None
            return None
        item.looked_at = True
        sight = self._resemblance.look(item.content, item.source)
        self._turnstile.wait(item.number)
        with self._near_lock:
            near = self._resemblance.first_like(item.content, item.source.name, sight)
            if near is None:
                item.claimed = self._twins.claim(item.content, item.key.question)
        self._turnstile.leave(item.number)
        if near is None:
            return None
        item.near = near
        if self._join(near.content, item, patient):
            return Standing.WAITING
        original = self._journal.shared(near.content, item.key.question, self._since)
        if original is not None and original.outcome is Outcome.DONE:
            return original
        item.near = None
        return None

    def _join(self, content: str, item: Item, patient: bool) -> bool:
        def hurried() -> bool:
            return not patient or self._stopped()

        return self._twins.join(content, item.key.question, item, hurried)
