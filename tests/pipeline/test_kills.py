"""A job killed at random instants on a bad line ends with one result an image, and asks nothing twice."""

from __future__ import annotations

from pathlib import Path

from tests.pipeline.kill_drill import drill


def test_a_killed_job_goes_on_where_it_was(tmp_path: Path) -> None:
    seen = drill(tmp_path, items=240, kills=4, seed=3, spread_s=0.5)
    assert seen.kills == 4
    assert seen.results == {1: 240}
    assert seen.done == 240
    assert seen.asked_after_recorded == []
    assert seen.requests <= seen.items + seen.faults.total() + seen.under_way_at_kills
    assert {"error:1234", "error:1302", "reset:first_byte"} & set(seen.faults)
    assert seen.summary["kept"] > 0
    assert seen.summary["seen"] == seen.summary["done"] == 240
