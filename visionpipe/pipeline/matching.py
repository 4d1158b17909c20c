"""Where an item stands among its likes: first of its kind, waiting for the first, or answered already.

The rule: whoever is first holds a claim until its end is recorded; so a twin either finds the claim and
waits, or finds the record.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from enum import Enum, auto

from visionpipe.loaders.sources import Source
from visionpipe.pipeline.duplicates import Looks, Twins
from visionpipe.pipeline.items import Item
from visionpipe.pipeline.reading import JournalView
from visionpipe.results import ItemResult, Outcome


class Standing(Enum):
    """FIRST: has to be asked about, and settled. WAITING: will be handed out by somebody's settlement."""

    FIRST = auto()
    WAITING = auto()


class Matching:
    """Finds items' likes, from any number of threads.

    Args:
        journal: where former ends are found.
        since_run: the first run whose ends may be shared.
        looks, dhash: for near duplicates; both or neither.
        stopped: ends the waiting for room.
    """

    def __init__(
        self,
        journal: JournalView,
        since_run: int,
        looks: Looks | None,
        dhash: Callable[[Source], int] | None,
        stopped: Callable[[], bool],
    ) -> None:
        self._journal = journal
        self._since = since_run
        self._looks = looks
        self._dhash = dhash
        self._stopped = stopped
        self._twins: Twins[Item] = Twins()
        self._near_lock = threading.Lock()

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

    def wake(self) -> None:
        """Lets waiting threads see that the run is over."""
        self._twins.wake()

    def _near(self, item: Item, patient: bool) -> Standing | ItemResult | None:
        if self._looks is None or self._dhash is None or item.looked_at:
            # Whoever comes here again waited for a first that failed; it is now asked about itself.
            item.near = None
            return None
        item.looked_at = True
        dhash = self._dhash(item.source)
        with self._near_lock:
            near = self._looks.first_like(item.content, item.source.name, dhash)
            if near is None:
                item.claimed = self._twins.claim(item.content, item.key.question)
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
