"""``visionpipe journal``: a look through a journal, and the saving of a damaged one."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

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


def test_status_of_a_job_under_way_in_another_process_and_after_it_was_killed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def status() -> dict[str, Any]:
        assert status_of(["status", str(journal), "--json"]) == 0
        found: dict[str, Any] = json.loads(capsys.readouterr().out)
        return found

    images, journal = tmp_path / "in", tmp_path / "out.jsonl.journal"
    numbered(images, 3)
    script = (
        "import sys, time\n"
        "from tests.pipeline.answering import Scripted\n"
        "from visionpipe import Money\n"
        "from visionpipe.pipeline.pipeline import Pipeline\n"
        "def answer(name, number):\n"
        "    if name.startswith('i0002'):\n"
        "        print('asked', flush=True)\n"
        "        sys.stdin.read()\n"
        "job = Pipeline('What?', answerer=Scripted(answer, cost=Money('0.5', 'CNY')), model='m',\n"
        "               journal=sys.argv[1], concurrency=1)\n"
        "for result in job.run(sys.argv[2]):\n"
        "    pass\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script, str(journal), str(images)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=Path(__file__).parents[2],
    ) as running:
        assert running.stdout is not None
        running.stdout.readline()
        found = status()
        assert (found["state"], found["run"], found["under_way"]) == ("running", 1, 1)
        assert str(running.pid) in found["held_by"]
        job = found["jobs"][0]
        assert (job["model"], job["prompt"], job["done"], job["failed"]) == ("m", "What?", 2, 0)
        assert job["cost"] == [{"amount": "1", "currency": "CNY"}]
        assert found["rate"] > 0
        assert found["last_result_seconds_ago"] >= 0
        assert status_of(["journal", "status", str(journal)]) == 0
        assert "run 1 is under way" in capsys.readouterr().out
        running.kill()
    found = status()
    assert (found["state"], found["held_by"], found["under_way"]) == ("killed", None, 1)

    list(Pipeline("What?", answerer=Scripted(), model="m", journal=journal).run(images))
    found = status()
    assert (found["state"], found["run"], found["under_way"]) == ("complete", 2, 0)
    assert found["jobs"][0]["done"] == 3


def test_status_within_the_process_that_runs_the_job(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    journal = tmp_path / "j"
    results = iter(Pipeline("W?", answerer=Scripted(), model="m", journal=journal).run(numbered(tmp_path, 2)))
    next(results)
    assert status_of(["status", str(journal)]) == 0
    assert f"pid {os.getpid()}" in capsys.readouterr().out
    assert len(list(results)) == 1
    assert status_of(["status", str(journal)]) == 0
    assert "run 1 has ended: complete" in capsys.readouterr().out
