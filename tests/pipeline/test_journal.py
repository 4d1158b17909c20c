"""The journal keeps what it says it keeps."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.pipeline.kill_drill import ROOT
from visionpipe.errors import JournalError
from visionpipe.pipeline.contents import Stat
from visionpipe.pipeline.journal import Journal
from visionpipe.pipeline.ledger import Key, Sent
from visionpipe.pipeline.reading import COLUMNS, JournalView, recorded_results, result_of, result_row
from visionpipe.pipeline.tables import JOURNAL
from visionpipe.results import Failure, ItemResult, Outcome
from visionpipe.stages.keys import Recipe
from visionpipe.store.database import BALLAST_BYTES, Database
from visionpipe.values import Adjustment, Money, Note, Usage

RECIPE = Recipe("m", "What is it?")
QUESTION = RECIPE.question("What is it?")


def key(name: str, content: str = "c" * 64) -> Key:
    return Key(name, QUESTION, content)


def done(name: str, caption: str = "A cat.") -> ItemResult:
    return ItemResult(name, Outcome.DONE, caption=caption, model="m", attempts=1, sha256="c" * 64)


def failure(retryable: bool) -> Failure:
    return Failure("ServerError", "1234", "it failed", "Try again.", retryable=retryable)


words = st.text(st.characters(codec="utf-8"), max_size=30)
results = st.builds(
    ItemResult,
    source=words,
    outcome=st.sampled_from(Outcome),
    caption=st.none() | words,
    data=st.none() | st.dictionaries(words, st.integers(0, 9) | st.lists(words, max_size=2), max_size=3),
    model=st.none() | words,
    local=st.booleans(),
    usage=st.none() | st.builds(Usage, st.integers(0, 9999), st.integers(0, 9999), st.integers(0, 9)),
    cost=st.none() | st.builds(Money, st.decimals(0, 100, places=9), st.just("CNY")),
    finish_reason=st.none() | words,
    adjustments=st.lists(st.builds(Adjustment, words, words, words), max_size=2).map(tuple),
    notes=st.lists(st.builds(Note, words, words), max_size=2).map(tuple),
    request_id=st.none() | words,
    attempts=st.integers(0, 9),
    failure=st.none() | st.builds(failure, st.booleans()),
    reason=st.none() | words,
    sha256=st.none() | st.just("a" * 64),
    duplicate_of=st.none() | words,
    seconds=st.floats(0, 1000),
)


@given(results)
def test_a_row_gives_back_what_was_written(result: ItemResult) -> None:
    with closing(Database(None, JOURNAL)) as database:
        row = result_row(result, question="q", job="j", run=1, recorded=0.0, content=result.sha256)
        marks = ", ".join("?" * len(row))
        database.write((f"INSERT INTO results ({COLUMNS}) VALUES ({marks})", row))
        found = database.one("SELECT * FROM results")
        assert found is not None
        assert result_of(found) == result


def test_half_a_surrogate_pair_does_not_stop_a_job(tmp_path: Path) -> None:
    with closing(Journal(tmp_path / "j")) as journal:
        journal.begin(RECIPE)
        journal.record(key("a"), done("a", "so \ud83d so"))
        found = journal.recorded("a", QUESTION)
        assert found is not None
        assert found.result.caption == "so \\ud83d so"


def test_results_are_found_by_source_and_by_content(tmp_path: Path) -> None:
    with closing(Journal(tmp_path / "j")) as journal:
        assert journal.begin(RECIPE) == 0
        journal.record(key("a"), done("a"), [Sent(0.5, "id-1", tokens=12)])
        found = journal.recorded("a", QUESTION)
        assert found is not None
        assert (found.result, found.run) == (done("a"), 1)
        assert journal.shared("c" * 64, QUESTION) == done("a")
        assert journal.shared("c" * 64, RECIPE.question("Another?")) is None
        assert journal.shared("c" * 64, QUESTION, since_run=2) is None
        assert journal.recorded("b", QUESTION) is None


def test_only_failures_that_would_repeat_are_shared(tmp_path: Path) -> None:
    with closing(Journal(tmp_path / "j")) as journal:
        journal.begin(RECIPE)
        passing = ItemResult("a", Outcome.FAILED, failure=failure(retryable=True))
        journal.record(key("a"), passing)
        assert journal.shared("c" * 64, QUESTION) is None
        lasting = ItemResult("b", Outcome.FAILED, failure=failure(retryable=False))
        journal.record(key("b"), lasting)
        shared = journal.shared("c" * 64, QUESTION)
        assert shared is not None
        assert shared.source == "b"


def test_a_file_is_known_while_its_size_and_time_stay(tmp_path: Path) -> None:
    with closing(Journal(tmp_path / "j")) as journal:
        journal.begin(RECIPE)
        journal.note_source("a", "/x/a", Stat(3, 10), "c" * 64)
        journal.record(key("a"), done("a"))
        assert journal.known_content("a", "/x/a", Stat(3, 10)) == "c" * 64
        assert journal.known_content("a", "/x/a", Stat(3, 11)) is None
        assert journal.known_content("a", "/x/a", Stat(4, 10)) is None
        assert journal.known_content("a", "/y/a", Stat(3, 10)) is None


def test_what_was_spent_is_kept_apart_by_job_and_run(tmp_path: Path) -> None:
    price = Money(Decimal("0.000004"), "CNY")
    for tokens in (10, 20):
        with closing(Journal(tmp_path / "j")) as journal:
            journal.begin(RECIPE)
            refused = Sent(0.1, "r", "1302", billable=False, refused=True)
            journal.record(key(f"a{tokens}"), done("a"), [refused, Sent(0.5, tokens=tokens, cost=price)])
    with closing(JournalView.open(tmp_path / "j")) as view:
        spent = view.spent(job=RECIPE.job)
        assert (spent.requests, spent.tokens, spent.refusals) == (2, 30, 2)
        assert spent.money == (Money(Decimal("0.000008"), "CNY"),)
        assert view.spent(run=2).tokens == 20
        assert view.spent(job="another").requests == 0
        assert view.mean_seconds() == 0.5


def test_results_come_back_in_order_and_by_job(tmp_path: Path) -> None:
    other = Recipe("m", "Another?")
    with closing(Journal(tmp_path / "j")) as journal:
        journal.begin(RECIPE)
        for name in "cab":
            journal.record(key(name), done(name))
        journal.record(key("a"), done("a", "Better."))
    with closing(Journal(tmp_path / "j")) as journal:
        journal.begin(other)
        journal.record(Key("z", other.question("Another?"), "c"), done("z"))
    found = list(recorded_results(tmp_path / "j", job=RECIPE.job))
    assert [(r.source, r.caption) for r in found] == [("c", "A cat."), ("a", "Better."), ("b", "A cat.")]
    assert [r.source for r in recorded_results(tmp_path / "j")] == ["z"]


def test_an_adopted_result_counts_as_the_later_jobs_and_no_other_does(tmp_path: Path) -> None:
    later = Recipe("m", "What is {it}?")
    assert later.job != RECIPE.job
    other = RECIPE.question("Another?")
    with closing(Journal(tmp_path / "j")) as journal:
        journal.begin(RECIPE)
        for name in "ab":
            journal.record(key(name), done(name))
        journal.record(Key("a", other, "c" * 64), done("a", "Another answer."))
    with closing(Journal(tmp_path / "j")) as journal:
        journal.begin(later)
        journal.adopt("a", QUESTION, "other")
        journal.adopt("unheard of", QUESTION, "other")
        journal.end("complete")
    found = {
        job: [(r.source, r.caption) for r in recorded_results(tmp_path / "j", job=job)]
        for job in (RECIPE.job, later.job)
    }
    assert found == {
        RECIPE.job: [("b", "A cat."), ("a", "Another answer.")],
        later.job: [("a", "A cat.")],
    }


@pytest.mark.parametrize(
    ("source", "folders"),
    [
        ("/a.jpg", ["/"]),
        ("/photos/2024/a.jpg", ["/", "/photos/", "/photos/2024/"]),
        ("photos/a.jpg", ["photos/"]),
        ("a.jpg", []),
    ],
)
@pytest.mark.parametrize("adopted", [False, True])
def test_what_is_found_in_a_folder_supersedes_the_failure_to_list_it(
    tmp_path: Path, source: str, folders: list[str], adopted: bool
) -> None:
    others = ["/photo/", "photos/sub/", "sub/"]
    with closing(Journal(tmp_path / "j")) as journal:
        journal.begin(RECIPE)
        if adopted:
            journal.record(key(source), done(source))
        for folder in [*folders, *others]:
            failed = ItemResult(folder, Outcome.FAILED, failure=failure(retryable=True))
            journal.record(Key(folder, "", None), failed)
        if adopted:
            journal.adopt(source, QUESTION, "other")
        else:
            journal.record(key(source), done(source))
        journal.end("complete")
    assert {r.source for r in recorded_results(tmp_path / "j")} == {source, *others}


def test_a_folder_that_was_left_out_stays_so_whatever_is_found_in_it(tmp_path: Path) -> None:
    with closing(Journal(tmp_path / "j")) as journal:
        journal.begin(RECIPE)
        journal.record(Key("sub/", "", None), ItemResult("sub/", Outcome.SKIPPED, reason="hidden"))
        journal.record(key("sub/a"), done("sub/a"))
    assert {r.source for r in recorded_results(tmp_path / "j")} == {"sub/", "sub/a"}


def test_a_second_run_is_refused_with_the_firsts_pid_and_start(tmp_path: Path) -> None:
    with closing(Journal(tmp_path / "j", clock=lambda: 0.0)):
        with pytest.raises(JournalError) as caught:
            Journal(tmp_path / "j")
        assert caught.value.code == "locked"
        assert f"pid {os.getpid()}, started 1970-01-01T00:00:00+00:00" in str(caught.value)
    Journal(tmp_path / "j").close()


HOLDER = """
import sys, time
from visionpipe.pipeline.journal import Journal
journal = Journal(sys.argv[1])
print("held", flush=True)
sys.stdin.read()
"""


def test_the_lock_dies_with_its_process(tmp_path: Path) -> None:
    command = [sys.executable, "-c", HOLDER, str(tmp_path / "j")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(JournalError, match=f"pid {holder.pid},"):
            Journal(tmp_path / "j")
        holder.send_signal(signal.SIGKILL)
        holder.wait(10)
        Journal(tmp_path / "j").close()


def test_requests_under_way_at_a_kill_are_counted_once(tmp_path: Path) -> None:
    with closing(Journal(tmp_path / "j")) as journal:
        journal.begin(RECIPE)
        journal.sending(key("a"), 100, Money(Decimal("0.1"), "CNY"))
        journal.sending(key("b"), 100, None)
        journal.record(key("b"), done("b"), [Sent(0.1, tokens=90)])
    with closing(Journal(tmp_path / "j")) as journal:
        assert journal.begin(RECIPE) == 1
        spent = journal.spent(job=RECIPE.job)
        assert (spent.requests, spent.tokens) == (2, 190)
        assert spent.money == (Money(Decimal("0.1"), "CNY"),)
    with closing(Journal(tmp_path / "j")) as journal:
        assert journal.begin(RECIPE) == 0


def test_many_threads_write_and_every_write_is_there(tmp_path: Path) -> None:
    with closing(Journal(tmp_path / "j")) as journal:
        journal.begin(RECIPE)

        def work(thread: int) -> None:
            for number in range(40):
                name = f"{thread}-{number}"
                journal.record(key(name), done(name))
                assert journal.recorded(name, QUESTION) is not None

        threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
    assert sum(1 for _ in recorded_results(tmp_path / "j")) == 320


def test_another_file_is_not_taken_for_a_journal(tmp_path: Path) -> None:
    (tmp_path / "notes").write_text("not a database at all, but long enough to be looked into")
    with pytest.raises(JournalError) as caught:
        Journal(tmp_path / "notes")
    assert caught.value.code == "foreign"
    assert "Choose another file" in str(caught.value)
    with closing(sqlite3.connect(tmp_path / "other")) as other:
        other.execute("CREATE TABLE t (x)")
        other.commit()
    with pytest.raises(JournalError, match="another program or another kind"):
        Journal(tmp_path / "other")
    with pytest.raises(JournalError, match="this is a folder, no journal"):
        Journal(tmp_path)
    # A refusal gives the lock back.
    assert not list(tmp_path.glob("*.lock"))
    (tmp_path / "other").unlink()
    Journal(tmp_path / "other").close()


def test_a_journal_makes_its_folder_or_says_that_it_cannot(tmp_path: Path) -> None:
    Journal(tmp_path / "new" / "folder" / "j").close()
    assert (tmp_path / "new" / "folder" / "j").exists()
    (tmp_path / "file").touch()
    with pytest.raises(JournalError, match="Check that its folder can be made"):
        Journal(tmp_path / "file" / "j")
    with pytest.raises(JournalError):
        list(recorded_results(tmp_path / "nothing"))


def test_an_export_reads_while_a_run_writes(tmp_path: Path) -> None:
    with closing(Journal(tmp_path / "j")) as journal:
        journal.begin(RECIPE)
        journal.record(key("a"), done("a"))
        assert [r.source for r in recorded_results(tmp_path / "j")] == ["a"]


FULL = """
import json, resource, sys
from contextlib import closing
from visionpipe.errors import JournalError
from visionpipe.pipeline.journal import Journal
from visionpipe.pipeline.ledger import Key
from visionpipe.stages.keys import Recipe
from visionpipe.results import ItemResult, Outcome

path, limit = sys.argv[1], int(sys.argv[2])
recipe = Recipe("m", "What is it?")
journal = Journal(path)
journal.begin(recipe)
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
written = 0
try:
    while True:
        name = f"{written:05}"
        key = Key(name, recipe.question("What is it?"), name)
        journal.record(key, ItemResult(name, Outcome.DONE, "x" * 500))
        written += 1
except JournalError as error:
    print(json.dumps([written, error.code, error.scope, str(error)]), flush=True)
"""


def test_a_full_disk_is_said_and_loses_nothing_recorded(tmp_path: Path) -> None:
    command = [sys.executable, "-c", FULL, str(tmp_path / "j"), str(2_000_000)]
    told = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    written, code, scope, words = json.loads(told.stdout)
    assert (code, scope) == ("disk_full", "job")
    assert "Make space" in words
    assert written > 50
    with closing(Journal(tmp_path / "j")) as journal:
        journal.begin(RECIPE)
    names = [result.source for result in recorded_results(tmp_path / "j")]
    assert names[:written] == [f"{number:05}" for number in range(written)]
    assert len(set(names)) == len(names)


def test_once_the_ballast_is_spent_nothing_new_is_sent(tmp_path: Path) -> None:
    with closing(Journal(tmp_path / "j")) as journal:
        journal.begin(RECIPE)
        journal.sending(key("a"), None, None)
        pages = journal.database.one("PRAGMA page_count")
        assert pages is not None
        journal.database.one(f"PRAGMA max_page_count = {pages[0]}")
        with pytest.raises(JournalError):
            for number in range(500):
                journal.record(key(str(number)), done(str(number), "x" * 1000))
        journal.database.one("PRAGMA max_page_count = 100000")
        with pytest.raises(JournalError) as caught:
            journal.sending(key("b"), None, None)
        assert caught.value.code == "disk_full"
        journal.record(key("a"), done("a"), [Sent(0.1)])
        assert journal.recorded("a", QUESTION) is not None


def test_ballast_makes_room_for_answers_that_are_paid_for(tmp_path: Path) -> None:
    path = tmp_path / "j"
    with closing(Journal(path)) as journal:
        assert (tmp_path / "j.ballast").stat().st_size == BALLAST_BYTES
        journal.begin(RECIPE)
        pages = journal.database.one("PRAGMA page_count")
        assert pages is not None
        # A database that may grow no further answers as a full disk does.
        journal.database.one(f"PRAGMA max_page_count = {pages[0]}")
        with pytest.raises(JournalError) as caught:
            for number in range(500):
                journal.record(key(str(number)), done(str(number), "x" * 1000))
        assert caught.value.code == "disk_full"
        assert not (tmp_path / "j.ballast").exists()
        journal.database.one("PRAGMA max_page_count = 100000")
        journal.record(key("last"), done("last"))
        # What was refused room was kept, and went in with the next write.
        assert journal.recorded(str(number), QUESTION) is not None
