"""Writers of one directory of parts that are stopped and started again: nothing is lost, and hardly anything
asked twice."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from tests.pipeline.parts_drill import stop_and_go_on
from tests.s3_store import S3Store


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_every_item_is_answered_once(
    tmp_path: Path, s3_store: S3Store, monkeypatch: pytest.MonkeyPatch, how: signal.Signals
) -> None:
    environment = {"AWS_ACCESS_KEY_ID": "k", "AWS_SECRET_ACCESS_KEY": "s"}
    environment["AWS_ENDPOINT_URL"] = str(s3_store.options["endpoint_url"])
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    found = stop_and_go_on(
        tmp_path,
        f"s3://{s3_store.bucket}/out/",
        environment,
        items=40,
        writers=2,
        stops=1,
        with_signal=how,
        latency_s=0.1,
    )
    assert (len(found.done), set(found.done.values()), found.stops) == (40, {1}, 1)
    if how is signal.SIGKILL:
        assert found.asked_twice <= 4
    else:
        assert found.asked_twice == 0
        assert found.statuses == {75: 1, 0: 2}
