"""Sidecars: where they go, whose they are, and when there are none."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.sinks.sample_results import BROKEN, CAT, DONE_BEFORE
from visionpipe.errors import OutputError, ParameterError
from visionpipe.sinks.sidecar import Collision, SidecarNaming, TextSidecarSink, collisions
from visionpipe.sinks.sink import export


@pytest.mark.parametrize(
    ("source", "naming", "target"),
    [
        ("photos/a.b.jpg", SidecarNaming("{stem}.txt"), "photos/a.b.txt"),
        ("photos/a.jpg", SidecarNaming("{name}.xmp"), "photos/a.jpg.xmp"),
        ("photos/x/a.jpg", SidecarNaming("{stem}.txt", Path("out")), "out/photos/x/a.txt"),
        ("photos/x/a.jpg", SidecarNaming("{stem}.txt", Path("out"), root=Path("photos")), "out/x/a.txt"),
        (
            "/data/photos/x/a.jpg",
            SidecarNaming("{stem}.txt", Path("out"), Path("/data/photos")),
            "out/x/a.txt",
        ),
        ("/data/x/a.jpg", SidecarNaming("{stem}.txt", Path("out")), "out/a.txt"),
        ("../x/a.jpg", SidecarNaming("{stem}.txt", Path("out")), "out/a.txt"),
        ("https://h.org/p/a%20b.jpg?x=1", SidecarNaming("{stem}.txt", Path("out")), "out/p/a b.txt"),
        ("https://h.org/../../etc/a.jpg", SidecarNaming("{stem}.txt", Path("out")), "out/a.txt"),
        (
            "a.jpg",
            SidecarNaming("{stem}-caption.txt", locate=lambda s: Path("/root") / s),
            "/root/a-caption.txt",
        ),
    ],
)
def test_the_naming_rule(source: str, naming: SidecarNaming, target: str) -> None:
    assert naming.target(source) == Path(target)


@pytest.mark.parametrize("pattern", ["caption.txt", "../{stem}.txt", "{stem}\\a.txt"])
def test_a_rule_that_names_no_file_of_its_own_is_refused(pattern: str) -> None:
    with pytest.raises(ParameterError, match="file name with"):
        SidecarNaming(pattern)


def test_a_url_has_no_place_beside_it() -> None:
    with pytest.raises(OutputError, match="Give a folder") as caught:
        SidecarNaming("{stem}.txt").target("https://h.org/a.jpg")
    assert caught.value.scope == "item"


def test_collisions_are_found_beforehand() -> None:
    sources = ["p/a.jpg", "p/a.png", "p/b.jpg", "q/a.jpg", "p/a.jpg"]
    assert list(collisions(sources, SidecarNaming("{stem}.txt"))) == [
        Collision(Path("p/a.txt"), ("p/a.jpg", "p/a.png"))
    ]
    assert list(collisions(sources, SidecarNaming("{name}.txt"))) == []


def test_the_second_of_two_is_refused_and_the_first_stays(tmp_path: Path) -> None:
    jpg, png = (replace(CAT, source=f"p/a.{kind}", caption=kind) for kind in ("jpg", "png"))
    written, refused = export([jpg, png, jpg], TextSidecarSink(tmp_path))
    assert written == 2
    assert [(error.code, error.subject) for error in refused] == [("collision", "p/a.png")]
    assert (tmp_path / "p/a.txt").read_text() == "jpg\n"


def test_an_item_that_is_not_done_leaves_what_is_there(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos/broken.txt").write_text("an earlier caption\n")
    export([BROKEN, DONE_BEFORE], TextSidecarSink(tmp_path))
    assert [p.read_text() for p in tmp_path.rglob("*.txt")] == ["an earlier caption\n"]


def test_a_folder_that_cannot_be_made_ends_the_job(tmp_path: Path) -> None:
    (tmp_path / "out").write_bytes(b"a file")
    sink = TextSidecarSink(tmp_path / "out")
    with pytest.raises(OutputError) as caught:
        export([CAT], sink)
    assert caught.value.scope == "job"
    sink.flush()
