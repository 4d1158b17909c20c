"""A file that was read for its key is told by what went by then as it is by opening it."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from visionpipe.errors import UnreadableSourceError, VisionPipeError
from visionpipe.files import check_unchanged
from visionpipe.images.load import image_seen, load_image
from visionpipe.media import FileContent, Image
from visionpipe.pipeline.contents import fingerprint
from visionpipe.testing.images import image_bytes

SAMPLES = Path(__file__).parents[2] / "samples"
CASES = Path(__file__).parent / "cases"
FILES = sorted(
    path for folder in (SAMPLES, CASES) for path in folder.iterdir() if path.is_file() and path.stat().st_size
)


def told(load: Callable[[], Any]) -> object:
    try:
        return load()
    except VisionPipeError as error:
        return type(error), error.code, error.reason, error.subject


@pytest.mark.parametrize("kept", [0, 64 * 1024])
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_it_is_what_opening_it_tells(path: Path, kept: int) -> None:
    _, seen = fingerprint(str(path))
    for most in (None, 100):
        limits: dict[str, Any] = {"max_pixels": most, "in_memory_bytes": kept}
        assert told(partial(image_seen, seen, **limits)) == told(partial(load_image, str(path), **limits))


@pytest.mark.parametrize(
    "length", [1, 3, 15, 16, 17, 4095, 4096, 4097, (1 << 20) - 1, 1 << 20, (1 << 20) + 5]
)
def test_any_part_of_it_can_be_read(tmp_path: Path, length: int) -> None:
    data = os.urandom(length)
    path = tmp_path / "a"
    path.write_bytes(data)
    _, seen = fingerprint(str(path))
    for offset in {0, length // 2, max(0, length - 16), max(0, length - 2), length - 1, length}:
        for count in (1, 2, 16, 5000):
            assert seen.read_at(offset, count) == data[offset : offset + count]


def test_what_was_put_in_its_place_is_not_taken_for_it(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(image_bytes("png", 400, 300))
    _, seen = fingerprint(str(path))
    path.write_bytes(image_bytes("png", 300, 200))
    image = image_seen(seen, in_memory_bytes=0)
    assert isinstance(image, Image)
    assert isinstance(image.content, FileContent)
    with pytest.raises(UnreadableSourceError) as caught:
        check_unchanged(image.content)
    assert caught.value.code == "changed"
