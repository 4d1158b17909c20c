"""Every mode and depth of Pillow's comes out as Pillow itself converts it, but where Pillow is wrong."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image as pillow

from tests.images.as_sent import as_sent, loaded
from visionpipe.testing.images import picture

SIZE = (32, 24)
WRITTEN = {
    "PNG": ["1", "L", "LA", "P", "RGB", "RGBA", "I;16"],
    "TIFF": [
        "1",
        "L",
        "LA",
        "P",
        "PA",
        "RGB",
        "RGBA",
        "RGBX",
        "CMYK",
        "YCbCr",
        "LAB",
        "I;16",
        "I;16B",
        "I",
        "F",
    ],
    "JPEG": ["L", "RGB", "CMYK", "YCbCr"],
    "WEBP": ["L", "LA", "P", "RGB", "RGBA"],
    "BMP": ["1", "L", "P", "RGB", "RGBA"],
    "DIB": ["1", "L", "P", "RGB", "RGBA"],
    "TGA": ["1", "L", "LA", "P", "RGB", "RGBA"],
    "ICO": ["L", "RGB", "RGBA"],
    "PPM": ["1", "L", "RGB", "I", "I;16", "F"],
    "JPEG2000": ["L", "LA", "RGB", "RGBA", "YCbCr", "CMYK", "I;16"],
    "GIF": ["1", "L", "P", "RGB", "RGBA"],
    "AVIF": ["L", "LA", "P", "RGB", "RGBA"],
    "HEIF": ["L", "RGB", "RGBA", "I;16"],
}
IN_MEMORY = [
    "1",
    "L",
    "P",
    "RGB",
    "RGBA",
    "CMYK",
    "YCbCr",
    "LAB",
    "HSV",
    "I",
    "F",
    "LA",
    "PA",
    "RGBX",
    "RGBa",
    "La",
    "I;16",
    "I;16L",
    "I;16B",
    "I;16N",
]

CLIPPED = "Pillow clips 16 bits to 255, so that nearly all of the picture is white; they are scaled"
DEVIATIONS = {
    **{(format, "I;16"): CLIPPED for format in ("PNG", "TIFF", "PPM", "JPEG2000", "HEIF", "memory")},
    ("TIFF", "I;16B"): CLIPPED,
    **{("memory", mode): CLIPPED for mode in ("I;16L", "I;16B", "I;16N")},
    ("PPM", "I"): "Pillow scales a PNM of any depth to 16 bits, and clips those to 255; they are scaled",
    ("memory", "LAB"): "Pillow has no conversion of LAB without a profile; it goes through CIE's white D50",
}
"""(format, mode) -> why Pillow's own conversion is not what a viewer should see."""


def drawn(mode: str) -> pillow.Image:
    if mode == "LAB":
        from PIL import ImageCms

        lab = ImageCms.profileToProfile(
            picture(*SIZE), ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), outputMode="LAB"
        )
        assert lab is not None
        return lab
    if mode in ("RGBa", "La"):
        return picture(*SIZE, "RGBA" if mode == "RGBa" else "LA").convert(mode)
    if mode == "PA":
        return picture(*SIZE, "P").convert("PA")
    if mode.startswith("I;16"):
        grey = np.asarray(picture(*SIZE, "L"), np.uint16) * 257
        swapped = grey.astype(">u2" if mode == "I;16B" else "<u2")
        return pillow.frombytes(mode, SIZE, swapped.tobytes())
    return picture(*SIZE, "RGB").convert(mode) if mode in ("HSV", "RGBX", "1") else picture(*SIZE, mode)


def on_white(shown: pillow.Image) -> NDArray[np.int16]:
    """Pillow's own conversion, with transparency on white."""
    if shown.mode in ("RGBa", "La"):
        shown = shown.convert("RGBA" if shown.mode == "RGBa" else "LA")
    clear = shown.convert("RGBA") if shown.mode not in ("I", "F", "CMYK", "HSV") else shown.convert("RGB")
    ground = pillow.new("RGBA", shown.size, (255, 255, 255, 255))
    return np.asarray(pillow.alpha_composite(ground, clear.convert("RGBA")).convert("RGB"), np.int16)


def encoded(format: str, mode: str) -> bytes:
    if format == "HEIF":
        from pillow_heif import register_heif_opener

        register_heif_opener()
    options: dict[str, Any] = {}
    if format == "ICO":
        options = {"sizes": [SIZE]}
    if format == "HEIF":
        options = {"quality": -1}
    made = drawn(mode)
    if (format, mode) == ("PPM", "I"):  # of which Pillow writes 16 bits
        made = pillow.fromarray(np.asarray(made, np.int32) * 257)
    out = io.BytesIO()
    made.save(out, format, **options)
    return out.getvalue()


@pytest.mark.parametrize(
    ("format", "mode"), [(format, mode) for format, modes in WRITTEN.items() for mode in modes]
)
def test_files_of_every_mode_look_as_pillow_shows_them(format: str, mode: str) -> None:
    data = encoded(format, mode)
    _, pixels = as_sent(data)
    by_pillow = None
    if (format, mode) == ("TIFF", "YCbCr"):  # which Pillow before 13 writes but cannot read
        by_pillow = on_white(drawn(mode))
    elif (format, mode) not in DEVIATIONS:
        with pillow.open(io.BytesIO(data)) as reopened:
            by_pillow = on_white(reopened)
    wanted = by_pillow if by_pillow is not None else on_white(picture(*SIZE, "L"))
    assert np.abs(pixels - wanted).max() <= 1


@pytest.mark.parametrize("mode", IN_MEMORY)
def test_pictures_in_memory_of_every_mode_look_as_pillow_shows_them(mode: str) -> None:
    given = drawn(mode)
    before = given.tobytes()
    _, pixels = as_sent(given)
    assert given.mode == mode and given.tobytes() == before
    if ("memory", mode) not in DEVIATIONS:
        wanted = on_white(given)
    else:
        wanted = on_white(picture(*SIZE, "RGB" if mode == "LAB" else "L"))
    assert np.abs(pixels - wanted).max() <= (4 if mode == "LAB" else 1)


@pytest.mark.parametrize(("format", "mode"), [pair for pair in DEVIATIONS if pair[0] != "memory"])
def test_what_is_listed_as_wrong_in_pillow_is_wrong(format: str, mode: str) -> None:
    with pillow.open(io.BytesIO(encoded(format, mode))) as reopened:
        by_pillow = on_white(reopened)
    assert np.abs(by_pillow - on_white(picture(*SIZE, "L"))).max() > 10
    assert DEVIATIONS[format, mode]


def test_names_of_files_that_hold_a_bitmap_say_so(tmp_path: Any) -> None:
    for format, suffix in (("DIB", "dib"), ("TGA", "tga"), ("BMP", "dib")):
        path = tmp_path / f"photo.{suffix}"
        path.write_bytes(encoded(format, "RGB"))
        assert loaded(path).format == format.lower()
        assert (loaded(path).width, loaded(path).height) == SIZE
