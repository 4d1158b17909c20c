"""The gate in front of an endpoint and model: how many at once, how many a minute, and when to wait.

It holds a ConcurrencyLaw and the paces behind one lock. The rule: a refusal (429) is told to the gate and
nowhere else; ``Retry-After`` is a floor for everything behind the gate, not only for the request refused.
One limiter belongs to one endpoint and model and may be shared by several runs of a process.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from visionpipe.pipeline.concurrency import ConcurrencyLaw
from visionpipe.pipeline.rates import Pace

_LONGEST_WAIT_S = 3600.0
"""A pause may be longer than the system can wait at a stretch."""


@dataclass(frozen=True, slots=True)
class Permit:
    """The right to have one request under way; given back with :meth:`Limiter.leave`."""

    epoch: int


@dataclass(frozen=True, slots=True)
class LimiterState:
    """What the gate looks like at one moment. ``pause_s``: seconds until anything may be sent."""

    level: int
    busy: int
    pause_s: float
    refusals: int


class Limiter:
    """Lets requests through, from any number of threads.

    Args:
        ceiling: most requests at once, whatever the service bears.
        start: how many to begin with (a model's record has a figure).
        rpm: most requests a minute; None leaves it to the service.
        tpm: most tokens a minute, by estimate until the usage is known.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        ceiling: int,
        *,
        start: int = 4,
        rpm: float | None = None,
        tpm: float | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._law = ConcurrencyLaw(ceiling, start)
        self._requests = Pace(rpm) if rpm is not None else None
        self._tokens = Pace(tpm) if tpm is not None else None
        self._clock = clock
        self._condition = threading.Condition()
        self._busy = 0
        self._refusals = 0
        self._paused_until = float("-inf")

    def try_enter(self) -> Permit | float | None:
        """A permit; or the seconds after which to ask again; or None where a request must leave first."""
        with self._condition:
            return self._try_enter()

    def enter(self, stopped: Callable[[], bool] = lambda: False) -> Permit | None:
        """Waits for a permit; None once ``stopped()`` is true (call :meth:`wake` when it becomes so)."""
        with self._condition:
            while not stopped():
                found = self._try_enter()
                if isinstance(found, Permit):
                    return found
                self._condition.wait(None if found is None else min(found, _LONGEST_WAIT_S))
            return None

    def spend(self, tokens: int | None) -> None:
        """Counts the estimated tokens of the request that a permit is used for."""
        if self._tokens is not None and tokens:
            with self._condition:
                self._tokens.take(self._clock(), tokens)

    def correct(self, estimated: int | None, actual: int) -> None:
        """Puts the estimate right once the usage is known."""
        if self._tokens is not None:
            with self._condition:
                self._tokens.correct(actual - (estimated or 0))

    def leave(self, permit: Permit) -> bool:
        """The request of ``permit`` was answered, or failed otherwise than by a 429. Returns whether the
        level changed."""
        with self._condition:
            changed = self._law.on_answer(permit.epoch, self._busy)
            self._release(self._law.level if changed else 1)
            return changed

    def leave_unused(self, permit: Permit) -> None:
        """Nothing was sent with ``permit``."""
        with self._condition:
            self._release(1)

    def leave_refused(self, permit: Permit, retry_after: float | None = None) -> bool:
        """The request of ``permit`` was refused with a 429; ``retry_after`` in seconds. Returns whether the
        level changed."""
        with self._condition:
            before = self._law.level
            pause = max(self._law.on_refusal(permit.epoch), retry_after or 0.0)
            if pause:
                self._paused_until = max(self._paused_until, self._clock() + pause)
            self._refusals += 1
            self._release(1)
            return self._law.level != before

    def wake(self) -> None:
        """Lets every waiting thread look at its ``stopped`` again."""
        with self._condition:
            self._condition.notify_all()

    @property
    def state(self) -> LimiterState:
        with self._condition:
            pause = max(0.0, self._paused_until - self._clock())
            return LimiterState(self._law.level, self._busy, pause, self._refusals)

    def _try_enter(self) -> Permit | float | None:
        if self._busy >= self._law.level:
            return None
        now = self._clock()
        waits = [self._paused_until - now]
        waits += [pace.wait(now) for pace in (self._requests, self._tokens) if pace is not None]
        longest = max(waits)
        if longest > 0:
            return longest
        if self._requests is not None:
            self._requests.take(now, 1)
        self._busy += 1
        # Whoever is woken may find a pause and go to sleep again; passing the call on keeps room from idling.
        if self._busy < self._law.level:
            self._condition.notify(1)
        return Permit(self._law.epoch)

    def _release(self, wake: int) -> None:
        self._busy -= 1
        self._condition.notify(wake)
