"""Values that no journal can hold, or that only odd file systems and servers give."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tests.pipeline.answering import Scripted, numbered
from visionpipe.errors import JournalError
from visionpipe.pipeline.events import Event, RunStarted
from visionpipe.pipeline.journal import Journal
from visionpipe.pipeline.ledger import Key
from visionpipe.pipeline.pipeline import Pipeline
from visionpipe.pipeline.tables import JOURNAL
from visionpipe.results import Failure, ItemResult, Outcome
from visionpipe.sinks.sink import dump, load
from visionpipe.stages.keys import Recipe
from visionpipe.store.database import Database
from visionpipe.values import Adjustment, Note

RECIPE = Recipe("m", "What is it?")
QUESTION = RECIPE.question("What is it?")


def test_names_that_are_no_utf8_are_kept_escaped_in_all_that_is_told_of_them(tmp_path: Path) -> None:
    name = os.fsdecode(b"in/\xff.tif")
    result = ItemResult(
        "in/\\xff.tif",
        Outcome.FAILED,
        data={name: [name, 1]},
        adjustments=(Adjustment("converted", name, "CMYK -> RGB"),),
        notes=(Note("skipped", name),),
        failure=Failure("BadImageError", "truncated", f"{name} is cut off", "Copy it again."),
    )
    with closing(Journal(tmp_path / "j")) as journal:
        journal.begin(RECIPE)
        journal.record(Key(result.source, QUESTION, None), result)
        found = journal.recorded(result.source, QUESTION)
    assert found is not None
    assert found.result.adjustments == (Adjustment("converted", "in/\\udcff.tif", "CMYK -> RGB"),)
    assert found.result.data == {"in/\\udcff.tif": ["in/\\udcff.tif", 1]}
    assert found.result.failure is not None
    assert found.result.failure.reason == "in/\\udcff.tif is cut off"


def test_whole_numbers_of_any_length_come_back_to_the_digit(tmp_path: Path) -> None:
    number = 12345678901234567890123
    result = ItemResult("in/a.png", Outcome.DONE, data={"id": number, "price": 0.1})
    with closing(Journal(tmp_path / "j")) as journal:
        journal.begin(RECIPE)
        journal.record(Key(result.source, QUESTION, None), result)
        found = journal.recorded(result.source, QUESTION)
    assert found is not None
    assert found.result.data == {"id": number, "price": 0.1}
    assert load(dump(result.to_json())) == result.to_json()


@pytest.mark.parametrize("value", [2**63, -(2**63) - 1, "\udcff"])
def test_a_value_that_cannot_be_held_takes_nothing_down_with_it(tmp_path: Path, value: int | str) -> None:
    with closing(Database(tmp_path / "j", JOURNAL)) as database:
        with pytest.raises(JournalError) as caught:
            database.write(("INSERT INTO runs (run, job, pid, started) VALUES (1, ?, 1, 0)", (value,)))
        assert caught.value.code == "unstorable"
        database.write(("INSERT INTO runs (run, job, pid, started) VALUES (2, 'a', 1, 0)", ()))
        assert [row["run"] for row in database.all("SELECT run FROM runs")] == [2]


def test_a_journal_that_breaks_under_a_run_is_an_error_with_a_cure_and_is_given_back(tmp_path: Path) -> None:
    folder = numbered(tmp_path / "in", 2)

    def spoil(event: Event) -> None:
        if isinstance(event, RunStarted):
            with closing(sqlite3.connect(tmp_path / "j")) as other:
                other.execute("DROP TABLE attempts")

    run = Pipeline("What?", answerer=Scripted(), model="m", journal=tmp_path / "j", on_event=spoil)
    with pytest.raises(JournalError):
        list(run.run(folder))
    with pytest.raises(JournalError) as caught:
        list(run.run(folder))
    assert caught.value.code != "locked"


def test_a_journal_that_another_program_holds_is_not_taken_for_a_full_disk(tmp_path: Path) -> None:
    with closing(Database(tmp_path / "j", JOURNAL)) as database:
        database.one("PRAGMA busy_timeout = 1")
        with closing(sqlite3.connect(tmp_path / "j")) as other:
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(JournalError) as caught:
                database.write(("INSERT INTO runs (run, job, pid, started) VALUES (1, 'a', 1, 0)", ()))
        assert caught.value.code == "unwritable"
        database.check_room()
        database.write(("INSERT INTO runs (run, job, pid, started) VALUES (2, 'a', 1, 0)", ()))
        # What could not be written is not lost.
        assert [row["run"] for row in database.all("SELECT run FROM runs ORDER BY run")] == [1, 2]
