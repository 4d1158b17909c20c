"""When a call is tried again, with which waits and ids: driven by hand, with a clock that only we move."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from typing import Any

import pytest
from tenacity import (
    stop_after_attempt,
    stop_after_delay,
    stop_before_delay,
    wait_exponential,
    wait_fixed,
)

from visionpipe.errors import (
    AccountError,
    ConnectionFailedError,
    ContentPolicyError,
    InterruptedAnswerError,
    RateLimitError,
    ReplyTimeoutError,
    ServerError,
    VisionPipeError,
)
from visionpipe.stages.exchange import Answered, Effect, Send, Sending, Sleep, exchange
from visionpipe.stages.retry import RetryPolicy
from visionpipe.wire.http import HttpRequest, HttpResponse

OK = HttpResponse(200, {}, b"fine")
REQUEST = HttpRequest("POST", "/chat/completions")


class World:
    """Plays the sender and the clock: answers in turn, and remembers what was done."""

    def __init__(self, *answers: HttpResponse | VisionPipeError) -> None:
        self.answers = list(answers)
        self.now = 0.0
        self.sleeps: list[float] = []
        self.ids: list[str] = []

    def run(self, policy: RetryPolicy, seconds_a_send: float = 0.5) -> Answered:
        numbers = count(1)
        call = exchange(
            self._make,
            lambda response, answered: answered,
            self._refusal,
            policy=policy,
            clock=lambda: self.now,
            request_id=lambda: f"id-{next(numbers)}",
        )
        effect: Effect = next(call)
        try:
            while True:
                if isinstance(effect, Sleep):
                    self.sleeps.append(effect.seconds)
                    self.now += effect.seconds
                    effect = call.send(None)
                    continue
                self.now += seconds_a_send
                answer = self.answers.pop(0)
                effect = call.throw(answer) if isinstance(answer, Exception) else call.send(answer)
        except StopIteration as end:
            answered: Answered = end.value
            return answered

    def _make(self, request_id: str) -> Sending:
        self.ids.append(request_id)
        return Send(REQUEST)

    def _refusal(self, response: HttpResponse, request_id: str) -> Any:
        return ServerError("failed", cure="Wait.", code=str(response.status), request_id=request_id)


def refusing(kind: type[Any], **details: Any) -> Any:
    return kind("refused", cure="Wait.", **details)


def exponential() -> RetryPolicy:
    return RetryPolicy(wait=wait_exponential(multiplier=1, max=30), stop=stop_after_attempt(6))


def test_waits_are_tenacitys_and_every_attempt_has_its_own_id() -> None:
    world = World(refusing(RateLimitError), HttpResponse(500, {}, b""), refusing(ConnectionFailedError), OK)
    answered = world.run(exponential())
    assert world.sleeps == [1, 2, 4]
    assert world.ids == ["id-1", "id-2", "id-3", "id-4"]
    assert answered.request_id == "id-4"
    assert [a.failed_with for a in answered.attempts] == ["rate_limit", "500", "connection", None]
    assert [a.seconds for a in answered.attempts] == [0.5] * 4


def test_default_waits_grow_from_a_second_and_stay_under_half_a_minute() -> None:
    world = World(*[refusing(ServerError) for _ in range(5)], OK)
    world.run(RetryPolicy())
    for n, slept in enumerate(world.sleeps):
        assert 2**n <= slept <= min(2**n + 1, 30)


@pytest.mark.parametrize(("asked", "waits"), [(7.0, 7.0), (0.2, 1.0)])
def test_retry_after_is_a_floor(asked: float, waits: float) -> None:
    world = World(refusing(RateLimitError, retry_after=asked), OK)
    world.run(exponential())
    assert world.sleeps == [waits]


def test_a_retry_after_of_hours_ends_the_call() -> None:
    world = World(refusing(RateLimitError, retry_after=7200.0))
    with pytest.raises(RateLimitError):
        world.run(RetryPolicy())
    assert world.sleeps == []


@pytest.mark.parametrize(
    "error",
    [
        lambda: refusing(AccountError, code="1113"),
        lambda: refusing(ContentPolicyError, code="1301"),
        lambda: refusing(ReplyTimeoutError),
    ],
)
def test_what_cannot_help_is_tried_once(error: Callable[[], VisionPipeError]) -> None:
    world = World(error(), OK)
    with pytest.raises(VisionPipeError) as caught:
        world.run(RetryPolicy())
    assert world.ids == ["id-1"]
    assert caught.value.attempts == 1
    assert caught.value.request_id == "id-1"


def test_timeouts_are_sent_again_only_on_request() -> None:
    world = World(refusing(ReplyTimeoutError), OK)
    assert world.run(RetryPolicy(timeouts=True)).request_id == "id-2"


def test_rate_limits_can_be_left_to_a_limiter() -> None:
    world = World(refusing(RateLimitError), OK)
    with pytest.raises(RateLimitError):
        world.run(RetryPolicy(rate_limits=False))


def test_it_stops_by_attempts_and_by_time() -> None:
    by_attempts = World(*[refusing(ServerError) for _ in range(9)])
    with pytest.raises(ServerError) as caught:
        by_attempts.run(RetryPolicy(stop=stop_after_attempt(3)))
    assert caught.value.attempts == 3
    by_time = World(*[refusing(ServerError) for _ in range(99)])
    with pytest.raises(ServerError) as caught:
        by_time.run(RetryPolicy(wait=wait_fixed(10), stop=stop_after_delay(45)))
    assert caught.value.attempts == 6


def test_a_retry_after_beyond_the_last_moment_ends_the_call() -> None:
    world = World(refusing(RateLimitError, retry_after=7.0), OK)
    with pytest.raises(RateLimitError):
        world.run(RetryPolicy(wait=wait_fixed(1), stop=stop_before_delay(5)))
    assert (world.sleeps, world.ids) == ([], ["id-1"])


@pytest.mark.parametrize("kind", [RateLimitError, InterruptedAnswerError, ServerError])
def test_an_error_that_says_so_is_not_tried_again(kind: type[VisionPipeError]) -> None:
    world = World(refusing(kind, retryable=False), OK)
    with pytest.raises(kind):
        world.run(RetryPolicy())
    assert world.ids == ["id-1"]
