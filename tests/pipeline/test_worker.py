"""Jobs as values, and the worker that brings items to their recorded ends."""

from __future__ import annotations

import asyncio
import pickle
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as Pillow

import visionpipe as vp
from tests.loopback import Answer, Loopback
from tests.pipeline.kill_drill import make_images
from visionpipe.pipeline.gate import LocalGate
from visionpipe.pipeline.reading import recorded_results
from visionpipe.prompts.presets import PRESETS
from visionpipe.testing.sandbox import SandboxHandle

KEY = "0123456789abcdef.secretsecret"


@pytest.fixture
def job(service: SandboxHandle) -> vp.Job:
    return vp.Job(
        "Describe this.",
        model="glm-4.6v",
        endpoint=f"bigmodel+{service.base_url}",
        options={"max_tokens": 300},
    )


def chats(service: SandboxHandle) -> int:
    return sum("chat" in record["path"] for record in service.log())


def alike(result: vp.ItemResult) -> vp.ItemResult:
    return replace(result, request_id=None, seconds=0.0)


@pytest.mark.parametrize("name", sorted(PRESETS))
def test_a_job_of_any_preset_pickles_small_and_holds_and_needs_no_key(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BIGMODEL_API_KEY", KEY)
    job = vp.Job(PRESETS[name], model="glm-4.6v", endpoint="bigmodel")
    fingerprint = job.fingerprint
    data = pickle.dumps(job)
    again = pickle.loads(data)
    assert len(data) < 4096
    assert KEY.encode() not in data and KEY not in repr(job)
    monkeypatch.delenv("BIGMODEL_API_KEY")
    assert again == job and again.fingerprint == fingerprint


def test_a_schema_that_no_other_process_can_import_goes_as_json_schema() -> None:
    from pydantic import BaseModel

    class Tags(BaseModel):
        tags: list[str]

    again = pickle.loads(pickle.dumps(vp.Job("Tags?", schema=Tags)))
    assert again.schema["properties"]["tags"]["type"] == "array"


@pytest.mark.parametrize(
    "arguments",
    [
        {"endpoint": "https://user:pass@example.org/v1"},
        {"options": {"headers": {"X-Key": "secret"}}},
        {"item_seconds": 0},
    ],
)
def test_a_job_refuses_what_it_cannot_carry(arguments: dict[str, Any]) -> None:
    with pytest.raises(vp.ParameterError) as caught:
        vp.Job("Describe this.", **arguments)
    assert caught.value.scope == "job" and "pass" not in str(caught.value).replace("password", "")


def test_the_ways_of_asking_give_equal_results(tmp_path: Path, job: vp.Job, service: SandboxHandle) -> None:
    make_images(tmp_path / "in", 100)
    items = [vp.Item(path.name, path) for path in sorted((tmp_path / "in").iterdir())]

    async def awaited() -> list[vp.ItemResult]:
        with job.open(ledger=str(tmp_path / "a"), concurrency=4, api_key=service.key) as worker:
            return await asyncio.gather(*map(worker.aprocess, items))

    with job.open(ledger=str(tmp_path / "p"), api_key=service.key) as worker:
        one_by_one = [worker.process(item) for item in items]
    with job.open(ledger=str(tmp_path / "m"), concurrency=4, api_key=service.key) as worker:
        mapped = list(worker.map(items))
    client = vp.Client("glm-4.6v", base_url=job.endpoint, api_key=service.key)
    with client:
        pipeline = vp.Pipeline(job.prompt, client=client, options=job.options)
        piped = sorted(pipeline.run(items), key=lambda result: result.source)
        assert pipeline.job == job.fingerprint
    expected = [alike(result) for result in one_by_one]
    assert [result.outcome for result in expected] == [vp.Outcome.DONE] * 100
    for found in (asyncio.run(awaited()), mapped, piped):
        assert [alike(result) for result in found] == expected
    assert [alike(result) for result in recorded_results(tmp_path / "p")] == expected


def test_a_picture_in_any_form_is_asked_about_under_its_key(
    tmp_path: Path, job: vp.Job, service: SandboxHandle, loopback: Loopback
) -> None:
    make_images(tmp_path / "in", 1)
    (path,) = (tmp_path / "in").iterdir()
    with Pillow.open(path) as picture:
        picture.load()
    loopback.script(Answer(body=path.read_bytes(), headers={"content-type": "image/jpeg"}))
    items = [
        vp.Item("path", path),
        vp.Item("bytes", path.read_bytes()),
        vp.Item("url", f"{loopback.url}/a.jpg"),
        vp.Item("pillow", picture),
        vp.Item("array", np.asarray(picture)),
    ]
    fetching = replace(job, options={**job.options, "fetch": True, "allow_private": True})
    with fetching.open(ledger=str(tmp_path / "j"), api_key=service.key) as worker:
        results = list(worker.map(items))
        assert [result.source for result in results] == ["path", "bytes", "url", "pillow", "array"]
        assert {result.outcome for result in results} == {vp.Outcome.DONE}
        assert results[0].sha256 == results[1].sha256 == results[2].sha256
        assert all(result.sha256 for result in results)
        broken = worker.process(vp.Item("broken", b"\xff\xd8no"))
    assert broken.failure is not None and broken.failure.code == "not_an_image"


def test_what_the_ledger_knows_is_not_asked_again(
    tmp_path: Path, job: vp.Job, service: SandboxHandle
) -> None:
    make_images(tmp_path / "in", 3)
    items = [vp.Item(path.name, path.read_bytes()) for path in sorted((tmp_path / "in").iterdir())]
    with job.open(ledger=str(tmp_path / "j"), api_key=service.key) as worker:
        first = list(worker.map(items))
        assert list(worker.map(items)) == first
    with pickle.loads(pickle.dumps(job)).open(ledger=str(tmp_path / "j"), api_key=service.key) as worker:
        assert list(worker.map(items)) == first
    assert chats(service) == 3


def test_a_reached_budget_raises_and_is_counted_by_job(
    tmp_path: Path, job: vp.Job, service: SandboxHandle
) -> None:
    make_images(tmp_path / "in", 4)
    items = [vp.Item(path.name, path) for path in sorted((tmp_path / "in").iterdir())]
    for ran in (2, 0):
        with job.open(ledger=str(tmp_path / "j"), budget=vp.Caps(requests=2), api_key=service.key) as worker:
            done = 0
            with pytest.raises(vp.ConfigurationError, match="budget") as caught:
                for item in items[2 - ran :]:
                    worker.process(item)
                    done += 1
            assert done == ran and caught.value.scope == "job"
    assert chats(service) == 2


def test_results_come_as_they_end_and_a_reached_budget_last(
    tmp_path: Path, job: vp.Job, service: SandboxHandle
) -> None:
    make_images(tmp_path / "in", 30)
    items = [vp.Item(path.name, path) for path in sorted((tmp_path / "in").iterdir())]
    with job.open(ledger=str(tmp_path / "j"), budget=vp.Caps(requests=5), api_key=service.key) as worker:
        results = worker.map_unordered(items)
        given = [next(results) for _ in range(5)]
        with pytest.raises(vp.ConfigurationError, match="budget"):
            next(results)
        with pytest.raises(StopIteration):
            next(results)
    assert {result.outcome for result in given} == {vp.Outcome.DONE} and chats(service) == 5
    assert sorted(result.source for result in given) == sorted(
        result.source for result in recorded_results(tmp_path / "j")
    )
    with job.open(ledger=str(tmp_path / "j"), concurrency=4, api_key=service.key) as worker:
        found = list(worker.map_unordered(items))
        worker.stop()
        with pytest.raises(RuntimeError, match="closed"):
            next(worker.map_unordered(items))
    assert sorted(result.source for result in found) == [item.key for item in items]
    assert chats(service) == 30


def test_a_wrong_key_raises_and_fails_no_item(tmp_path: Path, job: vp.Job, service: SandboxHandle) -> None:
    make_images(tmp_path / "in", 1)
    item = vp.Item("one", next((tmp_path / "in").iterdir()))
    wrong = job.open(ledger=str(tmp_path / "j"), api_key="wrong.key")
    with wrong as worker, pytest.raises(vp.VisionPipeError) as caught:
        worker.process(item)
    assert caught.value.scope == "job"
    assert list(recorded_results(tmp_path / "j")) == []


def test_a_cancelled_call_is_recorded_all_the_same(
    tmp_path: Path, job: vp.Job, service: SandboxHandle
) -> None:
    make_images(tmp_path / "in", 1)
    item = vp.Item("one", next((tmp_path / "in").iterdir()))

    async def cancelled(worker: vp.Worker) -> None:
        task = asyncio.create_task(worker.aprocess(item))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    with job.open(ledger=str(tmp_path / "j"), api_key=service.key) as worker:
        asyncio.run(cancelled(worker))
    assert [result.source for result in recorded_results(tmp_path / "j")] == ["one"]
    with pytest.raises(RuntimeError, match="closed"):
        worker.process(item)


def test_workers_share_a_gate_that_is_open(tmp_path: Path, job: vp.Job, service: SandboxHandle) -> None:
    make_images(tmp_path / "in", 2)
    gate = LocalGate(vp.Limiter(2))
    for number, path in enumerate(sorted((tmp_path / "in").iterdir())):
        with job.open(ledger=str(tmp_path / f"j{number}"), gate=gate, api_key=service.key) as worker:
            assert worker.process(vp.Item(path.name, path)).outcome is vp.Outcome.DONE
    assert gate.state.busy == 0 and gate.state.spent.money == Decimal(0)


@pytest.mark.parametrize("address", ["nonsense", "ray-actor:one"])
def test_an_address_of_no_gate_is_named(
    address: str, job: vp.Job, tmp_path: Path, service: SandboxHandle
) -> None:
    with pytest.raises(vp.ParameterError, match="gate"):
        job.open(gate=address, ledger=str(tmp_path / "j"), api_key=service.key)


def test_an_item_without_a_picture_is_an_error() -> None:
    with pytest.raises(vp.ParameterError):
        vp.Item("one", None)
    with pytest.raises(vp.ParameterError):
        vp.Item("", b"x")


def held_items(tmp_path: Path, service: SandboxHandle, worker: vp.Worker) -> list[Future[vp.ItemResult]]:
    """Six items handed over to four threads, two of whose requests the service keeps waiting."""
    service.set_scenario({"rule": [{"fault": {"kind": "hold"}}]})
    make_images(tmp_path / "in", 6)
    paths = sorted((tmp_path / "in").iterdir())
    pool = ThreadPoolExecutor(6)
    asked = [pool.submit(worker.process, vp.Item(path.name, path)) for path in paths]
    pool.shutdown(wait=False)
    while service.stats()["in_flight"] < 2:
        time.sleep(0.01)
    return asked


def test_a_stopped_worker_begins_nothing_more_and_records_what_is_under_way(
    tmp_path: Path, job: vp.Job, service: SandboxHandle
) -> None:
    gate = LocalGate(vp.Limiter(2, start=2))
    with job.open(ledger=str(tmp_path / "j"), gate=gate, api_key=service.key) as worker:
        asked = held_items(tmp_path, service, worker)
        threading.Timer(0.2, service.release).start()
        assert worker.stop(60) == 0
        ends = [future.exception(60) for future in asked]
        with pytest.raises(RuntimeError, match="closed"):
            worker.process(vp.Item("late", tmp_path))
    assert sorted(type(end).__name__ for end in ends) == ["NoneType"] * 2 + ["WorkerClosed"] * 4
    assert chats(service) == 2
    assert len(list(recorded_results(tmp_path / "j"))) == 2


def test_what_had_ended_comes_out_of_a_stopped_worker_that_leaves_the_rest(
    tmp_path: Path, job: vp.Job, service: SandboxHandle
) -> None:
    make_images(tmp_path / "in", 4)
    items = [vp.Item(path.name, path) for path in sorted((tmp_path / "in").iterdir())]

    def listed() -> Iterator[vp.Item]:
        yield from items[:2]
        while chats(service) < 2 or service.stats()["in_flight"]:
            time.sleep(0.01)
        service.set_scenario({"rule": [{"fault": {"kind": "hold"}}]})
        yield from items[2:]
        while service.stats()["in_flight"] < 2:
            time.sleep(0.01)

    worker = job.open(ledger=str(tmp_path / "j"), concurrency=4, api_key=service.key)
    results = worker.map_unordered(listed())
    first = next(results)
    assert worker.stop(0.1) == 2
    assert {first.source, next(results).source} == {item.key for item in items[:2]}
    with pytest.raises(RuntimeError, match="closed"):
        next(results)
    worker.close()
    service.release()


def test_a_dropped_iterator_begins_none_of_what_it_read_ahead(
    tmp_path: Path, job: vp.Job, service: SandboxHandle
) -> None:
    make_images(tmp_path / "in", 40)
    items = [vp.Item(path.name, path) for path in sorted((tmp_path / "in").iterdir())]

    def listed() -> Iterator[vp.Item]:
        yield items[0]
        while chats(service) < 1 or service.stats()["in_flight"]:
            time.sleep(0.01)
        service.set_scenario({"rule": [{"fault": {"kind": "hold"}}]})
        yield from items[1:]

    gate = LocalGate(vp.Limiter(4, start=4))
    with job.open(ledger=str(tmp_path / "j"), concurrency=4, gate=gate, api_key=service.key) as worker:
        results = worker.map_unordered(listed())
        assert next(results).source == items[0].key
        while service.stats()["in_flight"] < 4:
            time.sleep(0.01)
        del results
        service.set_scenario({})
        service.release()
    # One was answered, and four were under way; another three waited for a thread.
    assert chats(service) == 5


def test_a_stopped_worker_leaves_what_takes_too_long(
    tmp_path: Path, job: vp.Job, service: SandboxHandle
) -> None:
    gate = LocalGate(vp.Limiter(2, start=2))
    worker = job.open(ledger=str(tmp_path / "j"), gate=gate, api_key=service.key)
    asked = held_items(tmp_path, service, worker)
    assert worker.stop(0.1) == 2
    worker.close()
    assert list(recorded_results(tmp_path / "j")) == []
    service.release()
    for future in asked:
        assert future.exception(60) is not None
    assert chats(service) == 2
