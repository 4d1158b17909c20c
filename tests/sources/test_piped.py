"""A list that comes down a pipe: paths as they are, line by line or NUL by NUL."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from visionpipe.sources.find import Source, find_sources
from visionpipe.sources.lists import piped_paths


@pytest.mark.parametrize(
    ("data", "paths"),
    [
        (b"", []),
        (b"a.jpg\n./b c.jpg\n", ["a.jpg", "./b c.jpg"]),
        (b"a.jpg\r\n\r\n#b.jpg", ["a.jpg", "#b.jpg"]),
        (b"a\nb.jpg\0c.jpg \0", ["a\nb.jpg", "c.jpg "]),
        (b"caf\xe9.jpg\n", [os.fsdecode(b"caf\xe9.jpg")]),
    ],
)
def test_paths_are_read_as_they_are(data: bytes, paths: list[str]) -> None:
    assert list(piped_paths(data)) == paths


@given(
    st.lists(
        st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1), min_size=1
    )
)
def test_what_find_print0_writes_comes_back(paths: list[str]) -> None:
    assert list(piped_paths("".join(f"{path}\0" for path in paths).encode())) == paths


def test_they_are_sources_in_their_order(tmp_path: Path) -> None:
    url = "https://example.org/a.jpg"
    data = f"{tmp_path}/b.jpg\n{url}\n{tmp_path}/./a.jpg\n{tmp_path}/b.jpg\n".encode()
    a, b = ((tmp_path / name).as_posix() for name in ("a.jpg", "b.jpg"))
    assert list(find_sources("-", piped=data)) == [
        Source(b, f"{tmp_path}/b.jpg"),
        Source(url, url),
        Source(a, f"{tmp_path}/./a.jpg"),
        Source(b, f"{tmp_path}/b.jpg"),
    ]


def test_they_never_share_a_name_with_other_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "x" / "in").mkdir(parents=True)
    (tmp_path / "x" / "in" / "1.jpg").touch()
    (tmp_path / "in").mkdir()
    monkeypatch.chdir(tmp_path)
    real = (tmp_path / "in" / "1.jpg").resolve().as_posix()
    assert [one.name for one in find_sources(["x/in", "-"], piped=b"in/1.jpg\n")] == ["in/1.jpg", real]


def test_a_file_of_that_name_is_itself_where_nothing_is_piped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "-").touch()
    monkeypatch.chdir(tmp_path)
    assert list(find_sources("-")) == [Source("-", "-")]
