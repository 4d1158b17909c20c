"""The journal keeps texts on disk and knows clips by their content."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from visionpipe.errors import ConfigurationError
from visionpipe.media import FileContent, MemoryContent, Video
from visionpipe.video.span_journal import SqliteSpanJournal, clip_fingerprint, span_key


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
        with pytest.raises(ConfigurationError, match="journal"):
            SqliteSpanJournal(bad)
    assert path.read_text().startswith("these are notes")


def test_a_clip_is_known_by_what_is_in_it(tmp_path: Path) -> None:
    data = bytes(3 << 20)
    path = tmp_path / "a.mp4"
    path.write_bytes(data)
    on_disk = Video("a.mp4", FileContent(str(path), len(data), 0), "mp4", 1, 1, 1.0, 1.0, 1)
    in_memory = replace(on_disk, name="b", content=MemoryContent(data))
    longer = replace(on_disk, content=MemoryContent(data + b"x"))
    other = replace(on_disk, content=MemoryContent(data[:-1] + b"x"))
    assert clip_fingerprint(on_disk) == clip_fingerprint(in_memory)
    assert len({clip_fingerprint(v) for v in (on_disk, longer, other)}) == 3
    assert span_key(a=1, b=[2]) == span_key(b=[2], a=1) != span_key(a=1, b=[3])
