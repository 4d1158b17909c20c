"""A running job follows a service whose limit of requests at once is lowered and raised."""

from __future__ import annotations

from pathlib import Path

from tests.pipeline.limit_drill import Phase, drill


def test_a_job_follows_the_service_and_seldom_asks_one_too_many(tmp_path: Path) -> None:
    phases = [
        Phase(8, requests=400, settle_requests=200),
        Phase(3, requests=300, settle_requests=150),
        Phase(12, requests=600, settle_requests=350),
    ]
    for phase, seen in zip(phases, drill(tmp_path, phases, latency=0.05, ceiling=32), strict=True):
        assert seen.within_s < seen.settled_s
        assert seen.mean <= 1.2 * phase.limit
        assert seen.refused <= 0.02
