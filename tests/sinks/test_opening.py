"""The sink for what stands after -o."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import chdir
from pathlib import Path

import pytest

from tests.sinks.sample_results import CAT, RESULTS, SEA, photos
from visionpipe.errors import OutputError, ParameterError
from visionpipe.results import ItemResult
from visionpipe.sinks.csv import CsvSink
from visionpipe.sinks.html import HtmlSink
from visionpipe.sinks.jsonl import JsonlSink
from visionpipe.sinks.opening import SinkOptions, open_sink, sink_kind
from visionpipe.sinks.ownership import OwnedSink
from visionpipe.sinks.parquet import ParquetSink
from visionpipe.sinks.sidecar import JsonSidecarSink, TextSidecarSink
from visionpipe.sinks.sink import export
from visionpipe.sinks.sqlite import SqliteSink
from visionpipe.sinks.webdataset import WebDatasetSink
from visionpipe.sinks.xmp import XmpSidecarSink


@pytest.mark.parametrize(
    ("spec", "sink", "keeps"),
    [
        ("out.jsonl", JsonlSink, True),
        ("out.NDJSON", JsonlSink, True),
        ("jsonl:captions", JsonlSink, True),
        ("out.csv", CsvSink, False),
        ("out.parquet", ParquetSink, False),
        ("out.db", SqliteSink, True),
        ("out.htm", HtmlSink, False),
        ("shards/out.tar", WebDatasetSink, False),
        ("txt:", TextSidecarSink, True),
        ("json:out", JsonSidecarSink, True),
        ("xmp:", XmpSidecarSink, True),
    ],
)
def test_suffix_or_prefix_choose_it(spec: str, sink: type[object], keeps: bool, tmp_path: Path) -> None:
    with chdir(tmp_path):
        opened = open_sink(spec)
        assert type(opened.inner if isinstance(opened, OwnedSink) else opened) is sink
        assert opened.keeps_previous is keeps
        opened.abort()


@pytest.mark.parametrize("spec", ["out", "out.xyz", "", "C:out", "ftp:out"])
def test_an_unknown_kind_is_an_error_that_lists_them(spec: str) -> None:
    with pytest.raises(ParameterError, match=r"\.jsonl, .* xmp"):
        open_sink(spec)


def test_a_kind_without_a_file_is_an_error() -> None:
    with pytest.raises(ParameterError, match=r"csv:out\.csv"):
        open_sink("csv:")
    assert sink_kind("xmp:") == ("xmp", "")


def test_options_reach_the_sinks_that_use_them(tmp_path: Path) -> None:
    root = photos(tmp_path)
    options = SinkOptions(locate=lambda s: root / s, naming="{name}.txt", title="Summer <3")
    export([CAT], open_sink("txt:", options))
    assert (root / "photos/cat.jpg.txt").exists()
    export([CAT], open_sink(tmp_path / "out.html", options))
    assert "<title>Summer &lt;3</title>" in (tmp_path / "out.html").read_text("utf-8")


def test_an_export_that_breaks_leaves_the_old_output(tmp_path: Path) -> None:
    path = tmp_path / "out.csv"
    export([SEA], open_sink(path))
    before = path.read_bytes()

    def broken() -> Iterator[ItemResult]:
        yield CAT
        raise RuntimeError("the journal broke")

    with pytest.raises(RuntimeError):
        export(broken(), open_sink(path))
    assert [p.read_bytes() for p in tmp_path.iterdir()] == [before]


def test_shards_are_limited_replaced_and_complete(tmp_path: Path) -> None:
    root = photos(tmp_path)
    for number in (3, 4):
        (tmp_path / f"out-{number:06d}.tar").write_bytes(b"of an earlier run")
    sink = WebDatasetSink(tmp_path / "out.tar", locate=lambda s: root / s, max_shard_samples=1)
    written, refused = export(RESULTS, sink)
    assert (written, refused) == (len(RESULTS), ())
    assert sorted(p.name for p in tmp_path.glob("*.tar")) == [f"out-{n:06d}.tar" for n in range(3)]
    small = WebDatasetSink(tmp_path / "small.tar", locate=lambda s: root / s, max_shard_bytes=10_000)
    export(RESULTS, small)
    sizes = [p.stat().st_size for p in tmp_path.glob("small-*.tar")]
    assert len(sizes) == 2
    assert max(sizes) <= 10_000


def test_a_sample_without_its_image_is_refused_alone(tmp_path: Path) -> None:
    root = photos(tmp_path)
    (root / CAT.source).unlink()
    written, refused = export(RESULTS, WebDatasetSink(tmp_path / "a.tar", locate=lambda s: root / s))
    assert (written, [error.code for error in refused]) == (len(RESULTS) - 1, ["source_missing"])
    written, refused = export(RESULTS, WebDatasetSink(tmp_path / "b.tar", locate=lambda _: None))
    assert len(refused) == 3


def test_aborted_shards_leave_nothing(tmp_path: Path) -> None:
    root = photos(tmp_path)
    sink = WebDatasetSink(tmp_path / "out" / "a.tar", locate=lambda s: root / s, max_shard_samples=1)
    for result in RESULTS:
        sink.write(result)
    sink.flush()
    sink.abort()
    assert list((tmp_path / "out").iterdir()) == []


def test_an_output_error_of_the_whole_job_is_passed_on(tmp_path: Path) -> None:
    class Full:
        keeps_previous = False
        aborted = 0

        def write(self, result: ItemResult) -> None:
            raise OutputError("the disk is full", cure="Make space.", subject=result.source)

        def flush(self) -> None: ...

        def close(self) -> None: ...

        def abort(self) -> None:
            self.aborted += 1

    sink = Full()
    with pytest.raises(OutputError, match="the disk is full"):
        export(RESULTS, sink)
    assert sink.aborted == 1
