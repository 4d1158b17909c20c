"""Upright wherever an orientation is written, and turned once where it is written twice."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

import numpy as np
import pytest
from PIL import Image as pillow
from PIL.PngImagePlugin import PngInfo

from tests.images.as_sent import as_sent, details, loaded
from visionpipe.testing.images import CORNERS, image_bytes, jpeg_bytes, picture, png_bytes

WIDTH, HEIGHT = 64, 48
_UNDO = {1: None, 2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}  # orientation -> the transposition that undoes it
_POSITIONING = 0x0213  # a tag of the same type, whose number is changed for the orientation's afterwards


def stored(orientation: int) -> pillow.Image:
    """The picture as a camera held so stores it."""
    undo = _UNDO[orientation]
    upright = picture(WIDTH, HEIGHT)
    return upright if undo is None else upright.transpose(pillow.Transpose(undo))


def xmp(orientation: int, form: str = "attribute") -> bytes:
    written = (
        f'<rdf:Description tiff:Orientation="{orientation}"/>'
        if form == "attribute"
        else f"<rdf:Description><tiff:Orientation>{orientation}</tiff:Orientation></rdf:Description>"
    )
    return f'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF>{written}</rdf:RDF></x:xmpmeta>'.encode()


def exif(orientation: int) -> bytes:
    tags = pillow.Exif()
    tags[0x0112] = orientation
    return tags.tobytes()


def encoded(format: str, orientation: int, **options: Any) -> bytes:
    out = io.BytesIO()
    if format == "heic":
        from pillow_heif import from_pillow

        from_pillow(stored(orientation)).save(out, quality=-1, **options)
    else:
        stored(orientation).save(out, format.upper(), **options)
    return out.getvalue()


def untransformed_exif(format: str, orientation: int, **options: Any) -> bytes:
    """A HEIC or AVIF with an orientation in EXIF that no transform box repeats."""
    tags = pillow.Exif()
    tags[_POSITIONING] = orientation
    data = encoded(format, orientation, exif=tags.tobytes(), **options)
    for order in "<>":
        data = data.replace(
            struct.pack(order + "HHI", _POSITIONING, 3, 1), struct.pack(order + "HHI", 0x0112, 3, 1)
        )
    return data


def png_chunk(png: bytes, kind: bytes, body: bytes) -> bytes:
    made = struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
    return png[:33] + made + png[33:]


def raw_profile(orientation: int) -> bytes:
    block = exif(orientation)
    digits = block.hex()
    lines = "\n".join(digits[i : i + 72] for i in range(0, len(digits), 72))
    return f"\nexif\n{len(block):8}\n{lines}\n".encode()


def assert_upright(data: bytes, orientation: int) -> None:
    image = loaded(data)
    assert image.orientation == orientation
    assert image.upright_size == (WIDTH, HEIGHT)
    sent, pixels = as_sent(data)
    assert pixels.shape == (HEIGHT, WIDTH, 3)
    quarters = [pixels[y, x] for y in (HEIGHT // 4, 3 * HEIGHT // 4) for x in (WIDTH // 4, 3 * WIDTH // 4)]
    assert np.abs(np.array(quarters) - CORNERS).max() <= 24
    assert details(sent).count("rotated") == (orientation != 1)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("format", ["heic", "avif"])
def test_exif_counts_where_no_box_turns_the_picture(format: str, orientation: int) -> None:
    data = untransformed_exif(format, orientation)
    assert b"irot" not in data and b"imir" not in data
    assert_upright(data, orientation)


@pytest.mark.parametrize("orientation", [2, 3, 5, 6, 8])
def test_boxes_and_exif_together_turn_once(orientation: int) -> None:
    out = io.BytesIO()
    from pillow_heif import from_pillow

    from_pillow(stored(orientation)).save(out, quality=-1, exif=exif(orientation))
    data = out.getvalue()
    assert b"irot" in data or b"imir" in data
    image = loaded(data)
    assert (image.orientation, image.width, image.height) == (1, WIDTH, HEIGHT)
    assert_upright(data, 1)
    tags = pillow.Exif()
    tags[0x0112] = tags[_POSITIONING] = orientation
    avif = io.BytesIO()
    stored(orientation).save(avif, "AVIF", exif=tags.tobytes())
    both = avif.getvalue()
    for order in "<>":
        both = both.replace(
            struct.pack(order + "HHI", _POSITIONING, 3, 1), struct.pack(order + "HHI", 0x0112, 3, 1)
        )
    assert both != avif.getvalue()
    assert_upright(both, orientation)


@pytest.mark.parametrize("orientation", [1, 2, 5, 6, 7, 8])
@pytest.mark.parametrize("form", ["attribute", "element"])
@pytest.mark.parametrize("format", ["jpeg", "webp", "tiff", "avif", "heic", "png"])
def test_xmp_counts_where_there_is_no_exif(format: str, form: str, orientation: int) -> None:
    packet = xmp(orientation, form)
    if format == "tiff":
        data = encoded("tiff", orientation, tiffinfo={700: packet})
    elif format == "png":
        info = PngInfo()
        info.add_itxt("XML:com.adobe.xmp", packet.decode(), zip=form == "element")
        data = encoded("png", orientation, pnginfo=info)
    elif format == "heic":  # pillow-heif would write the turn as a box, too
        data = encoded("heic", orientation, xmp=packet.replace(b"tiff:O", b"tiff:X"))
        data = data.replace(b"tiff:X", b"tiff:O")
    else:
        data = encoded(format, orientation, xmp=packet)
    assert_upright(data, orientation)


@pytest.mark.parametrize("format", ["jpeg", "webp", "tiff", "png"])
def test_exif_and_xmp_together_turn_once(format: str) -> None:
    options: dict[str, Any] = {"exif": exif(6)}
    if format == "tiff":
        options["tiffinfo"] = {700: xmp(6)}
    elif format == "png":
        info = PngInfo()
        info.add_itxt("XML:com.adobe.xmp", xmp(6).decode())
        options["pnginfo"] = info
    else:
        options["xmp"] = xmp(6)
    assert_upright(encoded(format, 6, **options), 6)


def test_exif_is_believed_before_xmp() -> None:
    assert_upright(encoded("jpeg", 6, exif=exif(6), xmp=xmp(3)), 6)
    assert_upright(encoded("webp", 6, exif=exif(6), xmp=xmp(3)), 6)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", [b"tEXt", b"zTXt", b"iTXt"])
def test_exif_as_digits_in_a_text_of_a_png(kind: bytes, orientation: int) -> None:
    text = raw_profile(orientation)
    body = {
        b"tEXt": text,
        b"zTXt": b"\0" + zlib.compress(text),
        b"iTXt": b"\1\0\0\0" + zlib.compress(text),
    }[kind]
    keyword = b"Raw profile type exif\0"
    assert_upright(png_chunk(encoded("png", orientation), kind, keyword + body), orientation)


def test_a_png_that_says_it_three_times_is_turned_once() -> None:
    info = PngInfo()
    info.add_itxt("XML:com.adobe.xmp", xmp(8).decode())
    data = encoded("png", 8, exif=exif(8), pnginfo=info)
    assert_upright(png_chunk(data, b"tEXt", b"Raw profile type exif\0" + raw_profile(8)), 8)


@pytest.mark.parametrize("text", [b"", b"\nexif\n 4\nzz", b"\nexif", b"\nexif\n 3\n457", b"\0\0\0"])
def test_broken_digits_mean_upright(text: bytes) -> None:
    for kind in (b"tEXt", b"zTXt", b"iTXt"):
        assert loaded(png_chunk(png_bytes(), kind, b"Raw profile type exif\0" + text)).orientation == 1


def test_a_value_that_means_nothing_is_told_and_zero_is_not_written_at_all() -> None:
    strange = loaded(jpeg_bytes(exif=exif(77)))
    assert strange.orientation == 1
    assert details(strange) == "orientation: EXIF orientation 77 means nothing; taken as upright"
    assert loaded(jpeg_bytes(exif=exif(0))).adjustments == ()


@pytest.mark.parametrize("format", ["heic", "avif"])
def test_damaged_boxes_raise_nothing_else_than_a_bad_image(format: str) -> None:
    from visionpipe.images.boxes import heif_facts

    whole = untransformed_exif(format, 6)
    random = np.random.default_rng(5)
    for _ in range(300):
        data = bytearray(whole[: int(random.integers(8, len(whole)))])
        for place in random.integers(0, min(len(data), 600), 5):
            data[place] = int(random.integers(0, 256))
        assert 1 <= heif_facts(bytes(data)).bits <= 255


def test_ten_bits_of_heic_and_avif_are_told() -> None:
    import pillow_heif

    out = io.BytesIO()
    deep = np.full((16, 16, 3), 40_000, np.uint16).tobytes()
    pillow_heif.encode("RGB;16", (16, 16), deep, out, quality=-1, bit_depth=10)
    image = loaded(out.getvalue())
    assert image.bits == 10
    sent, pixels = as_sent(out.getvalue())
    assert "10 bits -> 8 bits" in details(sent)
    assert abs(int(pixels[8, 8, 0]) - 156) <= 2
    assert loaded(image_bytes("avif")).bits == 8
