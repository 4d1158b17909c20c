"""A journal among the photos is no item, in a run nor in a plan."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.pipeline.answering import Scripted, folder_of
from visionpipe.pipeline.pipeline import Pipeline
from visionpipe.sources.find import SourceListing

ENDS = ("", "-wal", "-shm", ".lock", ".ballast")


def job(journal: Path) -> Pipeline:
    return Pipeline("What is it?", answerer=Scripted(), model="m", journal=journal)


@pytest.mark.parametrize("name", ["job.journal", ".job.journal"])
@pytest.mark.parametrize("wrap", [lambda folder: folder, lambda folder: [folder], SourceListing])
def test_the_journal_is_passed_over(tmp_path: Path, name: str, wrap: Any) -> None:
    folder = folder_of(tmp_path / "in", a="one", b="two")
    (folder / "notes.pdf").write_bytes(b"%PDF-1.4")
    (folder / "other.lock").write_bytes(b"{}")
    pipeline = job(folder / name)
    for _ in range(2):
        run = pipeline.run(wrap(folder))
        seen = [result.source.rpartition("/")[2] for result in run]
        assert sorted(seen) == ["a.jpg", "b.jpg", "notes.pdf", "other.lock"]
        assert run.summary is not None
        assert run.summary.skips == {"not an image": 2}
    for end in ENDS[1:3]:
        (folder / f"{name}{end}").touch()
    assert len(list(job(folder / name).plan(wrap(folder)))) == 4


def test_a_stopped_run_over_a_listing_counts_what_is_left(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "in", a="one", b="two", c="three")
    run = job(folder / "j").run(SourceListing(folder))
    for _ in run:
        run.stop()
    assert run.summary is not None
    assert run.summary.seen == 3
