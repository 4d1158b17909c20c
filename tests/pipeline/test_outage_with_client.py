"""Outages as the real client meets them: a closed port, and a sandbox that breaks down for a while."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from tests.pipeline.kill_drill import make_images
from tests.pipeline.test_outage import ended_by, finished
from visionpipe.client import Client
from visionpipe.errors import ConnectionFailedError
from visionpipe.pipeline.events import Event, ServiceBack, ServiceLost
from visionpipe.pipeline.pipeline import Pipeline
from visionpipe.stages.retry import RetryPolicy
from visionpipe.testing.sandbox import SandboxHandle


@contextmanager
def closed_port() -> Iterator[int]:
    """A port that is nobody else's and at which nothing listens."""
    with closing(socket.socket()) as taken:
        taken.bind(("127.0.0.1", 0))
        yield taken.getsockname()[1]


def client_at(base_url: str, key: str) -> Client:
    return Client(
        "glm-4.6v",
        base_url=f"bigmodel+{base_url}",
        api_key=key,
        retry=RetryPolicy(attempts=1),
    )


def test_a_wrong_address_is_told_once_and_the_next_run_does_all(
    tmp_path: Path, sandbox: SandboxHandle
) -> None:
    make_images(tmp_path / "in", 40)
    with closed_port() as port, client_at(f"http://127.0.0.1:{port}/api/paas/v4", sandbox.key) as client:
        run = Pipeline("What?", client=client, journal=tmp_path / "j", concurrency=8).run(tmp_path / "in")
        error, summary = ended_by(run, ConnectionFailedError)
    assert error.reason == "nothing listens there"
    assert (summary.seen, summary.done, summary.failed, summary.not_started) == (40, 0, 4, 36)
    with client_at(sandbox.base_url, sandbox.key) as client:
        pipeline = Pipeline("What?", client=client, journal=tmp_path / "j", retry_failed=True)
        results, whole = finished(pipeline.run(tmp_path / "in"))
    assert len(results) == whole.done == 40
    assert sandbox.stats()["requests"] == 40


def test_a_service_that_breaks_down_for_a_while_costs_few_items(
    tmp_path: Path, sandbox: SandboxHandle
) -> None:
    make_images(tmp_path / "in", 30)
    sandbox.set_scenario({"rule": [{"after": 10, "count": 8, "fault": {"kind": "error", "code": "1234"}}]})
    events: list[Event] = []
    with client_at(sandbox.base_url, sandbox.key) as client:
        pipeline = Pipeline("What?", client=client, concurrency=1, on_event=events.append)
        _, summary = finished(pipeline.run(tmp_path / "in"))
    assert (summary.done, summary.failures) == (26, {"1234": 4})
    assert sandbox.stats()["requests"] == 30 + 4
    assert [type(event) for event in events if isinstance(event, ServiceLost | ServiceBack)] == [
        ServiceLost,
        ServiceBack,
    ]
