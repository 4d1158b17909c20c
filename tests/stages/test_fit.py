"""An image is repaired for a reason only, and the target is within every limit."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from visionpipe.media import Image, MemoryContent
from visionpipe.registry.records import ImageRules
from visionpipe.stages.fit import plan_repair, target_size

RULES = ImageRules(max_count=5, max_bytes=5 * 1024**2, max_side_px=6000, formats=("jpeg", "png"))
PHOTO = Image("a.jpg", MemoryContent(bytes(1000)), "jpeg", 4032, 3024)


def test_an_image_that_fits_needs_nothing() -> None:
    assert plan_repair(PHOTO, RULES) is None


@pytest.mark.parametrize(
    ("change", "reason", "format_"),
    [
        ({"orientation": 6}, "orientation", "jpeg"),
        ({"format": "webp"}, "format", "jpeg"),
        ({"format": "gif", "colour": "palette"}, "format", "png"),
        ({"format": "png", "frames": 12}, "frames", "png"),
        ({"colour": "cmyk"}, "colour", "jpeg"),
        ({"format": "png", "bits": 16}, "bits", "png"),
        ({"width": 9000, "height": 100}, "side", "jpeg"),
        ({"content": MemoryContent(bytes(6 * 1024**2)), "format": "png"}, "bytes", "jpeg"),
    ],
)
def test_each_reason(change: dict[str, object], reason: str, format_: str) -> None:
    repair = plan_repair(replace(PHOTO, **change), RULES)  # type: ignore[arg-type]  # fields by name
    assert repair is not None
    assert repair.reasons == (reason,) if reason != "format" else "format" in repair.reasons
    assert repair.format == format_
    assert repair.max_bytes == RULES.max_bytes


@given(
    st.sampled_from(["jpeg", "png", "webp", "gif", "heic", "tiff", "avif", "bmp"]),
    st.sets(st.sampled_from(["jpeg", "png", "webp", "gif"])),
    st.sampled_from([{"orientation": 6}, {"frames": 3}, {"wide_gamut": True}, {"bits": 16}, {"width": 9000}]),
    st.sampled_from(["rgb", "palette"]),
)
def test_repairs_are_written_as_what_can_be_written(
    given_as: str, taken: set[str], change: dict[str, object], colour: str
) -> None:
    image = replace(PHOTO, **{"format": given_as, "colour": colour, **change})  # type: ignore[arg-type]  # by name
    repair = plan_repair(image, RULES.model_copy(update={"formats": tuple(taken)}))
    assert repair is not None and repair.format in ("jpeg", "png")
    assert repair.format in taken or not taken & {"jpeg", "png"}


def test_alpha_matters_only_where_pixels_are_transparent() -> None:
    drawing = replace(PHOTO, format="png", alpha=True)
    assert plan_repair(drawing, RULES, transparent=False) is None
    repair = plan_repair(drawing, RULES, transparent=True, background=(0, 0, 0))
    assert repair is not None
    assert (repair.reasons, repair.background) == (("alpha",), (0, 0, 0))
    assert (repair.width, repair.height) == (4032, 3024)


def test_a_phone_photo_over_the_byte_limit_takes_the_exact_half() -> None:
    heavy = replace(PHOTO, content=MemoryContent(bytes(7 * 1024**2)), orientation=6)
    repair = plan_repair(heavy, RULES)
    assert repair is not None
    assert (repair.width, repair.height) == (1512, 2016)
    assert repair.reasons == ("orientation", "bytes")


def test_the_callers_own_side_limit_holds() -> None:
    repair = plan_repair(PHOTO, RULES, max_side=1024)
    assert repair is not None
    assert (repair.width, repair.height) == (1008, 756)


@given(
    width=st.integers(1, 20_000),
    height=st.integers(1, 20_000),
    side=st.none() | st.integers(16, 8000),
    pixels=st.integers(1000, 10_000_000),
    exact=st.booleans(),
)
def test_target_is_within_the_limits_and_keeps_what_it_may(
    width: int, height: int, side: int | None, pixels: int, exact: bool
) -> None:
    w, h = target_size(width, height, max_side=side, max_pixels=pixels, exact=exact)
    assert 1 <= w <= width
    assert 1 <= h <= height
    assert side is None or max(w, h) <= side
    # A line of one pixel's height cannot shrink further on that side.
    assert w * h <= pixels or min(w, h) == 1
    if width * height <= pixels and (side is None or max(width, height) <= side):
        assert (w, h) == (width, height)
    elif min(w, h) >= 16:
        assert abs(w / h - width / height) <= 0.15 * width / height
