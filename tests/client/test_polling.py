"""Asking until the end: waits grow, Retry-After is a floor, and the deadline is kept, all on a clock of its
own, by both clients' loops."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeAlias

import pytest

from visionpipe.client._async.calls import poll_all_async, poll_async
from visionpipe.client._sync.calls import poll, poll_all
from visionpipe.errors import AuthenticationError, ReplyTimeoutError, ServerError, VisionPipeError
from visionpipe.stages.retry import Looked, PollPolicy

STEADY = PollPolicy(first_wait=5, longest_wait=5)
Look: TypeAlias = Callable[[], Looked[str]]


class Clock:
    """Stands still but for the waits that are asked of it, which it keeps; polls as the blocking client."""

    def __init__(self) -> None:
        self.now = 100.0
        self.waits: list[float] = []

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.waits.append(seconds)
        self.now += seconds

    def poll(self, look: Look, **how: Any) -> str:
        return poll(look, sleep=self.sleep, clock=self, **how)

    def poll_all(self, looks: Mapping[str, Look], **how: Any) -> dict[str, Looked[str] | VisionPipeError]:
        return poll_all(looks, sleep=self.sleep, clock=self, **how)


class AsyncClock(Clock):
    """Polls as the asyncio client."""

    def poll(self, look: Look, **how: Any) -> str:
        return asyncio.run(poll_async(_awaited(look), sleep=self._sleep, clock=self, **how))

    def poll_all(self, looks: Mapping[str, Look], **how: Any) -> dict[str, Looked[str] | VisionPipeError]:
        awaited = {key: _awaited(look) for key, look in looks.items()}
        return asyncio.run(poll_all_async(awaited, sleep=self._sleep, clock=self, **how))

    async def _sleep(self, seconds: float) -> None:
        self.sleep(seconds)


def _awaited(look: Look) -> Callable[[], Awaitable[Looked[str]]]:
    async def looked() -> Looked[str]:
        return look()

    return looked


@pytest.fixture(params=[Clock, AsyncClock], ids=["sync", "async"])
def clock(request: pytest.FixtureRequest) -> Clock:
    made: Clock = request.param()
    return made


def telling(*told: Looked[str] | VisionPipeError) -> Look:
    """Tells one after the other, the last one again and again."""
    left = list(told)

    def look() -> Looked[str]:
        answer = left.pop(0) if len(left) > 1 else left[0]
        if isinstance(answer, VisionPipeError):
            raise answer
        return answer

    return look


BUSY = Looked("busy", done=False)
DONE = Looked("done", done=True)


def late() -> VisionPipeError:
    return ReplyTimeoutError("it is late", cure="Ask again.")


def polled(clock: Clock, look: Look, deadline: float | None = None) -> str:
    return clock.poll(look, policy=STEADY, deadline=deadline, late=late)


def polled_all(
    clock: Clock, looks: Mapping[str, Look], deadline: float | None = None
) -> dict[str, Looked[str] | VisionPipeError]:
    return clock.poll_all(looks, policy=STEADY, deadline=deadline)


def test_what_is_done_is_not_waited_for(clock: Clock) -> None:
    assert polled(clock, telling(DONE)) == "done"
    assert clock.waits == []


def test_it_is_asked_again_after_each_wait(clock: Clock) -> None:
    assert polled(clock, telling(BUSY, BUSY, DONE)) == "done"
    assert clock.waits == [5, 5]


def test_retry_after_is_a_floor(clock: Clock) -> None:
    told = telling(Looked("busy", False, retry_after=12), Looked("busy", False, retry_after=1), DONE)
    assert polled(clock, told) == "done"
    assert clock.waits == [12, 5]


def test_a_deadline_ends_the_asking(clock: Clock) -> None:
    with pytest.raises(ReplyTimeoutError, match="late"):
        polled(clock, telling(BUSY), deadline=12)
    assert clock.waits == [5, 5, 2]


def test_a_wait_beyond_the_deadline_is_not_begun(clock: Clock) -> None:
    with pytest.raises(ReplyTimeoutError):
        polled(clock, telling(Looked("busy", False, retry_after=60)), deadline=30)
    assert clock.waits == []


def test_an_error_of_the_one_thing_is_raised(clock: Clock) -> None:
    with pytest.raises(ServerError):
        polled(clock, telling(BUSY, ServerError("it failed", cure="Try again.")))


def test_several_things_end_each_on_its_own(clock: Clock) -> None:
    broken = ServerError("it failed", cure="Try again.")
    ends = polled_all(clock, {"a": telling(BUSY, BUSY, DONE), "b": telling(broken), "c": telling(DONE)})
    assert ends == {"a": DONE, "b": broken, "c": DONE}
    assert clock.waits == [5, 5]


def test_each_thing_has_its_own_retry_after(clock: Clock) -> None:
    asked: list[float] = []
    slow = telling(Looked("busy", False, retry_after=14), DONE)

    def watched() -> Looked[str]:
        asked.append(clock.now - 100)
        return slow()

    ends = polled_all(clock, {"slow": watched, "quick": telling(BUSY, BUSY, BUSY, BUSY, DONE)})
    assert set(ends) == {"slow", "quick"}
    assert asked == [0, 15]


def test_nothing_to_ask_after_is_at_its_end(clock: Clock) -> None:
    assert polled_all(clock, {}) == {}
    assert clock.waits == []


def test_what_has_no_end_by_the_deadline_is_missing(clock: Clock) -> None:
    assert polled_all(clock, {"a": telling(DONE), "b": telling(BUSY)}, deadline=5) == {"a": DONE}


def test_an_error_of_the_whole_job_stops_everything(clock: Clock) -> None:
    refused = AuthenticationError("the key was refused", cure="Check it.")
    with pytest.raises(AuthenticationError):
        polled_all(clock, {"a": telling(refused), "b": telling(BUSY)})
