"""Outputs that lie among the photos: neither counted nor shown, while a user's own files are."""

from __future__ import annotations

from pathlib import Path

import orjson
import pytest

from tests.cli.commands import cat, lines, visionpipe

KINDS = ("jsonl", "csv", "sqlite", "html", "tar", "parquet")


def photos(folder: Path) -> Path:
    (folder / "sub").mkdir(parents=True)
    for n, name in enumerate(("a.jpg", "b.jpg", "sub/c.jpg")):
        (folder / name).write_bytes(cat(n))
    (folder / "CREDITS.md").write_text("# Credits")
    (folder / "list.csv").write_text("path\nx.jpg\n")
    return folder


def left_behind(output: Path) -> None:
    """What a killed run leaves beside an output and its journal."""
    for name in (".out.jsonl.part", ".out.csv.part", "out.sqlite-wal", "out.sqlite-shm"):
        (output / name).write_bytes(b"x" if not name.startswith("out.sqlite") else b"")
    for end in ("-wal", "-shm", ".ballast"):
        (output / f"out.jsonl.journal{end}").write_bytes(b"")


def test_outputs_and_journal_among_the_photos_are_no_items(tmp_path: Path) -> None:
    folder = photos(tmp_path / "photos")
    outputs = [word for kind in KINDS for word in ("-o", f"photos/out.{kind}")]
    first = visionpipe("caption", "photos", *outputs, folder=tmp_path)
    assert first.returncode == 0, first.stderr
    left_behind(folder)
    again = visionpipe("caption", "photos", *outputs, folder=tmp_path)
    assert again.returncode == 0, again.stderr
    for run in (first, again):
        assert "5 items: 3 done, 2 skipped" in run.stderr
        assert "skipped, not an image: 2" in run.stderr
    assert set(lines(folder / "out.jsonl")) == {"a.jpg", "b.jpg", "sub/c.jpg"}

    with_outputs = visionpipe("check", "photos", *outputs, folder=tmp_path)
    assert "5 items" in with_outputs.stdout
    assert "3 to keep" in with_outputs.stdout


@pytest.mark.parametrize("kind", ["txt", "json", "xmp"])
def test_sidecars_of_this_job_are_no_items(tmp_path: Path, kind: str) -> None:
    folder = photos(tmp_path / "photos")
    for _ in range(2):
        run = visionpipe("caption", "photos", "-o", f"{kind}:", folder=tmp_path)
        assert "5 items: 3 done, 2 skipped" in run.stderr, run.stderr
    assert (folder / "sub" / f"c.{kind}").exists()
    (folder / f"notes.{kind}").write_text("mine")
    run = visionpipe("caption", "photos", "-o", f"{kind}:", folder=tmp_path)
    assert "6 items: 3 done, 3 skipped" in run.stderr, run.stderr


def test_sidecars_in_a_folder_below_the_photos_are_no_items(tmp_path: Path) -> None:
    folder = photos(tmp_path / "photos")
    command = ["-o", "txt:photos/texts", "--naming", "{name}.txt"]
    for _ in range(2):
        run = visionpipe("caption", "photos", *command, folder=tmp_path)
        assert "5 items: 3 done, 2 skipped" in run.stderr, run.stderr
    assert (folder / "texts" / "sub" / "c.jpg.txt").exists()
    checked = visionpipe("check", "photos", *command, "--json", folder=tmp_path)
    assert orjson.loads(checked.stdout.splitlines()[-1])["totals"]["items"] == 5


def test_check_is_told_the_output_by_the_journal_named_after_it(tmp_path: Path) -> None:
    photos(tmp_path / "photos")
    visionpipe("caption", "photos", "-o", "photos/out.jsonl", folder=tmp_path)
    checked = visionpipe("check", "photos", "--journal", "photos/out.jsonl.journal", folder=tmp_path)
    assert "5 items" in checked.stdout
