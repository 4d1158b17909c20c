"""A job over several servers: one goes away and comes back, and no item is lost, silent or paid twice."""

from __future__ import annotations

import gc
import pickle
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

import visionpipe as vp
from tests.client.faces import KEY, chat
from tests.loopback import Answer, Loopback, Seen, serving
from tests.redis_server import serving_redis
from visionpipe.client.servers import Servers
from visionpipe.errors import ConnectionFailedError
from visionpipe.pipeline.budget import Budget
from visionpipe.pipeline.gate import LocalGate
from visionpipe.pipeline.limiter import Limiter
from visionpipe.pipeline.pool import PoolGate, local_gate
from visionpipe.pipeline.redis_gate import gate_states
from visionpipe.testing.images import png_bytes

GONE = ConnectionFailedError("nothing listens there", cure="Start it.")


class Fleet:
    """Servers that answer, each until it is put ``down``; then connections break, what is under way too."""

    def __init__(self, servers: list[Loopback]) -> None:
        self.servers = servers
        self.answers = Counter[int]()
        self.most = Counter[int]()
        self._under_way = Counter[int]()
        self._lock = threading.Lock()
        for number, server in enumerate(servers):
            self.up(number, server)

    @property
    def urls(self) -> list[str]:
        return [f"bigmodel+{server.url}" for server in self.servers]

    def up(self, number: int, server: Loopback) -> None:
        def answer(seen: Seen) -> Answer:
            if seen.method == "GET":
                return Answer(404)
            with self._lock:
                self.answers[number] += 1
            return chat("A plain picture.")

        server.script(answer=answer)

    def down(self, number: int) -> None:
        self.servers[number].script(answer=lambda seen: Answer(reset="before"))


@pytest.fixture
def fleet() -> Iterator[Fleet]:
    with ExitStack() as ends:
        yield Fleet([ends.enter_context(serving()) for _ in range(3)])


def item(number: int) -> vp.Item:
    return vp.Item(f"{number}.png", png_bytes(16 + number % 40, 16 + number // 40))


def quick(**more: Any) -> dict[str, Any]:
    """Waits that a test need not sit through."""
    return {"retry": vp.RetryPolicy(attempts=1, first_wait=0.0, jitter=0.0), "api_key": KEY, **more}


def test_nothing_is_lost_or_paid_twice_while_one_goes_away_and_comes_back(
    fleet: Fleet, tmp_path: Path
) -> None:
    now = [0.0]
    given = 0
    events: list[vp.Event] = []

    def items() -> Iterator[vp.Item]:
        nonlocal given
        while given < 60 or (fleet.answers[0] == at_return and given < 600):
            yield item(given)
            given += 1

    at_return = -1
    with vp.Client("glm-4.6v", base_url=fleet.urls, clock=lambda: now[0], **quick()) as client:
        pipeline = vp.Pipeline(
            "What?", client=client, concurrency=12, journal=tmp_path / "j", on_event=events.append
        )
        results = []
        for result in pipeline.run(items()):
            results.append(result)
            if len(results) == 20:
                fleet.down(0)
            if len(results) == 40:
                fleet.up(0, fleet.servers[0])
                at_return = fleet.answers[0]
                now[0] += 60.0
    assert len(results) == given and {result.outcome for result in results} == {vp.Outcome.DONE}
    assert len({result.source for result in results}) == given
    assert sum(fleet.answers.values()) == given, "each was answered once"
    assert fleet.answers[0] > at_return, "work comes back to a server that is back"
    moved = [result for result in results if [n for n in result.notes if n.kind == "moved"]]
    assert moved and all(fleet.servers[0].url in str(result.notes) for result in moved)
    assert all(result.attempts > 1 for result in moved)
    reach = [event for event in events if isinstance(event, vp.ServiceLost | vp.ServiceBack)]
    assert [type(event) for event in reach] == [vp.ServiceLost, vp.ServiceBack]
    assert {event.server for event in reach} == {fleet.servers[0].url}


def test_a_server_that_never_was_there_costs_no_item(fleet: Fleet) -> None:
    fleet.down(1)
    with vp.Client("glm-4.6v", base_url=fleet.urls, **quick()) as client:
        results = list(vp.Pipeline("What?", client=client, concurrency=6).run(item(n) for n in range(30)))
    assert Counter(result.outcome for result in results) == {"done": 30}
    assert fleet.answers[0] + fleet.answers[2] == 30 and not fleet.answers[1]


def test_only_when_all_are_away_it_is_an_outage(fleet: Fleet) -> None:
    events: list[vp.Event] = []
    lost = threading.Event()

    def heard(event: vp.Event) -> None:
        events.append(event)
        if isinstance(event, vp.ServiceLost) and event.server is None:
            lost.set()
            for number, server in enumerate(fleet.servers):
                fleet.up(number, server)

    with vp.Client("glm-4.6v", base_url=fleet.urls, **quick()) as client:
        pipeline = vp.Pipeline("What?", client=client, concurrency=1, on_event=heard)
        results = []
        for result in pipeline.run(item(n) for n in range(40)):
            results.append(result)
            if len(results) == 10:
                for number in range(3):
                    fleet.down(number)
    assert lost.is_set()
    ends = Counter(result.outcome.value for result in results)
    # As with one server, the failures that show the outage are their items' own.
    assert ends["done"] + ends["failed"] == 40 and ends["failed"] <= 4


def test_items_that_no_server_survives_fail_in_the_end(fleet: Fleet) -> None:
    def answer(seen: Seen) -> Answer:
        if seen.method == "GET":
            return Answer(404)
        return Answer(reset="before") if b"poison" in seen.body else chat("A plain picture.")

    for server in fleet.servers:
        server.script(answer=answer)
    poison = vp.Item("poison.png", png_bytes(20, 20))
    with vp.Client("glm-4.6v", base_url=fleet.urls, **quick()) as client:
        pipeline = vp.Pipeline(vp.Template("Tell me about {path.name}."), client=client, concurrency=1)
        results = list(pipeline.run([*(item(n) for n in range(3)), poison]))
    assert [result.outcome for result in results] == ["done"] * 3 + ["failed"]
    assert results[3].failure is not None and results[3].failure.retryable
    assert results[3].attempts == 3


def test_data_is_extracted_from_the_server_that_is_up(fleet: Fleet) -> None:
    for server in (fleet.servers[0], fleet.servers[2]):
        server.script(chat('{"name": "cup"}'))
    fleet.down(1)
    schema = {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}
    job = vp.Job("What?", model="glm-4.6v", endpoint=fleet.urls, schema=schema)
    with job.open(api_key=KEY, budget=vp.Caps(requests=100)) as worker:
        results = list(worker.map(item(n) for n in range(12)))
    assert [result.data for result in results] == [{"name": "cup"}] * 12


def test_a_job_of_several_pickles_and_is_one_job_wherever_it_is_asked(fleet: Fleet, tmp_path: Path) -> None:
    job = vp.Job("What?", model="glm-4.6v", endpoint=fleet.urls, sticky=True)
    again = pickle.loads(pickle.dumps(job))
    assert again == job and KEY.encode() not in pickle.dumps(job)
    assert job.fingerprint == vp.Job("What?", model="glm-4.6v", endpoint=fleet.urls[0]).fingerprint
    with again.open(ledger=str(tmp_path / "j"), api_key=KEY) as worker:
        first = list(worker.map(item(n) for n in range(6)))
    one = vp.Job("What?", model="glm-4.6v", endpoint=fleet.urls[1])
    with one.open(ledger=str(tmp_path / "j"), api_key=KEY) as worker:
        second = list(worker.map(item(n) for n in range(6)))
    assert first == second and sum(fleet.answers.values()) == 6


def test_sticky_items_that_begin_alike_go_to_one_server(fleet: Fleet) -> None:
    for question in ("What?", "Which colour?"):
        job = vp.Job(question, model="glm-4.6v", endpoint=fleet.urls, sticky=True)
        with job.open(api_key=KEY, concurrency=1) as worker:
            list(worker.map(item(n) for n in range(12)))
    bodies = [
        {seen.json()["messages"][-1]["content"][0]["image_url"]["url"] for seen in server.requests}
        for server in fleet.servers
    ]
    assert not bodies[0] & bodies[1] and not bodies[1] & bodies[2] and not bodies[0] & bodies[2]
    assert sum(map(len, bodies)) == 12 and max(map(len, bodies)) < 12


def test_a_password_in_any_address_is_refused() -> None:
    with pytest.raises(vp.ParameterError) as caught:
        vp.Job("What?", endpoint=["http://a/v1", "https://user:secret@b/v1"])
    assert "secret" not in str(caught.value)


def test_a_limiter_of_ones_own_is_none_of_several_servers(fleet: Fleet) -> None:
    with vp.Client("glm-4.6v", base_url=fleet.urls, **quick()) as client:
        pipeline = vp.Pipeline("What?", client=client, limiter=vp.Limiter(4))
        with pytest.raises(vp.ParameterError):
            pipeline.check([])


def test_a_client_forgets_the_jobs_that_watched_its_servers(fleet: Fleet) -> None:
    with vp.Client("glm-4.6v", base_url=fleet.urls, **quick()) as client:
        for _ in range(5):
            list(vp.Pipeline("What?", client=client).run([item(0)]))
            gc.collect()
        assert client.servers is not None and len(client.servers._watch) <= 4


def test_a_worker_tells_that_a_server_is_lost(fleet: Fleet) -> None:
    fleet.down(2)
    events: list[vp.Event] = []
    job = vp.Job("What?", model="glm-4.6v", endpoint=fleet.urls)
    with job.open(api_key=KEY, on_event=events.append) as worker:
        assert {result.outcome for result in worker.map(item(n) for n in range(6))} == {"done"}
    (lost,) = (event for event in events if isinstance(event, vp.ServiceLost))
    assert lost.server == fleet.servers[2].url


@pytest.mark.system
def test_processes_share_a_gate_for_each_server_and_one_budget(fleet: Fleet, tmp_path: Path) -> None:
    job = vp.Job("What?", model="glm-4.6v", endpoint=fleet.urls)
    with serving_redis() as redis:
        opened: dict[str, Any] = {"gate": redis.url, "budget": vp.Caps(requests=20), "api_key": KEY}
        with (
            job.open(**opened, ledger=str(tmp_path / "a")) as one,
            job.open(**opened, ledger=str(tmp_path / "b")) as other,
        ):
            assert {result.outcome for result in one.map(item(n) for n in range(12))} == {"done"}
            with pytest.raises(vp.ConfigurationError) as caught:
                list(other.map(item(n) for n in range(12)))
        assert caught.value.code == "budget"
        names = set(gate_states(redis.url))
    assert sum(fleet.answers.values()) == 20
    assert len(names) == 4 and all(any(server.url in name for name in names) for server in fleet.servers)
    assert not [name for name in names if KEY in name]


def members(*levels: int, budget: Budget | None = None) -> tuple[Servers, PoolGate]:
    servers = Servers([f"http://{number}/v1" for number in range(len(levels))])
    given = iter(levels)

    def limiter() -> Limiter:
        level = next(given)
        return Limiter(level, start=level)

    gate = local_gate(servers, limiter, budget)
    assert isinstance(gate, PoolGate)
    return servers, gate


def in_thread(work: Callable[[], None]) -> threading.Thread:
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    return thread


def test_leases_go_where_there_is_room_by_each_level() -> None:
    _, gate = members(2, 6)
    leases = [gate.acquire() for _ in range(8)]
    assert Counter(lease.server for lease in leases if lease is not None) == {0: 2, 1: 6}
    assert (gate.state.level, gate.state.busy) == (8, 8)
    for lease in leases:
        assert lease is not None
        gate.release(lease, "ok")
    assert gate.state.busy == 0


def test_one_who_waits_is_called_to_whatever_place_gets_free() -> None:
    _, gate = members(1, 1)
    held = [gate.acquire(), gate.acquire()]
    got: list[int] = []

    def wait() -> None:
        lease = gate.acquire()
        assert lease is not None
        got.append(lease.server)
        gate.release(lease, "ok")

    for number in range(2):
        thread = in_thread(wait)
        while gate._lines[0].waiting + gate._lines[1].waiting == 0:
            thread.join(0.001)
        lease = held[number]
        assert lease is not None
        gate.release(lease, "ok")
        thread.join(10)
        assert got.pop() == lease.server
        held[number] = gate.acquire()


def test_those_who_wait_at_a_server_that_is_left_go_to_another() -> None:
    servers, gate = members(1, 1)
    first, second = gate.acquire(), gate.acquire()
    assert first is not None and second is not None
    got: list[int] = []

    def wait() -> None:
        lease = gate.acquire()
        assert lease is not None
        got.append(lease.server)

    threads = [in_thread(wait) for _ in range(2)]
    while gate._lines[0].waiting + gate._lines[1].waiting < 2:
        threads[0].join(0.001)
    servers.failed(first.server, GONE, 0.0)
    assert gate.moves(first, GONE)
    gate.release(first, "unused")
    gate.release(second, "ok")
    threads[0].join(0.5)
    while not got:
        threads[1].join(0.01)
    assert set(got) == {second.server}
    servers.looked(first.server, there=True)
    for thread in threads:
        thread.join(10)
    assert sorted(got) == [0, 1]


def test_a_budget_counts_all_servers_together() -> None:
    _, gate = members(2, 2, budget=Budget(vp.Caps(requests=3)))
    leases = [gate.acquire() for _ in range(3)]
    for lease in leases:
        assert lease is not None
        gate.release(lease, "ok", bill=vp_bill())
    assert gate.acquire() is None and gate.reached() is not None
    assert gate.state.spent.requests == 3 and gate.state.busy == 0


def vp_bill() -> Any:
    from visionpipe.pipeline.gate import Bill

    return Bill(tokens=10)


def test_no_lease_is_given_once_it_is_stopped() -> None:
    _, gate = members(1, 1)
    held = [gate.acquire(), gate.acquire()]
    stopped = threading.Event()
    got: list[object] = []
    thread = in_thread(lambda: got.append(gate.acquire(stopped=stopped.is_set)))
    while gate._lines[0].waiting + gate._lines[1].waiting == 0:
        thread.join(0.001)
    stopped.set()
    gate.wake()
    thread.join(10)
    assert got == [None] and None not in held
    assert [line.waiting for line in gate._lines] == [0, 0]


def test_one_server_has_a_plain_gate() -> None:
    assert isinstance(local_gate(None, lambda: Limiter(4), None), LocalGate)
