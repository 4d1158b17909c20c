"""Vectors of real pictures: versions of one picture are alike, different pictures are not."""

from __future__ import annotations

import io
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageEnhance, ImageOps

from visionpipe.errors import BadImageError, UnsupportedError
from visionpipe.local.likeness import LENGTH, LikenessReader
from visionpipe.testing.images import image_bytes

SAMPLES = Path(__file__).parent.parent.parent / "samples"
PHOTOS = ("astronaut.png", "camera.png", "chelsea.png", "china.jpg", "coffee.png", "flower.jpg", "rocket.jpg",
          "grace_hopper.jpg")  # fmt: skip


@pytest.fixture(scope="module")
def reader() -> LikenessReader:
    return LikenessReader()


def likeness(one: bytes, other: bytes) -> float:
    a, b = (np.frombuffer(v, np.int8).astype(np.float64) for v in (one, other))
    return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))


def encoded(picture: Image.Image, format: str = "PNG", **options: int) -> bytes:
    out = io.BytesIO()
    picture.save(out, format, **options)
    return out.getvalue()


def photo(name: str) -> Image.Image:
    return Image.open(SAMPLES / name).convert("RGB")


def cropped(picture: Image.Image) -> Image.Image:
    width, height = picture.size
    return picture.crop((width // 20, height // 20, width - width // 20, height - height // 20))


VERSIONS: dict[str, Callable[[Image.Image], bytes]] = {
    "cropped": lambda p: encoded(cropped(p)),
    "zoomed": lambda p: encoded(cropped(cropped(p)).resize(p.size)),
    "mirrored": lambda p: encoded(ImageOps.mirror(p)),
    "darker": lambda p: encoded(ImageEnhance.Brightness(p).enhance(0.75)),
    "brighter": lambda p: encoded(ImageEnhance.Brightness(p).enhance(1.25)),
    "JPEG 40": lambda p: encoded(p, "JPEG", quality=40),
    "half": lambda p: encoded(p.resize((p.width // 2, p.height // 2))),
}


@pytest.mark.parametrize("version", VERSIONS)
def test_versions_of_a_photo_are_more_alike_than_any_two_photos(reader: LikenessReader, version: str) -> None:
    for name in PHOTOS:
        picture = photo(name)
        assert likeness(reader.vector(encoded(picture)), reader.vector(VERSIONS[version](picture))) > 0.77


def test_different_photos_are_not_alike(reader: LikenessReader) -> None:
    samples = [path for path in sorted(SAMPLES.iterdir()) if path.suffix in (".png", ".jpg")]
    vectors = [reader.vector(path) for path in samples]
    assert {len(vector) for vector in vectors} == {LENGTH}
    assert max(likeness(a, b) for a, b in combinations(vectors, 2)) < 0.7


def test_different_pages_are_told_apart_and_copies_of_one_are_not(reader: LikenessReader) -> None:
    def letter(lines: list[str]) -> Image.Image:
        page = Image.new("RGB", (600, 800), "white")
        for row, line in enumerate(lines):
            ImageDraw.Draw(page).text((50, 60 + 22 * row), line, fill="black")
        return page

    one = letter(["It was agreed last week that the delivery", "will be late.", "", "Yours"] * 3)
    other = letter(["Dear all,", "", "Rain", "", "is what the forecast says for all the days of it"] * 4)
    seen = reader.vector(encoded(one))
    assert likeness(seen, reader.vector(encoded(other))) < 0.9
    assert likeness(seen, reader.vector(encoded(one, "JPEG", quality=60))) > 0.95
    assert likeness(seen, reader.vector(encoded(one.resize((300, 400))))) > 0.9


def test_a_turned_copy_with_its_flag_is_the_same(reader: LikenessReader) -> None:
    upright = reader.vector(image_bytes("png", 320, 240))
    for orientation in range(2, 9):
        assert reader.vector(image_bytes("png", 320, 240, orientation=orientation)) == upright


@pytest.mark.parametrize("size", [(1, 1), (1, 300), (300, 1), (2000, 3)])
def test_odd_sizes_and_one_colour_have_a_vector(reader: LikenessReader, size: tuple[int, int]) -> None:
    data = encoded(Image.new("RGB", size, "teal"))
    assert any(reader.vector(data))
    assert reader.vector(data) == reader.vector(data)


def test_threads_say_what_one_says() -> None:
    pictures = [SAMPLES / name for name in PHOTOS]
    alone = [LikenessReader(1).vector(path) for path in pictures]
    with ThreadPoolExecutor(4) as threads:
        assert list(threads.map(LikenessReader(2).vector, pictures)) == alone


def test_what_is_no_picture_is_refused(reader: LikenessReader) -> None:
    with pytest.raises(BadImageError):
        reader.vector(b"no picture at all")
    with pytest.raises(UnsupportedError, match="link"):
        reader.vector("https://example.org/a.jpg")
