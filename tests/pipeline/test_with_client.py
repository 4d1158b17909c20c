"""The pipeline with the real client, against the sandbox; and on a disk that fills up."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.pipeline.kill_drill import ROOT, make_images
from visionpipe.client import Client
from visionpipe.errors import AccountError
from visionpipe.pipeline.budget import Caps
from visionpipe.pipeline.pipeline import Pipeline
from visionpipe.pipeline.reading import recorded_results
from visionpipe.prompts import presets
from visionpipe.results import Outcome
from visionpipe.testing.images import image_bytes
from visionpipe.testing.sandbox import SandboxHandle

MODEL = "glm-4.6v"


def client_for(sandbox: SandboxHandle, **arguments: Any) -> Client:
    return Client(MODEL, base_url=f"bigmodel+{sandbox.base_url}", api_key=sandbox.key, **arguments)


def test_a_folder_is_captioned(tmp_path: Path, sandbox: SandboxHandle) -> None:
    make_images(tmp_path / "in", 12)
    (tmp_path / "in" / "turned.tiff").write_bytes(image_bytes("tiff", 40, 30))
    with client_for(sandbox) as client:
        job = Pipeline(presets.caption, client=client, journal=tmp_path / "j", concurrency=8)
        plan = job.plan(tmp_path / "in")
        items = list(plan)
        assert sandbox.stats()["requests"] == 0
        run = job.run(tmp_path / "in")
        results = {result.source: result for result in run}
    assert plan.totals.fates == {"send": 13}
    assert plan.totals.adjusted == 1
    assert all(item.size > 0 for item in items)
    assert len(results) == 13
    assert {r.outcome for r in results.values()} == {Outcome.DONE}
    assert results["turned.tiff"].adjustments
    one = results["00003.jpg"]
    assert one.sha256 is not None
    assert one.sha256 in (one.caption or "")
    assert run.summary is not None
    assert run.summary.cost[0].currency == "CNY"
    assert sandbox.stats()["requests"] == 13


def test_a_higher_limit_of_pixels_lets_what_it_refused_through_and_asks_nothing_again(
    tmp_path: Path, sandbox: SandboxHandle
) -> None:
    make_images(tmp_path / "in", 2)
    (tmp_path / "in" / "large.png").write_bytes(image_bytes("png", 120, 100))
    outcomes = []
    with client_for(sandbox) as client:
        for most in (11_000, 11_000, 12_000):
            job = Pipeline(
                "What?", client=client, journal=tmp_path / "j", options={"max_pixels": most}, concurrency=2
            )
            results = {result.source: result for result in job.run(tmp_path / "in")}
            outcomes.append(results["large.png"].outcome)
            failure = results["large.png"].failure
            assert failure is None or (failure.code == "bomb" and "--max-pixels" in failure.cure)
    assert outcomes == [Outcome.FAILED, Outcome.FAILED, Outcome.DONE]
    assert sandbox.stats()["requests"] == 3


def test_an_empty_account_stops_the_job_with_its_cure(tmp_path: Path, sandbox: SandboxHandle) -> None:
    make_images(tmp_path / "in", 30)
    sandbox.set_scenario({"rule": [{"after": 5, "fault": {"kind": "error", "code": "1113"}}]})
    with client_for(sandbox) as client:
        run = Pipeline("What?", client=client, journal=tmp_path / "j", concurrency=2).run(tmp_path / "in")
        with pytest.raises(AccountError, match="Top up"):
            list(run)
    assert run.summary is not None
    assert run.summary.done == 5
    assert run.summary.not_started == 25
    assert sandbox.stats()["requests"] <= 5 + 2


def test_a_broken_answer_is_asked_for_once_more_and_counted(tmp_path: Path, sandbox: SandboxHandle) -> None:
    make_images(tmp_path / "in", 3)
    broken = {"kind": "reset", "when": "body"}
    sandbox.set_scenario({"rule": [{"fault": broken, "count": 1}, {"after": 2, "count": 2, "fault": broken}]})
    with client_for(sandbox) as client:
        run = Pipeline("What?", client=client, journal=tmp_path / "j", concurrency=1).run(tmp_path / "in")
        results = {result.source: result for result in run}
        again = Pipeline(
            "What?", client=client, journal=tmp_path / "j", concurrency=1, retry_failed=True
        ).run(tmp_path / "in")
        last = {result.source: result.outcome for result in again}
    assert [r.outcome for r in results.values()] == [Outcome.DONE, Outcome.FAILED, Outcome.DONE]
    assert [r.attempts for r in results.values()] == [2, 2, 1]
    assert run.summary is not None
    assert run.summary.failures == {"interrupted_answer": 1}
    # What broke off may have been billed, so all five count.
    assert run.summary.requests == 5
    assert set(last.values()) == {Outcome.DONE}
    assert sandbox.stats()["requests"] == 6


def test_an_answer_asked_for_twice_counts_as_two_requests(tmp_path: Path, sandbox: SandboxHandle) -> None:
    make_images(tmp_path / "in", 2)
    with client_for(sandbox) as client:
        run = Pipeline(presets.tags, client=client, journal=tmp_path / "j", concurrency=1).run(
            tmp_path / "in"
        )
        results = list(run)
        assert [result.attempts for result in results] == [2, 2]
        assert run.summary is not None
        assert run.summary.failures == {"schema": 2}
        assert run.summary.requests == sandbox.stats()["requests"] == 4
        capped = Pipeline(presets.tags, client=client, concurrency=1, budget=Caps(requests=2))
        second = capped.run(tmp_path / "in")
        assert len(list(second)) == 1
        assert second.summary is not None
        assert second.summary.stopped == "budget"
    assert sandbox.stats()["requests"] == 6


FILLING = """
import json, resource, sys
from visionpipe.client import Client
from visionpipe.errors import JournalError
from visionpipe.pipeline.pipeline import Pipeline

folder, journal, url, key, limit = sys.argv[1:]
with Client("glm-4.6v", base_url="bigmodel+" + url, api_key=key) as client:
    run = Pipeline("What?", client=client, journal=journal, concurrency=4).run(folder)
    told = None
    try:
        for number, _ in enumerate(run):
            if number == 0 and int(limit):
                resource.setrlimit(resource.RLIMIT_FSIZE, (int(limit), int(limit)))
    except JournalError as error:
        told = str(error)
print(json.dumps([told, run.summary.to_json()]))
"""


def test_after_space_is_made_the_same_command_finishes_the_rest(
    tmp_path: Path, sandbox: SandboxHandle
) -> None:
    make_images(tmp_path / "in", 150)
    journal = tmp_path / "j"

    def work(limit: int) -> Any:
        command = [sys.executable, "-c", FILLING, str(tmp_path / "in"), str(journal)]
        command += [sandbox.base_url, sandbox.key, str(limit)]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=True)
        return json.loads(done.stdout)

    told, summary = work(900_000)
    assert "Make space" in told
    assert summary["stopped"] == "error"
    assert summary["error"]["code"] == "disk_full"
    assert 0 < summary["done"] < 150
    assert summary["not_started"] == 150 - summary["done"]
    assert len(list(recorded_results(journal))) >= summary["done"]
    told, summary = work(0)
    assert told is None
    assert summary["done"] == 150
    assert len({result.source for result in recorded_results(journal)}) == 150
    assert sandbox.stats()["requests"] <= 150 + summary["maybe_billed_twice"]
