"""A journal of an earlier version is read on: nothing in it is asked again."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from tests.pipeline.answering import Scripted, folder_of
from visionpipe.errors import JournalError
from visionpipe.pipeline.journal import Journal
from visionpipe.pipeline.pipeline import Pipeline
from visionpipe.pipeline.reading import JournalView, recorded_results
from visionpipe.pipeline.tables import JOURNAL
from visionpipe.results import Outcome
from visionpipe.stages.keys import PREPARATION, Recipe
from visionpipe.store.database import Database

FIRST = (Path(__file__).parent / "data" / "journal-1.sql").read_text("utf-8")
"""Written by the first version: four done (one of them a copy), three failed, two skipped, one under way."""


@pytest.fixture
def first(tmp_path: Path) -> Path:
    with closing(sqlite3.connect(tmp_path / "j")) as made:
        made.executescript(FIRST)
    return tmp_path / "j"


@pytest.fixture
def images(tmp_path: Path) -> Path:
    contents = {"a": "one", "b": "two", "copy": "one", "broken": "broken", "refused": "no"}
    return folder_of(tmp_path / "in", **contents, large="large", later="later", p0="x", p1="y")


def job(journal: Path, answerer: Scripted) -> Pipeline:
    return Pipeline(
        "What is it?",
        answerer=answerer,
        model="m",
        journal=journal,
        options={"temperature": 0.5},
        skip=lambda source: "left out" if source.name.startswith("p") else None,
    )


def test_nothing_of_the_first_version_is_asked_again(first: Path, images: Path) -> None:
    answerer = Scripted()
    run = job(first, answerer).run(images)
    ended = {result.source: result for result in run}
    assert run.summary is not None
    assert (run.summary.kept, run.summary.skipped, run.summary.maybe_billed_twice) == (7, 2, 1)
    assert not answerer.asked
    assert not answerer.prepared
    assert ended["a.jpg"].caption == "a picture of a.jpg"
    assert ended["copy.jpg"].duplicate_of == "a.jpg"
    assert ended["refused.jpg"].failure is not None
    assert ended["refused.jpg"].failure.code == "1210"
    with closing(JournalView.open(first)) as view:
        assert view.spent(job=job(first, answerer).job).requests == 4


def test_a_plan_and_an_export_read_the_first_version_and_leave_it(first: Path, images: Path) -> None:
    before = first.read_bytes()
    plan = job(first, Scripted()).plan(images)
    list(plan)
    assert dict(plan.totals.fates) == {"keep": 7, "skip": 2}
    assert sum(result.outcome is Outcome.DONE for result in recorded_results(first)) == 4
    assert first.read_bytes() == before


def test_a_new_preparation_is_recorded_and_asks_nothing_again(first: Path) -> None:
    recipe = Recipe("m", "What is it?", {"temperature": 0.5}, preparation=PREPARATION + 1)
    with closing(Journal(first)) as journal:
        journal.begin(recipe)
        found = journal.recorded("a.jpg", recipe.question("What is it?"))
        assert found is not None
        rows = journal.database.all("SELECT DISTINCT preparation FROM results")
        assert [row["preparation"] for row in rows] == [1]
        known = journal.database.one("SELECT preparation FROM jobs WHERE job = ?", (recipe.job,))
        assert known is not None
        assert known["preparation"] == PREPARATION + 1


def test_a_file_that_was_migrated_is_the_same_as_a_new_one(first: Path, tmp_path: Path) -> None:
    def tables(path: Path) -> dict[str, list[str]]:
        with closing(Database(path, JOURNAL)) as database:
            names = [row[0] for row in database.all("SELECT name FROM sqlite_master WHERE type = 'table'")]
            return {name: [r["name"] for r in database.all(f"PRAGMA table_info({name})")] for name in names}

    assert tables(first) == tables(tmp_path / "new")


def test_a_later_version_is_refused_by_its_name_and_left_as_it_is(tmp_path: Path) -> None:
    later = replace(JOURNAL, versions=(*JOURNAL.versions, "CREATE TABLE more (x);"))
    Database(tmp_path / "j", later).close()
    before = (tmp_path / "j").read_bytes()
    for opening in (Journal, JournalView.open):
        with pytest.raises(JournalError, match="later version of visionpipe") as caught:
            opening(tmp_path / "j")
        assert (caught.value.code, "remove" in str(caught.value)) == ("newer", False)
        assert "Update visionpipe" in caught.value.cure
    assert (tmp_path / "j").read_bytes() == before
