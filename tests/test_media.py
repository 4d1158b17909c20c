"""Parts know what limits are checked against, without opening anything."""

from __future__ import annotations

from fractions import Fraction

import pytest

from visionpipe.media import FileContent, Image, LinkedFile, LinkedImage, LinkedVideo, MemoryContent, Video
from visionpipe.values import Timecode

LINK = "https://a.example/b"


@pytest.mark.parametrize("orientation", range(1, 9))
def test_an_image_as_a_viewer_shows_it(orientation: int) -> None:
    image = Image("a.jpg", MemoryContent(b"12345"), "jpeg", 40, 30, orientation)
    assert image.upright_size == ((30, 40) if orientation in {5, 6, 7, 8} else (40, 30))
    assert (image.size, image.pixels) == (5, 1200)


def test_a_clips_duration_in_its_own_ticks() -> None:
    clip = Video(
        "a.mp4", FileContent("/a.mp4", 9, 1), "mp4", 64, 48, 2.5, 25.0, 62, time_base=Fraction(1, 90)
    )
    assert clip.duration == Timecode(225, Fraction(1, 90))
    assert clip.size == 9


def test_a_link_is_called_by_its_address() -> None:
    assert {part.name for part in (LinkedImage(LINK), LinkedVideo(LINK), LinkedFile(LINK))} == {LINK}


def test_bytes_do_not_show() -> None:
    assert "secret" not in repr(MemoryContent(b"secret"))
