"""Thirty hostile files: thirty input errors, each with file, reason and cure."""

from __future__ import annotations

from pathlib import Path

import pytest

from visionpipe.errors import BadImageError, InputError, UnreadableSourceError
from visionpipe.images.load import load_image, verify_image
from visionpipe.media import Image
from visionpipe.sources.find import Source, find_sources
from visionpipe.testing.images import hostile_files

ONLY_WHEN_DECODED = {"damaged_pixels.png", "damaged_tables.jpg"}


def test_each_is_refused_by_name_reason_and_cure(tmp_path: Path) -> None:
    paths = hostile_files(tmp_path)
    assert len(paths) == len(set(paths)) == 30
    reasons = set()
    for path in paths:
        with pytest.raises(InputError) as caught:
            image = load_image(path)
            assert path.name in ONLY_WHEN_DECODED
            assert isinstance(image, Image)
            verify_image(image)
        error = caught.value
        assert isinstance(error, (BadImageError, UnreadableSourceError))
        assert error.subject == str(path)
        assert error.scope == "item"
        assert str(error) == f"{path}: {error.reason}. {error.cure}"
        reasons.add(error.reason)
    assert len(reasons) >= 22


def test_what_only_decoding_finds_has_to_be_decoded(tmp_path: Path) -> None:
    hostile_files(tmp_path)
    sideways = load_image(tmp_path / "damaged_tables.jpg")
    transparent = load_image(tmp_path / "damaged_pixels.png")
    assert isinstance(sideways, Image) and isinstance(transparent, Image)
    assert sideways.orientation != 1
    assert transparent.alpha


def test_each_is_an_item_of_the_run(tmp_path: Path) -> None:
    paths = hostile_files(tmp_path)
    found = list(find_sources(tmp_path))
    assert [Source(path.name, str(path)) for path in paths] == found
