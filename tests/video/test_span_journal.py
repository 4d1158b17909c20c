"""The journal keeps texts on disk and knows clips by their content."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

import visionpipe as vp
from tests.video.asker import Answers
from visionpipe.clips.load import load_video
from visionpipe.errors import JournalError
from visionpipe.media import FileContent, MemoryContent, Video
from visionpipe.pipeline.journal import Journal
from visionpipe.video.spans import SqliteSpanJournal, WatchOptions, clip_fingerprint, span_key
from visionpipe.video.watch import watch

DATA = Path(__file__).parent / "data"


def test_what_was_put_is_there_after_opening_anew(tmp_path: Path) -> None:
    path = tmp_path / "j.sqlite"
    with SqliteSpanJournal(path) as journal:
        journal.put("a", "它")
        journal.put("a", "它醒了")
    with SqliteSpanJournal(path) as journal:
        assert (journal.get("a"), journal.get("b")) == ("它醒了", None)


def test_a_file_that_is_no_journal(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("these are notes, and no database at all\n" * 9)
    for bad in (path, tmp_path / "missing" / "j.sqlite"):
        with pytest.raises(JournalError, match="journal"):
            SqliteSpanJournal(bad)
    assert path.read_text().startswith("these are notes")


def test_nothing_of_the_first_version_is_asked_again(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "j")) as made:
        made.executescript((DATA / "spans-1.sql").read_text("utf-8"))
    clip = load_video(DATA / "clip.mp4")
    assert isinstance(clip, Video)
    for _ in range(2):
        with SqliteSpanJournal(tmp_path / "j") as journal:
            timeline = watch(
                clip,
                asker := Answers(),
                WatchOptions(longest=0.5, identity="m", max_images=1),
                journal=journal,
            )
        assert asker.calls == []
        assert [span.text for span in timeline.spans] == ["words 1", "words 2", "words 3", "words 4"]
        assert timeline.summary == "words 5"


def test_other_files_are_refused_by_what_they_are(tmp_path: Path) -> None:
    Journal(tmp_path / "job").close()
    with closing(sqlite3.connect(tmp_path / "other")) as other:
        other.execute("CREATE TABLE t (x)")
    for name in ("job", "other"):
        before = (tmp_path / name).read_bytes()
        with pytest.raises(JournalError, match="another program or another kind") as caught:
            SqliteSpanJournal(tmp_path / name)
        assert caught.value.code == "foreign"
        assert (tmp_path / name).read_bytes() == before


def test_watching_a_clip_says_what_is_wrong_with_its_journal(tmp_path: Path) -> None:
    with vp.Client() as client:
        for bad, code in ((tmp_path / "none" / "j", "unwritable"), (tmp_path, "is_a_folder")):
            with pytest.raises(JournalError) as caught:
                client.watch(DATA / "clip.mp4", journal=bad)
            assert caught.value.code == code


def test_a_journal_that_breaks_while_it_is_used_is_an_error_of_the_library(tmp_path: Path) -> None:
    journal = SqliteSpanJournal(tmp_path / "j")
    with closing(sqlite3.connect(tmp_path / "j")) as other:
        other.execute("DROP TABLE spans")
    with pytest.raises(JournalError, match="damaged"):
        journal.get("a")
    with pytest.raises(JournalError, match="damaged"):
        journal.put("a", "b")
    with pytest.raises(JournalError, match="damaged"):
        journal.close()


def test_a_span_that_cannot_be_read_is_asked_for_again(tmp_path: Path) -> None:
    clip = load_video(DATA / "clip.mp4")
    assert isinstance(clip, Video)
    options = WatchOptions(longest=0.5, identity="m")
    with SqliteSpanJournal(tmp_path / "j") as journal:
        first = watch(clip, Answers(), options, journal=journal)
    spoilt = ["\x01", "{", "[]", "{}", None]
    with closing(sqlite3.connect(tmp_path / "j", isolation_level=None)) as other:
        keys = [key for (key,) in other.execute("SELECT key FROM spans WHERE value LIKE '{%'")]
        for key, value in zip(keys, spoilt, strict=False):
            other.execute("UPDATE spans SET value = ? WHERE key = ?", (value or b"\xff", key))
    with SqliteSpanJournal(tmp_path / "j") as journal:
        second = watch(clip, asker := Answers(), options, journal=journal)
    assert len([media for _, media in asker.calls if media]) == len(keys) == 4
    assert [(s.start, s.end) for s in second.spans] == [(s.start, s.end) for s in first.spans]


def test_a_clip_is_known_by_what_is_in_it(tmp_path: Path) -> None:
    data = bytes(3 << 20)
    path = tmp_path / "a.mp4"
    path.write_bytes(data)
    on_disk = Video(
        "a.mp4", FileContent(str(path), len(data), path.stat().st_mtime_ns), "mp4", 1, 1, 1.0, 1.0, 1
    )
    in_memory = replace(on_disk, name="b", content=MemoryContent(data))
    longer = replace(on_disk, content=MemoryContent(data + b"x"))
    other = replace(on_disk, content=MemoryContent(data[:-1] + b"x"))
    assert clip_fingerprint(on_disk) == clip_fingerprint(in_memory)
    assert len({clip_fingerprint(v) for v in (on_disk, longer, other)}) == 3
    assert span_key(a=1, b=[2]) == span_key(b=[2], a=1) != span_key(a=1, b=[3])


OTHER_RUN = """
import sys
from pathlib import Path
import visionpipe as vp
from tests.video.asker import Answers
from visionpipe.clips.load import load_video
from visionpipe.video.spans import WatchOptions
from visionpipe.video.spans import SqliteSpanJournal
from visionpipe.video.watch import watch

clip, journal = map(Path, sys.argv[1:])
asker = Answers()
try:
    with SqliteSpanJournal(journal) as kept:
        watch(load_video(clip), asker, WatchOptions(longest=0.5, identity="n", summary=False), journal=kept)
except vp.JournalError as error:
    print(error.code, error.scope, end=" ")
print(len(asker.calls))
"""


@pytest.mark.parametrize("link", [Path.symlink_to, Path.hardlink_to])
def test_two_runs_with_one_journal_do_not_pay_for_one_clip_twice(
    tmp_path: Path, link: Callable[[Path, Path], None]
) -> None:
    path, other = tmp_path / "j", tmp_path / "other"
    copy, longer = tmp_path / "copy.mp4", tmp_path / "longer.mp4"
    copy.write_bytes((DATA / "clip.mp4").read_bytes())
    longer.write_bytes((DATA / "clip.mp4").read_bytes() + bytes(9))
    SqliteSpanJournal(path).close()
    link(other, path)
    clip = load_video(DATA / "clip.mp4")
    assert isinstance(clip, Video)
    told: list[str] = []
    options = WatchOptions(longest=0.5, identity="n", summary=False)

    def meanwhile(span: vp.Span) -> None:
        if not told:
            for seen, name in ((copy, path), (copy, other), (longer, other)):
                command = [sys.executable, "-c", OTHER_RUN, str(seen), str(name)]
                done = subprocess.run(command, capture_output=True, text=True, check=True)
                told.append(done.stdout.strip())
            for name in (path, other):
                with SqliteSpanJournal(name) as again, pytest.raises(JournalError, match="at the same clip"):
                    watch(clip, Answers(), options, journal=again)

    with SqliteSpanJournal(path) as journal:
        watch(clip, asker := Answers(), options, journal=journal, on_span=meanwhile)
        assert told == ["locked item 0", "locked item 0", str(len(asker.calls))]
    for name in (other, path):
        with SqliteSpanJournal(name) as journal:
            watch(clip, later := Answers(), options, journal=journal)
        assert later.calls == [], "what was told is there by either name, though both were open"
