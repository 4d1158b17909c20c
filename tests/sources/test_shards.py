"""Files of many images: tar shards, tables, and places in a store."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path
from typing import Any
from unittest.mock import patch

import lance
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.s3_store import S3Store
from visionpipe.errors import ConfigurationError, ParameterError, UnreadableSourceError
from visionpipe.files.stores import open_store
from visionpipe.sources.find import (
    FailedSource,
    Found,
    SkippedSource,
    Source,
    SourceListing,
    find_sources,
)
from visionpipe.sources.shards import Unit, expanded, items_of
from visionpipe.testing.images import jpeg_bytes

PHOTO = jpeg_bytes(4, 3)


def tar(*members: tuple[str, bytes], mode: Any = "w") -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode=mode) as archive:
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return out.getvalue()


def sources(found: list[Found]) -> list[Source]:
    assert all(isinstance(one, Source) for one in found)
    return [one for one in found if isinstance(one, Source)]


SAMPLES = [
    ("a/1.jpg", PHOTO),
    ("a/1.txt", b"a cat\n"),
    ("a/1.json", json.dumps({"width": 4, "by": "Ana"}).encode()),
    ("a/2.cls", b"7"),
    ("a/2.left.jpg", PHOTO),
    ("a/2.right.jpg", PHOTO),
]


@pytest.mark.parametrize(("suffix", "mode"), [(".tar", "w"), (".tar.gz", "w:gz"), (".tgz", "w:gz")])
def test_a_tar_is_read_a_sample_at_a_time(tmp_path: Path, suffix: str, mode: str) -> None:
    path = tmp_path / f"0{suffix}"
    path.write_bytes(tar(*SAMPLES, ("b/3.mp4", b"clip"), mode=mode))
    *held, other = find_sources(str(path))
    one, left, right = sources(held)
    assert (one.name, one.image) == (f"{path}/a/1.jpg", PHOTO)
    assert one.fields == {"txt": "a cat", "width": "4", "by": "Ana"}
    assert (left.name, right.name) == (f"{path}/a/2.left.jpg", f"{path}/a/2.right.jpg")
    assert left.fields == right.fields == {"cls": "7"}
    assert other == SkippedSource(f"{path}/b/3.mp4", "not an image")


def test_a_tar_that_breaks_off_gives_what_it_holds_and_says_so(tmp_path: Path) -> None:
    path = tmp_path / "0.tar"
    path.write_bytes(tar(*[(f"{n}.jpg", PHOTO) for n in range(9)])[:5_000])
    *held, last = find_sources(path)
    assert 0 < len(sources(held)) < 9
    assert isinstance(last, FailedSource)
    assert (last.name, last.error.code) == (f"{path}/", "truncated")


def test_a_range_names_every_shard_and_a_missing_one_is_an_error_at_once(tmp_path: Path) -> None:
    for number in range(3):
        (tmp_path / f"{number:03}.tar").write_bytes(tar((f"{number}.jpg", PHOTO)))
    spec = f"{tmp_path}/{{000..002}}.tar"
    assert [s.name for s in sources(list(find_sources(spec)))] == [
        f"{tmp_path}/{n:03}.tar/{n}.jpg" for n in range(3)
    ]
    assert [s.name for s in sources(list(find_sources(f"{tmp_path}/*.tar")))] == [
        f"{tmp_path}/{n:03}.tar/{n}.jpg" for n in range(3)
    ]
    with pytest.raises(UnreadableSourceError, match="no such file"):
        find_sources(f"{tmp_path}/{{000..003}}.tar")
    with pytest.raises(ParameterError, match="runs back"):
        find_sources("{9..1}.tar")
    assert expanded("{8..11}.tar") == ["8.tar", "9.tar", "10.tar", "11.tar"]


@pytest.mark.parametrize("shards", [1, 3, 16])
@pytest.mark.parametrize("files", [2, 40])
def test_shards_unite_to_the_listing(tmp_path: Path, shards: int, files: int) -> None:
    for number in range(files):
        (tmp_path / f"{number:03}.tar").write_bytes(tar(*[(f"{n}.jpg", PHOTO) for n in range(3)]))
    spec = f"{tmp_path}/*.tar"
    whole = [one.name for one in sources(list(find_sources(spec)))]
    dealt = [
        [one.name for one in sources(list(SourceListing(spec, shard=(number, shards))))]
        for number in range(shards)
    ]
    assert sorted(name for names in dealt for name in names) == sorted(whole)


def rows(*pictures: Any) -> pa.Table:
    return pa.table({"id": list(range(len(pictures))), "image": pictures, "label": ["x"] * len(pictures)})


@pytest.mark.parametrize("kind", ["parquet", "arrow", "feather"])
def test_tables_hold_bytes_or_the_struct_of_hugging_face(tmp_path: Path, kind: str) -> None:
    (tmp_path / "b.jpg").write_bytes(PHOTO)
    for name, table in (
        ("bytes", rows(PHOTO, None)),
        ("hf", rows({"bytes": PHOTO, "path": "a.jpg"}, {"bytes": None, "path": "b.jpg"})),
    ):
        path = f"{tmp_path}/{name}.{kind}"
        if kind == "parquet":
            pq.write_table(table, path)
        else:
            with pa.OSFile(path, "wb") as file:
                writer = (pa.ipc.new_file if kind == "feather" else pa.ipc.new_stream)(file, table.schema)
                with writer:
                    writer.write_table(table)
        first, second = find_sources(path)
        assert isinstance(first, Source)
        assert (first.name, first.image) == (f"{path}/00000000", PHOTO)
        assert first.fields["label"] == "x"
        if name == "bytes":
            assert isinstance(second, SkippedSource)
        else:
            assert isinstance(second, Source)
            assert second.image.read() == PHOTO
            assert first.fields["path"] == "a.jpg"


def test_a_lance_table_is_read_as_the_others(tmp_path: Path) -> None:
    for name in ("a", "b"):
        lance.write_dataset(rows(PHOTO, None, *[PHOTO] * 30), f"{tmp_path}/{name}.lance")
    (tmp_path / "p.jpg").write_bytes(PHOTO)
    lance.write_dataset(pa.table({"path": [f"{tmp_path}/p.jpg"]}), f"{tmp_path}/paths.lance")
    for spec in (f"{tmp_path}/a.lance", f"{tmp_path}/a.lance/"):
        first, second, *others = find_sources(spec)
        assert isinstance(first, Source)
        assert (first.name, first.image) == (f"{tmp_path}/a.lance/00000000", PHOTO)
        assert first.fields["label"] == "x"
        assert isinstance(second, SkippedSource)
        assert [one.fields["id"] for one in sources(others)] == [str(n) for n in range(2, 32)]
    assert len(list(find_sources(f"{tmp_path}/*.lance"))) == 65
    (one,) = find_sources(f"{tmp_path}/paths.lance")
    assert isinstance(one, Source)
    assert one.location == f"{tmp_path}/p.jpg"
    with pytest.raises(UnreadableSourceError, match="no such table"):
        find_sources(f"{tmp_path}/c.lance")


@pytest.mark.parametrize(
    ("name", "package", "extra"), [("a.lance", "lance", "lance"), ("a.parquet", "pyarrow", "parquet")]
)
def test_what_reads_a_table_is_looked_for_at_once(name: str, package: str, extra: str) -> None:
    def found(asked: str) -> object:
        return None if asked == package else object()

    with patch("visionpipe.sources.shards.find_spec", found), pytest.raises(ConfigurationError) as met:
        find_sources(name)
    assert f"[{extra}]" in str(met.value.cure)


def test_a_table_without_pictures_names_its_columns(tmp_path: Path) -> None:
    pq.write_table(pa.table({"n": [1]}), tmp_path / "n.parquet")
    with pytest.raises(ParameterError, match="it has n"):
        list(find_sources(tmp_path / "n.parquet"))
    with pytest.raises(ParameterError, match="no column photo"):
        list(find_sources(tmp_path / "n.parquet", column="photo"))


def test_a_bucket_is_read_as_a_folder_is(s3_store: S3Store) -> None:
    address = f"s3://{s3_store.bucket}/photos"
    store = open_store(address, s3_store.options)
    store.put("a.jpg", PHOTO)
    store.put("below/b.jpg", PHOTO)
    store.put("notes.txt", b"x")
    store.put("0.tar", tar(*SAMPLES))
    first, tar_file, other, below = sorted(
        items_of([Unit(address, store, "")]), key=lambda f: f.name.replace("0.tar", "m")
    )
    assert isinstance(first, Source) and isinstance(other, Source | SkippedSource)
    assert first.image.read() == PHOTO
    assert first.version
    assert isinstance(tar_file, SkippedSource | Source)
    assert {f.name.rpartition("/")[2] for f in (first, other, below, tar_file)} == {
        "a.jpg",
        "b.jpg",
        "notes.txt",
        "0.tar",
    }
    assert len(sources(list(items_of([Unit(f"{address}/0.tar", store, "0.tar")])))) == 3
