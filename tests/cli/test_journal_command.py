"""``visionpipe journal``: a look through a journal, and the saving of a damaged one."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tests.pipeline.answering import Scripted, numbered
from visionpipe.cli.app import status_of
from visionpipe.pipeline.pipeline import Pipeline


def test_check_and_repair(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def visionpipe(*arguments: str) -> tuple[int, str, str]:
        status = status_of(arguments)
        told = capsys.readouterr()
        return status, told.out, told.err

    journal = tmp_path / "out.jsonl.journal"
    list(Pipeline("What?", answerer=Scripted(), model="m", journal=journal).run(numbered(tmp_path / "in", 3)))
    status, out, err = visionpipe("journal", "check", str(journal))
    assert (status, err) == (0, "")
    assert "results: 3 rows\n" in out
    assert out.endswith("no damage found\n")
    before = journal.read_bytes()
    status, _, err = visionpipe("journal", "repair", str(journal))
    assert (status, journal.read_bytes()) == (0, before)
    assert "Nothing to repair" in err

    with closing(sqlite3.connect(journal, isolation_level=None)) as connection:
        connection.execute("UPDATE results SET notes = '{' WHERE source = 'i0001.jpg'")
    _, _, err = visionpipe("export", str(journal), "-o", str(tmp_path / "out.jsonl"))
    assert "1 results in the journal cannot be read" in err
    status, out, err = visionpipe("journal", "check", str(journal))
    assert status == 1
    assert "results: 2 rows, and 1 that make no sense" in out
    assert "visionpipe journal repair" in err
    damaged = journal.read_bytes()
    status, _, err = visionpipe("journal", "repair", str(journal))
    assert status == 0
    assert "asked again by the next run" in err
    assert (tmp_path / "out.jsonl.journal.damaged").read_bytes() == damaged
    assert visionpipe("journal", "check", str(journal))[0] == 0


def test_what_is_no_journal_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "notes").write_text("notes")
    for name, words in (("notes", "no journal of visionpipe"), ("missing", "no such file")):
        assert status_of(["journal", "check", str(tmp_path / name)]) == 1
        assert words in capsys.readouterr().err
