"""The control law finds a service's limit, follows it, and asks one too many only now and then."""

from __future__ import annotations

import heapq
import random
from dataclasses import dataclass
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from visionpipe.pipeline.limiter import LONGEST_PAUSE_S, PROBE_AFTER, ConcurrencyLaw, Limiter, Permit


@given(
    ceiling=st.integers(1, 100),
    start=st.integers(1, 100),
    moves=st.lists(st.tuples(st.booleans(), st.integers(0, 5), st.integers(0, 100)), max_size=300),
)
def test_the_level_stays_between_one_and_the_ceiling(
    ceiling: int, start: int, moves: list[tuple[bool, int, int]]
) -> None:
    law = ConcurrencyLaw(ceiling, start)
    for refused, age, busy in moves:
        epoch = max(0, law.epoch - age)
        if refused:
            pause = law.on_refusal(epoch)
            assert 0.0 <= pause <= LONGEST_PAUSE_S
        else:
            law.on_answer(epoch, busy)
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


def test_a_level_that_is_not_in_use_does_not_rise() -> None:
    law = ConcurrencyLaw(64, 8)
    for _ in range(1000):
        law.on_answer(law.epoch, busy=3)
    assert law.level == 8


def test_answers_to_requests_of_a_former_level_confirm_nothing() -> None:
    law = ConcurrencyLaw(64, 4)
    old = law.epoch
    for _ in range(4):
        law.on_answer(old, busy=4)
    assert law.level == 8
    for _ in range(100):
        law.on_answer(old, busy=8)
    assert law.level == 8


def test_pauses_grow_while_nothing_gets_through_and_end_with_an_answer() -> None:
    law = ConcurrencyLaw(8, 1)
    pauses = [law.on_refusal(law.epoch) for _ in range(12)]
    assert pauses[:4] == [0.0, 0.2, 0.4, 0.8]
    assert pauses == sorted(pauses)
    assert pauses[-1] == LONGEST_PAUSE_S
    law.on_answer(law.epoch, busy=1)
    assert law.on_refusal(law.epoch) == 0.0


def answers(law: ConcurrencyLaw, count: int) -> None:
    for _ in range(count):
        law.on_answer(law.epoch, busy=law.level)


def at_a_limit_of_15() -> ConcurrencyLaw:
    """A law that holds 15 for good, and was refused just now at 16."""
    law = ConcurrencyLaw(64, 8)
    answers(law, 8)
    law.on_refusal(law.epoch)
    answers(law, 46)
    assert law.level == 15
    answers(law, PROBE_AFTER)
    assert law.level == 16
    law.on_refusal(law.epoch)
    assert law.level == 15
    return law


def test_a_level_believed_to_be_the_limit_is_kept_for_many_answers() -> None:
    law = at_a_limit_of_15()
    answers(law, PROBE_AFTER - 1)
    assert law.level == 15
    answers(law, 1)
    assert law.level == 16
    high = ConcurrencyLaw(1000, 200)
    answers(high, 200)
    high.on_refusal(high.epoch)
    while high.level < 399:
        answers(high, 1)
    answers(high, 398)
    assert high.level == 399
    answers(high, 1)
    assert high.level == 400


@pytest.mark.parametrize(
    ("answered", "returns_to"), [(PROBE_AFTER // 2, 15), (PROBE_AFTER // 2 - 1, 14), (0, 14)]
)
def test_after_a_lone_refusal_a_proven_level_is_tried_again_and_after_two_close_ones_the_level_below(
    answered: int, returns_to: int
) -> None:
    law = at_a_limit_of_15()
    answers(law, answered)
    law.on_refusal(law.epoch)
    assert law.level == 11  # three quarters
    answers(law, 100)
    assert law.level == returns_to


def test_in_a_row_of_refusals_only_the_first_tells_of_the_limit() -> None:
    law = at_a_limit_of_15()
    answers(law, PROBE_AFTER // 2)
    law.on_refusal(law.epoch)
    law.on_refusal(law.epoch)
    assert law.level == 8
    answers(law, 100)
    assert law.level == 15


def test_a_rise_ends_at_the_ceiling_and_there_nothing_changes() -> None:
    law = ConcurrencyLaw(10, 8)
    answers(law, 8)
    assert law.level == 10
    epoch = law.epoch
    assert not any(law.on_answer(law.epoch, busy=10) for _ in range(3 * PROBE_AFTER))
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
