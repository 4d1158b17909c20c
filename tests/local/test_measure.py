"""Colours, sharpness and exposure mean what their words say."""

from __future__ import annotations

import colorsys

import cv2
import numpy as np
import pytest

from visionpipe.images.load import image_from_bytes
from visionpipe.local.decide import COLOURS
from visionpipe.local.engine import NAMES, measure, to_analyse
from visionpipe.local.networks import Pixels


def flat(red: int, green: int, blue: int) -> Pixels:
    return np.full((32, 48, 3), (blue, green, red), np.uint8)


def checks(side: int = 256, square: int = 16) -> Pixels:
    grid = (np.indices((side, side)) // square).sum(axis=0) % 2
    return np.repeat((grid * 180 + 40).astype(np.uint8)[:, :, np.newaxis], 3, axis=2)


@pytest.mark.parametrize(
    ("rgb", "name"),
    [
        ((0, 0, 0), "black"),
        ((255, 255, 255), "white"),
        ((128, 128, 128), "grey"),
        ((220, 20, 30), "red"),
        ((255, 140, 0), "orange"),
        ((250, 230, 30), "yellow"),
        ((30, 160, 40), "green"),
        ((0, 190, 190), "turquoise"),
        ((20, 60, 200), "blue"),
        ((130, 30, 190), "purple"),
        ((255, 120, 190), "pink"),
        ((110, 60, 20), "brown"),
        ((225, 205, 170), "beige"),
    ],
)
def test_a_flat_colour_is_called_by_its_name(rgb: tuple[int, int, int], name: str) -> None:
    (colour,) = measure(flat(*rgb)).colours
    assert (colour.name, colour.share) == (name, 1.0)


def test_every_hue_has_a_name_in_both_languages() -> None:
    assert set(NAMES) == set(COLOURS)
    for degree in range(0, 360, 3):
        red, green, blue = (round(255 * v) for v in colorsys.hsv_to_rgb(degree / 360, 0.9, 0.9))
        assert measure(flat(red, green, blue)).colours[0].name not in {"black", "white", "grey"}


def test_shares_come_largest_first() -> None:
    pixels = flat(20, 60, 200)
    pixels[:10] = (255, 255, 255)
    blue, white = measure(pixels).colours
    assert (blue.name, white.name) == ("blue", "white")
    assert blue.share == pytest.approx(22 / 32)


def test_blur_is_told_from_sharpness() -> None:
    sharp = checks()
    blurred = np.asarray(cv2.GaussianBlur(sharp, (0, 0), 5), np.uint8)
    assert not measure(sharp).blurred
    assert measure(blurred).blurred


def test_grain_does_not_make_a_blurred_photo_sharp() -> None:
    noise = np.random.default_rng(0).normal(0, 3, (256, 256, 1))
    blurred = cv2.GaussianBlur(checks(), (0, 0), 5).astype(np.float32)
    assert measure(np.clip(blurred + noise, 0, 255).astype(np.uint8)).blurred


@pytest.mark.parametrize("shape", [(1, 1), (1, 200), (200, 1), (32, 48)])
def test_nothing_with_an_edge_has_no_sharpness(shape: tuple[int, int]) -> None:
    look = measure(np.full((*shape, 3), 99, np.uint8))
    assert look.sharpness is None
    assert not look.blurred


def test_grey_bilevel_and_exposure() -> None:
    ink = np.full((64, 64, 3), 255, np.uint8)
    ink[20:40, 20:40] = 0
    look = measure(ink)
    assert (look.grey, look.bilevel, look.exposure) == (True, True, "bright")
    assert measure(flat(20, 60, 200)).grey is False
    assert measure(flat(10, 10, 10)).exposure == "dark"
    assert measure(flat(128, 128, 128)).exposure == "normal"
    assert measure(checks()).bilevel is False


def test_a_figure_does_not_depend_on_the_size_of_the_file() -> None:
    small = checks(512, 32)
    large = cv2.resize(small, (1536, 1536), interpolation=cv2.INTER_NEAREST)
    png = cv2.imencode(".png", large)[1].tobytes()
    assert measure(to_analyse(image_from_bytes(png, "image"), 1536).pixels).sharpness == pytest.approx(
        measure(small).sharpness, abs=0.05
    )
