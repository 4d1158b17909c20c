"""A job that asks for data: its fields are typed columns in every table, from the run and from an export."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pandas
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.cli.commands import lines, visionpipe
from visionpipe.sinks.columns import COLUMNS
from visionpipe.testing.images import image_bytes
from visionpipe.testing.sandbox import SandboxHandle, running_sandbox

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "name": {"type": "string"},
        "price": {"type": ["number", "null"]},
        "stock": {"type": "integer"},
        "fresh": {"type": "boolean"},
        "tags": {"type": "array", "items": {"type": "string"}},
        "size": {"type": "object", "properties": {"width": {"type": "number"}}},
    },
    "required": ["name", "price", "stock", "fresh"],
}
ANSWERS: list[dict[str, Any]] = [
    {"name": "cup", "price": 12, "stock": 3, "fresh": True, "tags": ["blue"], "size": {"width": 8.5}},
    {"name": "jug", "price": None, "stock": 4, "fresh": False},
    {"name": "pot", "price": 1.5, "stock": 5, "fresh": True, "tags": []},
]
FIXED = [column.name for column in COLUMNS]
NAMES = ["data_name", "data_price", "data_stock", "data_fresh", "data_tags", "data_size_width"]


@pytest.fixture
def sandbox() -> Iterator[SandboxHandle]:
    with running_sandbox(answers="script") as handle:
        handle.set_scenario({"answer": [{"text": json.dumps(answer)} for answer in ANSWERS]})
        yield handle


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three photos in ``in`` and a schema beside them."""
    (tmp_path / "in").mkdir()
    for number in range(3):
        (tmp_path / "in" / f"{number}.png").write_bytes(image_bytes("png", 8 + number, 8))
    (tmp_path / "shop.json").write_text(json.dumps(SCHEMA))
    return tmp_path


def caption(folder: Path, sandbox: SandboxHandle, *options: str, status: int = 0) -> str:
    """Run the command on the photos; returns what it said."""
    address = ["--base-url", f"bigmodel+{sandbox.base_url}", "--model", "glm-4.6v", "--concurrency", "1"]
    env = {"VISIONPIPE_API_KEY": sandbox.key}
    done = visionpipe("caption", "in", *options, *address, folder=folder, env=env)
    assert done.returncode == status, done.stderr
    return done.stderr


def in_turn(frame: pandas.DataFrame) -> pandas.DataFrame:
    return frame.sort_values("data_name").reset_index(drop=True)


def test_a_job_with_a_schema_has_typed_columns(folder: Path, sandbox: SandboxHandle) -> None:
    outputs = ["-o", "out.parquet", "-o", "out.csv", "-o", "out.sqlite", "-o", "out.jsonl"]
    caption(folder, sandbox, "--prompt", "What is on sale?", "--schema", "shop.json", *outputs)
    found = pq.read_table(folder / "out.parquet")
    assert found.schema.names == FIXED + NAMES
    types = [pa.string(), pa.float64(), pa.int64(), pa.bool_(), pa.list_(pa.string()), pa.float64()]
    assert [found.schema.field(name).type for name in NAMES] == types
    frame = in_turn(pandas.read_parquet(folder / "out.parquet"))
    assert [str(frame[name].dtype) for name in NAMES[1:4]] == ["float64", "int64", "bool"]
    assert frame["data_stock"].tolist() == [3, 4, 5]
    assert frame["data_fresh"].tolist() == [True, False, True]
    assert list(frame["data_tags"][0]) == ["blue"]
    assert [json.loads(cell) for cell in frame["data"]] == ANSWERS
    table = in_turn(pandas.read_csv(folder / "out.csv"))
    assert list(table.columns) == FIXED + NAMES
    assert [str(table[name].dtype) for name in NAMES[1:4]] == ["float64", "int64", "bool"]
    with closing(sqlite3.connect(folder / "out.sqlite")) as database:
        rows = database.execute(f"SELECT {', '.join(NAMES)} FROM results ORDER BY data_stock").fetchall()
    assert rows[0] == ("cup", 12.0, 3, 1, '["blue"]', 8.5)
    assert rows[1:] == [("jug", None, 4, 0, None, None), ("pot", 1.5, 5, 1, "[]", None)]
    documents = [line["data"] for line in lines(folder / "out.jsonl").values()]
    assert sorted(documents, key=lambda data: str(data["name"])) == ANSWERS


def test_an_export_takes_the_schema_from_the_journal(folder: Path, sandbox: SandboxHandle) -> None:
    caption(folder, sandbox, "--schema", "shop.json", "-o", "out.jsonl", "-o", "out.parquet")
    outputs = ["-o", "again.parquet", "-o", "again.csv", "-o", "again.sqlite"]
    done = visionpipe("export", "out.jsonl.journal", *outputs, folder=folder)
    assert done.returncode == 0, done.stderr
    assert pq.read_table(folder / "again.parquet").equals(pq.read_table(folder / "out.parquet"))
    assert list(pandas.read_csv(folder / "again.csv").columns) == FIXED + NAMES
    with closing(sqlite3.connect(folder / "again.sqlite")) as database:
        assert database.execute("SELECT sum(data_price), max(data_fresh) FROM results").fetchone() == (
            13.5,
            1,
        )


def test_a_preset_with_a_schema_has_typed_columns(folder: Path, sandbox: SandboxHandle) -> None:
    sandbox.set_scenario({"answer": [{"text": '{"tags": ["cup", "saucer"]}'}]})
    caption(folder, sandbox, "--preset", "tags", "-o", "out.parquet")
    found = pq.read_table(folder / "out.parquet")
    assert found.schema.names == [*FIXED, "data_tags"]
    assert found["data_tags"].to_pylist() == [["cup", "saucer"]] * 3


def test_a_job_without_a_schema_has_the_fixed_columns(folder: Path, sandbox: SandboxHandle) -> None:
    caption(folder, sandbox, "-o", "out.csv")
    assert visionpipe("export", "out.csv.journal", "-o", "out.parquet", folder=folder).returncode == 0
    assert list(pandas.read_csv(folder / "out.csv").columns) == FIXED
    assert pq.read_table(folder / "out.parquet").schema.names == FIXED


def test_a_database_with_another_type_is_refused_before_anything_is_asked(
    folder: Path, sandbox: SandboxHandle
) -> None:
    caption(folder, sandbox, "--schema", "shop.json", "-o", "out.sqlite")
    asked = sandbox.stats()["requests"]
    properties = {**SCHEMA["properties"], "price": {"type": "string"}}
    (folder / "shop.json").write_text(json.dumps({**SCHEMA, "properties": properties}))
    said = caption(folder, sandbox, "--schema", "shop.json", "-o", "out.sqlite", status=1)
    assert "out.sqlite: its column data_price is REAL" in said
    assert sandbox.stats()["requests"] == asked


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "shop.json: no JSON Schema can be read from it"),
        ("{", "shop.json: no JSON Schema can be read from it"),
        ("[]", "shop.json: it holds no JSON object"),
        ('{"type": "sting"}', "it is no JSON Schema"),
    ],
)
def test_a_file_that_is_no_schema_is_refused(
    content: str | None, said: str, folder: Path, sandbox: SandboxHandle
) -> None:
    if content is None:
        (folder / "shop.json").unlink()
    else:
        (folder / "shop.json").write_text(content)
    assert said in caption(folder, sandbox, "--schema", "shop.json", "-o", "out.csv", status=2)
    assert sandbox.stats()["requests"] == 0
    assert not (folder / "out.csv").exists()


def test_a_check_counts_what_a_job_with_a_schema_has(folder: Path, sandbox: SandboxHandle) -> None:
    caption(folder, sandbox, "--schema", "shop.json", "-o", "out.jsonl")
    command = ["check", "in", "--journal", "out.jsonl.journal", "--model", "glm-4.6v", "--json"]
    address = ["--base-url", f"bigmodel+{sandbox.base_url}"]
    for options, fate in ((["--schema", "shop.json"], "keep"), ([], "send")):
        done = visionpipe(*command, *options, *address, folder=folder)
        assert done.returncode == 0, done.stderr
        fates = [json.loads(line).get("fate") for line in done.stdout.splitlines()]
        assert fates == [fate] * 3 + [None]
