"""One limit for many processes, kept in a Redis server: its law is the limiter's, and it loses nothing."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from decimal import Decimal
from typing import Any

import orjson
import pytest
import redis

from tests.redis_server import RedisServer, serving_redis
from visionpipe.errors import ConnectionFailedError, ParameterError
from visionpipe.pipeline.budget import Amount, Caps
from visionpipe.pipeline.gate import Bill
from visionpipe.pipeline.limiter import ConcurrencyLaw
from visionpipe.pipeline.redis_gate import RedisGate, SharedLease, gate_states, law_script

pytestmark = pytest.mark.system

ALL_EVENTS = """
local given, law, out = cjson.decode(ARGV[1]), nil, {}
law = law_new(given.ceiling, given.start)
for i, event in ipairs(given.events) do
  local said
  if event[1] then
    said = law_refusal(law, event[2])
  elseif law_answer(law, event[2], event[3], event[4], event[5]) then
    said = 1
  else
    said = 0
  end
  out[i] = {said, law.level, law.epoch}
end
return cjson.encode(out)
"""


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    with serving_redis() as running:
        yield running


def events_in_python(
    law: ConcurrencyLaw, chance: random.Random, count: int
) -> tuple[list[object], list[object]]:
    given: list[object] = []
    told: list[object] = []
    # Half of the services never refuse: they serve so many at once, and the rest waits.
    refusing = max(0.0, chance.uniform(-0.1, 0.1))
    served, now, worked = chance.choice([1, 4, 16, 64, 1000]), 0.0, 0.0
    for _ in range(count):
        refused = chance.random() < refusing
        epoch = max(0, law.epoch - chance.choice([0, 0, 0, 0, 0, 0, 1, 2, 5]))
        busy = law.level if chance.random() < 0.9 else chance.randint(0, 2 * law.level)
        since = chance.expovariate(min(law.level, served))
        now, worked = now + since, worked + busy * since
        given.append([refused, epoch, busy, now, worked])
        if refused:
            said = round(1000 * law.on_refusal(epoch))
        else:
            said = int(law.on_answer(epoch, busy, now, worked))
        told.append([said, law.level, law.epoch])
    return given, told


def test_the_law_in_lua_is_the_law_in_python(server: RedisServer) -> None:
    with redis.Redis.from_url(server.url) as client:
        script = client.register_script(law_script() + ALL_EVENTS)
        for seed in range(24):
            chance = random.Random(seed)
            ceiling, start = chance.randint(1, 300), chance.randint(1, 64)
            given, told = events_in_python(ConcurrencyLaw(ceiling, start), chance, 1000)
            answer = script(args=[orjson.dumps({"ceiling": ceiling, "start": start, "events": given})])
            assert orjson.loads(answer) == told


def gate(server: RedisServer, name: str, **more: Any) -> RedisGate:
    """With short times, so that the tests are."""
    return RedisGate(server.url, name, **{"ttl_s": 1.0, "beat_s": 0.25, "start": 4, **more})


def held(gate: RedisGate, count: int) -> list[SharedLease]:
    leases = [gate.acquire(100) for _ in range(count)]
    assert None not in leases
    return [lease for lease in leases if lease is not None]


def seen(condition: Callable[[], bool], within: float = 60.0) -> bool:
    """Whether it came to be."""
    until = time.monotonic() + within
    while not condition():
        if time.monotonic() > until:
            return False
        time.sleep(0.01)
    return True


def test_a_place_that_is_given_back_goes_to_another_process(server: RedisServer) -> None:
    with closing(gate(server, "two", start=2, ceiling=2)) as one, closing(gate(server, "two")) as other:
        first, second = held(one, 2)
        waits = other.want(100, None)
        assert seen(lambda: gate_states(server.url)["two"].busy == 2)
        assert not waits.lease.done()
        one.release(first, "ok", bill=Bill(90))
        lease = waits.lease.result(60)
        assert lease is not None
        other.release(lease, "ok", bill=Bill(50))
        one.release(second, "unused")
        assert seen(lambda: gate_states(server.url)["two"].busy == 0)
        state = gate_states(server.url)["two"]
        assert (state.holders, state.spent.tokens, state.spent.requests) == (2, 140, 2)


def test_while_others_wait_nobody_takes_more_than_its_share(server: RedisServer) -> None:
    with closing(gate(server, "share", ceiling=4)) as one, closing(gate(server, "share", ceiling=4)) as other:
        mine = held(one, 4)
        theirs = [other.want(1, None) for _ in range(4)]
        again = [one.want(1, None) for _ in range(4)]
        assert seen(lambda: gate_states(server.url)["share"].holders == 2)
        for lease in mine:
            one.release(lease, "ok")
        assert seen(lambda: sum(w.lease.done() for w in theirs) == 2)
        assert seen(lambda: sum(w.lease.done() for w in again) == 2)
        assert gate_states(server.url)["share"].busy == 4


def test_a_silent_holder_loses_its_places_and_what_it_reserved_is_spent(server: RedisServer) -> None:
    with closing(gate(server, "silent", ceiling=2, job="j")) as left:
        # Its signs of life come too late, as those of a process that was stopped for a while.
        dead = gate(server, "silent", ceiling=2, job="j", beat_s=3600.0)
        first, _ = held(dead, 2)
        waits = [left.want(30, None) for _ in range(2)]
        leases = [w.lease.result(60) for w in waits]
        assert None not in leases
        state = gate_states(server.url)["silent"]
        assert (state.spent.tokens, state.reserved.tokens, state.busy) == (200, 60, 2)
        dead.release(first, "ok", bill=Bill(5_000))
        assert seen(lambda: gate_states(server.url)["silent"].holders == 2)
        assert gate_states(server.url)["silent"].spent.tokens == 200
        dead.close()


def test_one_cap_holds_for_all(server: RedisServer) -> None:
    caps = Caps(tokens=1000)
    gates = [gate(server, "cap", job="j", caps=caps, ceiling=50, start=50) for _ in range(3)]
    granted = 0
    with ExitStack() as ends:
        for each in gates:
            ends.enter_context(closing(each))
        while True:
            lease = gates[granted % 3].acquire(100)
            if lease is None:
                break
            granted += 1
            gates[(granted - 1) % 3].release(lease, "ok", bill=Bill(100))
        assert granted == 10
        assert seen(lambda: gates[0].reached() is not None)
        assert gate_states(server.url)["cap"].spent.tokens == 1000


def test_a_second_question_has_its_room_set_aside(server: RedisServer) -> None:
    with closing(gate(server, "spare", job="j", caps=Caps(tokens=1000))) as one:
        lease = one.acquire(200, spare=True)
        assert lease is not None and lease.spare
        assert one.state.reserved.tokens == 600
        assert one.repeat(lease, Bill(150))
        assert (one.state.spent.tokens, one.state.reserved.tokens) == (150, 400)
        one.release(lease, "ok", bill=Bill(300))
        alone = one.acquire(400, spare=True)
        assert alone is not None and not alone.spare
        assert not one.repeat(alone, Bill(400))
        one.release(alone, "ok")
        assert seen(lambda: gate_states(server.url)["spare"].busy == 0)
        assert gate_states(server.url)["spare"].spent.tokens == 850


def test_an_empty_gate_begins_with_what_the_ledger_knows(server: RedisServer) -> None:
    spent = Amount(9, 900, Decimal("1.5"))
    with closing(gate(server, "seed", job="j", spent=spent, caps=Caps(requests=10))) as one:
        assert one.state.spent == spent
        assert one.acquire(1) is not None
        assert one.want(1, None).lease.done() is False
    with closing(gate(server, "seed", job="j", spent=spent, caps=Caps(requests=10))) as two:
        assert two.state.spent.requests == 10
        assert two.acquire(1) is None


def test_a_refusal_lowers_the_level_for_all_and_retry_after_holds_for_all(server: RedisServer) -> None:
    with closing(gate(server, "refused", start=8)) as one, closing(gate(server, "refused")) as other:
        lease = held(one, 1)[0]
        one.release(lease, "refused", retry_after=0.3)
        assert seen(lambda: one.state.refusals == 1)
        begun = time.monotonic()
        assert other.acquire(1) is not None
        assert time.monotonic() - begun > 0.15
        assert other.state.level == 6


def test_without_its_server_nothing_is_let_through_and_afterwards_all_goes_on() -> None:
    with serving_redis() as server, closing(gate(server, "away", job="j", ceiling=4)) as one:
        first, second = held(one, 2)
        one.release(first, "ok", bill=Bill(70))
        assert seen(lambda: one.state.spent.tokens == 70)
        server.stop()
        waits = one.want(10, None)
        one.release(second, "ok", bill=Bill(30))
        assert not seen(waits.lease.done, within=0.5)
        server.start()
        assert waits.lease.result(60) is not None
        # The server forgot everything; what was spent and held is known again from the holder.
        assert seen(lambda: gate_states(server.url)["away"].busy == 1)
        assert gate_states(server.url)["away"].spent.tokens >= 70


def test_a_server_that_stays_away_stops_the_run() -> None:
    with serving_redis() as server, closing(gate(server, "gone", outage_seconds=0.5)) as one:
        server.stop()
        with pytest.raises(ConnectionFailedError, match="out of reach") as told:
            one.acquire(1)
        assert told.value.scope == "job"


def test_addresses_that_lead_nowhere_are_errors(server: RedisServer) -> None:
    with pytest.raises(ConnectionFailedError, match="out of reach"):
        RedisGate("redis://127.0.0.1:1/0", "nowhere")
    with pytest.raises(ParameterError, match="password") as told:
        RedisGate("redis://:geheim@127.0.0.1/0", "nowhere")
    assert "geheim" not in str(told.value)
    with pytest.raises(ParameterError, match="no address"):
        RedisGate("http://127.0.0.1", "nowhere")
