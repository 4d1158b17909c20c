"""What a job answered beside what it was asked about: tables with columns more, shards with files more."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.s3_store import S3Store
from tests.sources.test_shards import PHOTO, SAMPLES, rows, tar
from visionpipe.errors import OutputError, ParameterError, UnreadableSourceError
from visionpipe.files.stores import Store, open_store
from visionpipe.results import Failure, ItemResult, Outcome
from visionpipe.sinks.beside import Beside, write_beside
from visionpipe.sources.shards import Unit, units_of
from visionpipe.values import Note


def done(name: str) -> ItemResult:
    return ItemResult(
        name, Outcome.DONE, caption=f"“{name}”", data={"n": 1}, model="m", notes=(Note("k", "d"),)
    )


def failed(name: str) -> ItemResult:
    return ItemResult(name, Outcome.FAILED, failure=Failure("E", "c", "it broke", "", False))


def answer(name: str) -> ItemResult | None:
    """Whatever ends in 1 fails, in 2 is not asked about."""
    number = int("".join(sign for sign in Path(name).stem if sign.isdigit())[-1:] or 0)
    return None if number == 2 else failed(name) if number == 1 else done(name)


def written(units: list[Unit], store: Store, **more: Any) -> list[Beside]:
    return list(write_beside(units, store, answer, **more))


def read_table(data: bytes, kind: str) -> pa.Table:
    if kind == "parquet":
        return pq.read_table(io.BytesIO(data))
    reader: Any = pa.ipc.open_file if data[:6] == b"ARROW1" else pa.ipc.open_stream
    return reader(data).read_all()


@pytest.fixture(params=["local", "s3"])
def places(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Store, Store]:
    """Where the source is, and where its files go."""
    if request.param == "local":
        return open_store(f"{tmp_path}/in"), open_store(f"{tmp_path}/out/")
    store: S3Store = request.getfixturevalue("s3_store")
    return (
        open_store(f"s3://{store.bucket}/in", store.options),
        open_store(f"s3://{store.bucket}/out/", store.options),
    )


@pytest.mark.parametrize("kind", ["parquet", "arrow", "feather"])
def test_a_table_gets_columns_and_keeps_its_own(places: tuple[Store, Store], kind: str) -> None:
    source, out = places
    pictures = [{"bytes": PHOTO, "path": f"{n}.jpg"} for n in range(40)]
    table = rows(*pictures).replace_schema_metadata({"huggingface": "{}"})
    made = io.BytesIO()
    if kind == "parquet":
        pq.write_table(table, made, row_group_size=7, compression="zstd")
    else:
        with (pa.ipc.new_file if kind == "feather" else pa.ipc.new_stream)(made, table.schema) as writer:
            writer.write_table(table)
    source.put(f"a.{kind}", made.getvalue())
    unit = Unit(f"{source.address}/a.{kind}", source, f"a.{kind}")
    (found,) = written([unit], out)
    assert (found.name, found.ends) == (f"a.{kind}", {"done": 32, "failed": 4, "not asked": 4})
    result = read_table(out.read(f"a.{kind}"), kind)
    assert result.select(table.column_names).equals(table)
    assert result.schema.metadata == table.schema.metadata
    first, second, third = result.slice(0, 3).select(result.column_names[3:]).to_pylist()
    assert first == {
        "caption": f"“{unit.address}/00000000”",
        "caption_data": '{"n":1}',
        "caption_outcome": "done",
        "caption_model": "m",
        "caption_reason": None,
        "caption_notes": ["k"],
    }
    assert (second["caption"], second["caption_outcome"], second["caption_reason"]) == (
        None,
        "failed",
        "it broke",
    )
    assert set(third.values()) == {None}


def members(data: bytes) -> dict[str, bytes]:
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        return {m.name: (archive.extractfile(m) or io.BytesIO()).read() for m in archive}


def test_a_shard_gets_a_file_beside_each_picture(places: tuple[Store, Store]) -> None:
    source, out = places
    given = [(f"a/{n}.jpg", PHOTO) for n in range(4)] + [("a/9.left.png", PHOTO), ("b.bin", b"x")]
    for name, mode in (("0.tar", "w"), ("1.tgz", "w:gz")):
        source.put(name, tar(*given, mode=mode))
        unit = Unit(f"{source.address}/{name}", source, name)
        (found,) = written([unit], out)
        assert found.ends == {"done": 3, "failed": 1, "not asked": 1}
        held = members(out.read(name))
        assert {each: data for each, data in held.items() if not each.endswith(".txt")} == dict(given)
        assert list(held) == [
            *(
                "a/0.jpg",
                "a/0.txt",
                "a/1.jpg",
                "a/2.jpg",
                "a/3.jpg",
                "a/3.txt",
                "a/9.left.png",
                "a/9.left.txt",
            ),
            "b.bin",
        ]
        assert held["a/3.txt"].decode() == f"{unit.address}/a/3.jpg"


def test_the_whole_result_can_stand_beside_a_picture(tmp_path: Path) -> None:
    source = open_store(str(tmp_path))
    source.put("0.tar", tar(("1.jpg", PHOTO), ("2.jpg", PHOTO), ("3.jpg", PHOTO)))
    out = open_store(f"{tmp_path}/out")
    written(units_of(f"{tmp_path}/0.tar"), out, name="json")
    held = members(out.read("0.tar"))
    assert set(held) == {"1.jpg", "1.json", "2.jpg", "3.jpg", "3.json"}
    assert b'"it broke"' in held["1.json"]


def test_what_is_there_is_kept_or_backed_up(places: tuple[Store, Store]) -> None:
    source, out = places
    source.put("0.tar", tar(("0.jpg", PHOTO)))
    unit = Unit(f"{source.address}/0.tar", source, "0.tar")
    out.put("0.tar", b"mine")
    (found,) = written([unit], out)
    assert found.kept
    assert out.read("0.tar") == b"mine"
    (found,) = written([unit], out, overwrite=True)
    assert (found.kept, found.backup) == (False, "0.tar.~1~")
    assert out.read("0.tar.~1~") == b"mine"
    assert set(members(out.read("0.tar"))) == {"0.jpg", "0.txt"}


def test_a_file_that_fails_leaves_nothing(places: tuple[Store, Store]) -> None:
    source, out = places
    source.put("cut.tar", tar(*[(f"{n}.jpg", PHOTO) for n in range(9)])[:5_000])
    source.put("own.tar", tar(*SAMPLES))
    source.put("own.parquet", parquet(rows(PHOTO).append_column("caption", [["a"]])))
    for name, kind in (
        ("cut.tar", UnreadableSourceError),
        ("own.tar", OutputError),
        ("own.parquet", ParameterError),
    ):
        with pytest.raises(kind):
            written([Unit(f"{source.address}/{name}", source, name)], out)
        assert list(out.find()) == []
    unit = Unit(f"{source.address}/own.tar", source, "own.tar")
    (found,) = written([unit], out, name="said.txt")
    assert "a/1.said.txt" not in members(out.read("own.tar"))
    assert found.ends["failed"] == 1


def parquet(table: pa.Table) -> bytes:
    made = io.BytesIO()
    pq.write_table(table, made)
    return made.getvalue()


def test_files_go_below_the_folder_they_share_and_never_onto_themselves(tmp_path: Path) -> None:
    source = open_store(str(tmp_path))
    for name in ("a/0.tar", "b/0.tar"):
        source.put(name, tar(("0.jpg", PHOTO)))
    units = units_of(f"{tmp_path}/*/0.tar")
    assert [found.name for found in written(units, open_store(f"{tmp_path}/out"))] == ["a/0.tar", "b/0.tar"]
    with pytest.raises(OutputError, match="its source's place"):
        written(units, open_store(str(tmp_path)))
    with pytest.raises(ParameterError, match="no table and no shard"):
        written([Unit(str(tmp_path), source, "")], open_store(f"{tmp_path}/out"))
