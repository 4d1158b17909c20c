"""A contact sheet shows every image, upright and labelled, within its size."""

from __future__ import annotations

import io

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image as pillow

from visionpipe.errors import BadImageError, ParameterError
from visionpipe.images.contact_sheet import contact_sheet
from visionpipe.images.load import load_image
from visionpipe.media import Image, MemoryContent
from visionpipe.testing.images import CORNERS, jpeg_bytes, png_bytes
from visionpipe.values import Adjustment


def loaded(data: bytes, name: str = "a.jpg") -> Image:
    image = load_image(data, name=name)
    assert isinstance(image, Image)
    return image


def shown(image: Image) -> pillow.Image:
    assert isinstance(image.content, MemoryContent)
    return pillow.open(io.BytesIO(image.content.data)).convert("RGB")


def near(sheet: pillow.Image, place: tuple[int, int], colour: tuple[int, int, int]) -> bool:
    found = sheet.getpixel(place)
    assert isinstance(found, tuple)
    return all(abs(a - b) < 25 for a, b in zip(found, colour, strict=True))


def test_images_stand_in_a_grid_upright() -> None:
    images = [loaded(jpeg_bytes(400, 400, orientation=o), f"{o}.jpg") for o in (1, 3, 6, 8)]
    sheet = contact_sheet(images, max_side=512)
    picture = shown(sheet)
    assert picture.size == (sheet.width, sheet.height)
    assert max(picture.size) <= 512
    half_w, half_h = picture.width // 2, picture.height // 2
    for row in range(2):
        for column in range(2):
            assert near(picture, (column * half_w + 60, row * half_h + 60), CORNERS[0])
            assert near(picture, (column * half_w + 190, row * half_h + 60), CORNERS[1])
    [told] = sheet.adjustments
    assert told.kind == "contact_sheet"
    assert told.detail.startswith(f"4 images -> one of {sheet.width}x{sheet.height}, 2 columns, 2 rows")
    assert "3 = 6.jpg" in told.detail


def test_labels_are_written_under_the_images() -> None:
    images = [loaded(jpeg_bytes(300, 300))] * 2
    blank = shown(contact_sheet(images, labels=["", ""], max_side=400))
    first = shown(contact_sheet(images, labels=["", "MMM"], max_side=400))
    assert blank.size == first.size
    strip = (0, blank.height - 13, blank.width, blank.height)
    assert min(first.crop(strip).convert("L").tobytes()) < 60
    assert min(blank.crop(strip).convert("L").tobytes()) > 200
    assert shown(contact_sheet(images, labels=["M" * 500, "猫"], max_side=400)).size == blank.size


def test_earlier_adjustments_are_kept() -> None:
    image = loaded(png_bytes(mode="RGBA"))
    changed = Image(
        image.name, image.content, "png", 32, 24, alpha=True, adjustments=(Adjustment("converted", "x", "y"),)
    )
    sheet = contact_sheet([changed, changed])
    assert [a.kind for a in sheet.adjustments] == ["converted", "converted", "contact_sheet"]


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.tuples(st.integers(1, 300), st.integers(1, 300)), min_size=1, max_size=9),
    st.integers(256, 700),
)
def test_a_sheet_is_never_larger_than_asked(sizes: list[tuple[int, int]], max_side: int) -> None:
    sheet = contact_sheet([loaded(png_bytes(w, h)) for w, h in sizes], max_side=max_side)
    assert 0 < max(shown(sheet).size) <= max_side


def test_a_sheet_that_cannot_be_is_refused() -> None:
    image = loaded(jpeg_bytes())
    with pytest.raises(ParameterError, match="no images"):
        contact_sheet([])
    with pytest.raises(ParameterError, match="1 labels for 2"):
        contact_sheet([image, image], labels=["a"])
    with pytest.raises(ParameterError, match="100 images on a sheet of 200"):
        contact_sheet([image] * 100, max_side=200)


def test_a_broken_image_is_named() -> None:
    data = bytearray(png_bytes(64, 64))
    middle = data.index(b"IDAT") + 20
    data[middle : middle + 8] = bytes(8)
    with pytest.raises(BadImageError, match=r"b\.png"):
        contact_sheet([loaded(png_bytes()), loaded(bytes(data), "b.png")])
