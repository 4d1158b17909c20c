"""Damaged files of every kind become pictures or input errors, and nothing else."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image as pillow

from tests.images.profiles import PROPHOTO, profile
from tests.images.test_animation import CLEAR, DRAWN, OTHER, animation
from tests.images.test_colour import encoded as with_profile
from tests.images.test_colour import png_with
from tests.images.test_modes import encoded as in_mode
from tests.images.test_orientation import png_chunk, raw_profile, untransformed_exif
from visionpipe.errors import InputError
from visionpipe.images.encode import apply_repair
from visionpipe.images.hashes import dhash
from visionpipe.images.load import load_image
from visionpipe.images.sniff import kind_of
from visionpipe.media import Image, Repair
from visionpipe.testing.images import png_bytes

SCENE = np.asarray(pillow.effect_mandelbrot((24, 16), (-2, -1, 1, 1), 40).convert("RGB"))


@cache
def whole_files() -> tuple[bytes, ...]:
    icc = profile(PROPHOTO)
    return (
        *(
            with_profile(format, SCENE, icc)
            for format in ("jpeg", "png", "webp", "tiff", "heic", "avif", "gif")
        ),
        *(untransformed_exif(format, 6) for format in ("heic", "avif")),
        *(animation(format, CLEAR, DRAWN, OTHER) for format in ("gif", "png", "webp", "avif")),
        *(in_mode(format, "RGB") for format in ("TGA", "DIB", "BMP", "ICO", "PPM", "JPEG2000")),
        png_with(b"cICP", bytes([9, 16, 0, 1]), SCENE),
        png_with(b"gAMA", bytes([0, 1, 0x86, 0xA0]), SCENE),
        png_chunk(png_bytes(), b"zTXt", b"Raw profile type exif\0\0" + raw_profile(6)),
    )


@settings(max_examples=250, deadline=None)
@given(st.data())
def test_nothing_else_gets_out(data: st.DataObject) -> None:
    files = whole_files()
    damaged = bytearray(files[data.draw(st.integers(0, len(files) - 1))])
    for _ in range(data.draw(st.integers(1, 5))):
        near = data.draw(st.booleans())
        place = data.draw(st.integers(0, min(len(damaged), 400 if near else len(damaged)) - 1))
        damaged[place] = data.draw(st.integers(0, 255))
    if data.draw(st.integers(0, 4)) == 0:
        damaged = damaged[: data.draw(st.integers(0, len(damaged)))]
    try:
        image = load_image(bytes(damaged), max_pixels=1_000_000)
        assert isinstance(image, Image)
        width, height = image.upright_size
        sent = apply_repair(image, Repair("jpeg", max(1, width // 2), max(1, height // 2)))
        assert 0 <= dhash(image) < 1 << 64
    except InputError as error:
        assert error.cure
    else:
        assert sent.upright_size == (max(1, width // 2), max(1, height // 2))


@pytest.mark.parametrize(
    "head",
    [
        b"\0\0\2\0\1\0\x20\x20" + bytes(20),  # a mouse pointer
        b"\0\1\0\0\0\x0f\0\x80\0\3\0\x70GDEF" + bytes(20),  # a font
        bytes([0, 0, 2]) + bytes(9) + b"\x20\0\x20\0\x11\x08" + bytes(20),  # 17 bits a pixel
        bytes([0, 0, 2]) + bytes(9) + b"\x20\0\0\0\x18\x08" + bytes(20),  # no lines
        bytes([0, 1, 2]) + bytes(9) + b"\x20\0\x20\0\x18\x08" + bytes(20),  # a palette that is none
        b"\x28\0\0\0" + b"\x20\0\0\0" * 2 + b"\2\0\x18\0" + bytes(20),  # two planes
    ],
)
def test_what_only_resembles_a_tga_or_a_bitmap_is_none(head: bytes) -> None:
    assert kind_of(head).format not in ("tga", "dib")
