"""A batch that the service has forgotten (it keeps one for 30 days) holds nobody up."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.pipeline.batch_jobs import client_for, ends, job
from visionpipe.errors import RejectedRequestError
from visionpipe.testing.sandbox import SandboxHandle, running_sandbox

NAMES = [f"{n:04}.png" for n in range(6)]


def test_its_items_fail_for_now_and_are_asked_anew_on_request(photos: Path, tmp_path: Path) -> None:
    with running_sandbox() as service, client_for(service) as client:
        assert list(job(client, tmp_path, wait=False).run(photos)) == []
    with running_sandbox() as service, client_for(service) as client:
        run = job(client, tmp_path).run(photos)
        assert ends(list(run)) == dict.fromkeys(NAMES, "failed")
        assert run.summary is not None
        assert run.summary.failures == {"batch_lost": 6}
        assert not Path(f"{tmp_path / 'job.journal'}.batch").exists()
        again = list(job(client, tmp_path, retry_failed=True).run(photos))
        assert ends(again) == dict.fromkeys(NAMES, "done")


def test_a_refusal_about_a_batch_that_is_listed_loses_nothing(
    service: SandboxHandle, photos: Path, tmp_path: Path
) -> None:
    with client_for(service) as client:
        assert list(job(client, tmp_path, wait=False).run(photos)) == []
        service.set_scenario(
            {"rule": [{"count": 1, "path": "*/batches/*", "fault": {"kind": "error", "code": "1214"}}]}
        )
        with pytest.raises(RejectedRequestError):
            list(job(client, tmp_path).run(photos))
        assert ends(list(job(client, tmp_path).run(photos))) == dict.fromkeys(NAMES, "done")
