"""Tells a service out of reach from items that fail.

Once an answer has come, a row of failures on the service's side is an outage, which is waited out and ends
no item. Where no answer ever came in this run, the address, the key's plan or the form of the requests is
wrong, and the run stops.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from copy import copy
from enum import Enum, auto

from visionpipe.errors import (
    AnswerError,
    ConnectionFailedError,
    ContentPolicyError,
    FilteredAnswerError,
    RateLimitError,
    ServerError,
    ServiceError,
    VisionPipeError,
)
from visionpipe.pipeline.events import ServiceBack, ServiceLost

OUT_OF_REACH_AFTER = 5
"""Items in a row that met a failure on the service's side: four may be four bad items."""

HOPELESS_AFTER = 20
"""Items in a row refused or answered with something of no use, with no answer before: it is not the items."""

LONGEST_OUTAGE_S = 3600.0


class Verdict(Enum):
    """What a failure says. OWN: of the item, which fails by it. WAIT: of a service out of reach, so the item
    waits too. STOP: no further item would fare better."""

    OWN = auto()
    WAIT = auto()
    STOP = auto()


class Outage:
    """Watches how the items of a run end, from any number of threads.

    Args:
        longest_s: seconds an outage may last before the run stops; None: for ever.
        tell: told of the beginning and the end of an outage; must not block.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        longest_s: float | None = LONGEST_OUTAGE_S,
        tell: Callable[[ServiceLost | ServiceBack], object] = lambda event: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._longest = longest_s
        self._tell = tell
        self._clock = clock
        self._lock = threading.Lock()
        self._ever_answered = False
        # Neither grows beyond its limit: an outage, or the end of the run, follows.
        self._unreached: set[str] = set()
        self._failed: set[str] = set()
        self._since: float | None = None
        self._back_at = float("-inf")

    def answered(self) -> None:
        """An answer came, or a refusal of one item's content."""
        with self._lock:
            self._ever_answered = True
            self._unreached.clear()
            self._failed.clear()
            if self._since is not None:
                self._back_at = self._clock()
                seconds, self._since = self._back_at - self._since, None
                # Inside the lock, so that the events come in the order of what they tell.
                self._tell(ServiceBack(seconds))

    def failed(self, source: str, error: VisionPipeError, sent_at: float) -> Verdict:
        """The item of ``source`` met ``error`` at its last request, begun at ``sent_at`` (clock seconds)."""
        if _of_its_content(error):
            self.answered()
            return Verdict.OWN
        if isinstance(error, RateLimitError) or not isinstance(error, ServiceError | AnswerError):
            return Verdict.OWN
        with self._lock:
            if not self._ever_answered:
                return self._before_any_answer(source, error)
            if not _service_failed(error):
                return Verdict.OWN
            if self._since is not None:
                over = self._longest is not None and self._clock() - self._since >= self._longest
                return Verdict.STOP if over else Verdict.WAIT
            if sent_at < self._back_at:
                # What was under way when the service came back belongs to the outage before.
                return Verdict.WAIT
            self._unreached.add(source)
            if len(self._unreached) < OUT_OF_REACH_AFTER:
                return Verdict.OWN
            self._since = self._clock()
            self._tell(ServiceLost(error.reason))
            return Verdict.WAIT

    def _before_any_answer(self, source: str, error: VisionPipeError) -> Verdict:
        if _service_failed(error):
            self._unreached.add(source)
        self._failed.add(source)
        dead = len(self._unreached) >= OUT_OF_REACH_AFTER or len(self._failed) >= HOPELESS_AFTER
        return Verdict.STOP if dead else Verdict.OWN


def stopping(error: VisionPipeError) -> VisionPipeError:
    """``error`` as one that concerns every item."""
    for_all = copy(error)
    for_all.scope = "job"
    for_all.__cause__ = error
    return for_all


def _service_failed(error: VisionPipeError) -> bool:
    """Nothing was billed, and the same request may pass another time."""
    return isinstance(error, ConnectionFailedError) or (isinstance(error, ServerError) and error.retryable)


def _of_its_content(error: VisionPipeError) -> bool:
    """Such an end needs a service that has looked at the item, or a model that has answered."""
    return isinstance(error, ContentPolicyError | FilteredAnswerError) or (
        isinstance(error, AnswerError) and error.code in ("schema", "quality")
    )
