"""``--near-duplicates`` by bits and by features, as the plan and the captions show it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from PIL import Image, ImageOps

from tests.cli.commands import SAMPLES, lines, visionpipe


def mirrored_cat(folder: Path) -> Path:
    folder.mkdir()
    shutil.copy(SAMPLES / "chelsea.png", folder / "cat.png")
    with Image.open(SAMPLES / "chelsea.png") as cat:
        ImageOps.mirror(cat).save(folder / "mirrored.jpg", quality=85)
    return folder


def test_features_find_a_mirrored_copy_and_bits_do_not(tmp_path: Path) -> None:
    folder = mirrored_cat(tmp_path / "in")
    by_bits = visionpipe("check", folder, "--near-duplicates", "11", folder=tmp_path)
    assert by_bits.returncode == 0, by_bits.stderr
    assert "2 to send" in by_bits.stdout
    by_features = visionpipe("check", folder, "--near-duplicates", "features", folder=tmp_path)
    assert by_features.returncode == 0, by_features.stderr
    assert "duplicate  mirrored.jpg  looks like cat.png (likeness 0.9" in by_features.stdout
    assert "1 to send, 1 to duplicate" in by_features.stdout


def test_the_caption_is_shared_and_says_so(tmp_path: Path) -> None:
    folder = mirrored_cat(tmp_path / "in")
    done = visionpipe(
        "caption", folder, "-o", "o.jsonl", "--near-duplicates", "features:0.9", folder=tmp_path
    )
    assert done.returncode == 0, done.stderr
    found = lines(tmp_path / "o.jsonl")
    assert found["mirrored.jpg"]["duplicate_of"] == "cat.png"
    assert found["mirrored.jpg"]["caption"] == found["cat.png"]["caption"]
    assert "answered by a duplicate: 1" in done.stderr


@pytest.mark.parametrize("value", ["12", "feature", "features:2"])
def test_another_value_is_refused_with_the_cure(tmp_path: Path, value: str) -> None:
    done = visionpipe("check", SAMPLES, "--near-duplicates", value, folder=tmp_path)
    assert done.returncode == 2
    assert "near_duplicates" in done.stderr
    assert "Give 0 to 11" in done.stderr
    assert done.stdout == ""
