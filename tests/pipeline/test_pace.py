"""How far a run is and what is left: pure arithmetic, and a count ahead of the run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.pipeline.answering import Scripted, folder_of, numbered
from visionpipe.errors import UnreadableSourceError
from visionpipe.pipeline.events import Event, ItemEnded, Progress, Tally
from visionpipe.pipeline.listing import Sources
from visionpipe.pipeline.pace import WINDOW, Ahead, AheadCount, Pace, measured
from visionpipe.pipeline.pipeline import Pipeline
from visionpipe.results import ItemResult, Outcome
from visionpipe.sources.find import Source, SourceListing


class Worked:
    """A run on a clock of its own: so many workers, each answer taking as long."""

    def __init__(self, ahead: Ahead | None, *, workers: int = 4, latency: float = 0.5) -> None:
        self.tally, self.pace, self.ahead = Tally(), Pace(), ahead
        self._free = [0.0] * workers
        self.latency = latency
        self.now = 0.0

    def ask(self, count: int) -> None:
        for _ in range(count):
            self._free.sort()
            end = self._free[0] + self.latency
            self._free[0] = end
            self.now = max(self.now, end)
            self.tally.count(ItemResult("x", Outcome.DONE, attempts=1), kept=False)
            self.pace.answered(end, self.latency)

    def keep(self, count: int) -> None:
        for _ in range(count):
            self.tally.count(ItemResult("x", Outcome.DONE, attempts=1), kept=True)

    def skip(self, count: int) -> None:
        for _ in range(count):
            self.tally.count(ItemResult("x", Outcome.SKIPPED, reason="sidecar"), kept=False)

    def share(self, count: int) -> None:
        for _ in range(count):
            self.tally.count(ItemResult("x", Outcome.DONE, duplicate_of="y"), kept=False)

    @property
    def progress(self) -> Progress:
        return measured(self.tally, self.pace, self.ahead, self.now, seen=0, listed=False, level=4, busy=2)


@given(
    st.integers(60, 120),
    st.integers(0, 500),
    st.integers(0, 500),
    st.integers(1, 12),
    st.floats(0.01, 30),
)
def test_what_is_left_is_true_after_a_fifth(
    rounds: int, kept: int, skips: int, workers: int, latency: float
) -> None:
    """Whatever was kept or left out meanwhile: within 20 percent of what it then takes."""
    to_ask = rounds * workers
    run = Worked(Ahead(to_ask + kept + skips, skips, kept), workers=workers, latency=latency)
    run.keep(kept // 2)
    run.ask(to_ask // 5)
    run.skip(skips // 3)
    told, before = run.progress, run.now
    run.ask(to_ask - to_ask // 5)
    assert told.total == to_ask + kept + skips
    assert told.left == pytest.approx(run.now - before, rel=0.2)


def test_a_part_that_shares_answers_is_expected_to_go_on_so() -> None:
    run = Worked(Ahead(400))
    run.ask(50)
    run.share(50)
    assert run.progress.rate == pytest.approx(8, rel=0.1)
    assert run.progress.left == pytest.approx(150 / 8, rel=0.1)


def test_the_rate_follows_a_service_that_has_become_slower() -> None:
    run = Worked(Ahead(3000))
    run.ask(1000)
    assert run.progress.rate == pytest.approx(8, rel=0.05)
    run.latency = 5.0
    run.ask(WINDOW)
    assert run.progress.rate == pytest.approx(0.8, rel=0.05)


def test_nothing_is_told_that_is_not_known() -> None:
    run = Worked(None)
    run.skip(3)
    told = run.progress
    assert (told.total, told.rate, told.left) == (None, None, None)
    run.ahead = Ahead(3, 3)
    assert (run.progress.total, run.progress.left) == (3, 0.0)
    run.ahead = Ahead(9, 3)
    assert (run.progress.total, run.progress.left) == (9, None)


def test_a_count_ahead_agrees_with_the_listing(tmp_path: Path) -> None:
    folder = numbered(tmp_path / "in", 450)
    (folder / "a.md").write_text("x")
    (folder / "i0001.txt").write_text("x")
    listing = Sources(SourceListing([str(folder)], own=None), tmp_path / "j")
    count = AheadCount(listing.to_count, 5, lambda names: sum(name < "i0007" for name in names))
    count.count()
    assert count.found == Ahead(452, 2, 5)
    stopped = AheadCount(listing.to_count, 0, len)
    stopped.stop()
    stopped.count()
    assert stopped.found is None


def test_a_list_that_breaks_off_has_no_total(tmp_path: Path) -> None:
    (tmp_path / "l.jsonl").write_text('"a.jpg"\nnonsense\n')
    count = AheadCount(Sources(str(tmp_path / "l.jsonl")).to_count, 0, len)
    count.count()
    assert count.found is None
    with pytest.raises(UnreadableSourceError):
        list(Sources(str(tmp_path / "l.jsonl")))


def figures(given: Any, **more: Any) -> list[Progress]:
    events: list[Event] = []
    job = Pipeline("What?", answerer=Scripted(), model="m", concurrency=1, on_event=events.append, **more)
    run = job.run(given)
    assert run.progress() is None
    list(run)
    last = run.progress()
    assert last is not None
    return [*(event.progress for event in events if isinstance(event, ItemEnded)), last]


def test_a_run_tells_its_total_and_asks_no_more_than_is_new(tmp_path: Path) -> None:
    folder = numbered(tmp_path / "in", 30)
    first = figures(folder, journal=tmp_path / "j")
    assert (first[-1].total, first[-1].asked, first[-1].left) == (30, 30, 0.0)
    folder_of(folder, z1="new", z2="newer")
    again = figures(folder, journal=tmp_path / "j")[-1]
    assert (again.total, again.kept, again.asked, again.left) == (32, 30, 2, 0.0)


def test_an_iterator_is_not_gone_through_twice(tmp_path: Path) -> None:
    folder = numbered(tmp_path / "in", 3)
    found = figures(Source(path.name, str(path)) for path in folder.iterdir())
    assert found[-1].total == 3
    assert found[-1].ended == 3
