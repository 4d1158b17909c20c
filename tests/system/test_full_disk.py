"""A full disk ends in a clear error, and after space is made the same results go in. The disk is a small one
in memory, which takes root to mount."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.sinks.sample_results import CAT
from visionpipe.errors import OutputError
from visionpipe.results import ItemResult
from visionpipe.sinks.html import HtmlSink
from visionpipe.sinks.jsonl import read_jsonl
from visionpipe.sinks.opening import open_sink
from visionpipe.sinks.parquet import ParquetSink
from visionpipe.sinks.sink import Sink
from visionpipe.sinks.sqlite import read_sqlite
from visionpipe.sinks.webdataset import WebDatasetSink

pytestmark = pytest.mark.system

KIB = 1024


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 512 KiB, of which a file named ballast takes 256."""
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=512k", "tmpfs", disk], check=True)
    try:
        (disk / "ballast").write_bytes(bytes(256 * KIB))
        yield disk
    finally:
        subprocess.run(["umount", disk], check=True)


def result(number: int) -> ItemResult:
    return replace(CAT, source=f"photos/{number:05d}.jpg", caption=f"{number} " + "word " * 100)


def fill(sink: Sink) -> int:
    """Write until the disk is full; returns how many were accepted."""
    written = 0
    try:
        while written < 100_000:
            sink.write(result(written))
            written += 1
            if written % 50 == 0:
                sink.flush()
    except OutputError as error:
        assert error.code == "disk_full"
        assert "Make space" in str(error)
    return written


@pytest.mark.parametrize("name", ["out.jsonl", "out.csv", "out.sqlite", "out.html"])
def test_after_space_is_made_the_same_sink_goes_on(name: str, small_disk: Path) -> None:
    sink = open_sink(small_disk / name)
    accepted = fill(sink)
    assert 10 < accepted < 5_000
    (small_disk / "ballast").unlink()
    sink.write(result(accepted))
    sink.close()
    content = (small_disk / name).read_bytes()
    assert all(result(n).source.encode() in content for n in range(accepted + 1))
    assert sorted(p.name for p in small_disk.iterdir()) == [name]


@pytest.mark.parametrize(("name", "read"), [("out.jsonl", read_jsonl), ("out.sqlite", read_sqlite)])
def test_another_process_finds_everything_accepted(name: str, read: object, small_disk: Path) -> None:
    sink = open_sink(small_disk / name)
    accepted = fill(sink)
    sink.abort()
    (small_disk / "ballast").unlink()
    again = open_sink(small_disk / name)
    again.write(result(accepted))
    again.close()
    assert callable(read)
    assert sorted(r.source for r in read(small_disk / name)) == [
        result(n).source for n in range(accepted + 1)
    ]


def test_parquet_keeps_its_row_group_until_there_is_room(small_disk: Path) -> None:
    import pyarrow.parquet as pq

    sink = ParquetSink(small_disk / "out.parquet", rows_per_group=5_000)
    (small_disk / "more ballast").write_bytes(bytes(250 * KIB))
    for number in range(4_000):
        sink.write(
            replace(result(number), sha256=f"{number * 7919 % 99991:064x}", request_id=f"{number**3:030x}")
        )
    with pytest.raises(OutputError, match="the disk is full"):
        sink.close()
    (small_disk / "ballast").unlink()
    sink.close()
    assert pq.read_table(small_disk / "out.parquet")["path"].to_pylist() == [
        result(n).source for n in range(4_000)
    ]


def test_a_sample_that_does_not_fit_is_taken_back(small_disk: Path, tmp_path: Path) -> None:
    import tarfile

    photo = tmp_path / "a.jpg"
    photo.write_bytes(b"\xff\xd8" + bytes(100 * KIB))
    sink = WebDatasetSink(small_disk / "out.tar", locate=lambda _: photo)
    assert fill(sink) == 2
    (small_disk / "ballast").unlink()
    sink.write(result(2))
    sink.close()
    with tarfile.open(small_disk / "out-000000.tar") as archive:
        assert len(archive.getnames()) == 9


def test_a_sidecar_that_does_not_fit_leaves_the_old_one(small_disk: Path) -> None:
    sink = open_sink(f"txt:{small_disk}")
    sink.write(replace(CAT, source="a.jpg", caption="old"))
    (small_disk / "rest").write_bytes(bytes(240 * KIB))
    with pytest.raises(OutputError, match="the disk is full"):
        sink.write(replace(CAT, source="a.jpg", caption="x" * 64 * KIB))
    assert (small_disk / "a.txt").read_text() == "old\n"
    assert not list(small_disk.glob(".*"))


def test_an_aborted_gallery_gives_its_space_back(small_disk: Path) -> None:
    sink = HtmlSink(small_disk / "out.html")
    fill(sink)
    sink.abort()
    assert [p.name for p in small_disk.iterdir()] == ["ballast"]
