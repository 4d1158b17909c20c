"""Small files that other programs and devices write, each with the picture that people see in it."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tests.images.as_sent import as_sent, details, loaded
from visionpipe.images.load import image_from_bytes
from visionpipe.local.engine import to_analyse
from visionpipe.media import Image

CASES = Path(__file__).parent / "cases"


def test_sixteen_bits_with_white_for_zero_are_a_positive() -> None:
    deep, shades = as_sent(CASES / "miniswhite16.tif")
    _, wanted = as_sent(CASES / "miniswhite8.tif")
    assert np.abs(shades - wanted).max() <= 1
    assert "16 bits -> 8 bits" in details(deep)


def test_thirty_two_bits_are_read_without_a_sign() -> None:
    deep, shades = as_sent(CASES / "u32.tif")
    _, negative = as_sent(CASES / "miniswhite8.tif")
    assert np.abs(shades - (255 - negative)).max() <= 1
    assert "32 bits -> 8 bits" in details(deep)


def test_a_heic_turned_by_exif_alone_is_turned() -> None:
    image, pixels = as_sent(CASES / "h6_noirot.heic")
    assert (image.width, image.height) == (160, 240)
    assert "rotated: orientation 6 -> upright" in details(image)
    # As it lies it is red and green above, blue and yellow below.
    corners = [pixels[y, x] for y in (30, 200) for x in (40, 120)]
    blue, red, yellow, green = (0, 0, 255), (255, 0, 0), (255, 200, 0), (0, 200, 0)
    assert np.abs(np.array(corners) - [blue, red, yellow, green]).max() <= 4


def test_prophoto_becomes_srgb() -> None:
    wide, pixels = as_sent(CASES / "prophoto.jpg")
    _, wanted = as_sent(CASES / "srgb_same.jpg")
    assert np.abs(pixels[50, 75] - (255, 0, 0)).max() <= 4
    assert np.abs(pixels - wanted).mean() <= 2
    assert "-> sRGB" in details(wide)


def test_sixteen_bits_of_colour_are_told() -> None:
    image, pixels = as_sent(CASES / "rgb16.png")
    assert "converted: 16 bits -> 8 bits" in details(image)
    assert np.abs(pixels[40, 60] - (255, 0, 0)).max() <= 1


def test_an_animation_is_shown_from_where_there_is_something() -> None:
    image, pixels = as_sent(CASES / "gif_first_empty.gif")
    assert pixels.std() > 40
    assert "frame 2 of 2, the first of the animation that shows something" in details(image)


def test_the_embedded_engine_sees_what_is_sent() -> None:
    for path in sorted(CASES.iterdir()):
        image: Image = image_from_bytes(path.read_bytes(), path.name)
        seen = to_analyse(image, 960)
        sent, pixels = as_sent(path)
        assert (seen.width, seen.height) == (sent.width, sent.height) == loaded(path).upright_size
        assert np.array_equal(seen.pixels[:, :, ::-1], pixels), path.name
