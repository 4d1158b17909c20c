"""The plan says what the run then does, and does nothing itself."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tests.pipeline.answering import Scripted, folder_of, numbered
from visionpipe.errors import ConfigurationError, OutputError
from visionpipe.pipeline.answerer import PreparedItem
from visionpipe.pipeline.pipeline import Pipeline
from visionpipe.pipeline.plan import ASSUMED_SECONDS, PlanItem, collisions
from visionpipe.sources.find import SkippedSource, Source
from visionpipe.testing.images import jpeg_bytes
from visionpipe.values import Money


def job(answerer: Scripted, **arguments: Any) -> Pipeline:
    return Pipeline("What is it?", **{"answerer": answerer, "model": "m", "concurrency": 4, **arguments})


def planned(pipeline: Pipeline, sources: Any) -> dict[str, PlanItem]:
    return {item.source: item for item in pipeline.plan(sources)}


def test_every_item_has_its_fate_and_nothing_is_sent(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "in", old="done before")
    list(job(Scripted(), journal=tmp_path / "j").run(folder))
    folder_of(folder, a="new", b="new", large="big", bad="broken", c="left out")
    (folder / "notes.pdf").write_bytes(b"%PDF-1.4")
    answerer = Scripted(cost=Money(Decimal("0.25"), "CNY"))

    def skip(source: Source) -> str | None:
        return "sidecar present" if source.name == "c.jpg" else None

    pipeline = job(answerer, journal=tmp_path / "j", skip=skip)
    plan = pipeline.plan(folder)
    items = {item.source: item for item in plan}
    assert {name: item.fate for name, item in items.items()} == {
        "old.jpg": "keep",
        "a.jpg": "send",
        "b.jpg": "duplicate",
        "large.jpg": "send",
        "bad.jpg": "refuse",
        "c.jpg": "skip",
        "notes.pdf": "skip",
    }
    assert items["b.jpg"].reason == "same bytes as a.jpg"
    assert items["large.jpg"].adjustments[0].kind == "resized"
    assert not answerer.asked
    totals = plan.totals
    assert (totals.items, totals.fates["send"], totals.adjusted) == (7, 2, 1)
    assert (totals.size, totals.tokens, totals.uncounted) == (200, 220, 0)
    assert totals.cost == {"CNY": Money(Decimal("0.50"), "CNY")}
    assert totals.measured
    assert totals.to_json()["send"] == 2
    assert items["bad.jpg"].to_json()["error"] is not None
    results = {r.source: r for r in pipeline.run(folder)}
    assert set(answerer.asked) == {"a.jpg", "large.jpg"} or set(answerer.asked) == {"b.jpg", "large.jpg"}
    assert len(results) == 7


def test_time_is_said_with_what_it_goes_by(tmp_path: Path) -> None:
    plan = job(Scripted(tokens=None)).plan(numbered(tmp_path / "in", 8))
    assert len(list(plan)) == 8
    assert not plan.totals.measured
    assert plan.totals.seconds == 8 * ASSUMED_SECONDS / 4
    assert plan.totals.uncounted == 8


def test_a_plan_writes_nothing(tmp_path: Path) -> None:
    folder = numbered(tmp_path / "in", 3)
    planned(job(Scripted(), journal=tmp_path / "j"), folder)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in"]


def test_force_and_retry_are_planned_as_they_run(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "in", a="x")
    list(job(Scripted(), journal=tmp_path / "j").run(folder))
    items = planned(job(Scripted(), journal=tmp_path / "j", force=True), folder)
    assert items["a.jpg"].fate == "send"


def test_near_duplicates_are_shown_in_the_plan_and_shared_in_the_run(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "a.jpg").write_bytes(jpeg_bytes(640, 480))
    (folder / "b.jpg").write_bytes(jpeg_bytes(320, 240))
    (folder / "c.jpg").write_bytes(jpeg_bytes(640, 480, quality=60))
    answerer = Scripted()
    items = planned(job(answerer, near_duplicates=3), folder)
    assert [items[f"{n}.jpg"].fate for n in "abc"] == ["send", "duplicate", "duplicate"]
    assert "looks like a.jpg" in (items["b.jpg"].reason or "")
    assert [item.fate for item in planned(job(answerer), folder).values()] == ["send"] * 3
    pipeline = job(answerer, near_duplicates=3, preparers=1, journal=tmp_path / "j")
    results = {r.source: r for r in pipeline.run(folder)}
    assert answerer.asked == {"a.jpg": 1}
    assert results["b.jpg"].duplicate_of == "a.jpg"
    assert results["b.jpg"].notes[0].kind == "near_duplicate"
    (folder / "d.jpg").write_bytes(jpeg_bytes(200, 150))
    assert planned(pipeline, folder)["d.jpg"].fate == "duplicate"


def test_a_picture_that_cannot_be_looked_at_is_refused(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "in", a="no picture at all")
    assert planned(job(Scripted(), near_duplicates=3), folder)["a.jpg"].fate == "refuse"
    (result,) = job(Scripted(), near_duplicates=3).run(folder)
    assert result.failure is not None
    assert result.failure.code == "not_an_image"


def test_what_would_stop_the_run_stops_the_plan(tmp_path: Path) -> None:
    class Unset(Scripted):
        def prepare(self, source: Source, prompt: str) -> PreparedItem:
            raise ConfigurationError("an extra is missing", cure="Install it.")

    with pytest.raises(ConfigurationError):
        planned(job(Unset()), numbered(tmp_path / "in", 2))
    with pytest.raises(ConfigurationError):
        list(job(Unset()).run(numbered(tmp_path / "in", 2)))


def test_colliding_sidecars_are_paired() -> None:
    listing = [Source(name, name) for name in ("a.jpg", "b.jpg", "a.png", "x/a.jpg", "a.gif")]
    found = collisions(
        [*listing, SkippedSource("b.txt", "not an image")], lambda name: name.rsplit(".", 1)[0] + ".txt"
    )
    assert list(found) == [("a.jpg", "a.png"), ("a.jpg", "a.gif")]


def test_a_plan_refuses_collisions_too(tmp_path: Path) -> None:
    listing = [Source("a.jpg", "a.jpg"), Source("a.png", "a.png")]
    with pytest.raises(OutputError, match="one name"):
        job(Scripted(), sidecar=lambda name: name[:1]).plan(listing)
