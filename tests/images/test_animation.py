"""An animation is shown by its first frame in which something can be seen."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from PIL import Image as pillow

from tests.images.as_sent import as_sent, details, loaded
from visionpipe.testing.images import image_bytes, picture

CLEAR = pillow.new("RGBA", (32, 24), (0, 0, 0, 0))
WHITE = pillow.new("RGBA", (32, 24), (255, 255, 255, 255))
DRAWN = picture(32, 24).convert("RGBA")
OTHER = DRAWN.transpose(pillow.Transpose.ROTATE_180)
FORMATS = ["gif", "png", "webp", "avif"]


def animation(format: str, *frames: pillow.Image, **options: Any) -> bytes:
    if format == "gif":
        options |= {"disposal": 2}
    out = io.BytesIO()
    frames[0].save(
        out, format.upper(), save_all=True, append_images=list(frames[1:]), duration=100, loop=0, **options
    )
    return out.getvalue()


def like(pixels: np.ndarray[Any, Any], wanted: pillow.Image) -> bool:
    return bool(np.abs(pixels - np.asarray(wanted.convert("RGB"), np.int16)).mean() < 12)


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("blank", [CLEAR, WHITE], ids=["clear", "white"])
def test_blank_frames_are_passed_over(format: str, blank: pillow.Image) -> None:
    data = animation(format, blank, DRAWN, OTHER)
    image = loaded(data)
    sent, pixels = as_sent(data)
    assert like(pixels, DRAWN)
    assert f"frame 2 of {image.frames}, the first of the animation that shows something" in details(sent)


@pytest.mark.parametrize("format", FORMATS)
def test_a_first_frame_that_shows_something_is_taken(format: str) -> None:
    sent, pixels = as_sent(animation(format, DRAWN, OTHER, WHITE))
    assert like(pixels, DRAWN)
    assert "the first of 3 frames" in details(sent)


@pytest.mark.parametrize("format", FORMATS)
def test_where_nothing_is_shown_the_first_is_taken(format: str) -> None:
    black = pillow.new("RGBA", (32, 24), (0, 0, 0, 255))
    sent, pixels = as_sent(animation(format, WHITE, black))
    assert pixels.min() >= 250
    assert "the first of 2 frames" in details(sent)


def test_a_still_before_the_animation_is_not_what_viewers_show() -> None:
    data = animation("png", OTHER, DRAWN, WHITE, default_image=True)
    image = loaded(data)
    assert image.frames == 3
    sent, pixels = as_sent(data)
    assert like(pixels, DRAWN)
    assert "frame 2 of 3" in details(sent)
    blank_first = animation("png", OTHER, CLEAR, DRAWN, default_image=True)
    sent, pixels = as_sent(blank_first)
    assert like(pixels, DRAWN)
    assert "frame 3 of 3" in details(sent)


def test_a_page_of_a_tiff_is_no_frame_of_an_animation() -> None:
    out = io.BytesIO()
    WHITE.convert("RGB").save(out, "TIFF", save_all=True, append_images=[DRAWN.convert("RGB")])
    sent, pixels = as_sent(out.getvalue())
    assert pixels.min() == 255
    assert "the first of 2 frames" in details(sent)


def test_a_single_blank_picture_is_sent_as_it_is() -> None:
    sent, pixels = as_sent(image_bytes("png", 8, 8, mode="1"))
    assert "first" not in details(sent)
    assert pixels.shape == (8, 8, 3)


def test_the_search_for_a_frame_ends() -> None:
    frames = [pillow.new("RGB", (8, 8), (n, 0, 0)) for n in range(150)]
    sent, pixels = as_sent(animation("webp", *frames, DRAWN.convert("RGB").resize((8, 8)), lossless=True))
    assert pixels.max() == 0
    assert "the first of 151 frames" in details(sent)
