"""Structured data in CSV, Parquet and SQLite: golden files, read back with the tools of their users."""

from __future__ import annotations

import csv
import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pydantic import BaseModel

from tests.sinks.sample_results import RESULTS
from tests.sinks.structured_results import CUP, JUG, MISFIT, NAMES, SCHEMA, STRUCTURED
from tests.sinks.write_golden import GOLDEN_TABLES, TABLES, make_table
from visionpipe.errors import OutputError, ParameterError
from visionpipe.sinks.columns import COLUMNS, from_row
from visionpipe.sinks.csv import CsvSink
from visionpipe.sinks.opening import SinkOptions, open_sink
from visionpipe.sinks.parquet import ParquetSink
from visionpipe.sinks.sink import export
from visionpipe.sinks.sqlite import SqliteSink, read_sqlite

FIXED = [column.name for column in COLUMNS]


class Priced(BaseModel):
    name: str
    price: float | None
    tags: list[str]


def table(kind: str, folder: str, tmp_path: Path) -> Path:
    return GOLDEN_TABLES / f"out.{kind}" if folder == "golden" else make_table(kind, tmp_path / "out")


def rows(path: Path, names: str = "*") -> list[dict[str, Any]]:
    with closing(sqlite3.connect(path)) as database:
        database.row_factory = sqlite3.Row
        return [dict(row) for row in database.execute(f"SELECT {names} FROM results ORDER BY path")]


READERS: dict[str, Callable[[Path], pandas.DataFrame]] = {
    "csv": pandas.read_csv,
    "parquet": pandas.read_parquet,
    "sqlite": lambda path: pandas.DataFrame(rows(path)),
}


def test_the_golden_csv(tmp_path: Path) -> None:
    assert make_table("csv", tmp_path).read_bytes() == (GOLDEN_TABLES / "out.csv").read_bytes()
    assert {path.name for path in GOLDEN_TABLES.iterdir()} == {f"out.{kind}" for kind in TABLES}


def test_csv_is_read_by_pandas(tmp_path: Path) -> None:
    path = make_table("csv", tmp_path)
    frame = pandas.read_csv(path)
    assert list(frame.columns) == FIXED + NAMES
    assert frame["data_price"].dtype == "float64"
    assert frame["data_stock"].tolist()[:2] == [3, 4]
    assert [json.loads(cell) for cell in frame["data_scores"][:3]] == [[1, 2], [1, 2], [1, None, 3]]
    with path.open(newline="", encoding="utf-8") as file:
        assert tuple(from_row(row) for row in csv.DictReader(file)) == STRUCTURED
    export([CUP, JUG], CsvSink(path, schema=SCHEMA))
    frame = pandas.read_csv(path)
    assert frame["data_stock"].dtype == "int64"
    assert frame["data_in_stock"].dtype == "bool"


def test_a_spreadsheet_runs_no_field_as_a_formula(tmp_path: Path) -> None:
    export([CUP], CsvSink(tmp_path / "out.csv", byte_order_mark=True, schema=SCHEMA))
    data = (tmp_path / "out.csv").read_bytes()
    assert data.startswith(b"\xef\xbb\xbfpath,")
    assert pandas.read_csv(tmp_path / "out.csv")["data_name"][0] == "'=Cup, blue"


@pytest.mark.parametrize("folder", ["made", "golden"])
def test_parquet_is_read_by_pyarrow_and_pandas(folder: str, tmp_path: Path) -> None:
    path = table("parquet", folder, tmp_path)
    found = pq.read_table(path)
    assert found.schema.names == FIXED + NAMES
    types = {field.name: field.type for field in found.schema if field.name in NAMES}
    numbers = {
        "data_stock": pa.int64(),
        "data_夏_price": pa.int64(),
        "data_price": pa.float64(),
        "data_size_width_2": pa.float64(),
        "data_size_height": pa.float64(),
        "data_in_stock": pa.bool_(),
        "data_tags": pa.list_(pa.string()),
        "data_scores": pa.list_(pa.int64()),
    }
    assert types == dict.fromkeys(NAMES, pa.string()) | numbers
    meaning = b"name in data: Name as printed on the product"
    assert found.schema.field("data_name").metadata == {b"unit": b"", b"meaning": meaning}
    assert found["data_tags"].to_pylist() == [["blue", "陶瓷"], [], None, None, None]
    assert found["data_scores"].to_pylist() == [[1, 2], [1, 2], [1, None, 3], None, None]
    assert found["data_price"].to_pylist() == [12.5, None, 12.5, None, None]
    assert found["data_in_stock"].to_pylist() == [True, False, None, None, None]
    assert found["data_code"].to_pylist() == ["17", '"x-17"', None, None, None]
    assert tuple(from_row(row) for row in found.to_pylist()) == STRUCTURED
    complete = pandas.read_parquet(path)[:2]
    assert complete["data_stock"].sum() == 7


def test_complete_columns_have_the_plain_types_of_pandas(tmp_path: Path) -> None:
    export([CUP, JUG], ParquetSink(tmp_path / "out.parquet", schema=SCHEMA))
    frame = pandas.read_parquet(tmp_path / "out.parquet")
    wanted = {"data_stock": "int64", "data_price": "float64", "data_in_stock": "bool"}
    assert {name: str(frame[name].dtype) for name in wanted} == wanted
    assert list(frame["data_tags"][0]) == ["blue", "陶瓷"]
    assert frame[frame["data_in_stock"]]["path"].tolist() == [CUP.source]


@pytest.mark.parametrize("folder", ["made", "golden"])
def test_sqlite_has_typed_columns(folder: str, tmp_path: Path) -> None:
    path = table("sqlite", folder, tmp_path)
    by_path = {row["path"]: row for row in rows(path)}
    cup, misfit = by_path[CUP.source], by_path[MISFIT.source]
    assert list(cup) == FIXED + NAMES
    assert (cup["data_stock"], cup["data_price"], cup["data_in_stock"]) == (3, 12.5, 1)
    assert type(cup["data_size_width_2"]) is float
    assert json.loads(cup["data_tags"]) == ["blue", "陶瓷"]
    assert [misfit[name] for name in ("data_name", "data_stock", "data_tags")] == [None, None, None]
    with closing(sqlite3.connect(path)) as database:
        (statement,) = database.execute("SELECT sql FROM sqlite_master WHERE name = 'results'").fetchone()
        assert '"data_name" TEXT, "data_stock" INTEGER, "data_price" REAL, "data_in_stock" I' in statement
        explained = database.execute("SELECT name, type FROM results_columns ORDER BY position").fetchall()
        assert [name for name, _ in explained] == FIXED + NAMES
        assert dict(explained)["data_price"] == "REAL"
        assert database.execute("SELECT sum(data_price) FROM results").fetchone() == (25.0,)
        assert database.execute("PRAGMA user_version").fetchone() == (1,)
    assert sorted(read_sqlite(path), key=str) == sorted(STRUCTURED, key=str)


def test_an_older_table_gets_the_columns_and_what_its_rows_hold(tmp_path: Path) -> None:
    path = tmp_path / "out.sqlite"
    export([CUP, *RESULTS], SqliteSink(path))
    assert "data_price" not in rows(path)[0]
    export([JUG], SqliteSink(path, schema=SCHEMA))
    found = {row["path"]: row for row in rows(path)}
    assert [found[r.source]["data_name"] for r in (CUP, JUG)] == ["=Cup, blue", "Jug"]
    assert json.loads(found[RESULTS[1].source]["data_tags"]) == ["海", "船", "sky & sea"]
    assert found[RESULTS[0].source]["data_tags"] is None
    with closing(sqlite3.connect(path)) as database:
        explained = database.execute("SELECT name FROM results_columns ORDER BY position").fetchall()
    assert [name for (name,) in explained] == FIXED + NAMES
    assert sorted(read_sqlite(path), key=str) == sorted([CUP, JUG, *RESULTS], key=str)


def test_a_table_of_another_schema_keeps_its_columns(tmp_path: Path) -> None:
    path = tmp_path / "out.sqlite"
    export([CUP], SqliteSink(path, schema=SCHEMA))
    other = replace(JUG, source="other.jpg", data={"price": 2.5, "colour": "red"})
    schema = {"properties": {"price": {"type": "number"}, "colour": {"type": "string"}}}
    export([other], SqliteSink(path, schema=schema))
    export([], SqliteSink(path))
    new, old = rows(path, "data_price, data_stock, data_colour")
    assert new == {"data_price": 2.5, "data_stock": None, "data_colour": "red"}
    assert old == {"data_price": 12.5, "data_stock": 3, "data_colour": None}
    assert list(read_sqlite(path)) == [other, CUP]


def test_a_column_of_another_type_is_refused_and_stays(tmp_path: Path) -> None:
    path = tmp_path / "out.sqlite"
    export([CUP], SqliteSink(path, schema=SCHEMA))
    before = rows(path)
    with pytest.raises(OutputError, match="data_Price is REAL, and the data's schema now makes it TEXT") as e:
        SqliteSink(path, schema={"properties": {"Price": {"type": "string"}}})
    assert e.value.code == "other_schema"
    assert rows(path) == before


def test_a_sink_that_is_only_opened_changes_no_table(tmp_path: Path) -> None:
    path = tmp_path / "out.sqlite"
    export([CUP], SqliteSink(path))
    SqliteSink(path, schema=SCHEMA).abort()
    assert list(rows(path)[0]) == FIXED
    export([], SqliteSink(path, schema=SCHEMA))
    assert rows(path)[0]["data_stock"] == 3


def test_a_row_whose_data_is_no_json_stops_no_new_column(tmp_path: Path) -> None:
    path = tmp_path / "out.sqlite"
    export([CUP, JUG], SqliteSink(path))
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("UPDATE results SET data = '{' WHERE path = ?", (CUP.source,))
    export([], SqliteSink(path, schema=SCHEMA))
    assert [row["data_stock"] for row in rows(path)] == [None, 4]


@pytest.mark.parametrize("kind", ["csv", "parquet", "sqlite"])
def test_a_model_is_a_schema_for_any_table(kind: str, tmp_path: Path) -> None:
    path = tmp_path / f"out.{kind}"
    export([CUP], open_sink(path, SinkOptions(schema=Priced)))
    frame = READERS[kind](path)
    assert list(frame.columns) == [*FIXED, "data_name", "data_price", "data_tags"]
    assert frame["data_price"].dtype == "float64"
    with pytest.raises(ParameterError, match="has no JSON Schema"):
        open_sink(path, SinkOptions(schema=object()))


@pytest.mark.parametrize("kind", ["csv", "parquet", "sqlite"])
def test_results_without_a_schema_have_the_fixed_columns(kind: str, tmp_path: Path) -> None:
    path = tmp_path / f"out.{kind}"
    export([CUP], open_sink(path))
    assert list(READERS[kind](path).columns) == FIXED


def test_a_table_that_takes_no_more_columns_is_left_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "out.sqlite"
    export([CUP], SqliteSink(path))
    with closing(sqlite3.connect(path)) as database:
        room = database.getlimit(sqlite3.SQLITE_LIMIT_COLUMN) - len(FIXED)
        database.execute("BEGIN")
        for number in range(room - 5):
            database.execute(f"ALTER TABLE results ADD COLUMN other_{number} TEXT")
        database.execute("COMMIT")
    before = rows(path)
    sink = SqliteSink(path, schema=SCHEMA)
    with pytest.raises(OutputError, match="too many columns"):
        sink.write(JUG)
    sink.abort()
    assert rows(path) == before
    assert list(read_sqlite(path)) == [CUP]
