"""The control law finds a service's limit, follows it, and asks one too many only now and then."""

from __future__ import annotations

import heapq
import math
import random
from collections import deque
from dataclasses import dataclass
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from visionpipe.pipeline.limiter import LONGEST_PAUSE_S, PROBE_AFTER, ROUND, ConcurrencyLaw, Limiter, Permit


@given(
    ceiling=st.integers(1, 100),
    start=st.integers(1, 100),
    moves=st.lists(st.tuples(st.booleans(), st.integers(0, 5), st.integers(0, 100)), max_size=300),
)
def test_the_level_stays_between_one_and_the_ceiling(
    ceiling: int, start: int, moves: list[tuple[bool, int, int]]
) -> None:
    law = ConcurrencyLaw(ceiling, start)
    now = 0.0
    for refused, age, busy in moves:
        epoch = max(0, law.epoch - age)
        if refused:
            pause = law.on_refusal(epoch)
            assert 0.0 <= pause <= LONGEST_PAUSE_S
        else:
            now += 0.1
            law.on_answer(epoch, busy, now, now * busy)
        assert 1 <= law.level <= ceiling


@given(level=st.integers(2, 64), refusals=st.integers(2, 64))
def test_one_congestion_event_is_one_decrease(level: int, refusals: int) -> None:
    law = ConcurrencyLaw(64, level)
    sent_in = law.epoch
    law.on_refusal(sent_in)
    after_one = law.level
    assert after_one < level
    for _ in range(refusals):
        assert law.on_refusal(sent_in) == 0.0
    assert law.level == after_one


class Answering:
    """A law whose requests are answered, each after ``seconds`` with the level in full use."""

    def __init__(self, ceiling: int, start: int) -> None:
        self.law = ConcurrencyLaw(ceiling, start)
        self._now = self._worked = 0.0

    def __call__(self, count: int, *, busy: int | None = None, seconds: float = 1.0) -> int:
        """That many answers. Returns how many of them changed the level."""
        changes = 0
        for _ in range(count):
            under_way = self.law.level if busy is None else busy
            self._now += seconds / self.law.level
            self._worked += under_way * seconds / self.law.level
            changes += self.law.on_answer(self.law.epoch, under_way, self._now, self._worked)
        return changes


def test_a_level_that_is_not_in_use_does_not_rise() -> None:
    answers = Answering(64, 8)
    assert not answers(1000, busy=3)
    assert answers.law.level == 8


def test_answers_to_requests_of_a_former_level_confirm_nothing_where_something_was_refused() -> None:
    answers = at_a_limit_of_15()
    law = answers.law
    old = law.epoch - 1
    for _ in range(2 * PROBE_AFTER):
        law.on_answer(old, 15, 0.0, 0.0)
    assert law.level == 15


def test_what_is_under_way_from_a_higher_level_ends_before_answers_count() -> None:
    answers = Answering(64, 8)
    answers(ROUND)
    assert answers.law.level == 16
    assert not answers(1000, busy=17)


def test_pauses_grow_while_nothing_gets_through_and_end_with_an_answer() -> None:
    law = ConcurrencyLaw(8, 1)
    pauses = [law.on_refusal(law.epoch) for _ in range(12)]
    assert pauses[:4] == [0.0, 0.2, 0.4, 0.8]
    assert pauses == sorted(pauses)
    assert pauses[-1] == LONGEST_PAUSE_S
    law.on_answer(law.epoch, 1, 0.0, 0.0)
    assert law.on_refusal(law.epoch) == 0.0


def at_a_limit_of_15() -> Answering:
    """A law that holds 15 for good, and was refused just now at 16."""
    answers = Answering(64, 8)
    law = answers.law
    answers(ROUND)
    law.on_refusal(law.epoch)
    answers(46)
    assert law.level == 15
    answers(PROBE_AFTER)
    assert law.level == 16
    law.on_refusal(law.epoch)
    assert law.level == 15
    return answers


def test_a_level_believed_to_be_the_limit_is_kept_for_many_answers() -> None:
    answers = at_a_limit_of_15()
    answers(PROBE_AFTER - 1)
    assert answers.law.level == 15
    answers(1)
    assert answers.law.level == 16
    high = Answering(1000, 200)
    high(200)
    high.law.on_refusal(high.law.epoch)
    while high.law.level < 399:
        high(1)
    high(398)
    assert high.law.level == 399
    high(1)
    assert high.law.level == 400


@pytest.mark.parametrize(
    ("answered", "returns_to"), [(PROBE_AFTER // 2, 15), (PROBE_AFTER // 2 - 1, 14), (0, 14)]
)
def test_after_a_lone_refusal_a_proven_level_is_tried_again_and_after_two_close_ones_the_level_below(
    answered: int, returns_to: int
) -> None:
    answers = at_a_limit_of_15()
    law = answers.law
    answers(answered)
    law.on_refusal(law.epoch)
    assert law.level == 11  # three quarters
    answers(100)
    assert law.level == returns_to


def test_in_a_row_of_refusals_only_the_first_tells_of_the_limit() -> None:
    answers = at_a_limit_of_15()
    law = answers.law
    answers(PROBE_AFTER // 2)
    law.on_refusal(law.epoch)
    law.on_refusal(law.epoch)
    assert law.level == 8
    answers(100)
    assert law.level == 15


def test_a_rise_ends_at_the_ceiling_and_there_nothing_changes() -> None:
    answers = Answering(10, 8)
    law = answers.law
    answers(ROUND)
    assert law.level == 10
    epoch = law.epoch
    assert not answers(3 * PROBE_AFTER)
    assert (law.level, law.epoch) == (10, epoch)
    assert law.on_refusal(epoch) == 0.0
    assert law.level == 7


def test_a_ceiling_under_one_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        ConcurrencyLaw(0)


@dataclass(frozen=True)
class Phase:
    """A service that answers ``limit`` requests at once, for ``seconds``."""

    seconds: float
    limit: int


@dataclass(frozen=True)
class Measured:
    first_within_s: float
    mean_under_way: float
    seldom_low: float
    refused: float


def simulate(phases: list[Phase], latency: float, seed: int, settle_s: float) -> list[Measured]:
    """A client that always has work, and a service with a hidden limit, in virtual time."""
    rng = random.Random(seed)
    now = 0.0
    limiter = Limiter(64, clock=lambda: now)
    events: list[tuple[float, int, bool, Permit]] = []
    sent: list[tuple[float, bool]] = []
    under_way: list[tuple[float, int]] = []
    serving = 0
    starts = [sum(p.seconds for p in phases[:i]) for i in range(len(phases) + 1)]
    while now < starts[-1]:
        limit = next(p.limit for p, end in zip(phases, starts[1:], strict=True) if now < end)
        while isinstance(found := limiter.try_enter(), Permit):
            refused = serving >= limit
            serving += not refused
            delay = 0.002 if refused else latency * rng.uniform(0.9, 1.1)
            heapq.heappush(events, (now + delay, len(sent), refused, found))
            sent.append((now, refused))
        under_way.append((now, serving))
        now = min([events[0][0]] if events else [], default=float("inf"))
        if isinstance(found, float):
            now = min(now, under_way[-1][0] + found)
        while events and events[0][0] <= now:
            _, _, refused, permit = heapq.heappop(events)
            if refused:
                limiter.leave_refused(permit)
            else:
                serving -= 1
                limiter.leave(permit)
    return [measure(p, start, sent, under_way, settle_s) for p, start in zip(phases, starts, strict=False)]


def measure(
    phase: Phase,
    start: float,
    sent: list[tuple[float, bool]],
    under_way: list[tuple[float, int]],
    settle: float,
) -> Measured:
    first, last = start + settle, start + phase.seconds
    spans = [(b - a, v) for (a, v), (b, _) in pairwise(under_way) if first <= a < last]
    total = sum(s for s, _ in spans)
    tries = [refused for t, refused in sent if first <= t < last]
    return Measured(
        first_within_s=next(
            t - start for t, v in under_way if t >= start and abs(v - phase.limit) <= 0.2 * phase.limit
        ),
        mean_under_way=sum(s * v for s, v in spans) / total,
        seldom_low=sum(s for s, v in spans if v < 0.8 * phase.limit) / total,
        refused=sum(tries) / len(tries),
    )


@pytest.mark.parametrize("seed", range(3))
def test_a_limit_of_8_then_3_then_20_is_followed(seed: int) -> None:
    phases = [Phase(15, 8), Phase(15, 3), Phase(15, 20)]
    for phase, seen in zip(phases, simulate(phases, 0.05, seed, settle_s=4), strict=True):
        assert seen.first_within_s < 4, phase
        assert abs(seen.mean_under_way - phase.limit) <= 0.2 * phase.limit, phase
        assert seen.seldom_low < 0.05, phase
        assert 0 < seen.refused <= 0.02, phase


@dataclass(frozen=True)
class Queueing:
    """What a service that never refuses did under a client that always has work.

    Attributes:
        throughput: answers a second. under_way: requests on average.
    """

    throughput: float
    under_way: float


def queue(
    serves: int,
    seed: int,
    *,
    sigma: float,
    seconds: float = 90.0,
    settle_s: float = 30.0,
    fixed: int | None = None,
    ceiling: int = 128,
) -> Queueing:
    """A service that answers ``serves`` at once, in a second each (log-normal), and lets the rest wait.

    Args:
        fixed: requests at once instead of the limiter's.
    """
    rng = random.Random(seed)
    now = begun_at = 1e6
    settle_s, seconds = begun_at + settle_s, begun_at + seconds
    limiter = Limiter(ceiling, clock=lambda: now)
    waiting: deque[Permit] = deque()
    served: list[tuple[float, int, Permit]] = []
    under_way = begun = came = 0
    area = 0.0
    while now < seconds:
        while fixed is None or under_way < fixed:
            found = limiter.try_enter() if fixed is None else Permit(0)
            if not isinstance(found, Permit):
                break
            under_way += 1
            waiting.append(found)
        while waiting and len(served) < serves:
            begun += 1
            took = math.exp(rng.gauss(-sigma * sigma / 2, sigma))
            heapq.heappush(served, (now + took, begun, waiting.popleft()))
        before = now
        now, _, permit = heapq.heappop(served)
        if now >= settle_s:
            came += 1
            area += under_way * (now - max(before, settle_s))
        under_way -= 1
        if fixed is None:
            limiter.leave(permit)
    return Queueing(came / (now - settle_s), area / (now - settle_s))


@pytest.mark.parametrize("sigma", [0.0, 0.4, 0.9])
@pytest.mark.parametrize("serves", [4, 16, 64])
def test_a_service_that_lets_requests_wait_is_used_and_not_flooded(serves: int, sigma: float) -> None:
    seen = [queue(serves, seed, sigma=sigma) for seed in range(4)]
    best = [queue(serves, seed, sigma=sigma, fixed=serves) for seed in range(4)]
    assert sum(s.throughput for s in seen) >= 0.9 * sum(b.throughput for b in best)
    assert sum(s.under_way for s in seen) <= 2 * sum(b.under_way for b in best)


def test_a_service_without_a_limit_is_used_up_to_the_ceiling() -> None:
    assert queue(10**6, 0, sigma=0.4).under_way > 127


def test_a_service_that_serves_more_than_before_is_followed_and_one_that_serves_fewer() -> None:
    answers = Answering(128, 4)
    law = answers.law

    def served(count: int, at_once: int) -> None:
        for _ in range(count):
            answers(1, seconds=max(1.0, law.level / at_once))

    served(400, 4)
    assert law.level <= 6
    served(3000, 64)
    assert 52 <= law.level <= 100
    served(8000, 16)
    assert 13 <= law.level <= 25
