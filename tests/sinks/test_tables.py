"""SQLite and Parquet beyond their golden files."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import tracemalloc
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.sinks.sample_results import BROKEN, CAT, RESULTS, SEA
from visionpipe.errors import OutputError
from visionpipe.results import ItemResult
from visionpipe.sinks.columns import COLUMNS, from_row, to_row
from visionpipe.sinks.parquet import ParquetSink
from visionpipe.sinks.sink import export
from visionpipe.sinks.sqlite import SqliteSink, read_sqlite


@given(st.sampled_from(RESULTS), st.text(min_size=1), st.floats(0, 1e6))
def test_a_row_and_its_result_say_the_same(result: ItemResult, caption: str, seconds: float) -> None:
    result = replace(result, caption=caption, seconds=round(seconds, 3))
    row = dict(zip((column.name for column in COLUMNS), to_row(result), strict=True))
    assert from_row(row) == result


def test_column_names_are_few_and_plain() -> None:
    names = [column.name for column in COLUMNS]
    assert len(set(names)) == len(names)
    assert all(name.isidentifier() and name.islower() for name in names)
    assert all(column.meaning for column in COLUMNS)


def test_a_path_written_again_replaces_its_row(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "out.sqlite"
    export([replace(BROKEN, source="a"), SEA], SqliteSink(path))
    export([replace(CAT, source="a")], SqliteSink(path))
    assert list(read_sqlite(path)) == [replace(CAT, source="a"), SEA]


def test_what_was_written_survives_the_process(tmp_path: Path) -> None:
    path = tmp_path / "out.sqlite"
    sink = SqliteSink(path)
    sink.write(CAT)
    assert list(read_sqlite(path)) == [CAT]
    sink.flush()
    sink.abort()
    sink.abort()
    assert list(read_sqlite(path)) == [CAT]
    with pytest.raises(ValueError, match="is closed"):
        sink.write(SEA)


def test_other_files_and_schemas_are_left_alone(tmp_path: Path) -> None:
    text = tmp_path / "notes.db"
    text.write_bytes(b"no database at all, " * 100)
    with pytest.raises(OutputError, match="file is not a database"):
        SqliteSink(text)
    other = tmp_path / "other.db"
    with closing(sqlite3.connect(other)) as database:
        database.execute("CREATE TABLE results (a)")
    with pytest.raises(OutputError, match="schema 0, this release writes schema 1") as caught:
        SqliteSink(other)
    assert caught.value.code == "other_schema"


def test_a_table_of_another_program_stays(tmp_path: Path) -> None:
    path = tmp_path / "shared.db"
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("CREATE TABLE mine (a)")
        database.execute("INSERT INTO mine VALUES (7)")
    export([CAT], SqliteSink(path))
    with closing(sqlite3.connect(path)) as database:
        assert database.execute("SELECT a FROM mine").fetchall() == [(7,)]


def test_parquet_is_written_in_row_groups_and_flat_memory(tmp_path: Path) -> None:
    sink = ParquetSink(tmp_path / "out.parquet", rows_per_group=500)
    peaks: list[int] = []
    tracemalloc.start()
    try:
        for number in range(4_000):
            sink.write(replace(CAT, source=f"photos/{number}.jpg"))
            if number % 2_000 == 1_999:
                peaks.append(tracemalloc.get_traced_memory()[1])
                tracemalloc.reset_peak()
    finally:
        tracemalloc.stop()
    assert not (tmp_path / "out.parquet").exists()
    sink.flush()
    sink.close()
    sink.close()
    file = pq.ParquetFile(tmp_path / "out.parquet")
    assert file.num_row_groups == 8
    assert file.metadata.num_rows == 4_000
    file.close()
    assert peaks[1] < peaks[0] * 1.25


def test_an_aborted_parquet_file_leaves_the_old_one(tmp_path: Path) -> None:
    export([CAT], ParquetSink(tmp_path / "out.parquet"))
    before = (tmp_path / "out.parquet").read_bytes()
    sink = ParquetSink(tmp_path / "out.parquet")
    sink.write(SEA)
    sink.abort()
    sink.abort()
    assert [p.read_bytes() for p in tmp_path.iterdir()] == [before]


def test_without_pyarrow_the_extra_is_named(tmp_path: Path) -> None:
    blocked = (
        "import sys; sys.modules['pyarrow'] = None\n"
        "from visionpipe.errors import ConfigurationError\n"
        "from visionpipe.sinks.opening import open_sink\n"
        "try:\n    open_sink(sys.argv[1])\n"
        "except ConfigurationError as error:\n    print(error.cure)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", blocked, tmp_path / "out.parquet"],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert done.stdout.strip() == "Install it: pip install 'visionpipe-vlm[parquet]'"
    assert list(tmp_path.iterdir()) == []
