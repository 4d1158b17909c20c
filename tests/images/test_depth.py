"""Samples of every depth are brought to 8 bits from the range that they mean."""

from __future__ import annotations

import io
import struct
from typing import Any, Literal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image as pillow

from tests.images.as_sent import as_sent, details, loaded
from visionpipe.errors import BadImageError
from visionpipe.images.tiff import MOST_PAGES, read_tiff
from visionpipe.testing.images import image_bytes

RAMP = np.linspace(0, 1, 256).reshape(16, 16)
COLOUR = np.stack([RAMP, RAMP[::-1], RAMP.T], 2)
GREY8, COLOUR8 = np.rint(RAMP * 255), np.rint(COLOUR * 255)
UNSIGNED, SIGNED, FLOAT = 1, 2, 3
WHITE_IS_ZERO, BLACK_IS_ZERO, RGB = 0, 1, 2


def tiff(
    samples: NDArray[Any],
    *,
    order: Literal["<", ">"] = "<",
    photometric: int = BLACK_IS_ZERO,
    planar: int = 1,
    sample_format: int = UNSIGNED,
    bits: int = 0,
    extra: tuple[int, ...] = (),
    packed: bytes | None = None,
) -> bytes:
    """An uncompressed TIFF of ``samples`` (height, width) or (height, width, channels)."""
    height, width = samples.shape[:2]
    channels = 1 if samples.ndim == 2 else samples.shape[2]
    stored = samples.astype(samples.dtype.newbyteorder(order))
    planes = [stored.tobytes()] if planar == 1 else [stored[..., n].tobytes() for n in range(channels)]
    planes = planes if packed is None else [packed]
    places = [8 + sum(map(len, planes[:n])) for n in range(len(planes))]
    fields: list[tuple[int, int, list[int]]] = [
        (256, 4, [width]),
        (257, 4, [height]),
        (258, 3, [bits or samples.dtype.itemsize * 8] * channels),
        (259, 3, [1]),
        (262, 3, [photometric]),
        (273, 4, places),
        (277, 3, [channels]),
        (278, 4, [height]),
        (279, 4, [len(plane) for plane in planes]),
        (284, 3, [planar]),
        *([(338, 3, list(extra))] if extra else []),
        (339, 3, [sample_format] * channels),
    ]
    start = 8 + sum(map(len, planes))
    outside_at = start + 2 + 12 * len(fields) + 4
    directory, outside = struct.pack(order + "H", len(fields)), b""
    for tag, kind, values in fields:
        raw = struct.pack(order + {3: "H", 4: "I"}[kind] * len(values), *values)
        if len(raw) > 4:
            raw, outside = struct.pack(order + "I", outside_at + len(outside)), outside + raw
        directory += struct.pack(order + "HHI", tag, kind, len(values)) + raw.ljust(4, b"\0")
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "I", start)
    return head + b"".join(planes) + directory + bytes(4) + outside


def scaled(values: NDArray[Any], kind: str) -> NDArray[Any]:
    """``values`` (0 to 1) over the whole range of an integer type."""
    info = np.iinfo(kind)
    return np.asarray(np.rint(values * (int(info.max) - int(info.min)) + int(info.min)).astype(kind))


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("photometric", [WHITE_IS_ZERO, BLACK_IS_ZERO])
@pytest.mark.parametrize(
    ("samples", "sample_format", "words"),
    [
        (scaled(RAMP, "uint16"), UNSIGNED, "16 bits -> 8 bits"),
        (scaled(RAMP, "uint32"), UNSIGNED, "32 bits -> 8 bits"),
        (scaled(RAMP, "int8"), SIGNED, "values -128 to 127"),
        (scaled(RAMP, "int16"), SIGNED, "values -32768 to 32767"),
        (scaled(RAMP, "int32"), SIGNED, "values -2.14748e+09 to 2.14748e+09"),
        (RAMP.astype("float32"), FLOAT, "values 0 to 1"),
        (RAMP.astype("float64"), FLOAT, "values 0 to 1"),
    ],
    ids=["u16", "u32", "i8", "i16", "i32", "f32", "f64"],
)
def test_grey_of_every_depth(
    samples: NDArray[Any], sample_format: int, words: str, photometric: int, order: Literal["<", ">"]
) -> None:
    data = tiff(samples, order=order, photometric=photometric, sample_format=sample_format)
    image, pixels = as_sent(data)
    wanted = 255 - GREY8 if photometric == WHITE_IS_ZERO else GREY8
    assert np.abs(pixels[:, :, 0] - wanted).max() <= 1
    assert words in details(image)
    assert image.colour == "grey"


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("planar", [1, 2])
@pytest.mark.parametrize("kind", ["uint8", "uint16", "uint32", "float32", "float64"])
def test_colour_of_every_depth_together_and_in_planes(
    kind: str, planar: int, order: Literal["<", ">"]
) -> None:
    whole = COLOUR.astype(kind) if kind.startswith("float") else scaled(COLOUR, kind)
    sample_format = FLOAT if kind.startswith("float") else UNSIGNED
    data = tiff(whole, order=order, photometric=RGB, planar=planar, sample_format=sample_format)
    image, pixels = as_sent(data)
    assert np.abs(pixels - COLOUR8).max() <= 1
    assert ("-> 8 bits" in details(image) or "-> 0 to 255" in details(image)) is (kind != "uint8")


@pytest.mark.parametrize("planar", [1, 2])
@pytest.mark.parametrize("colours", [1, 3])
def test_deep_transparency_meets_its_background(planar: int, colours: int) -> None:
    shown = COLOUR if colours == 3 else RAMP[:, :, None]
    alpha = np.ones((16, 16, 1))
    alpha[:8] = 0
    data = tiff(
        scaled(np.dstack([shown, alpha]), "uint16"),
        photometric=RGB if colours == 3 else BLACK_IS_ZERO,
        planar=planar,
        extra=(2,),
    )
    image, pixels = as_sent(data)
    assert pixels[:8].min() == 255
    assert np.abs(pixels[8:] - (COLOUR8 if colours == 3 else GREY8[:, :, None])[8:]).max() <= 1
    assert "flattened: transparency" in details(image)


@pytest.mark.parametrize(
    ("bits", "words"), [(8, "8 bits in 16"), (10, "10 bits in 16"), (12, "12 bits in 16")]
)
def test_the_few_bits_of_an_instrument_in_a_larger_word(bits: int, words: str) -> None:
    highest = (1 << bits) - 1
    for samples, wanted, photometric in ((RAMP, GREY8[:, :, None], BLACK_IS_ZERO), (COLOUR, COLOUR8, RGB)):
        image, pixels = as_sent(tiff(np.rint(samples * highest).astype("uint16"), photometric=photometric))
        assert np.abs(pixels - wanted).max() <= 1
        assert words in details(image)


def test_twelve_bits_packed() -> None:
    values = np.rint(RAMP * 4095).astype(int).ravel().tolist()
    pairs = [(a << 12 | b).to_bytes(3, "big") for a, b in zip(values[::2], values[1::2], strict=True)]
    image, pixels = as_sent(tiff(RAMP.astype("uint16"), bits=12, packed=b"".join(pairs)))
    assert np.abs(pixels[:, :, 0] - GREY8).max() <= 1
    assert image.adjustments[0].detail.startswith("12 bits")


def test_sixteen_bits_of_a_png_mean_their_whole_range() -> None:
    dark = np.rint(RAMP * 4095).astype("uint16")
    out = io.BytesIO()
    pillow.fromarray(dark).save(out, "PNG")
    image, pixels = as_sent(out.getvalue())
    assert pixels.max() == 16
    assert "converted: 16 bits -> 8 bits" in details(image)


@pytest.mark.parametrize(
    ("low", "high", "black", "white"),
    [(0, 0.5, 0, 128), (20, 200, 20, 200), (-5, 300, 0, 255), (0, 12.5, 0, 255), (1000, 9000, 0, 255)],
)
def test_floats_keep_0_to_1_and_0_to_255_and_stretch_otherwise(
    low: float, high: float, black: int, white: int
) -> None:
    samples = np.linspace(low, high, 256).reshape(16, 16).astype("float32")
    _, pixels = as_sent(tiff(samples, sample_format=FLOAT))
    assert (pixels.min(), pixels.max()) == (black, white)


def test_no_number_and_infinity_are_black_and_white() -> None:
    samples = RAMP.astype("float32").copy()
    samples[0, 0], samples[0, 1], samples[0, 2] = np.nan, np.inf, -np.inf
    _, pixels = as_sent(tiff(samples, sample_format=FLOAT))
    assert pixels[0, :3, 0].tolist() == [0, 255, 0]
    assert np.abs(pixels[1:, :, 0] - GREY8[1:]).max() <= 1


@pytest.mark.parametrize("compression", ["tiff_lzw", "tiff_adobe_deflate", "packbits"])
def test_deep_tiffs_may_be_compressed(compression: str) -> None:
    out = io.BytesIO()
    pillow.fromarray(scaled(RAMP, "uint16")).save(out, "TIFF", compression=compression)
    _, pixels = as_sent(out.getvalue())
    assert np.abs(pixels[:, :, 0] - GREY8).max() <= 1


@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize("orientation", [1, 6])
def test_a_deep_tiff_is_turned_once(orientation: int, big: bool) -> None:
    out = io.BytesIO()
    tags = pillow.Exif()
    tags[0x0112] = orientation
    turned = np.rot90(scaled(RAMP[:8], "uint16")) if orientation == 6 else scaled(RAMP[:8], "uint16")
    pillow.fromarray(np.ascontiguousarray(turned)).save(out, "TIFF", exif=tags, big_tiff=big)
    image = loaded(out.getvalue())
    assert image.upright_size == (16, 8) and image.orientation == orientation
    _, pixels = as_sent(out.getvalue())
    assert np.abs(pixels[:, :, 0] - GREY8[:8]).max() <= 1


def test_a_depth_that_is_not_read_is_named() -> None:
    with pytest.raises(BadImageError) as caught:
        loaded(tiff(RAMP.astype("float16"), sample_format=FLOAT))
    assert "1 channels of 16 bits" in str(caught.value) and "Export it as PNG" in caught.value.cure


@pytest.mark.parametrize("cut", [100, 300, 500])
def test_a_cut_deep_tiff_is_a_bad_image(cut: int, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(BadImageError):
        loaded(tiff(scaled(RAMP, "uint16"))[:cut])
    assert capfd.readouterr().err == ""


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_damaged_deep_tiffs_are_pictures_or_bad_images(data: st.DataObject) -> None:
    planar = data.draw(st.sampled_from([1, 2]))
    whole = bytearray(tiff(scaled(COLOUR, "uint16"), photometric=RGB, planar=planar))
    directory = int.from_bytes(whole[4:8], "little")
    for _ in range(data.draw(st.integers(1, 4))):
        whole[data.draw(st.integers(directory, len(whole) - 1))] = data.draw(st.integers(0, 255))
    try:
        image = loaded(bytes(whole))
    except BadImageError as error:
        assert error.cure
    else:
        assert image.pixels > 0


def test_a_file_of_many_pages_costs_what_one_page_costs() -> None:
    page = tiff(np.zeros((1, 1), "uint8"))
    start = int.from_bytes(page[4:8], "little")
    directory = page[start:]
    link = 2 + 12 * int.from_bytes(directory[:2], "little")
    chained = bytearray(page[:start])
    for _ in range(100_000):
        begin = len(chained)
        chained += directory[:link] + struct.pack("<I", begin + len(directory)) + directory[link + 4 :]
    chained += directory
    image = loaded(bytes(chained))
    assert image.frames == MOST_PAGES
    sent, _ = as_sent(bytes(chained))
    assert f"the first of {MOST_PAGES} or more frames" in details(sent)


def test_pages_in_a_circle_are_counted_once() -> None:
    two = bytearray(image_bytes("tiff", frames=2))
    page = read_tiff(bytes(two))
    assert page is not None and page.pages == 2
    first = int.from_bytes(two[4:8], "little")
    link = first + 2 + 12 * int.from_bytes(two[first : first + 2], "little")
    struct.pack_into("<I", two, link, first)
    circle = read_tiff(bytes(two))
    assert circle is not None and circle.pages == 1
