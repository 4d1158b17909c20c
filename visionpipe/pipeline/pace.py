"""How far a run is and how long it will take: a count of what is ahead, and the pace of what was asked.

Only answers take time, so the pace is theirs alone; what an earlier run has recorded, what shares another's
answer and what is left out pass at once, and count neither in the rate nor in the time that is left.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from visionpipe.errors import VisionPipeError
from visionpipe.pipeline.events import Progress, Tally
from visionpipe.sources.find import Found, SkippedSource

WINDOW = 256
"""Answers that the rate is taken over, so that it follows a service that has become slower."""

_FEWEST = 16

_BETWEEN_PAUSES, _PAUSE_S = 200, 0.002


@dataclass(frozen=True, slots=True)
class Ahead:
    """What a listing holds, from its first item to its last.

    Attributes:
        items: all of it. skips: that are left out by what they are.
        kept: that an earlier run of the job has recorded, as far as their names tell.
    """

    items: int
    skips: int = 0
    kept: int = 0


class AheadCount:
    """Counts a listing in a thread of its own, while the run works it off; memory stays flat.

    Args:
        listing: gives it once more; names may repeat in it.
        recorded: how many items the journal holds of this job.
        known: of how many among some names the journal knows something.
    """

    def __init__(
        self, listing: Callable[[], Iterable[Found]], recorded: int, known: Callable[[Sequence[str]], int]
    ) -> None:
        self._listing = listing
        self._recorded = recorded
        self._known = known
        self._over = threading.Event()
        self.found: Ahead | None = None
        """None until the listing is counted to its end."""

    def start(self) -> None:
        """Begins; where the system gives no thread, the total stays unknown."""
        try:
            threading.Thread(target=self.count, daemon=True).start()
        except RuntimeError:
            self._over.set()

    def stop(self) -> None:
        """Counts no further."""
        self._over.set()

    def count(self) -> None:
        """Goes through the listing; what is wrong with it is for the run to meet."""
        items = skips = known = 0
        names: list[str] = []
        try:
            for found in self._listing():
                items += 1
                if isinstance(found, SkippedSource):
                    skips += 1
                elif self._recorded:
                    names.append(found.name)
                if len(names) == _BETWEEN_PAUSES:
                    known += self._known(names)
                    names = []
                # The threads that work need the interpreter more.
                if items % _BETWEEN_PAUSES == 0 and self._over.wait(_PAUSE_S):
                    return
            known += self._known(names) if names else 0
        except VisionPipeError:
            return
        self.found = Ahead(items, skips, min(known, self._recorded))


class Pace:
    """The rate of answers, over the latest two thirds of them and at most ``WINDOW``.

    Not over all, because a run begins with fewer requests at once than the service turns out to bear.
    """

    def __init__(self) -> None:
        self._ends: deque[float] = deque(maxlen=WINDOW + 1)
        self.asked = 0

    def answered(self, at: float, took: float) -> None:
        """One more item was asked about, and has come to its end.

        Args:
            at: seconds of the caller's clock.
            took: seconds from when it was taken in; the pace begins with the first one's.
        """
        if not self.asked:
            self._ends.append(at - took)
        self.asked += 1
        self._ends.append(at)

    def rate(self, now: float) -> float | None:
        """Items a second; None before the first answer."""
        latest = min(WINDOW, self.asked, max(_FEWEST, 2 * self.asked // 3))
        if not latest or now <= (since := self._ends[-1 - latest]):
            return None
        return latest / (now - since)


def measured(
    tally: Tally,
    pace: Pace,
    ahead: Ahead | None,
    now: float,
    *,
    seen: int,
    listed: bool,
    level: int,
    busy: int,
) -> Progress:
    """The figures of a run at one moment.

    Args:
        tally: of what has ended.
        pace: of the answers.
        ahead: what the listing holds; None where that is not known yet.
        now: seconds since the run began.
        seen: items that the run has taken in; ``listed``: those are all.
        level, busy: requests allowed at once, and under way.
    """
    total = seen if listed else None if ahead is None else max(ahead.items, seen)
    rate = pace.rate(now)
    left = None
    if total is not None:
        to_ask = _to_ask(tally, pace, ahead or Ahead(total), total)
        left = to_ask / rate if rate else (0.0 if not to_ask else None)
    return Progress(
        seen=seen,
        listed=listed,
        done=tally.done,
        failed=tally.failed,
        skipped=tally.skipped,
        kept=tally.kept,
        level=level,
        busy=busy,
        seconds=now,
        total=total,
        asked=pace.asked,
        rate=rate,
        left=left,
    )


def _to_ask(tally: Tally, pace: Pace, ahead: Ahead, total: int) -> float:
    """Items still to be asked about; of new ones the same part as so far shares another's answer."""
    rest = total - tally.ended - max(0, ahead.skips - tally.skipped) - max(0, ahead.kept - tally.kept)
    fresh = tally.done + tally.failed - tally.kept
    return max(0, rest) * (pace.asked / fresh if fresh and pace.asked else 1.0)
