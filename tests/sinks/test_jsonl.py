"""JSON lines are whole, whenever the process ends."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.sinks.sample_results import CAT, RESULTS, SEA
from visionpipe.errors import OutputError
from visionpipe.sinks.csv import CsvSink
from visionpipe.sinks.jsonl import JsonlSink, read_jsonl
from visionpipe.sinks.sink import dump, export


def line(number: int) -> bytes:
    return dump(RESULTS[number].to_json()) + b"\n"


@settings(max_examples=60)
@given(st.data())
def test_a_file_torn_anywhere_is_continued_after_its_last_whole_line(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    whole = line(0) + line(1)
    cut = data.draw(st.integers(0, len(whole)))
    path = tmp_path_factory.mktemp("torn") / "out.jsonl"
    path.write_bytes(whole[:cut])
    complete = [n for n, end in enumerate((len(line(0)), len(whole))) if cut >= end - 1]
    assert list(read_jsonl(path)) == [RESULTS[n] for n in complete]
    sink = JsonlSink(path)
    sink.write(RESULTS[3])
    sink.close()
    assert list(read_jsonl(path)) == [RESULTS[n] for n in [*complete, 3]]


def test_a_torn_line_longer_than_a_block_is_found(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    path.write_bytes(line(0) + b'{"path": "' + b"x" * 300_000)
    JsonlSink(path).close()
    assert path.read_bytes() == line(0)


def test_another_file_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    path.write_bytes(b"my diary, without a line end")
    with pytest.raises(OutputError, match="does not hold JSON lines"):
        JsonlSink(path)
    assert path.read_bytes() == b"my diary, without a line end"


def test_a_broken_line_in_the_middle_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    path.write_bytes(line(0) + b'{"path": 1}\n' + line(1))
    with pytest.raises(OutputError, match="line 2 holds no result"):
        list(read_jsonl(path))
    with pytest.raises(OutputError, match="No such file"):
        list(read_jsonl(tmp_path / "missing.jsonl"))


def test_what_was_written_is_there_before_close(tmp_path: Path) -> None:
    sink = JsonlSink(tmp_path / "out.jsonl", sync_every=1)
    sink.write(CAT)
    assert list(read_jsonl(tmp_path / "out.jsonl")) == [CAT]
    sink.flush()
    sink.abort()
    assert list(read_jsonl(tmp_path / "out.jsonl")) == [CAT]


def test_starting_over_empties_the_file(tmp_path: Path) -> None:
    export([CAT], JsonlSink(tmp_path / "out.jsonl"))
    export([SEA], JsonlSink(tmp_path / "out.jsonl", start_over=True))
    assert list(read_jsonl(tmp_path / "out.jsonl")) == [SEA]


def test_a_name_that_is_not_utf_8_comes_back_as_it_was(tmp_path: Path) -> None:
    odd = replace(CAT, source=b"photos/\xff\xe9.jpg".decode("utf-8", "surrogateescape"))
    export([odd, SEA], JsonlSink(tmp_path / "out.jsonl"))
    assert list(read_jsonl(tmp_path / "out.jsonl")) == [odd, SEA]
    export([odd], CsvSink(tmp_path / "out.csv"))
    assert "photos/\\udcff\\udce9.jpg" in (tmp_path / "out.csv").read_text("utf-8")


def test_csv_for_spreadsheets_runs_no_formula(tmp_path: Path) -> None:
    formula = replace(CAT, caption='=HYPERLINK("http://x")')
    export([formula], CsvSink(tmp_path / "out.csv", byte_order_mark=True))
    written = (tmp_path / "out.csv").read_bytes()
    assert written.startswith(b"\xef\xbb\xbfpath,")
    assert b"\"'=HYPERLINK(" in written
    export([formula], CsvSink(tmp_path / "exact.csv", spreadsheet=False))
    assert (tmp_path / "exact.csv").read_bytes().startswith(b"path,")
    assert b'"=HYPERLINK(' in (tmp_path / "exact.csv").read_bytes()
    aborted = CsvSink(tmp_path / "out.csv")
    aborted.write(SEA)
    aborted.flush()
    aborted.abort()
    assert (tmp_path / "out.csv").read_bytes() == written
