"""Which of several servers are up, and which one a request goes to."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.client.faces import Clock
from visionpipe.client.servers import FIRST_WAIT_S, LONGEST_WAIT_S, TIMEOUTS_IN_A_ROW, Servers, prefix_of
from visionpipe.errors import (
    ConnectionFailedError,
    RateLimitError,
    RejectedRequestError,
    ReplyTimeoutError,
    ServerError,
    VisionPipeError,
)
from visionpipe.media import Image, MemoryContent, Text
from visionpipe.request import Message, Request

REFUSED = ConnectionFailedError("nothing listens there", cure="Start it.")
LATE = ReplyTimeoutError("no answer came in time", cure="Wait.")


def pool(count: int = 3) -> tuple[Servers, Clock, list[tuple[str, str | None, float]]]:
    clock = Clock()
    servers, told = Servers([f"http://{n}/v1" for n in range(count)], clock=clock), []
    servers.watch(lambda url, reason, seconds: told.append((url, reason, seconds)))
    return servers, clock, told


def gone(status: int) -> ServerError:
    return ServerError("down", cure="Wait.", status=status)


def test_work_goes_to_the_one_with_the_fewest_under_way() -> None:
    servers, _, _ = pool()
    for server in (0, 1, 0, 2):
        servers.begun(server)
    servers.ended(2)
    assert servers.choose() == 2
    servers.begun(2)
    servers.begun(2)
    assert servers.choose() == 1


def test_those_that_are_alike_take_turns() -> None:
    servers, _, _ = pool()
    assert sorted(servers.choose() for _ in range(3)) == [0, 1, 2]


@pytest.mark.parametrize("error", [REFUSED, gone(502), gone(503), gone(504)])
def test_one_that_cannot_be_asked_is_left_at_once(error: VisionPipeError) -> None:
    servers, _, told = pool()
    assert servers.failed(0, error, sent=0.0)
    assert servers.up() == [1, 2] and told == [("http://0/v1", error.reason, 0.0)]
    assert {servers.choose() for _ in range(6)} == {1, 2}


@pytest.mark.parametrize(
    "error",
    [
        gone(500),
        RateLimitError("too many", cure="Wait.", status=429),
        RejectedRequestError("no", cure="Change it.", status=400),
    ],
)
def test_one_that_answers_with_a_refusal_is_up(error: VisionPipeError) -> None:
    servers, _, told = pool()
    assert not servers.failed(0, error, sent=0.0)
    assert servers.up() == [0, 1, 2] and not told


def test_several_timeouts_in_a_row_leave_it_and_none_moves_a_request_that_may_be_billed() -> None:
    servers, _, _ = pool()
    assert not any(servers.failed(0, LATE, 0.0) for _ in range(TIMEOUTS_IN_A_ROW - 1))
    servers.answered(0, 0.0)
    assert not any(servers.failed(0, LATE, 0.0) for _ in range(TIMEOUTS_IN_A_ROW))
    assert servers.up() == [1, 2]


def test_one_that_was_left_is_looked_at_by_one_alone_and_ever_later_until_it_answers() -> None:
    servers, clock, told = pool()
    servers.failed(0, REFUSED, 0.0)
    waits = []
    for _ in range(5):
        before = clock.now
        while servers.due() is None:
            clock.now += 0.5
        assert servers.due() is None
        waits.append(clock.now - before)
        servers.looked(0, there=False)
    assert waits[0] == FIRST_WAIT_S and waits[-1] == LONGEST_WAIT_S and waits == sorted(waits)
    clock.now += LONGEST_WAIT_S
    assert servers.due() == 0
    servers.looked(0, there=True)
    assert servers.up() == [0, 1, 2] and told[-1] == ("http://0/v1", None, clock.now)
    # It is there, but does not answer: the next look is as late as before. Once it has, all is forgotten.
    servers.failed(0, gone(503), clock.now)
    clock.now += LONGEST_WAIT_S / 2
    assert servers.due() is None
    clock.now += LONGEST_WAIT_S / 2
    servers.looked(servers.due() or 0, there=True)
    servers.answered(0, clock.now)
    servers.failed(0, gone(503), clock.now)
    clock.now += FIRST_WAIT_S
    assert servers.due() == 0


def test_what_was_under_way_before_says_nothing_of_what_is_now() -> None:
    servers, clock, _ = pool()
    clock.now = 10.0
    servers.failed(0, REFUSED, sent=9.0)
    servers.answered(0, sent=8.0)
    assert servers.up() == [1, 2]
    clock.now = 20.0
    servers.due()
    servers.looked(0, there=True)
    assert not servers.failed(0, REFUSED, sent=9.5)
    assert servers.up() == [0, 1, 2]


def test_where_all_are_away_any_is_tried_and_nothing_moves() -> None:
    servers, clock, _ = pool(2)
    assert servers.failed(0, REFUSED, 0.0)
    assert not servers.failed(1, REFUSED, 0.0)
    assert not servers.any_up() and servers.up() == [0, 1]
    clock.now = 5.0
    servers.answered(1, sent=4.0)
    assert servers.up() == [1]


@given(st.lists(st.binary(min_size=1), min_size=1, unique=True), st.integers(2, 6), st.data())
def test_a_server_that_goes_moves_only_its_own(keys: list[bytes], count: int, data: st.DataObject) -> None:
    servers, _, _ = pool(count)
    before = {key: servers.choose(key) for key in keys}
    lost = data.draw(st.integers(0, count - 1))
    servers.failed(lost, REFUSED, 0.0)
    after = {key: servers.choose(key) for key in keys}
    assert all(after[key] != lost for key in keys)
    assert all(after[key] == before[key] for key in keys if before[key] != lost)


def test_requests_spread_over_all_servers() -> None:
    servers, _, _ = pool(4)
    chosen = [servers.choose(str(number).encode()) for number in range(400)]
    assert all(60 < chosen.count(server) < 140 for server in range(4))


def asked(*parts: Text | Image, system: str = "Be brief.") -> Request:
    return Request("m", (Message("system", (Text(system),)), Message("user", parts)))


def picture(data: bytes) -> Image:
    return Image("x.png", MemoryContent(data), "png", 1, 1)


def test_a_prefix_is_the_system_prompt_and_what_is_asked_about_first() -> None:
    one, other = picture(b"1"), picture(b"2")
    same = prefix_of(asked(one, Text("What is it?")))
    assert prefix_of(asked(one, Text("What colour is it?"))) == same
    assert prefix_of(asked(picture(b"1"), other, Text("Compare."))) == same
    assert prefix_of(asked(other, Text("What is it?"))) != same
    assert prefix_of(asked(one, Text("What is it?"), system="Be long.")) != same
    assert prefix_of(asked(Text("Look:"), one)) == prefix_of(asked(Text("Look:"), other))
