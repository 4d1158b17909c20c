"""Every sink writes its golden file, and what it writes is read back with the tool its users use."""

from __future__ import annotations

import csv
import json
import sqlite3
import tarfile
from contextlib import closing
from decimal import Decimal
from pathlib import Path
from typing import Any

import pandas
import pyarrow.parquet as pq
import pytest
import webdataset

from tests.sinks.sample_results import BROKEN, CAT, COPY, DONE_BEFORE, RESULTS, SEA, photos
from tests.sinks.write_golden import GOLDEN, MAKERS, make
from visionpipe.results import ItemResult, Outcome
from visionpipe.sinks.columns import COLUMNS, from_row
from visionpipe.sinks.jsonl import read_jsonl
from visionpipe.sinks.sink import export
from visionpipe.sinks.sqlite import read_sqlite

BYTE_FOR_BYTE = ("jsonl", "csv", "html", "webdataset", "txt", "json", "xmp")


def contents(folder: Path) -> dict[str, bytes]:
    return {
        p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()
    }


@pytest.mark.parametrize("kind", BYTE_FOR_BYTE)
def test_the_golden_file(kind: str, tmp_path: Path) -> None:
    made = contents(make(kind, tmp_path))
    assert made == {name: data for name, data in contents(GOLDEN).items() if name in made}
    assert len(made) == (3 if kind in ("txt", "json", "xmp") else 1)


def test_nothing_golden_is_left_over(tmp_path: Path) -> None:
    for kind in MAKERS:
        out = make(kind, tmp_path)
    assert contents(out).keys() == contents(GOLDEN).keys()


def test_jsonl_is_read_line_by_line(tmp_path: Path) -> None:
    path = make("jsonl", tmp_path) / "out.jsonl"
    lines = [json.loads(line) for line in path.read_text("utf-8").split("\n")[:-1]]
    assert lines == [result.to_json() for result in RESULTS]
    assert tuple(read_jsonl(path)) == RESULTS
    frame = pandas.read_json(path, lines=True)
    assert list(frame["caption"][:3]) == [CAT.caption, SEA.caption, COPY.caption]


def test_csv_is_read_by_pandas_and_the_standard_library(tmp_path: Path) -> None:
    path = make("csv", tmp_path) / "out.csv"
    frame = pandas.read_csv(path)
    assert list(frame.columns) == [column.name for column in COLUMNS]
    assert list(frame["path"]) == [result.source for result in RESULTS]
    assert frame["caption"][1] == SEA.caption
    assert frame["prompt_tokens"][0] == 1037
    assert frame["local"].dtype == bool
    with path.open(newline="", encoding="utf-8") as file:
        assert tuple(from_row(row) for row in csv.DictReader(file)) == RESULTS


@pytest.mark.parametrize("folder", ["made", "golden"])
def test_parquet_is_read_by_pyarrow_and_pandas(folder: str, tmp_path: Path) -> None:
    path = (make("parquet", tmp_path) if folder == "made" else GOLDEN) / "out.parquet"
    table = pq.read_table(path)
    assert tuple(from_row(row) for row in table.to_pylist()) == RESULTS
    field = table.schema.field("seconds")
    assert field.metadata == {b"unit": b"s", b"meaning": b"From preparation to answer"}
    assert table.schema.metadata[b"visionpipe.schema"] == b"1"
    frame = pandas.read_parquet(path)
    assert list(frame["outcome"]) == [str(result.outcome) for result in RESULTS]
    assert frame["cost_amount"][0] == Decimal("0.00000107")


@pytest.mark.parametrize("folder", ["made", "golden"])
def test_sqlite_is_read_by_sql_and_explains_itself(folder: str, tmp_path: Path) -> None:
    path = (make("sqlite", tmp_path) if folder == "made" else GOLDEN) / "out.sqlite"
    assert sorted(read_sqlite(path), key=lambda r: r.source) == sorted(RESULTS, key=lambda r: r.source)
    with closing(sqlite3.connect(path)) as database:
        assert database.execute("SELECT SUM(prompt_tokens) FROM results").fetchone() == (1937,)
        meanings = database.execute("SELECT name, unit FROM results_columns ORDER BY position").fetchall()
        assert meanings == [(column.name, column.unit) for column in COLUMNS]
        assert database.execute("PRAGMA user_version").fetchone() == (1,)
    assert [p.name for p in path.parent.glob("out.sqlite*")] == ["out.sqlite"]


def test_shards_are_read_by_webdataset(tmp_path: Path) -> None:
    shard = make("webdataset", tmp_path) / "out-000000.tar"
    with shard.open("rb") as stream:
        # WebDataset(path) leaves the file it opens to the collector, so it is given an open one.
        files = webdataset.tariterators.tar_file_expander([{"url": str(shard), "stream": stream}])
        samples: list[dict[str, Any]] = list(
            webdataset.filters.decode()(webdataset.tariterators.group_by_keys(files))
        )
    done = [result for result in RESULTS if result.outcome is Outcome.DONE]
    assert [sample["txt"] for sample in samples] == [one_line(result) for result in done]
    assert [ItemResult.from_json(sample["json"]) for sample in samples] == done
    with tarfile.open(shard) as archive:
        member = archive.extractfile("000000001.png")
        assert member is not None
        assert member.read() == (photos(tmp_path) / SEA.source).read_bytes()


def one_line(result: ItemResult) -> str:
    """A caption as text outputs have it."""
    return " ".join((result.caption or "").split())


def test_sidecars_hold_the_items_that_are_done(tmp_path: Path) -> None:
    text = make("txt", tmp_path) / "txt"
    assert (text / "photos/夏天/海.txt").read_text("utf-8") == f"{one_line(SEA)}\n"
    record = make("json", tmp_path) / "json" / "photos/cat.json"
    assert ItemResult.from_json(json.loads(record.read_bytes())) == CAT
    for missing in (BROKEN, DONE_BEFORE):
        assert not list(tmp_path.glob(f"out/*/{Path(missing.source).with_suffix('')}*"))


@pytest.mark.parametrize("kind", list(MAKERS))
def test_a_sink_can_be_rebuilt_over_itself(kind: str, tmp_path: Path) -> None:
    once = contents(make(kind, tmp_path))
    if kind == "jsonl":
        (tmp_path / "out/out.jsonl").unlink()
    again = contents(make(kind, tmp_path))
    assert once.keys() == again.keys()
    if kind != "sqlite":
        assert once == again


@pytest.mark.parametrize("kind", list(MAKERS))
def test_no_results_make_a_whole_output(kind: str, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert export((), MAKERS[kind](out, tmp_path)) == (0, ())
    assert all(not name.startswith(".") for name in contents(tmp_path))
