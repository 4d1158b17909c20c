"""The limiter: permits, paces, pauses, and threads that wait for them."""

from __future__ import annotations

import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from visionpipe.pipeline.limiter import Limiter, Pace, Permit


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def entered(limiter: Limiter) -> Permit:
    found = limiter.try_enter()
    assert isinstance(found, Permit)
    return found


def test_no_more_permits_than_the_level() -> None:
    limiter = Limiter(10, start=2)
    entered(limiter)
    entered(limiter)
    assert limiter.try_enter() is None
    assert limiter.state.busy == 2


def test_retry_after_is_a_floor_for_everything() -> None:
    clock = Clock()
    limiter = Limiter(10, start=4, clock=clock)
    limiter.leave_refused(entered(limiter), retry_after=7.0)
    assert limiter.try_enter() == pytest.approx(7.0)
    clock.now += 6.9
    assert limiter.try_enter() == pytest.approx(0.1)
    clock.now += 0.2
    entered(limiter)


def test_a_shorter_retry_after_does_not_shorten_a_pause() -> None:
    clock = Clock()
    limiter = Limiter(10, start=4, clock=clock)
    first, second = entered(limiter), entered(limiter)
    limiter.leave_refused(first, retry_after=7.0)
    limiter.leave_refused(second, retry_after=1.0)
    assert limiter.state.pause_s == pytest.approx(7.0)
    assert limiter.state.refusals == 2


def test_requests_a_minute_are_spaced() -> None:
    clock = Clock()
    limiter = Limiter(10, rpm=30, clock=clock)
    limiter.leave(entered(limiter))
    assert limiter.try_enter() == pytest.approx(2.0)
    clock.now += 2.0
    entered(limiter)


def test_tokens_a_minute_are_put_right_by_the_usage() -> None:
    clock = Clock()
    limiter = Limiter(10, tpm=6000, clock=clock)
    permit = entered(limiter)
    limiter.spend(1000)
    assert limiter.try_enter() == pytest.approx(10.0)
    limiter.correct(1000, 400)
    limiter.leave(permit)
    assert limiter.try_enter() == pytest.approx(4.0)


def test_an_unused_permit_teaches_nothing() -> None:
    limiter = Limiter(64, start=1)
    for _ in range(50):
        limiter.leave_unused(entered(limiter))
    assert limiter.state.level == 1
    assert limiter.state.busy == 0


def test_a_waiting_thread_gets_the_permit_that_another_gives_back() -> None:
    limiter = Limiter(1, start=1)
    first = entered(limiter)
    got: list[Permit | None] = []
    waiter = threading.Thread(target=lambda: got.append(limiter.enter()))
    waiter.start()
    limiter.leave(first)
    waiter.join(10)
    assert isinstance(got[0], Permit)


def test_a_waiting_thread_goes_home_when_told() -> None:
    limiter = Limiter(1, start=1)
    entered(limiter)
    stop = threading.Event()
    got: list[Permit | None] = []
    waiter = threading.Thread(target=lambda: got.append(limiter.enter(stop.is_set)))
    waiter.start()
    stop.set()
    limiter.wake()
    waiter.join(10)
    assert got == [None]


def test_many_threads_never_pass_the_level() -> None:
    limiter = Limiter(5, start=5)
    lock = threading.Lock()
    inside, highest = 0, 0

    def work() -> None:
        nonlocal inside, highest
        for _ in range(50):
            permit = limiter.enter()
            assert permit is not None
            with lock:
                inside += 1
                highest = max(highest, inside)
            with lock:
                inside -= 1
            limiter.leave(permit)

    threads = [threading.Thread(target=work) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert 1 <= highest <= 5
    assert limiter.state.busy == 0


@given(
    rate=st.integers(1, 600),
    gaps=st.lists(st.floats(0, 20), min_size=1, max_size=200),
)
def test_no_minute_holds_more_than_the_rate(rate: int, gaps: list[float]) -> None:
    pace, now, sent = Pace(rate), 0.0, []
    for gap in gaps:
        now += gap
        now += pace.wait(now)
        pace.take(now, 1)
        sent.append(now)
    for start in sent:
        assert sum(start <= t < start + 60 - 1e-6 for t in sent) <= rate


def test_a_rate_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="more than 0"):
        Pace(0)
