"""An answer that has to be asked for twice costs two requests, and the caps hold for both."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tests.pipeline.kill_drill import make_images
from visionpipe.client import Client
from visionpipe.pipeline.budget import Budget, Caps
from visionpipe.pipeline.pipeline import Pipeline
from visionpipe.pipeline.reading import JournalView
from visionpipe.pipeline.run import Run
from visionpipe.results import Outcome
from visionpipe.testing.sandbox import SandboxHandle
from visionpipe.values import Money

MODEL = "glm-4.6v"
SCHEMA = {"type": "object", "properties": {"tags": {"type": "array"}}, "required": ["tags"]}


def client_for(sandbox: SandboxHandle) -> Client:
    return Client(MODEL, base_url=f"bigmodel+{sandbox.base_url}", api_key=sandbox.key)


def asked(client: Client, folder: Path, journal: Path, **arguments: Any) -> Run:
    job = Pipeline(
        "Tags?", client=client, options={"max_tokens": 300}, schema=SCHEMA, journal=journal, **arguments
    )
    run = job.run(folder)
    assert all(result.outcome is not Outcome.SKIPPED for result in run)
    return run


def answers(sandbox: SandboxHandle) -> int:
    """How many requests were answered with 200."""
    return sum(record["status"] == 200 for record in sandbox.log() if "chat" in record["path"])


@pytest.mark.parametrize("concurrency", [1, 3, 8])
@pytest.mark.parametrize("cap", [1, 7, 10])
def test_a_cap_on_requests_holds_where_every_answer_is_invalid(
    tmp_path: Path, sandbox: SandboxHandle, cap: int, concurrency: int
) -> None:
    make_images(tmp_path / "in", 30)
    with client_for(sandbox) as client:
        run = asked(client, tmp_path / "in", tmp_path / "j", concurrency=concurrency, budget=Caps(cap))
    assert answers(sandbox) == len(sandbox.log()) == cap
    assert run.summary is not None
    assert run.summary.stopped == "budget"
    assert run.summary.requests == cap
    assert run.summary.failures == ({"schema": cap // 2} if cap > 1 else {})
    assert run.summary.not_started == 30 - cap // 2


def test_the_room_kept_for_second_requests_is_used_where_the_first_answers_fit(
    tmp_path: Path, sandbox: SandboxHandle
) -> None:
    make_images(tmp_path / "in", 30)
    sandbox.set_scenario({"rule": [{"fault": {"kind": "finish", "reason": "stop", "text": '{"tags": []}'}}]})
    with client_for(sandbox) as client:
        run = asked(client, tmp_path / "in", tmp_path / "j", concurrency=8, budget=Caps(10))
    assert run.summary is not None
    assert run.summary.done == answers(sandbox) == 10


def test_a_first_answer_counts_where_the_second_request_is_refused(
    tmp_path: Path, sandbox: SandboxHandle
) -> None:
    make_images(tmp_path / "in", 10)
    busy = {"kind": "error", "code": "1302", "retry_after": "0"}
    sandbox.set_scenario({"rule": [{"after": 1, "every": 2, "fault": busy}]})
    with client_for(sandbox) as client:
        run = asked(client, tmp_path / "in", tmp_path / "j", concurrency=1, budget=Caps(6), job_seconds=20)
    assert answers(sandbox) == 6
    assert run.summary is not None
    assert run.summary.requests == 6


@pytest.mark.parametrize("concurrency", [1, 8])
def test_caps_on_tokens_and_money_hold_where_every_answer_is_invalid(
    tmp_path: Path, sandbox: SandboxHandle, concurrency: int
) -> None:
    make_images(tmp_path / "in", 40)
    with client_for(sandbox) as client:
        first = asked(client, tmp_path / "in", tmp_path / "one", concurrency=1, budget=Caps(2))
        assert first.summary is not None
        assert first.summary.usage is not None
        [pair] = first.summary.cost
        for number, caps in enumerate(
            (Caps(tokens=first.summary.usage.total_tokens * 7), Caps(money=Money(pair.amount * 7, "CNY")))
        ):
            journal = tmp_path / f"capped{number}"
            run = asked(client, tmp_path / "in", journal, concurrency=concurrency, budget=caps)
            assert run.summary is not None
            assert run.summary.stopped == "budget"
            spent = JournalView.open(journal).spent()
            assert 0 < spent.requests < 16
            assert caps.tokens is None or spent.tokens <= caps.tokens
            assert caps.money is None or spent.money[0].amount <= caps.money.amount


def test_a_result_has_the_cost_of_both_answers_and_the_journal_the_same(
    tmp_path: Path, sandbox: SandboxHandle
) -> None:
    make_images(tmp_path / "in", 3)
    with client_for(sandbox) as client:
        run = asked(client, tmp_path / "in", tmp_path / "j", concurrency=1)
    assert run.summary is not None
    spent = JournalView.open(tmp_path / "j").spent()
    assert run.summary.usage is not None
    assert spent.requests == answers(sandbox) == 6
    assert spent.tokens == run.summary.usage.total_tokens
    assert spent.money == run.summary.cost


def test_both_are_set_aside_only_where_both_have_room() -> None:
    budget = Budget(Caps(requests=3))
    both = budget.reserve_spare(None, None)
    assert both is not None
    amount, spare = both
    assert spare is not None
    budget.settle(amount, 10, None)
    budget.release(spare)
    assert budget.spent.requests == 1
    assert budget.reserve_spare(None, None) is not None
    assert budget.reserve(None, None, stopped=lambda: True) is None


def test_the_last_request_goes_without_a_second_one() -> None:
    budget = Budget(Caps(money=Money(Decimal(5), "CNY")))
    both = budget.reserve_spare(None, Money(Decimal(2), "CNY"))
    assert both is not None
    assert both[1] is None
