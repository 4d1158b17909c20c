"""A damaged journal is read on, or said to be damaged; what can be read is saved, the rest asked again."""

from __future__ import annotations

import random
import sqlite3
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest

from tests.pipeline.answering import Scripted, broken, numbered
from visionpipe.errors import JournalError
from visionpipe.pipeline.journal import Journal
from visionpipe.pipeline.pipeline import Pipeline
from visionpipe.pipeline.reading import (
    COLUMNS,
    JournalView,
    is_readable,
    recorded_results,
    recorded_schema,
)
from visionpipe.pipeline.tables import JOURNAL
from visionpipe.results import ItemResult
from visionpipe.store.repair import DatabaseKind, check, repair
from visionpipe.video.spans import SPANS, SqliteSpanJournal

KINDS = [DatabaseKind(JOURNAL, is_readable), DatabaseKind(SPANS)]
COUNT = 40


def job(journal: Path, answerer: Scripted) -> Pipeline:
    return Pipeline("What is it?", answerer=answerer, model="m", journal=journal, schema={"type": "object"})


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return numbered(tmp_path_factory.mktemp("images") / "in", COUNT)


@pytest.fixture(scope="module")
def whole(folder: Path) -> bytes:
    """A journal with 36 answers and 4 failures."""

    def script(name: str, number: int) -> str | None:
        if name.endswith("7.jpg"):
            raise broken()
        return None

    journal = folder.parent / "j"
    list(job(journal, Scripted(script)).run(folder))
    return journal.read_bytes()


def changed(whole: bytes, seed: int) -> bytes:
    """Some bytes anywhere, and in every sixth copy some in the head."""
    chance = random.Random(seed)
    data = bytearray(whole)
    for _ in range(chance.choice((1, 4, 24))):
        data[chance.randrange(len(data))] = chance.randrange(256)
    if seed % 6 == 0:
        for _ in range(4):
            data[chance.randrange(100)] = chance.randrange(256)
    return bytes(data)


def outcome(use: Callable[[], object]) -> str:
    """What became of using a journal; a raw error goes through."""
    try:
        use()
    except JournalError as error:
        assert "visionpipe journal repair" in error.cure, str(error)
        assert "remove" not in str(error)
        return error.code
    return "ok"


def read(path: Path) -> list[ItemResult]:
    return list(recorded_results(path))


def plan(folder: Path, path: Path) -> object:
    return list(job(path, Scripted()).plan(folder))


def run_over(folder: Path, path: Path) -> object:
    return list(job(path, Scripted()).run(folder))


@pytest.mark.parametrize("seeds", [range(0, 20), range(20, 40), range(40, 60)], ids=str)
def test_sixty_copies_with_changed_bytes(
    tmp_path: Path, folder: Path, whole: bytes, seeds: Sequence[int]
) -> None:
    ended: Counter[str] = Counter()
    for seed in seeds:
        path = tmp_path / f"{seed}.journal"
        path.write_bytes(changed(whole, seed))
        for use in (read, recorded_schema, partial(plan, folder)):
            assert outcome(partial(use, path)) in ("ok", "damaged"), seed
        ended[found := outcome(partial(run_over, folder, path))] += 1
        if found != "ok":
            report = repair(path, KINDS)
            assert report.kept_as is not None
            answerer = Scripted()
            run = job(path, answerer).run(folder)
            assert len(list(run)) == COUNT, seed
            assert run.summary is not None
            assert run.summary.complete
            assert check(path, KINDS).ok
    assert set(ended) <= {"ok", "damaged"}
    assert ended["ok"]
    assert ended["damaged"]


BAD = [
    ("outcome", "perhaps"),
    ("notes", "{"),
    ("notes", "[1]"),
    ("adjustments", '[{"what": 1}]'),
    ("data", "{]"),
    ("cost", "much"),
    ("cost", "NaN"),
    ("failure", "[]"),
    ("attempts", "three"),
    ("prompt_tokens", b"\xff"),
    ("caption", b"\xff\xfe"),
]


def spoil(path: Path, source: str, column: str, value: str | bytes) -> None:
    """Puts a value where none like it was ever written; bytes as text that is no UTF-8."""
    words = f"CAST(x'{value.hex()}' AS TEXT)" if isinstance(value, bytes) else f"'{value}'"
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute(f"UPDATE results SET {column} = {words} WHERE source = ?", (source,))


@pytest.mark.parametrize(("column", "value"), BAD)
def test_a_row_that_makes_no_sense_is_counted_and_asked_again(
    tmp_path: Path, folder: Path, whole: bytes, column: str, value: str | bytes
) -> None:
    path = tmp_path / "j"
    path.write_bytes(whole)
    spoil(path, "i0005.jpg", column, value)
    left_out: list[int] = []
    assert len(list(recorded_results(path, on_unreadable=left_out.append))) == COUNT - 1
    assert left_out == [1]
    assert check(path, KINDS).unreadable == {"results": 1}
    run = job(path, answerer := Scripted()).run(folder)
    list(run)
    assert answerer.asked == {"i0005.jpg": 1}
    assert run.summary is not None
    assert (run.summary.unreadable, run.summary.kept) == (1, COUNT - 1)
    assert "could not be read" in "\n".join(run.summary.lines())
    assert len(read(path)) == COUNT
    assert check(path, KINDS).ok


def test_a_journal_that_is_whole_stays_as_it_is(tmp_path: Path, whole: bytes) -> None:
    path = tmp_path / "j"
    path.write_bytes(whole)
    report = repair(path, KINDS)
    assert (report.ok, report.kept_as, report.rows["results"]) == (True, None, COUNT)
    assert path.read_bytes() == whole
    assert [entry.name for entry in tmp_path.iterdir()] == ["j"]


def test_a_lost_page_costs_its_own_rows(tmp_path: Path, folder: Path, whole: bytes) -> None:
    path = tmp_path / "j"
    page = next(at for at in range(0, len(whole), 4096) if b"a picture of i0003.jpg" in whole[at : at + 4096])
    path.write_bytes(whole[:page] + bytes(4096) + whole[page + 4096 :])
    assert outcome(lambda: read(path)) == "damaged"
    report = repair(path, KINDS)
    assert report.kept_as is not None
    assert report.kept_as.read_bytes() == path.with_name("j.damaged").read_bytes()
    saved = len(read(path))
    assert COUNT / 2 < saved < COUNT
    list(job(path, answerer := Scripted()).run(folder))
    assert sum(answerer.asked.values()) <= COUNT - saved
    assert len(read(path)) == COUNT


def test_what_a_killed_run_left_in_its_log_is_saved(tmp_path: Path, folder: Path) -> None:
    path = tmp_path / "j"
    with closing(Journal(path)) as journal:
        list(job(tmp_path / "other", Scripted()).run(folder))
        with closing(JournalView.open(tmp_path / "other")) as other:
            row = other.database.one(f"SELECT {COLUMNS} FROM results")
        assert row is not None
        marks = ", ".join("?" * len(row))
        journal.database.write((f"INSERT INTO results ({COLUMNS}) VALUES ({marks})", tuple(row)))
        head, log = path.read_bytes(), path.with_name("j-wal").read_bytes()
    path.write_bytes(b"\0" * 16 + head[16:])
    path.with_name("j-wal").write_bytes(log)
    assert outcome(lambda: read(path)) == "damaged"
    assert repair(path, KINDS).rows["results"] == 1


def test_other_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "notes").write_text("no database at all" * 99)
    for use in (check, repair):
        with pytest.raises(JournalError, match="no journal of visionpipe"):
            use(tmp_path / "notes", KINDS)
    with closing(Journal(tmp_path / "j")), pytest.raises(JournalError, match="another run"):
        repair(tmp_path / "j", KINDS)


def test_a_spans_journal_is_repaired_too(tmp_path: Path) -> None:
    path = tmp_path / "spans"
    with SqliteSpanJournal(path) as journal:
        for number in range(300):
            journal.put(f"{number:064}", "words " * 20)
    data = bytearray(path.read_bytes())
    data[5 * 4096 : 6 * 4096] = bytes(4096)
    path.write_bytes(data)
    report = repair(path, KINDS)
    assert report.title == SPANS.title
    with SqliteSpanJournal(path) as journal:
        left = sum(journal.get(f"{number:064}") is not None for number in range(300))
    assert 100 < left < 300
