"""What a service says of the account stops a job and costs no item; what it says of an item's content costs
that item alone."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import orjson
import pytest

from tests.client.faces import chat
from tests.loopback import Answer, Loopback, Seen, serving
from tests.pipeline.kill_drill import make_images
from tests.pipeline.test_outage import ended_by, finished
from visionpipe.client._sync.client import Client
from visionpipe.errors import AccountError
from visionpipe.pipeline.pipeline import Pipeline
from visionpipe.stages.retry import RetryPolicy


def told(status: int, **error: Any) -> Answer:
    return Answer(status, orjson.dumps({"error": error}))


EMPTY = {
    "402": told(402, message="Insufficient Balance", code="invalid_request_error"),
    "DashScope": told(400, message="Access denied", code="Arrearage", type="Arrearage"),
    "Moonshot": told(429, message="suspended", type="exceeded_current_quota_error"),
    "new-api": told(403, message="用户额度不足", code="insufficient_user_quota"),
    "in a 200": told(200, message="no credits", code=402),
}
REFUSED = {
    "Azure": told(400, message="filtered", code="content_filter"),
    "OpenRouter": told(403, message="Your input was flagged", code=403),
    "finish_reason": chat("", choices=[{"finish_reason": "content_filter", "message": {"content": ""}}]),
    "refusal": chat("", choices=[{"finish_reason": "stop", "message": {"refusal": "I cannot."}}]),
}


class Service:
    """Answers ``good`` requests, and then only ``bad`` ones until it is told otherwise."""

    def __init__(self, good: int, bad: Answer) -> None:
        self.good = good
        self.bad = bad
        self._lock = threading.Lock()

    def __call__(self, seen: Seen) -> Answer:
        with self._lock:
            self.good -= 1
            return chat("A cat.") if self.good >= 0 else self.bad


def client_of(loopback: Loopback) -> Client:
    policy = RetryPolicy(attempts=1)
    return Client("some-model", base_url=loopback.url, api_key="k", retry=policy)


@pytest.mark.parametrize("bad", EMPTY.values(), ids=EMPTY)
def test_an_empty_account_stops_the_job_and_the_next_run_asks_the_rest(tmp_path: Path, bad: Answer) -> None:
    make_images(tmp_path / "in", 25)
    service = Service(3, bad)
    with serving(answer=service) as loopback, client_of(loopback) as client:
        pipeline = Pipeline("What?", client=client, journal=tmp_path / "j", concurrency=4)
        _, summary = ended_by(pipeline.run(tmp_path / "in"), AccountError)
        assert (summary.done, summary.failed, summary.not_started) == (3, 0, 22)
        # What was under way when the account was found empty, and no more.
        assert len(loopback.requests) <= 3 + 4
        before = len(loopback.requests)
        service.good = 1000
        _, whole = finished(pipeline.run(tmp_path / "in"))
        assert (whole.done, whole.failed) == (25, 0)
        assert len(loopback.requests) - before == 22


@pytest.mark.parametrize("bad", REFUSED.values(), ids=REFUSED)
@pytest.mark.parametrize("good", [0, 3])
def test_content_refused_25_times_in_a_row_fails_those_items_alone(
    tmp_path: Path, bad: Answer, good: int
) -> None:
    make_images(tmp_path / "in", 25 + good)
    with serving(answer=Service(good, bad)) as loopback, client_of(loopback) as client:
        _, summary = finished(Pipeline("What?", client=client, concurrency=4).run(tmp_path / "in"))
        assert (summary.done, summary.failed) == (good, 25)
        assert len(loopback.requests) == 25 + good


@pytest.mark.parametrize("word", ["error", "abort", "network_error"])
def test_a_broken_off_answer_is_asked_again_once(tmp_path: Path, word: str) -> None:
    make_images(tmp_path / "in", 3)
    broken = chat("", choices=[{"finish_reason": word, "message": {"content": "A c"}}])
    asked: list[str] = []

    def twice(seen: Seen) -> Answer:
        picture = str(seen.json()["messages"][-1]["content"][0])
        asked.append(picture)
        return broken if asked.count(picture) == 1 else chat("A cat.")

    with serving(answer=twice) as loopback, client_of(loopback) as client:
        results, summary = finished(Pipeline("What?", client=client, concurrency=1).run(tmp_path / "in"))
    assert (summary.done, summary.failed, len(asked)) == (3, 0, 6)
    assert {result.caption for result in results} == {"A cat."}
