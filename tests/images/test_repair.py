"""A repair gives what it says: upright, opaque, plain, within its size and bytes, and every change told."""

from __future__ import annotations

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image as pillow
from PIL import ImageCms

from visionpipe.errors import BadImageError, MediaLimitError, ParameterError
from visionpipe.images.encode import apply_repair, has_transparent_pixels
from visionpipe.images.load import load_image
from visionpipe.media import Image, MemoryContent, Repair
from visionpipe.testing.images import CORNERS, image_bytes, jpeg_bytes, picture, png_bytes
from visionpipe.values import Adjustment


def loaded(data: bytes, name: str = "photo.jpg") -> Image:
    image = load_image(data, name=name)
    assert isinstance(image, Image)
    return image


def shown(image: Image) -> pillow.Image:
    assert isinstance(image.content, MemoryContent)
    opened = pillow.open(io.BytesIO(image.content.data))
    opened.load()
    return opened


def kinds(image: Image) -> list[str]:
    return [a.kind for a in image.adjustments]


def corners(image: Image) -> list[tuple[int, ...]]:
    rgb = shown(image).convert("RGB")
    w, h = rgb.size
    places = [
        (w // 4, h // 4),
        (w - 1 - w // 4, h // 4),
        (w // 4, h - 1 - h // 4),
        (w - 1 - w // 4, h - 1 - h // 4),
    ]
    found = [rgb.getpixel(place) for place in places]
    return [f for f in found if isinstance(f, tuple)]


def close(found: list[tuple[int, ...]], wanted: list[tuple[int, ...]], within: int = 16) -> bool:
    return all(
        abs(a - b) <= within for f, w in zip(found, wanted, strict=True) for a, b in zip(f, w, strict=True)
    )


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("format", ["jpeg", "png", "webp", "tiff", "avif"])
@pytest.mark.parametrize("size", [(64, 48), (32, 24), (40, 30)])
def test_every_orientation_comes_out_upright(format: str, orientation: int, size: tuple[int, int]) -> None:
    image = loaded(image_bytes(format, 64, 48, orientation=orientation))
    repaired = apply_repair(image, Repair("jpeg", *size))
    assert (repaired.width, repaired.height, repaired.orientation) == (*size, 1)
    assert shown(repaired).size == size
    assert shown(repaired).getexif().get(0x0112) is None
    assert close(corners(repaired), list(CORNERS))
    expected = ["rotated"] * (orientation != 1) + ["resized"] * (size != (64, 48)) + ["re-encoded"]
    assert kinds(repaired) == expected


@settings(max_examples=120, deadline=None)
@given(
    st.integers(1, 90),
    st.integers(1, 90),
    st.integers(1, 90),
    st.integers(1, 90),
    st.integers(1, 8),
    st.sampled_from(["jpeg", "png"]),
    st.sampled_from(["jpeg", "png"]),
)
def test_the_size_asked_for_is_the_size_made(
    width: int, height: int, across: int, down: int, orientation: int, source: str, target: str
) -> None:
    image = loaded(image_bytes(source, width, height, orientation=orientation))
    repaired = apply_repair(image, Repair(target, across, down))
    assert (repaired.width, repaired.height) == shown(repaired).size == (across, down)
    assert repaired.format == target == (shown(repaired).format or "").lower()
    assert ("resized" in kinds(repaired)) == ((width, height) != (across, down))


@pytest.mark.parametrize("scale", [2, 4, 8])
@pytest.mark.parametrize(("width", "height"), [(160, 120), (161, 121), (167, 127), (159, 113)])
def test_exact_fractions_of_a_jpeg_look_like_a_full_resize(scale: int, width: int, height: int) -> None:
    ramp = np.add.outer(np.arange(height), np.arange(width)) * 255 // (width + height)
    out = io.BytesIO()
    smooth = pillow.fromarray((np.stack([ramp, ramp[::-1], 255 - ramp], 2) // 2 + 60).astype(np.uint8))
    smooth.save(out, "JPEG", quality=95)
    size = (-(-width // scale), -(-height // scale))
    repaired = apply_repair(loaded(out.getvalue()), Repair("png", *size))
    reference = smooth.resize(size, pillow.Resampling.LANCZOS)
    off = np.abs(np.asarray(shown(repaired), np.int16) - np.asarray(reference, np.int16))
    assert off.mean() < 3


def test_the_details_carry_figures() -> None:
    image = loaded(jpeg_bytes(64, 48, orientation=6), "IMG_1.jpg")
    repaired = apply_repair(image, Repair("jpeg", 32, 24))
    rotated, resized, encoded = repaired.adjustments
    assert rotated == Adjustment("rotated", "IMG_1.jpg", "orientation 6 -> upright")
    assert resized == Adjustment("resized", "IMG_1.jpg", "64x48 -> 32x24")
    assert encoded.detail.startswith(
        f"jpeg {image.size:,} bytes -> jpeg of quality 90 {repaired.size:,} bytes"
    )


def test_earlier_adjustments_stay_first() -> None:
    image = load_image(np.zeros((8, 8, 3), np.uint8))
    assert isinstance(image, Image)
    assert kinds(apply_repair(image, Repair("jpeg", 8, 8))) == ["converted", "re-encoded"]


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
@pytest.mark.parametrize("background", [(255, 255, 255), (10, 200, 30)])
def test_transparency_is_flattened_on_the_background(mode: str, background: tuple[int, int, int]) -> None:
    image = loaded(png_bytes(32, 32, mode=mode))
    repaired = apply_repair(image, Repair("png", 32, 32, background=background))
    assert close(corners(repaired)[3:], [background], within=0)
    assert kinds(repaired) == ["flattened", "re-encoded"]
    assert ",".join(map(str, background)) in repaired.adjustments[0].detail
    assert not repaired.alpha and not loaded(shown_bytes(repaired)).alpha


def shown_bytes(image: Image) -> bytes:
    assert isinstance(image.content, MemoryContent)
    return image.content.data


def test_a_transparent_palette_is_flattened() -> None:
    drawn = picture(16, 16, "P")
    out = io.BytesIO()
    drawn.save(out, "GIF", transparency=drawn.getpixel((2, 2)))
    repaired = apply_repair(loaded(out.getvalue()), Repair("png", 16, 16, background=(1, 2, 3)))
    assert corners(repaired)[0] == (1, 2, 3)
    assert kinds(repaired) == ["flattened", "re-encoded"]


def test_an_opaque_alpha_channel_is_dropped_and_told() -> None:
    out = io.BytesIO()
    picture(16, 16).convert("RGBA").save(out, "PNG")
    image = loaded(out.getvalue())
    assert image.alpha and not has_transparent_pixels(image)
    repaired = apply_repair(image, Repair("png", 16, 16, background=(0, 0, 0)))
    assert close(corners(repaired), list(CORNERS), within=0)
    assert "every pixel is opaque" in repaired.adjustments[0].detail


def test_transparent_pixels_are_found() -> None:
    assert has_transparent_pixels(loaded(png_bytes(mode="RGBA")))
    assert has_transparent_pixels(loaded(png_bytes(mode="LA")))
    assert has_transparent_pixels(loaded(png_bytes(mode="P", transparency=0)))
    assert has_transparent_pixels(loaded(image_bytes("webp", mode="RGBA")))
    assert not has_transparent_pixels(loaded(png_bytes(mode="RGB")))
    assert not has_transparent_pixels(loaded(png_bytes(mode="RGB", transparency=(1, 2, 3))))
    assert has_transparent_pixels(loaded(png_bytes(mode="RGB", transparency=CORNERS[0])))
    deep = picture(8, 8, "I;16")
    darkest = int(np.asarray(deep).min())
    assert has_transparent_pixels(loaded(png_bytes(8, 8, mode="I;16", transparency=darkest)))
    assert not has_transparent_pixels(loaded(png_bytes(8, 8, mode="I;16", transparency=darkest + 1)))


def test_sixteen_bits_are_scaled_not_clipped() -> None:
    ramp = np.linspace(0, 65_535, 256).astype(np.uint16).reshape(16, 16)
    out = io.BytesIO()
    pillow.fromarray(ramp).save(out, "PNG")
    image = loaded(out.getvalue())
    assert image.bits == 16
    repaired = apply_repair(image, Repair("png", 16, 16))
    assert np.array_equal(np.asarray(shown(repaired)).ravel(), np.arange(256))
    assert (repaired.bits, repaired.colour) == (8, "grey")
    assert repaired.adjustments[0] == Adjustment("converted", "photo.jpg", "16 bits -> 8 bits")


def test_a_transparent_sixteen_bit_grey_is_flattened_too() -> None:
    deep = picture(8, 8, "I;16")
    value = int(np.asarray(deep)[0, 0])
    image = loaded(png_bytes(8, 8, mode="I;16", transparency=value))
    repaired = apply_repair(image, Repair("png", 8, 8, background=(0, 0, 0)))
    assert corners(repaired)[0] == (0, 0, 0)
    assert "transparency on grey 0" in repaired.adjustments[0].detail


@pytest.mark.parametrize(("low", "high"), [(0.0, 1.0), (-5.0, 300.0)])
def test_floating_point_tiff_is_scaled(low: float, high: float) -> None:
    out = io.BytesIO()
    pillow.fromarray(np.linspace(low, high, 256, dtype=np.float32).reshape(16, 16)).save(out, "TIFF")
    repaired = apply_repair(loaded(out.getvalue()), Repair("png", 16, 16))
    assert np.array_equal(np.asarray(shown(repaired)).ravel(), np.arange(256))


@pytest.mark.parametrize(
    ("format", "mode", "colour", "detail"),
    [
        ("jpeg", "CMYK", "rgb", "CMYK -> RGB"),
        ("png", "P", "rgb", "palette -> RGB"),
        ("png", "1", "grey", "1 bit -> 8 bits"),
        ("tiff", "LAB", "rgb", "LAB -> RGB through its colour profile"),
        ("tiff", "YCbCr", "rgb", ""),
    ],
)
def test_other_colours_become_rgb_or_grey(format: str, mode: str, colour: str, detail: str) -> None:
    if mode == "LAB":
        lab = ImageCms.profileToProfile(
            picture(), ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), outputMode="LAB"
        )
        assert lab is not None
        out = io.BytesIO()
        lab.save(out, "TIFF")
        data = out.getvalue()
    else:
        data = image_bytes(format, mode=mode)
    repaired = apply_repair(loaded(data), Repair("png", 32, 24))
    assert repaired.colour == colour
    assert shown(repaired).mode == ("L" if colour == "grey" else "RGB")
    if colour == "rgb":
        assert close(corners(repaired), list(CORNERS), within=24)
    if detail:
        assert repaired.adjustments[0] == Adjustment("converted", "photo.jpg", detail)


def test_a_broken_profile_is_no_hindrance() -> None:
    profile = bytes(16) + b"CMYK" + bytes(200)
    repaired = apply_repair(loaded(jpeg_bytes(mode="CMYK", icc_profile=profile)), Repair("jpeg", 32, 24))
    assert repaired.adjustments[0].detail == "CMYK -> RGB"
    assert "icc_profile" not in shown(repaired).info


def test_a_valid_profile_is_kept_and_metadata_left_out() -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    exif = pillow.Exif()
    exif[0x010E] = "a secret place"
    data = jpeg_bytes(64, 48, icc_profile=profile, exif=exif.tobytes(), comment=b"a secret word")
    assert b"secret place" in data
    for format in ("jpeg", "png"):
        repaired = apply_repair(loaded(data), Repair(format, 32, 24))
        assert shown(repaired).info["icc_profile"] == profile
        assert b"secret" not in shown_bytes(repaired)


@pytest.mark.parametrize("format", ["gif", "png", "webp", "tiff"])
def test_an_animation_gives_its_first_frame(format: str) -> None:
    image = loaded(image_bytes(format, 32, 24, frames=3))
    repaired = apply_repair(image, Repair("png", 32, 24))
    assert repaired.frames == 1
    assert close(corners(repaired), list(CORNERS), within=24)
    assert Adjustment("first_frame", "photo.jpg", "the first of 3 frames") in repaired.adjustments


def noise(width: int, height: int) -> Image:
    pixels = np.random.default_rng(3).integers(0, 256, (height, width, 3), dtype=np.uint8)
    out = io.BytesIO()
    pillow.fromarray(pixels).save(out, "PNG")
    return loaded(out.getvalue())


def test_bytes_are_kept_by_quality_first_then_by_size() -> None:
    image = noise(200, 160)
    free = apply_repair(image, Repair("jpeg", 200, 160))
    tight = apply_repair(image, Repair("jpeg", 200, 160, max_bytes=free.size - 1))
    assert tight.size < free.size
    assert (tight.width, tight.height) == (200, 160)
    assert "quality 82" in tight.adjustments[-1].detail
    tiny = apply_repair(image, Repair("jpeg", 200, 160, max_bytes=3000))
    assert tiny.size <= 3000
    assert tiny.width < 200
    assert abs(tiny.width / tiny.height - 200 / 160) < 0.05
    assert Adjustment("resized", "photo.jpg", f"200x160 -> {tiny.width}x{tiny.height}") in tiny.adjustments
    png = apply_repair(image, Repair("png", 200, 160, max_bytes=20_000))
    assert png.size <= 20_000 and png.format == "png"


def test_bytes_that_no_image_can_keep_are_an_error() -> None:
    with pytest.raises(MediaLimitError, match="under 100 bytes"):
        apply_repair(noise(50, 50), Repair("jpeg", 50, 50, max_bytes=100))


def test_a_repair_that_is_none_is_refused() -> None:
    with pytest.raises(ParameterError, match="webp"):
        apply_repair(noise(5, 5), Repair("webp", 5, 5))
    with pytest.raises(ParameterError, match="0x5"):
        apply_repair(noise(5, 5), Repair("png", 0, 5))


def test_a_broken_picture_is_found_at_last() -> None:
    data = bytearray(png_bytes(64, 64))
    middle = data.index(b"IDAT") + 20
    data[middle : middle + 8] = bytes(8)
    with pytest.raises(BadImageError, match=r"photo\.jpg"):
        apply_repair(loaded(bytes(data)), Repair("jpeg", 64, 64))


def test_the_image_given_is_unchanged() -> None:
    image = loaded(jpeg_bytes(64, 48, orientation=6))
    before = shown_bytes(image)
    apply_repair(image, Repair("jpeg", 32, 24))
    assert image.adjustments == () and shown_bytes(image) == before
