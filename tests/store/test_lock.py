"""One run at a time on a file, whatever name it is reached by."""

from __future__ import annotations

import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from tests.pipeline.answering import Scripted, numbered
from visionpipe.errors import JournalError
from visionpipe.pipeline.journal import Journal
from visionpipe.pipeline.pipeline import Pipeline
from visionpipe.pipeline.reading import recorded_results
from visionpipe.store.lock import check_free

ROOT = Path(__file__).parents[2]


def symlink(journal: Path, other: Path) -> None:
    other.symlink_to(journal)


def hard_link(journal: Path, other: Path) -> None:
    other.hardlink_to(journal)


def folder_link(journal: Path, other: Path) -> None:
    (other.parent).rmdir()
    other.parent.symlink_to(journal.parent)


WAYS = [symlink, hard_link, folder_link]


def names(tmp_path: Path, way: Callable[[Path, Path], None]) -> tuple[Path, Path]:
    """A journal, and another name of its file."""
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
    journal, other = tmp_path / "one" / "j", tmp_path / "two" / "j"
    Journal(journal).close()
    way(journal, other)
    return journal, other


@pytest.mark.parametrize("way", WAYS)
def test_a_second_run_is_refused_by_whatever_name(tmp_path: Path, way: Callable[[Path, Path], None]) -> None:
    journal, other = names(tmp_path, way)
    for first, second in ((journal, other), (other, journal)):
        with closing(Journal(first)):
            for _ in range(2):
                with pytest.raises(JournalError, match="another run is using this journal") as caught:
                    Journal(second)
                assert caught.value.code == "locked"
            with pytest.raises(JournalError, match="another run"):
                check_free(second)
        check_free(second)
        Journal(second).close()


RUN = """
import sys
from pathlib import Path
from tests.pipeline.answering import Scripted
from visionpipe.pipeline.pipeline import Pipeline

journal, folder = sys.argv[1:]

def wait(name, number):
    if sum(answerer.asked.values()) == 4:
        print("waiting", flush=True)
        sys.stdin.read()

answerer = Scripted(wait)
for _ in Pipeline("What?", answerer=answerer, model="m", journal=journal, concurrency=1).run(folder):
    pass
print(sum(answerer.asked.values()), flush=True)
"""


def started(journal: Path, folder: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-c", RUN, str(journal), str(folder)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT)


@pytest.mark.parametrize("way", WAYS)
def test_two_runs_of_one_file_ask_nothing_twice(tmp_path: Path, way: Callable[[Path, Path], None]) -> None:
    journal, other = names(tmp_path, way)
    folder = numbered(tmp_path / "in", 8)
    with started(journal, folder) as first:
        assert first.stdout is not None
        assert first.stdout.readline() == b"waiting\n"
        second = Scripted()
        with pytest.raises(JournalError, match="another run is using this journal"):
            list(Pipeline("What?", answerer=second, model="m", journal=other).run(folder))
        assert not second.asked
        told, _ = first.communicate()
        assert told == b"8\n"
    list(Pipeline("What?", answerer=second, model="m", journal=other).run(folder))
    assert not second.asked


@pytest.mark.parametrize("way", WAYS)
def test_what_a_killed_run_recorded_is_found_by_another_name(
    tmp_path: Path, way: Callable[[Path, Path], None]
) -> None:
    journal, other = names(tmp_path, way)
    folder = numbered(tmp_path / "in", 8)
    with started(journal, folder) as first:
        assert first.stdout is not None
        assert first.stdout.readline() == b"waiting\n"
        first.send_signal(signal.SIGKILL)
    assert journal.with_name("j-wal").stat().st_size > 0
    assert len(list(recorded_results(other))) == 3
    second = Scripted()
    list(Pipeline("What?", answerer=second, model="m", journal=other).run(folder))
    assert sum(second.asked.values()) == 5
    assert len(list(recorded_results(journal))) == 8


def test_a_journal_that_was_moved_away_from_its_log_says_so(tmp_path: Path) -> None:
    folder = numbered(tmp_path / "in", 8)
    with started(tmp_path / "j", folder) as first:
        assert first.stdout is not None
        first.stdout.readline()
        first.send_signal(signal.SIGKILL)
    (tmp_path / "j").rename(tmp_path / "moved")
    for opening in (Journal, lambda path: list(recorded_results(path))):
        with pytest.raises(JournalError, match="still in") as caught:
            opening(tmp_path / "moved")
        assert caught.value.code == "log_elsewhere"
    (tmp_path / "j-wal").rename(tmp_path / "moved-wal")
    assert len(list(recorded_results(tmp_path / "moved"))) == 3


def test_a_copy_is_a_journal_of_its_own(tmp_path: Path) -> None:
    with closing(Journal(tmp_path / "j")):
        (tmp_path / "copy").write_bytes((tmp_path / "j").read_bytes())
        Journal(tmp_path / "copy").close()


def test_refusing_a_second_run_leaves_the_firsts_own_locks_alone(tmp_path: Path) -> None:
    """A descriptor closed too early would take SQLite's locks from the run that holds the file."""
    journal, other = names(tmp_path, hard_link)
    reads = "import sqlite3, sys; sqlite3.connect(sys.argv[1]).execute('SELECT * FROM runs').fetchall()"
    with closing(Journal(journal)) as first:
        for _ in range(3):
            with pytest.raises(JournalError):
                Journal(other)
        first.database.write(("INSERT INTO runs (run, job, pid, started) VALUES (1, 'a', 1, 0)", ()))
        # Another program that closes the file last would merge and remove the log, were it not locked.
        subprocess.run([sys.executable, "-c", reads, str(journal)], check=True, timeout=60)
        assert journal.with_name("j-wal").exists()
    with closing(sqlite3.connect(journal)) as found:
        assert found.execute("SELECT run FROM runs").fetchall() == [(1,)]


TAKE = """
import sys, time
from pathlib import Path
from visionpipe.errors import JournalError
from visionpipe.store.lock import FileLock

path, taken = Path(sys.argv[1]), 0
alone = path.with_name("alone")
while taken < 100:
    try:
        lock = FileLock(path, time.time())
    except JournalError:
        continue
    taken += 1
    with alone.open("x"):
        pass
    alone.unlink()
    lock.close()
"""


def test_a_lock_that_goes_at_its_end_is_held_by_one_at_a_time(tmp_path: Path) -> None:
    path = tmp_path / "j"
    path.touch()
    takers = [subprocess.Popen([sys.executable, "-c", TAKE, str(path)], cwd=ROOT) for _ in range(3)]
    assert [taker.wait(timeout=120) for taker in takers] == [0, 0, 0]
    assert list(tmp_path.iterdir()) == [path]


def test_what_a_killed_run_left_is_taken_over_and_goes(tmp_path: Path) -> None:
    folder = numbered(tmp_path / "in", 8)
    with started(tmp_path / "j", folder) as first:
        assert first.stdout is not None
        first.stdout.readline()
        first.send_signal(signal.SIGKILL)
    assert (tmp_path / "j.lock").exists()
    Journal(tmp_path / "j").close()
    assert not (tmp_path / "j.lock").exists()


def test_no_descriptor_is_left_behind(tmp_path: Path) -> None:
    def open_files() -> int:
        return sum(1 for _ in Path("/dev/fd").iterdir())

    before = open_files()
    for number in range(5):
        with closing(Journal(tmp_path / str(number))):
            with pytest.raises(JournalError):
                Journal(tmp_path / str(number))
            list(recorded_results(tmp_path / str(number)))
    assert open_files() == before
