"""A folder that cannot be listed is a failed item, until something in it has come to an end."""

from __future__ import annotations

from pathlib import Path

from tests.pipeline.answering import Scripted, folder_of
from visionpipe.errors import UnreadableSourceError
from visionpipe.pipeline.pipeline import Pipeline
from visionpipe.pipeline.reading import recorded_results
from visionpipe.results import ItemResult, Outcome
from visionpipe.sources.find import FailedSource, Found, Source


def unlisted(name: str) -> FailedSource:
    error = UnreadableSourceError("it cannot be listed", cure="Let it be.", subject=name, code="permission")
    return FailedSource(name, error)


def run(journal: Path, *listing: Found) -> tuple[dict[str, ItemResult], bool]:
    """What the journal holds after the run, and whether the run was all well."""
    run = Pipeline("What is it?", answerer=Scripted(), model="m", journal=journal).run(list(listing))
    for _ in run:
        pass
    assert run.summary is not None
    return {r.source: r for r in recorded_results(journal)}, run.summary.ok


def test_it_fails_in_each_run_until_it_can_be_listed(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "in", a="x", b="y")
    first = Source("a.jpg", str(folder / "a.jpg"))
    for _ in range(2):
        found, ok = run(tmp_path / "j", first, unlisted("sub/"))
        assert not ok
        failure = found["sub/"].failure
        assert failure is not None
        assert (failure.code, failure.retryable) == ("permission", True)
    found, ok = run(tmp_path / "j", first, Source("sub/deep/b.jpg", str(folder / "b.jpg")))
    assert ok
    assert {name: r.outcome for name, r in found.items()} == {
        "a.jpg": Outcome.DONE,
        "sub/deep/b.jpg": Outcome.DONE,
    }


def test_what_was_answered_before_supersedes_it_too(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "in", a="x")
    item = Source("sub/a.jpg", str(folder / "a.jpg"))
    run(tmp_path / "j", item)
    found, ok = run(tmp_path / "j", unlisted("sub/"))
    assert not ok
    assert set(found) == {"sub/", "sub/a.jpg"}
    found, ok = run(tmp_path / "j", item)
    assert ok
    assert set(found) == {"sub/a.jpg"}


def test_the_plan_refuses_it(tmp_path: Path) -> None:
    plan = Pipeline("What is it?", answerer=Scripted(), model="m").plan([unlisted("sub/")])
    (item,) = plan
    assert item.fate == "refuse"
    assert item.failure is not None
    assert item.failure.code == "permission"
