"""What a job is told to read: folders out of reach, and lists, files and folders that hold nothing."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.cli.commands import cat, lines, visionpipe


def picture(path: Path, width: int = 64) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(cat(width))
    return path


def bury(folder: Path) -> None:
    """Make folders within folders until their path is too long for any user to list."""
    held = os.open(folder, os.O_RDONLY)
    for _ in range(20):
        os.mkdir("d" * 240, dir_fd=held)
        inner = os.open("d" * 240, os.O_RDONLY, dir_fd=held)
        os.close(held)
        held = inner
    os.close(held)


def test_a_folder_that_cannot_be_listed_fails_the_run(tmp_path: Path) -> None:
    picture(tmp_path / "photos" / "a.jpg")
    bury(tmp_path / "photos")
    done = visionpipe("caption", "photos", "-o", "out.jsonl", folder=tmp_path)
    assert done.returncode == 1, done.stderr
    assert "2 items: 1 done, 1 failed" in done.stderr
    failed = next(line for name, line in lines(tmp_path / "out.jsonl").items() if name.endswith("/"))
    assert failed["outcome"] == "failed"
    assert failed["error"]["retryable"]
    assert "cannot be listed" in failed["error"]["reason"]
    planned = visionpipe("check", "photos", "-o", "out.jsonl", folder=tmp_path)
    assert planned.returncode == 1, planned.stdout
    assert "1 to refuse" in planned.stdout


def test_a_file_named_twice_is_listed_twice(tmp_path: Path) -> None:
    picture(tmp_path / "i00.jpg")
    done = visionpipe("caption", "i00.jpg", "./i00.jpg", "-o", "out.jsonl", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "2 items: 1 done, 1 skipped" in done.stderr
    assert "skipped, listed twice: 1" in done.stderr
    assert set(lines(tmp_path / "out.jsonl")) == {"i00.jpg"}


def test_files_of_one_name_are_told_apart_by_their_paths(tmp_path: Path) -> None:
    picture(tmp_path / "a" / "x.jpg", 64)
    picture(tmp_path / "b" / "x.jpg", 65)
    done = visionpipe("caption", "a/x.jpg", "b/x.jpg", "-o", "out.jsonl", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert set(lines(tmp_path / "out.jsonl")) == {"a/x.jpg", "b/x.jpg"}


def test_paths_come_down_a_pipe(tmp_path: Path) -> None:
    for n, name in enumerate(("b", "a", "with space")):
        picture(tmp_path / "photos" / f"{name}.jpg", 64 + n)
    listed = ["photos/b.jpg", "photos/with space.jpg", "photos/a.jpg", "photos/gone.jpg"]
    for mark in ("\n", "\0"):
        done = visionpipe("caption", "-", folder=tmp_path, input=mark.join(listed))
        assert done.returncode == 1, done.stderr
        assert "4 items: 3 done, 1 failed" in done.stderr
    assert "kept from earlier runs: 3" in done.stderr
    assert set(lines(tmp_path / "captions.jsonl")) == set(listed)
    planned = visionpipe("check", "-", folder=tmp_path, input=f"{listed[0]}\n{listed[2]}\n")
    assert planned.returncode == 0, planned.stderr
    assert planned.stdout.index("photos/b.jpg") < planned.stdout.index("photos/a.jpg")
    assert "2 items" in planned.stdout
    to_text = visionpipe("caption", "-", "-o", "txt:", folder=tmp_path, input=f"{listed[0]}\n")
    assert to_text.returncode == 0, to_text.stderr
    assert (tmp_path / "photos" / "b.txt").exists()
    assert (tmp_path / ".visionpipe.journal").exists()


@pytest.mark.parametrize("command", ["caption", "check"])
@pytest.mark.parametrize(
    ("files", "given", "words"),
    [
        ({}, "in", "0 images found in in"),
        (
            {"notes.txt": "hello", "b.txt": "hello"},
            "in",
            "0 images found in in (left alone: not an image: 2)",
        ),
        ({"notes.txt": "hello"}, "in/*.txt", "0 images found in in/*.txt (left alone: not an image: 1)"),
        ({"l.csv": ""}, "in/l.csv", "0 images found in in/l.csv"),
        ({"l.csv": "path,note\n"}, "in/l.csv", "0 images found in in/l.csv"),
        ({"l.txt": "# nothing\n"}, "in/l.txt", "0 images found in in/l.txt"),
        ({}, "-", "0 images found in standard input"),
    ],
)
def test_no_image_at_all_is_no_success(
    tmp_path: Path, command: str, files: dict[str, str], given: str, words: str
) -> None:
    (tmp_path / "in").mkdir()
    for name, text in files.items():
        (tmp_path / "in" / name).write_text(text)
    done = visionpipe(command, given, folder=tmp_path, input="")
    assert done.returncode == 1, done.stderr
    assert words in done.stderr


@pytest.mark.parametrize("text", ["name,note\nphotos/a.jpg,nice\n", "name,note\n", "photos/a.jpg\n"])
def test_a_list_without_a_column_of_paths_is_an_error_that_says_so(tmp_path: Path, text: str) -> None:
    (tmp_path / "l.csv").write_text(text)
    done = visionpipe("caption", "l.csv", folder=tmp_path)
    assert done.returncode == 2, done.stderr
    assert "l.csv: line 1 has no column path, file, image or url; it has" in done.stderr
    assert "--column" in done.stderr
    assert not (tmp_path / "captions.jsonl").exists()
