"""Bytes to upright pixels, and every way in which bytes are no image."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from visionpipe.errors import BadImageError
from visionpipe.images.load import image_from_bytes
from visionpipe.local.engine import Picture, to_analyse


def decode(data: bytes, longest: int) -> Picture:
    return to_analyse(image_from_bytes(data, "image"), longest)


def encoded(image: Image.Image, format: str, **options: object) -> bytes:
    out = io.BytesIO()
    image.save(out, format, **options)
    return out.getvalue()


def corner() -> Image.Image:
    """40 x 20, white with a red top left quarter."""
    image = Image.new("RGB", (40, 20), "white")
    image.paste((200, 0, 0), (0, 0, 20, 10))
    return image


def red_at(picture: Picture) -> tuple[float, float]:
    """The middle of the red, as fractions of width and height."""
    blue = picture.pixels[:, :, 0]
    rows, columns = np.nonzero(blue < 128)
    return float(columns.mean() / blue.shape[1]), float(rows.mean() / blue.shape[0])


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize(
    ("orientation", "size", "left", "top"),
    [
        (1, (40, 20), True, True),
        (2, (40, 20), False, True),
        (3, (40, 20), False, False),
        (4, (40, 20), True, False),
        (5, (20, 40), True, True),
        (6, (20, 40), False, True),
        (7, (20, 40), False, False),
        (8, (20, 40), True, False),
    ],
)
def test_every_orientation_ends_upright(
    format: str, orientation: int, size: tuple[int, int], left: bool, top: bool
) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    picture = decode(encoded(corner(), format, exif=exif), 960)
    assert (picture.width, picture.height) == size
    assert picture.pixels.shape == (size[1], size[0], 3)
    x, y = red_at(picture)
    assert ((x < 0.5), (y < 0.5)) == (left, top)
    assert picture.notes == ()


def test_an_orientation_that_means_nothing_is_told() -> None:
    exif = Image.Exif()
    exif[0x0112] = 77
    picture = decode(encoded(corner(), "JPEG", exif=exif), 960)
    assert (picture.width, picture.height) == (40, 20)
    assert "77" in picture.notes[0]


def test_a_large_jpeg_comes_reduced_with_its_own_size_told() -> None:
    picture = decode(encoded(Image.new("RGB", (4000, 3000), "navy"), "JPEG"), 960)
    assert (picture.width, picture.height, picture.format) == (4000, 3000, "jpeg")
    assert picture.pixels.shape == (720, 960, 3)


@pytest.mark.parametrize(
    ("image", "grey"),
    [
        (Image.new("L", (8, 8), 128), 128),
        (Image.new("1", (8, 8), 1), 255),
        (Image.new("P", (8, 8), 0), 0),
        (Image.new("LA", (8, 8), (0, 0)), 255),
        (Image.new("RGBA", (8, 8), (0, 0, 0, 0)), 255),
        (Image.fromarray(np.full((8, 8), 32768, np.uint16)), 128),
    ],
    ids=["grey", "bit", "palette", "grey-alpha", "alpha", "16-bit"],
)
def test_every_mode_becomes_bgr(image: Image.Image, grey: int) -> None:
    pixels = decode(encoded(image, "PNG"), 960).pixels
    assert pixels.shape == (8, 8, 3)
    assert np.abs(pixels.astype(int) - grey).max() <= 1


def test_cmyk_and_animations_are_taken() -> None:
    assert decode(encoded(Image.new("CMYK", (8, 8)), "JPEG"), 960).pixels.min() >= 250
    frames = [Image.new("RGB", (8, 8), "red"), Image.new("RGB", (8, 8), "blue")]
    first = decode(encoded(frames[0], "GIF", save_all=True, append_images=frames[1:]), 960)
    assert first.pixels[0, 0].tolist() == [0, 0, 255]
    assert first.format == "gif"


def bomb() -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 30_000, 30_000, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"") + chunk(b"IEND", b"")


NOISE = Image.fromarray(np.random.default_rng(1).integers(0, 255, (64, 64, 3), np.uint8))


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", "empty"),
        (b"just some text", "not_an_image"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n", "not_an_image"),
        (encoded(NOISE, "JPEG")[:1500], "truncated"),
        (encoded(NOISE, "PNG")[:1500], "truncated"),
        (bomb(), "bomb"),
    ],
    ids=["empty", "text", "postscript", "cut jpeg", "cut png", "bomb"],
)
def test_bad_bytes_are_named(data: bytes, code: str) -> None:
    with pytest.raises(BadImageError) as caught:
        decode(data, 960)
    assert caught.value.code == code
    assert caught.value.cure


@given(st.data())
@settings(max_examples=150, deadline=None)
def test_damaged_files_decode_or_are_bad_images(data: st.DataObject) -> None:
    format = data.draw(st.sampled_from(["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF", "ICO", "PPM"]))
    whole = bytearray(encoded(corner(), format))
    for place in data.draw(st.lists(st.integers(0, len(whole) - 1), max_size=6)):
        whole[place] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(whole)))
    try:
        picture = decode(bytes(whole[:cut]), 64)
    except BadImageError as error:
        assert error.cure
    else:
        assert picture.pixels.ndim == 3
        assert max(picture.pixels.shape) <= 64
