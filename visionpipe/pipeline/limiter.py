"""How many requests may be under way, and how soon the next may be sent.

Concurrency follows additive increase and multiplicative decrease (``ConcurrencyLaw``); rates a minute
are spaced out evenly (``Pace``); ``Limiter`` holds both behind one lock. A refusal (429) is told to
the limiter and nowhere else, and ``Retry-After`` holds for every request behind it. One limiter belongs to
one endpoint and model and may be shared by several runs of a process.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

MOST_AT_ONCE = 64
"""Requests at once unless the user says otherwise; what a service bears or serves at once is found."""

PROBE_AFTER = 120
"""Answers at a level believed to be the limit before one more is tried: under 1 % of requests refused."""

ROUND = 32
"""Fewest answers that say how fast a service is at a level."""

FULL_USE = 0.75
"""Of a level must have been under way on average for its answers to say anything."""

PAYS = 0.25
"""Of what a doubling could bring in throughput is enough to go on."""

SLOWER = 1.6
"""Times longer answers at one level are a sign of a queue."""

NEIGHBOUR = 1.25
"""Times higher, or lower, is the level tried beside a settled one."""

UP_PAYS = 0.4
"""Of what the higher level could bring is enough to keep it; ``FREE`` of it, to double again."""

FREE = 0.75
LOST_NOTHING = 0.95
"""Of the throughput at a lower level is enough to keep it."""

REST = 2
"""Rounds at a settled level between two tries."""

MOST_PATIENCE = 8
"""Most tries of a higher level in vain before a lower one is tried, which costs throughput."""

DECREASE = 0.75
FIRST_PAUSE_S = 0.2
LONGEST_PAUSE_S = 30.0

_LONGEST_WAIT_S = 3600.0
"""A pause may be longer than the system can wait at a stretch."""


class ConcurrencyLaw:
    """The level (requests allowed at once) as answers and refusals come in.

    A service states its limit nowhere. Some refuse what is too much; others, such as a model server of one's
    own, let it wait, and more at once is only a longer queue. The level begins by doubling, and what the
    service does then decides how it goes on.

    Where nothing is refused, answers tell: by Little's law a level is the throughput times the mean time of
    an answer. If a step up brings less than a quarter of what it could in throughput, the rest waits in a
    queue, and the level goes back to what is served at once. From there a neighbouring level, a quarter
    higher or lower by turns, is tried now and then: a higher one is kept if it pays, a lower one if nothing
    is lost by it. A level that reached the ceiling and paid is kept.

    From the first refusal on, refusals tell. The level rises by addition and falls by multiplication, and two
    figures are remembered:

    * good: the highest level at which a whole round of requests went through. A refusal above it leads back
      to it; a refusal at it is a decrease to three quarters.
    * top: the level to return to quickly, and then to keep. Only after ``PROBE_AFTER`` answers is one more
      tried, so that at rest about one request in ``PROBE_AFTER`` meets a refusal. Where the try goes well
      the next steps grow (1, 1, 2, 3, 5, ...), so that a limit that was raised is followed within seconds.

    One congestion event brings one decrease: every change of level begins a new epoch; a refusal of a request
    that was sent before the last decrease says nothing new, and an answer confirms a level only if its
    request was sent at that level while the level was in full use.

    Args:
        ceiling: the highest level ever allowed, at least 1.
        start: the level to begin with, 1 to ``ceiling``.
        now: of the clock that answers are told with.
    """

    def __init__(self, ceiling: int, start: int = 4, now: float = 0.0) -> None:
        if ceiling < 1:
            raise ValueError("ceiling must be at least 1")
        self.ceiling = ceiling
        self.level = max(1, min(start, ceiling))
        self.epoch = 0
        self._good = 0
        self._top: int | None = None
        self._steps = (0, 1)
        self._answers = 0
        self._in_full_use = False
        self._decreased_in = 0
        self._refused_in_a_row = 0
        self._since_refusal = 0
        # A round is what came since a level was reached: its answers, and when and with which sum it began.
        self._came = 0
        self._now = now
        self._worked = 0.0
        self._began = (now, 0.0)
        # What the level is compared with: another one, and the mean time of an answer there.
        self._base = 0
        self._base_mean = 0.0
        self._settled = False
        self._trying = False
        self._patience = 1
        self._in_vain = 0

    def on_answer(self, epoch: int, busy: int, now: float, worked: float) -> bool:
        """An answer came; a request counts as answered even where the answer is an error other than 429.

        Args:
            epoch: ``epoch`` when the request was sent.
            busy: requests under way just before, this one included.
            now: of a clock, in any unit.
            worked: how long all requests have been under way until now, added up, in the same unit.

        Returns:
            Whether the level changed.
        """
        self._refused_in_a_row = 0
        self._since_refusal += 1
        if self._top is None:
            self._now, self._worked = now, worked
            if busy > self.level:
                # What was under way at a higher level has to end first.
                self._begin_round()
                return False
            self._came += 1
            return self._came >= self._needed() and self._follow_answers()
        if epoch != self.epoch:
            return False
        self._answers += 1
        self._in_full_use = self._in_full_use or busy >= self.level
        if self._answers < self._needed():
            return False
        if not self._in_full_use:
            self._begin_round()
            return False
        return self._increase()

    def on_refusal(self, epoch: int) -> float:
        """A request was refused as one too many.

        Args:
            epoch: ``epoch`` when the request was sent.

        Returns:
            Seconds in which nothing should be sent. 0.0 as a rule, because after a decrease the requests
            under way have to drain anyway; growing while nothing at all gets through.
        """
        if epoch < self._decreased_in:
            return 0.0
        lone = self._since_refusal >= PROBE_AFTER // 2
        if 0 < self._good < self.level:
            self._top = self.level - 1
            target = self._good
        else:
            # A level that was good for long deserves a second try before it is given up, and in a row of
            # refusals only the first says anything about where the limit may be.
            if self._good or self._top is None:
                self._top = self.level if lone else max(1, self.level - 1)
            target = max(1, min(self.level - 1, int(self.level * DECREASE)))
            self._good = 0
        self._since_refusal = 0
        self._refused_in_a_row += 1
        self._move_to(target)
        self._decreased_in = self.epoch
        self._steps = (0, 1)
        if self._refused_in_a_row < 2:
            return 0.0
        return min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2.0 ** min(self._refused_in_a_row - 2, 16))

    def _needed(self) -> int:
        """Answers in this epoch before the level may change."""
        if self._top is not None:
            return max(PROBE_AFTER, self.level) if self.level == self._top else self.level
        if not self._settled:
            return max(ROUND, self.level)
        return max(PROBE_AFTER, 2 * self.level) * (1 if self._trying else REST)

    def _increase(self) -> bool:
        self._good = self.level
        if self.level >= self.ceiling:
            self._begin_round()
            return False
        if self._top is None:
            step = self.level
        elif self.level < self._top:
            step = max(1, min(self.level, (self._top - self.level) // 2))
        else:
            step = self._steps[1]
            self._steps = (step, sum(self._steps))
        self._move_to(min(self.ceiling, self.level + step))
        return True

    def _follow_answers(self) -> bool:
        """The next level by how long answers take; nothing was ever refused. Returns whether it changed."""
        length, worked = self._now - self._began[0], self._worked - self._began[1]
        if worked < FULL_USE * self.level * length:
            self._begin_round()
            return False
        mean = worked / self._came
        if self._settled:
            return self._follow_settled(mean)
        if not self._base:
            self._compare_with(mean)
            return self._increase()
        # Were nothing queued the mean would stay, were all of a step queued it would grow by ``ratio``.
        ratio = self.level / self._base
        most = ratio / (1 + (ratio - 1) * PAYS) if ratio > 1 else SLOWER
        if mean <= most * self._base_mean:
            if self.level > self._base:
                self._compare_with(mean)
            return self._increase()
        self._settled, self._patience, self._in_vain = True, 1, 0
        if self.level == self._base:
            return self._try_neighbour(mean, upward=False)
        self._move_to(max(self._base, min(self.level, math.ceil(self.level * self._base_mean / mean))))
        return True

    def _follow_settled(self, mean: float) -> bool:
        """As ``_follow_answers``, at a level where the service was in full use."""
        if not self._trying:
            slower = self.level == self._base and mean > SLOWER * self._base_mean
            return self._try_neighbour(mean, upward=not slower and self._in_vain < self._patience)
        self._trying = False
        ratio = self.level / self._base
        gain = ratio * self._base_mean / mean if mean > 0 else ratio
        upward = ratio > 1
        if upward and gain >= 1 + (ratio - 1) * FREE:
            # Nothing waits here: the service bears far more.
            self._settled = False
            self._compare_with(mean)
            return self._increase()
        if gain >= (1 + (ratio - 1) * UP_PAYS if upward else LOST_NOTHING):
            self._patience, self._in_vain = 1, 0
            return self._try_neighbour(mean, upward=upward)
        if upward:
            self._in_vain += 1
        else:
            self._patience, self._in_vain = min(MOST_PATIENCE, 2 * self._patience), 0
        self._move_to(self._base)
        return True

    def _try_neighbour(self, mean: float, *, upward: bool) -> bool:
        """To a level a quarter higher or lower, for comparison. Returns whether there is one."""
        self._good = max(self._good, self.level)
        self._compare_with(mean)
        upward = upward or self.level == 1
        if upward and self.level == self.ceiling:
            self._in_vain += 1
            self._begin_round()
            return False
        if upward:
            target = min(self.ceiling, max(self.level + 1, int(self.level * NEIGHBOUR)))
        else:
            target = min(self.level - 1, math.ceil(self.level / NEIGHBOUR))
        self._trying = True
        self._move_to(target)
        return True

    def _compare_with(self, mean: float) -> None:
        self._base, self._base_mean = self.level, mean

    def _move_to(self, level: int) -> None:
        self.level = level
        self.epoch += 1
        self._begin_round()

    def _begin_round(self) -> None:
        self._answers, self._in_full_use = 0, False
        self._came, self._began = 0, (self._now, self._worked)


class Pace:
    """When the next request may be sent under a rate a minute. Not thread-safe; the limiter locks.

    After a request of ``amount`` the next one waits ``60 * amount / per_minute`` seconds, so that no minute,
    wherever it begins, holds more than the rate (of tokens: more than the rate and one request). An estimate
    is corrected when the true amount is known.

    Args:
        per_minute: requests or tokens, more than 0.
    """

    def __init__(self, per_minute: float) -> None:
        if per_minute <= 0:
            raise ValueError("a rate a minute must be more than 0")
        self._seconds_each = 60.0 / per_minute
        self._free_at = float("-inf")

    def wait(self, now: float) -> float:
        """Seconds from ``now`` until the next request may be sent."""
        return max(0.0, self._free_at - now)

    def take(self, now: float, amount: float) -> None:
        """A request of ``amount`` is being sent at ``now``."""
        self._free_at = max(now, self._free_at) + amount * self._seconds_each

    def correct(self, difference: float) -> None:
        """The last known amount was wrong by ``difference`` (true less assumed)."""
        self._free_at += difference * self._seconds_each


@dataclass(frozen=True, slots=True)
class Permit:
    """The right to have one request under way; given back with ``Limiter.leave``."""

    epoch: int


@dataclass(frozen=True, slots=True)
class LimiterState:
    """The limiter at one moment. ``pause_s``: seconds until anything may be sent."""

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
        self._law = ConcurrencyLaw(ceiling, start, clock())
        self._requests = Pace(rpm) if rpm is not None else None
        self._tokens = Pace(tpm) if tpm is not None else None
        self._clock = clock
        self._condition = threading.Condition()
        self._busy = 0
        self._refusals = 0
        self._paused_until = float("-inf")
        self._sum, self._summed_at = 0.0, clock()

    def try_enter(self) -> Permit | float | None:
        """A permit; or the seconds after which to ask again; or None where a request must leave first."""
        with self._condition:
            return self._try_enter()

    def enter(self, stopped: Callable[[], bool] = lambda: False) -> Permit | None:
        """Waits for a permit; None once ``stopped()`` is true (call ``wake`` when it becomes so)."""
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
            changed = self._law.on_answer(permit.epoch, self._busy, *self._worked())
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
        """Has every waiting thread check its ``stopped`` again."""
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
        self._worked()
        self._busy += 1
        # Whoever is woken may find a pause and go to sleep again; passing the call on keeps room from idling.
        if self._busy < self._law.level:
            self._condition.notify(1)
        return Permit(self._law.epoch)

    def _worked(self) -> tuple[float, float]:
        """The time, and how long requests have been under way until now, all together; to be asked for before
        ``_busy`` changes."""
        now = self._clock()
        self._sum += self._busy * (now - self._summed_at)
        self._summed_at = now
        return now, self._sum

    def _release(self, wake: int) -> None:
        self._worked()
        self._busy -= 1
        self._condition.notify(wake)
