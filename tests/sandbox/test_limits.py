"""Concurrency: 1302 exactly beyond the limit, whatever else goes on."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor, as_completed

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.sandbox.calls import CHAT, chat, connect, send, text
from visionpipe.sandbox.accounts import Gate, Limits, RequestIds
from visionpipe.sandbox.replies import Refusal
from visionpipe.testing.sandbox import SandboxHandle

HOLD = {"rule": [{"fault": {"kind": "hold"}}]}


def test_forty_at_once_against_a_limit_of_eight(sandbox: SandboxHandle) -> None:
    sandbox.set_limits(per_model=8)
    sandbox.set_scenario(HOLD)
    with ThreadPoolExecutor(40) as threads:
        sent = [threads.submit(send, sandbox, body=chat(text())) for _ in range(40)]
        refused = []
        for done in as_completed(sent, timeout=30):
            refused.append(done.result())
            if len(refused) == 32:  # all that can end before the others are let go
                break
        assert {(a.status, a.code) for a in refused} == {(429, "1302")}
        assert sandbox.stats()["in_flight"] == 8
        sandbox.release()
        statuses = Counter(done.result().status for done in sent)
    assert statuses == {200: 8, 429: 32}
    stats = sandbox.stats()
    assert stats["in_flight_max"] == 8 and stats["in_flight"] == 0
    assert stats["per_code"] == {"1302": 32}
    assert max(record["in_flight"] for record in sandbox.log()) == 8


def test_limits_change_while_requests_are_in_flight(sandbox: SandboxHandle) -> None:
    sandbox.set_limits(models={"glm-4.6v": 1})
    sandbox.set_scenario({"rule": [{"count": 1, "fault": {"kind": "hold"}}]})
    with ThreadPoolExecutor(1) as threads:
        first = threads.submit(send, sandbox, body=chat(text()))
        while sandbox.stats()["in_flight"] < 1:
            assert not first.done()
        assert send(sandbox, body=chat(text())).code == "1302"
        assert send(sandbox, body=chat(text(), model="glm-4.5v")).status == 200
        sandbox.set_limits(per_model=2)
        assert send(sandbox, body=chat(text())).status == 200
        sandbox.release()
        assert first.result().status == 200
    sandbox.set_limits(total=0)
    assert send(sandbox, body=chat(text())).code == "1302"


def test_what_is_more_than_it_serves_at_once_waits_for_its_turn(sandbox: SandboxHandle) -> None:
    sandbox.set_limits(serves=3)
    sandbox.set_scenario(HOLD)
    with ThreadPoolExecutor(10) as threads:
        sent = [threads.submit(send, sandbox, body=chat(text())) for _ in range(10)]
        while sandbox.stats()["in_flight"] < 10:
            assert not any(one.done() for one in sent)
        assert sandbox.stats()["waiting_max"] == 7
        while not all(one.done() for one in sent):
            sandbox.release()
            assert sandbox.stats()["in_flight"] <= 10
        assert {one.result().status for one in sent} == {200}
    stats = sandbox.stats()
    assert (stats["in_flight"], stats["in_flight_max"], stats["per_code"]) == (0, 10, {})
    sandbox.set_scenario({})
    assert send(sandbox, body=chat(text())).status == 200


def test_a_client_that_leaves_makes_room(sandbox: SandboxHandle) -> None:
    sandbox.set_limits(total=1)
    sandbox.set_scenario({"rule": [{"count": 1, "fault": {"kind": "hold"}}]})
    connection = connect(sandbox)
    connection.putrequest("POST", CHAT)
    body = orjson.dumps(chat(text()))
    connection.putheader("Authorization", f"Bearer {sandbox.key}")
    connection.putheader("Content-Length", str(len(body)))
    connection.endheaders(body)
    while sandbox.stats()["in_flight"] < 1:
        assert connection.sock is not None
    connection.close()
    while sandbox.stats()["in_flight"]:
        assert sandbox.stats()["internal_errors"] == 0
    assert send(sandbox, body=chat(text())).status == 200


@given(
    limit=st.integers(0, 4),
    steps=st.lists(st.tuples(st.booleans(), st.sampled_from("ab"), st.sampled_from("xy")), max_size=40),
)
def test_the_gate_never_lets_more_in_than_allowed(limit: int, steps: list[tuple[bool, str, str]]) -> None:
    gate = Gate(Limits(per_model=limit, total=limit + 1))
    inside: Counter[tuple[str, str]] = Counter()
    for enters, key, model in steps:
        if enters:
            room = inside[key, model] < limit and inside.total() < limit + 1
            try:
                gate.enter(key, model)
                assert room
                inside[key, model] += 1
            except Refusal as refusal:
                assert refusal.code == "1302" and not room
        elif inside[key, model]:
            gate.leave(key, model)
            inside[key, model] -= 1
        assert gate.now == inside.total()
    assert gate.most <= limit + 1


def test_old_request_ids_are_forgotten() -> None:
    ids = RequestIds(remembered=2)
    for name in ("first", "second", "third"):
        ids.claim("key", name)
    ids.claim("key", "first")
    ids.claim("other key", "third")
    with pytest.raises(Refusal):
        ids.claim("other key", "third")
