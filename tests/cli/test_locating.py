"""Sidecars lie beside their images and galleries show them, however the images were named."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.commands import cat, visionpipe

PLACES = ("first/cat.png", "first/deep/cat.png", "second/cat.png")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three pictures of one name, no two alike, in two folders."""
    for number, place in enumerate(PLACES):
        (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / place).write_bytes(cat(number, "PNG"))
    return tmp_path


def written(folder: Path, suffix: str) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob(f"*{suffix}"))


@pytest.mark.parametrize(
    ("given", "beside"),
    [
        (["first", "second"], ["first/cat", "first/deep/cat", "second/cat"]),
        (["first", "second/cat.png"], ["first/cat", "first/deep/cat", "second/cat"]),
        (["first/deep"], ["first/deep/cat"]),
        (["first/*.png"], ["first/cat"]),
        (["second/cat.png"], ["second/cat"]),
    ],
)
def test_a_sidecar_lies_beside_its_image(folder: Path, given: list[str], beside: list[str]) -> None:
    done = visionpipe("caption", *given, "-o", "txt:", "-o", "all.html", "-o", "all.jsonl", folder=folder)
    assert done.returncode == 0, done.stderr
    assert written(folder, ".txt") == [f"{place}.txt" for place in beside]
    assert (folder / "all.html").read_text().count('"thumbnail":"data:image/') == len(beside)


def test_sidecars_in_a_folder_of_their_own_keep_the_folders_apart(folder: Path) -> None:
    done = visionpipe("caption", "first", "second", "-o", "txt:texts", "-o", "all.jsonl", folder=folder)
    assert done.returncode == 0, done.stderr
    assert written(folder, ".txt") == [
        "texts/first/cat.txt",
        "texts/first/deep/cat.txt",
        "texts/second/cat.txt",
    ]


def test_an_export_finds_the_images_where_the_job_did_or_where_they_are_now(folder: Path) -> None:
    visionpipe("caption", "first", "second", "-o", "all.jsonl", folder=folder)
    done = visionpipe("export", "all.jsonl.journal", "-o", "json:", folder=folder)
    assert done.returncode == 0, done.stderr
    assert written(folder, "cat.json") == ["first/cat.json", "first/deep/cat.json", "second/cat.json"]
    (folder / "moved").mkdir()
    for name in ("first", "second"):
        (folder / name).rename(folder / "moved" / name)
    moved = visionpipe("export", "all.jsonl.journal", "-o", "txt:", "--images", "moved", folder=folder)
    assert moved.returncode == 0, moved.stderr
    assert written(folder, ".txt") == [
        "moved/first/cat.txt",
        "moved/first/deep/cat.txt",
        "moved/second/cat.txt",
    ]
