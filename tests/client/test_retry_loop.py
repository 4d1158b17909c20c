"""When a call is tried again, with which waits and ids: both clients' calls, on a clock that only we move."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from itertools import count
from typing import Any

import pytest

from visionpipe.client._async.calls import AsyncCalls
from visionpipe.client._sync.calls import Calls
from visionpipe.client.settings import resolve_settings
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
from visionpipe.reply import Answered
from visionpipe.stages.retry import RetryPolicy
from visionpipe.wire.http import HttpRequest, HttpResponse

OK = HttpResponse(200, {}, b"fine")
FAILED = HttpResponse(500, {}, b'{"error": {"code": "500", "message": "failed"}}')
REQUEST = HttpRequest("POST", "/chat/completions")


class World:
    """Plays the sender and the clock of a call: answers in turn, and remembers what was done."""

    def __init__(self, way: Way, *answers: HttpResponse | VisionPipeError) -> None:
        self.way = way
        self.answers = list(answers)
        self.now = 0.0
        self.sleeps: list[float] = []
        self.ids: list[str] = []

    def run(self, policy: RetryPolicy, seconds_a_send: float = 0.5) -> Answered:
        numbers = count(1)

        def made(request_id: str) -> HttpRequest:
            self.ids.append(request_id)
            return REQUEST

        def send(request: HttpRequest) -> HttpResponse:
            assert request is REQUEST
            self.now += seconds_a_send
            answer = self.answers.pop(0)
            if isinstance(answer, Exception):
                raise answer
            return answer

        def sleep(seconds: float) -> None:
            self.sleeps.append(seconds)
            self.now += seconds

        return self.way(send, sleep, policy, lambda: self.now, lambda: f"id-{next(numbers)}", made)


Way = Callable[..., Answered]


class Sending:
    """A sender that is one function."""

    def __init__(self, send: Callable[[HttpRequest], HttpResponse]) -> None:
        self.send = send

    def open(self, request: HttpRequest) -> Any:
        raise NotImplementedError

    def close(self) -> None:
        raise NotImplementedError


class AsyncSending:
    """As Sending, awaited."""

    def __init__(self, send: Callable[[HttpRequest], HttpResponse]) -> None:
        self._send = send

    async def send(self, request: HttpRequest) -> HttpResponse:
        return self._send(request)

    async def open(self, request: HttpRequest) -> Any:
        raise NotImplementedError

    async def close(self) -> None:
        raise NotImplementedError


SETTINGS = resolve_settings(base_url="https://api.example.com/v4", model="m", api_key="k")


def blocking(
    send: Callable[[HttpRequest], HttpResponse],
    sleep: Callable[[float], None],
    policy: RetryPolicy,
    clock: Callable[[], float],
    ids: Callable[[], str],
    make: Callable[[str], HttpRequest],
) -> Answered:
    calls = Calls(SETTINGS, Sending(send), sleep, policy, clock=clock, request_id=ids)
    return calls.service(make, lambda response, answered: answered)


def awaited(
    send: Callable[[HttpRequest], HttpResponse],
    sleep: Callable[[float], None],
    policy: RetryPolicy,
    clock: Callable[[], float],
    ids: Callable[[], str],
    make: Callable[[str], HttpRequest],
) -> Answered:
    async def slept(seconds: float) -> None:
        sleep(seconds)

    calls = AsyncCalls(SETTINGS, AsyncSending(send), slept, policy, clock=clock, request_id=ids)
    return asyncio.run(calls.service(make, lambda response, answered: answered))


@pytest.fixture(params=[blocking, awaited], ids=["sync", "async"])
def way(request: pytest.FixtureRequest) -> Way:
    found: Way = request.param
    return found


def refusing(kind: type[Any], **details: Any) -> Any:
    return kind("refused", cure="Wait.", **details)


def exponential() -> RetryPolicy:
    return RetryPolicy(attempts=6, seconds=1e9, jitter=0)


def test_waits_are_tenacitys_and_every_attempt_has_its_own_id(way: Way) -> None:
    world = World(way, refusing(RateLimitError), FAILED, refusing(ConnectionFailedError), OK)
    answered = world.run(exponential())
    assert world.sleeps == [1, 2, 4]
    assert world.ids == ["id-1", "id-2", "id-3", "id-4"]
    assert answered.request_id == "id-4"
    assert [a.failed_with for a in answered.attempts] == ["rate_limit", "500", "connection", None]
    assert [a.seconds for a in answered.attempts] == [0.5] * 4


def test_default_waits_grow_from_a_second_and_stay_under_half_a_minute(way: Way) -> None:
    world = World(way, *[refusing(ServerError) for _ in range(5)], OK)
    world.run(RetryPolicy())
    for n, slept in enumerate(world.sleeps):
        assert 2**n <= slept <= min(2**n + 1, 30)


@pytest.mark.parametrize(("asked", "waits"), [(7.0, 7.0), (0.2, 1.0)])
def test_retry_after_is_a_floor(way: Way, asked: float, waits: float) -> None:
    world = World(way, refusing(RateLimitError, retry_after=asked), OK)
    world.run(exponential())
    assert world.sleeps == [waits]


def test_a_retry_after_of_hours_ends_the_call(way: Way) -> None:
    world = World(way, refusing(RateLimitError, retry_after=7200.0))
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
def test_what_cannot_help_is_tried_once(way: Way, error: Callable[[], VisionPipeError]) -> None:
    world = World(way, error(), OK)
    with pytest.raises(VisionPipeError) as caught:
        world.run(RetryPolicy())
    assert world.ids == ["id-1"]
    assert caught.value.attempts == 1
    assert caught.value.request_id == "id-1"


def test_timeouts_are_sent_again_only_on_request(way: Way) -> None:
    world = World(way, refusing(ReplyTimeoutError), OK)
    assert world.run(RetryPolicy(timeouts=True)).request_id == "id-2"


def test_rate_limits_can_be_left_to_a_limiter(way: Way) -> None:
    world = World(way, refusing(RateLimitError), OK)
    with pytest.raises(RateLimitError):
        world.run(RetryPolicy(rate_limits=False))


def test_it_stops_by_attempts_and_by_time(way: Way) -> None:
    by_attempts = World(way, *[refusing(ServerError) for _ in range(9)])
    with pytest.raises(ServerError) as caught:
        by_attempts.run(RetryPolicy(attempts=3))
    assert caught.value.attempts == 3
    by_time = World(way, *[refusing(ServerError) for _ in range(99)])
    with pytest.raises(ServerError) as caught:
        by_time.run(RetryPolicy(attempts=99, seconds=45, first_wait=10, longest_wait=10, jitter=0))
    assert caught.value.attempts == 6


def test_a_retry_after_beyond_the_last_moment_ends_the_call(way: Way) -> None:
    world = World(way, refusing(RateLimitError, retry_after=7.0), OK)
    with pytest.raises(RateLimitError):
        world.run(RetryPolicy(attempts=99, begin_within=5, first_wait=1, longest_wait=1, jitter=0))
    assert (world.sleeps, world.ids) == ([], ["id-1"])


@pytest.mark.parametrize("kind", [RateLimitError, InterruptedAnswerError, ServerError])
def test_an_error_that_says_so_is_not_tried_again(way: Way, kind: type[VisionPipeError]) -> None:
    world = World(way, refusing(kind, retryable=False), OK)
    with pytest.raises(kind):
        world.run(RetryPolicy())
    assert world.ids == ["id-1"]


def test_a_call_cancelled_while_it_waits_sends_nothing_more() -> None:
    sent: list[str] = []

    def send(request: HttpRequest) -> HttpResponse:
        return FAILED

    def made(request_id: str) -> HttpRequest:
        sent.append(request_id)
        return REQUEST

    async def main() -> None:
        waiting = asyncio.Event()

        async def sleep(seconds: float) -> None:
            waiting.set()
            await asyncio.Event().wait()

        calls = AsyncCalls(SETTINGS, AsyncSending(send), sleep, RetryPolicy())
        task = asyncio.create_task(calls.service(made, lambda response, answered: answered))
        await waiting.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    assert len(sent) == 1
