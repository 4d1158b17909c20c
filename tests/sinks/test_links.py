"""An output that is a link: the file it leads to is written, in one step, and the link stays."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from visionpipe.errors import OutputError
from visionpipe.results import ItemResult, Outcome
from visionpipe.sinks.opening import SinkOptions, open_sink
from visionpipe.sinks.ownership import MemoryRecord
from visionpipe.sinks.sink import Sink
from visionpipe.testing.images import jpeg_bytes

FILES = {
    "jsonl:out.jsonl": "out.jsonl",
    "csv:out.csv": "out.csv",
    "parquet:out.parquet": "out.parquet",
    "sqlite:out.db": "out.db",
    "html:out.html": "out.html",
    "txt:": "a.txt",
    "json:": "a.json",
    "xmp:": "a.xmp",
    "webdataset:out.tar": "out-000000.tar",
}
WHOLE = [spec for spec in FILES if spec.partition(":")[0] in ("csv", "parquet", "html", "webdataset")]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    (tmp_path / "here").mkdir()
    (tmp_path / "there").mkdir()
    (tmp_path / "here" / "a.jpg").write_bytes(jpeg_bytes())
    monkeypatch.chdir(tmp_path / "here")
    yield tmp_path


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def written(spec: str, caption: str, options: SinkOptions = SinkOptions()) -> Sink:  # noqa: B008  frozen
    sink = open_sink(spec, options)
    sink.write(ItemResult(source="a.jpg", outcome=Outcome.DONE, caption=caption))
    return sink


@pytest.mark.parametrize("there", [True, False])
@pytest.mark.parametrize("spec", FILES)
def test_what_the_link_leads_to_is_written(folder: Path, spec: str, there: bool) -> None:
    link, target = folder / "here" / FILES[spec], folder / "there" / "far" / FILES[spec]
    record = MemoryRecord()
    if there:
        written(spec, "one", SinkOptions(record=record)).close()
        moved = record.find(link)
        assert moved is not None
        record.remember(target, moved)
        target.parent.mkdir()
        link.rename(target)
    # By way of another link, and relative, as people make them.
    (folder / "there" / "door").symlink_to(Path("far", FILES[spec]))
    link.symlink_to(Path("..", "there", "door"))
    written(spec, "two words", SinkOptions(record=record)).close()
    assert link.is_symlink()
    assert (folder / "there" / "door").is_symlink()
    assert b"two words" in target.read_bytes()
    assert names(target.parent) == [FILES[spec]]
    assert names(link.parent) == sorted(["a.jpg", FILES[spec]])


@pytest.mark.parametrize("spec", WHOLE)
def test_until_it_is_whole_the_old_file_stays(folder: Path, spec: str) -> None:
    link, target = folder / "here" / FILES[spec], folder / "there" / FILES[spec]
    target.write_bytes(b"old")
    link.symlink_to(target)
    sink = written(spec, "two words", SinkOptions(existing="overwrite"))
    assert target.read_bytes() == b"old"
    sink.abort()
    assert link.read_bytes() == b"old"
    assert names(target.parent) == [FILES[spec]]


@pytest.mark.parametrize("spec", ["csv:out.csv", "txt:"])
def test_a_link_that_goes_round_in_a_circle_is_refused(folder: Path, spec: str) -> None:
    link = folder / "here" / FILES[spec]
    link.symlink_to(link)
    with pytest.raises(OutputError, match="cannot be written"):
        written(spec, "two words").close()
    assert link.is_symlink()
