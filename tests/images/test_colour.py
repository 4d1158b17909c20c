"""Colours come out as sRGB from every container, and what is near enough goes as it lies."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image as pillow
from PIL import ImageCms
from PIL.PngImagePlugin import PngInfo

from tests.images.as_sent import as_sent, details, loaded
from tests.images.profiles import ADOBE, ALL, P3, REC2020, SRGB, WIDE, Space, light, profile, written_in
from visionpipe.images.metadata import is_wider_than_p3
from visionpipe.images.sniff import read_header
from visionpipe.registry.records import ImageRules
from visionpipe.stages.fit import plan_repair

PATCHES = np.array(
    [[(255, 0, 0), (0, 160, 60), (40, 80, 220)], [(240, 200, 20), (128, 128, 128), (250, 250, 250)]], np.uint8
)
SCENE = np.repeat(np.repeat(PATCHES, 48, 0), 48, 1)
RULES = ImageRules(formats=("jpeg", "png", "webp", "gif", "tiff", "avif", "heic"))


def middles(pixels: NDArray[Any]) -> NDArray[np.int16]:
    """The patches' own colours."""
    return pixels[24::48, 24::48].astype(np.int16)


def encoded(format: str, pixels: NDArray[np.uint8], icc: bytes | None = None, **options: Any) -> bytes:
    made = pillow.fromarray(pixels)
    options |= {"icc_profile": icc} if icc is not None else {}
    out = io.BytesIO()
    match format:
        case "heic":
            from pillow_heif import from_pillow

            from_pillow(made).save(out, quality=-1, chroma=444, **options)
            return out.getvalue()
        case "gif":
            made.quantize(8, dither=pillow.Dither.NONE).save(out, "GIF")
            return with_gif_profile(out.getvalue(), icc) if icc else out.getvalue()
        case "apng":
            options |= {"save_all": True, "append_images": [made.rotate(90)]}
            made.save(out, "PNG", **options)
        case "jpeg" | "avif":
            made.save(out, format.upper(), quality=98, subsampling="4:4:4", **options)
        case "webp":
            made.save(out, "WEBP", lossless=True, **options)
        case _:
            made.save(out, format.upper(), **options)
    return out.getvalue()


def with_gif_profile(gif: bytes, icc: bytes) -> bytes:
    table = 13 + (3 << (gif[10] & 7) + 1)
    blocks = b"".join(bytes([len(icc[i : i + 255])]) + icc[i : i + 255] for i in range(0, len(icc), 255))
    return gif[:table] + b"\x21\xff\x0bICCRGBG1012" + blocks + b"\0" + gif[table:]


@pytest.mark.parametrize("space", ALL.values(), ids=ALL)
@pytest.mark.parametrize("format", ["jpeg", "png", "webp", "tiff", "heic", "avif", "gif", "apng"])
def test_a_wide_profile_is_converted_from_every_container(format: str, space: Space) -> None:
    image, pixels = as_sent(encoded(format, written_in(space, SCENE), profile(space, "The Space")))
    assert np.abs(middles(pixels) - PATCHES).max() <= (12 if format in ("jpeg", "avif", "heic") else 5)
    assert "colours of The Space -> sRGB" in details(image)


@pytest.mark.parametrize("format", ["jpeg", "png", "webp", "tiff", "heic", "avif"])
def test_a_profile_of_srgb_itself_changes_nothing(format: str) -> None:
    icc = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    image, pixels = as_sent(encoded(format, SCENE, icc))
    assert np.abs(middles(pixels) - PATCHES).max() <= 6
    assert "sRGB" not in details(image)


@pytest.mark.parametrize("format", ["jpeg", "png", "webp", "gif", "tiff", "avif", "heic"])
def test_only_what_is_wider_than_p3_is_converted_where_it_could_go_as_it_lies(format: str) -> None:
    for name, space in ALL.items():
        image = loaded(encoded(format, SCENE, profile(space)))
        repair = plan_repair(image, RULES)
        assert image.wide_gamut is (name in WIDE), name
        assert (repair.reasons if repair is not None else ()) == (("gamut",) if name in WIDE else ())
    for icc in (profile(SRGB), None):
        assert plan_repair(loaded(encoded(format, SCENE, icc)), RULES) is None


def test_the_profile_of_a_large_file_costs_one_short_read() -> None:
    jpeg = encoded("jpeg", SCENE, profile(REC2020))
    segment = b"\xff\xe3" + struct.pack(">H", 60_002) + bytes(60_000)
    data = jpeg[:2] + segment * 2 + jpeg[2:] + b"\xff\xd9"
    reads: list[int] = []

    def read(offset: int, length: int) -> bytes:
        reads.append(length)
        return data[offset : offset + length]

    header = read_header(data[:4096], size=len(data), read=read)
    assert header is not None and header.wide_gamut
    assert sum(reads) < 12_000


@pytest.mark.parametrize("cut", [0, 20, 127, 131, 140, 200, 260])
def test_a_cut_or_foreign_profile_says_nothing(cut: int) -> None:
    assert is_wider_than_p3(profile(REC2020))
    assert not is_wider_than_p3(profile(REC2020)[:cut])
    assert not is_wider_than_p3(profile(REC2020).replace(b"RGB ", b"CMYK", 1))


def test_a_profile_that_cannot_be_read_is_left_out_and_told() -> None:
    broken = bytearray(profile(P3))
    broken[128:132] = b"\0\0\0\0"  # no tags at all
    image, pixels = as_sent(encoded("png", SCENE, bytes(broken)))
    assert np.array_equal(middles(pixels), PATCHES)
    assert "a colour profile that cannot be read left out" in details(image)


def test_transparency_meets_its_background_in_srgb() -> None:
    clear = np.dstack([written_in(ADOBE, SCENE), np.full(SCENE.shape[:2], 255, np.uint8)])
    clear[:48, :48, 3] = 0
    out = io.BytesIO()
    pillow.fromarray(clear).save(out, "PNG", icc_profile=profile(ADOBE, "Adobe"))
    image, pixels = as_sent(out.getvalue())
    wanted = PATCHES.copy()
    wanted[0, 0] = 255
    assert np.abs(middles(pixels) - wanted).max() <= 3
    assert "flattened" in details(image) and "colours of Adobe -> sRGB" in details(image)


def test_grey_of_another_curve_is_converted() -> None:
    ramp = np.tile(np.arange(256, dtype=np.uint8), (16, 1))
    linear = bytearray(profile(SRGB, "Linear grey"))
    linear[16:20] = b"GRAY"
    made = bytes(linear).replace(b"rTRC", b"kTRC").replace(struct.pack(">H", 563), struct.pack(">H", 256))
    image, pixels = as_sent(encoded("png", ramp, made))
    # Half the light is a shade of 188.
    assert abs(int(pixels[0, 128, 0]) - 188) <= 3
    assert "colours of Linear grey -> sRGB" in details(image)


def png_with(chunk: bytes, body: bytes, pixels: NDArray[np.uint8]) -> bytes:
    png = encoded("png", pixels)
    made = struct.pack(">I", len(body)) + chunk + body + struct.pack(">I", zlib.crc32(chunk + body))
    return png[:33] + made + png[33:]


@pytest.mark.parametrize(("code", "space"), [(9, REC2020), (12, P3)])
def test_code_points_count_where_there_is_no_profile(code: int, space: Space) -> None:
    seen = (*space[:4], 2.2)
    gammaless = np.clip(light(SCENE) @ _between(SRGB, seen).T, 0, 1)
    pixels = np.rint(
        np.where(gammaless <= 0.0031308, gammaless * 12.92, 1.055 * gammaless ** (1 / 2.4) - 0.055) * 255
    )
    data = png_with(b"cICP", bytes([code, 13, 0, 1]), pixels.astype(np.uint8))
    image, shown = as_sent(data)
    assert np.abs(middles(shown) - PATCHES).max() <= 3
    assert "-> sRGB" in details(image)
    assert image.adjustments and loaded(data).wide_gamut is (code == 9)
    avif = encoded("avif", pixels.astype(np.uint8))
    place = avif.index(b"colrnclx") + 8
    tagged = avif[:place] + struct.pack(">HH", code, 13) + avif[place + 4 :]
    image, shown = as_sent(tagged)
    assert loaded(tagged).wide_gamut is (code == 9)
    assert np.abs(middles(shown) - PATCHES).max() <= 12
    assert "-> sRGB" in details(image)


def _between(one: Space, other: Space) -> NDArray[np.float64]:
    from tests.images.profiles import to_d50

    return np.asarray(np.linalg.inv(to_d50(other)) @ to_d50(one))


@pytest.mark.parametrize("transfer", [16, 18])
def test_high_dynamic_range_keeps_its_middle_tones(transfer: int) -> None:
    ramp = np.repeat(np.arange(256, dtype=np.uint8)[None, :, None], 3, 2).repeat(8, 0)
    data = png_with(b"cICP", bytes([9, transfer, 0, 1]), ramp)
    assert loaded(data).wide_gamut
    image, shown = as_sent(data)
    line = shown[0, :, 1]
    assert (np.diff(line) >= 0).all() and line[0] == 0 and line[-1] >= 254
    paper = 148 if transfer == 16 else 191  # the codes of 203 cd/m2
    assert 225 <= line[paper] <= 245
    assert np.abs(shown - shown[:, :, :1]).max() <= 1
    assert "compressed" in details(image)


def test_a_png_of_linear_light_is_seen_as_browsers_show_it() -> None:
    ramp = np.repeat(np.arange(256, dtype=np.uint8)[None, :, None], 3, 2).repeat(8, 0)
    image, shown = as_sent(png_with(b"gAMA", struct.pack(">I", 100_000), ramp))
    assert abs(int(shown[0, 128, 0]) - 188) <= 2
    assert "gamma 1.00" in details(image)
    image, shown = as_sent(png_with(b"gAMA", struct.pack(">I", 45_455), ramp))
    assert np.array_equal(shown, ramp)
    assert "gamma" not in details(image)


def test_a_gain_map_leaves_the_picture_for_ordinary_displays() -> None:
    jpeg = encoded("jpeg", SCENE)
    gain = encoded("jpeg", np.full((48, 72), 255, np.uint8))
    ultra = jpeg[:2] + b"\xff\xe2\0\x20MPF\0" + bytes(26) + jpeg[2:] + gain
    _, shown = as_sent(ultra)
    assert shown.shape == SCENE.shape
    assert np.abs(middles(shown) - PATCHES).max() <= 6
    assert plan_repair(loaded(ultra), RULES) is None


@pytest.mark.parametrize("primary", [0, 1])
def test_of_a_heic_of_several_pictures_it_is_the_primary_one(primary: int) -> None:
    from pillow_heif import from_pillow

    shades = [pillow.fromarray(SCENE), pillow.fromarray(np.full((48, 72, 3), 255, np.uint8))]
    first, second = shades if primary == 0 else shades[::-1]  # a gain map stands behind it, or before it
    heic = from_pillow(first)
    heic.add_from_pillow(second)
    out = io.BytesIO()
    heic.save(out, quality=-1, chroma=444, primary_index=primary)
    image, shown = as_sent(out.getvalue())
    assert shown.shape == SCENE.shape
    assert np.abs(middles(shown) - PATCHES).max() <= 12
    assert "frame" not in details(image)


def test_a_comment_is_no_profile() -> None:
    info = PngInfo()
    info.add_text("icc", "ICC_PROFILE")
    out = io.BytesIO()
    pillow.fromarray(SCENE).save(out, "PNG", pnginfo=info)
    assert not loaded(out.getvalue()).wide_gamut
