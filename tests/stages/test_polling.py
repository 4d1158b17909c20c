"""Asking until the end: waits grow, Retry-After is a floor, and the deadline is kept, all on a clock of its
own."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from typing import Any, TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tenacity import wait_fixed

from visionpipe.errors import AuthenticationError, ReplyTimeoutError, ServerError, VisionPipeError
from visionpipe.stages.exchange import Effect, Sleep
from visionpipe.stages.polling import LONG, Look, Looked, PollPolicy, poll, poll_all

R = TypeVar("R")
STEADY = PollPolicy(wait_fixed(5))


class Clock:
    """Stands still but for the waits that are asked of it, which it keeps."""

    def __init__(self) -> None:
        self.now = 100.0
        self.waits: list[float] = []

    def __call__(self) -> float:
        return self.now

    def run(self, work: Generator[Effect, Any, R]) -> R:
        try:
            effect = next(work)
            while True:
                assert isinstance(effect, Sleep)
                self.waits.append(effect.seconds)
                self.now += effect.seconds
                effect = work.send(None)
        except StopIteration as end:
            result: R = end.value
            return result


def telling(*told: Looked[str] | VisionPipeError) -> Callable[[], Look[str]]:
    """Tells one after the other, the last one again and again."""
    left = list(told)

    def look() -> Look[str]:
        yield from ()  # a look is a generator, also one that needs to ask nobody
        answer = left.pop(0) if len(left) > 1 else left[0]
        if isinstance(answer, VisionPipeError):
            raise answer
        return answer

    return look


BUSY = Looked("busy", done=False)
DONE = Looked("done", done=True)


def late() -> VisionPipeError:
    return ReplyTimeoutError("it is late", cure="Ask again.")


def polled(clock: Clock, look: Callable[[], Look[str]], deadline: float | None = None) -> str:
    return clock.run(poll(look, policy=STEADY, clock=clock, deadline=deadline, late=late))


def polled_all(
    clock: Clock, looks: Mapping[str, Callable[[], Look[str]]], deadline: float | None = None
) -> dict[str, Looked[str] | VisionPipeError]:
    return clock.run(poll_all(looks, policy=STEADY, clock=clock, deadline=deadline))


def test_what_is_done_is_not_waited_for() -> None:
    clock = Clock()
    assert polled(clock, telling(DONE)) == "done"
    assert clock.waits == []


def test_it_is_asked_again_after_each_wait() -> None:
    clock = Clock()
    assert polled(clock, telling(BUSY, BUSY, DONE)) == "done"
    assert clock.waits == [5, 5]


def test_retry_after_is_a_floor() -> None:
    clock = Clock()
    told = telling(Looked("busy", False, retry_after=12), Looked("busy", False, retry_after=1), DONE)
    assert polled(clock, told) == "done"
    assert clock.waits == [12, 5]


def test_a_deadline_ends_the_asking() -> None:
    clock = Clock()
    with pytest.raises(ReplyTimeoutError, match="late"):
        polled(clock, telling(BUSY), deadline=12)
    assert clock.waits == [5, 5, 2]


def test_a_wait_beyond_the_deadline_is_not_begun() -> None:
    clock = Clock()
    with pytest.raises(ReplyTimeoutError):
        polled(clock, telling(Looked("busy", False, retry_after=60)), deadline=30)
    assert clock.waits == []


def test_an_error_of_the_one_thing_is_raised() -> None:
    with pytest.raises(ServerError):
        polled(Clock(), telling(BUSY, ServerError("it failed", cure="Try again.")))


def test_several_things_end_each_on_its_own() -> None:
    clock = Clock()
    broken = ServerError("it failed", cure="Try again.")
    ends = polled_all(clock, {"a": telling(BUSY, BUSY, DONE), "b": telling(broken), "c": telling(DONE)})
    assert ends == {"a": DONE, "b": broken, "c": DONE}
    assert clock.waits == [5, 5]


def test_each_thing_has_its_own_retry_after() -> None:
    clock = Clock()
    asked: list[float] = []
    slow = telling(Looked("busy", False, retry_after=14), DONE)

    def watched() -> Look[str]:
        asked.append(clock.now - 100)
        return slow()

    ends = polled_all(clock, {"slow": watched, "quick": telling(BUSY, BUSY, BUSY, BUSY, DONE)})
    assert set(ends) == {"slow", "quick"}
    assert asked == [0, 15]


def test_nothing_to_ask_after_is_at_its_end() -> None:
    clock = Clock()
    assert polled_all(clock, {}) == {}
    assert clock.waits == []


def test_what_has_no_end_by_the_deadline_is_missing() -> None:
    clock = Clock()
    assert polled_all(clock, {"a": telling(DONE), "b": telling(BUSY)}, deadline=5) == {"a": DONE}


def test_an_error_of_the_whole_job_stops_everything() -> None:
    refused = AuthenticationError("the key was refused", cure="Check it.")
    with pytest.raises(AuthenticationError):
        polled_all(Clock(), {"a": telling(refused), "b": telling(BUSY)})


@pytest.mark.parametrize(("policy", "most"), [(PollPolicy(), 15), (LONG, 60)])
def test_waits_grow_to_a_limit(policy: PollPolicy, most: float) -> None:
    waits = [policy.seconds(n) for n in range(1, 40)]
    assert waits == sorted(waits)
    assert 1 <= waits[0] < waits[1]
    assert waits[-1] == most


@given(st.integers(1, 50), st.floats(0, 500))
def test_a_floor_is_never_undercut(asked: int, floor: float) -> None:
    assert PollPolicy().seconds(asked, floor) == max(PollPolicy().seconds(asked), floor)
