"""The estimates equal the published processor's, and behave like counts everywhere else."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from visionpipe.errors import MediaLimitError
from visionpipe.registry.estimates import VideoTokens, image_tokens, text_tokens, video_tokens
from visionpipe.registry.records import TokenRules

PATCH28 = TokenRules(formula="patch28")
HERE = Path(__file__).parent


def rows(name: str) -> Iterator[dict[str, str]]:
    with (HERE / name).open(encoding="utf-8", newline="") as file:
        yield from csv.DictReader(file)


def test_images_equal_the_processor_row_for_row() -> None:
    compared = 0
    for row in rows("tokens_image.csv"):
        rules = TokenRules(formula="patch28", longest_edge_px=int(row["longest_edge_px"]))
        width, height = int(row["width_px"]), int(row["height_px"])
        if row["image_tokens"] == "error":
            with pytest.raises(MediaLimitError, match="200 times"):
                image_tokens(width, height, rules)
        else:
            assert image_tokens(width, height, rules) == int(row["image_tokens"]), row
        compared += 1
    assert compared == 600


def test_videos_equal_the_processor_row_for_row() -> None:
    compared = 0
    for row in rows("tokens_video.csv"):
        found = video_tokens(
            int(row["total_frames"]),
            float(row["fps"]),
            float(row["duration_s"]),
            int(row["width_px"]),
            int(row["height_px"]),
            PATCH28,
        )
        assert found == VideoTokens(
            sampled_frames=int(row["sampled_frames"]),
            resized_width=int(row["resized_width_px"]),
            resized_height=int(row["resized_height_px"]),
            tokens=int(row["video_tokens"]),
        ), row
        compared += 1
    assert compared == 150


def test_a_flat_figure_holds_for_every_image_and_for_no_video() -> None:
    rules = TokenRules(formula="flat", flat=1030)
    assert image_tokens(10, 10, rules) == image_tokens(6000, 6000, rules) == 1030
    assert video_tokens(250, 25.0, 10.0, 1920, 1080, rules) is None


def test_nothing_published_is_none_not_zero() -> None:
    assert image_tokens(1024, 768, TokenRules()) is None


side = st.integers(min_value=1, max_value=20_000)


@given(width=side, height=side)
@example(width=1, height=1)
@example(width=27, height=27)
@example(width=13, height=2600)
def test_an_image_takes_at_least_a_token_and_stays_in_its_budget(width: int, height: int) -> None:
    try:
        tokens = image_tokens(width, height, PATCH28)
    except MediaLimitError as error:
        # Whole pixels after the scaling up of a small side may tip a ratio of just 200.
        assert max(width, height) / min(width, height) > 190
        assert error.code == "ratio"
        return
    assert tokens is not None
    assert 1 <= tokens <= 9_633_792 / (2 * 28 * 28)


# Between the least count, up to which pictures are scaled, and the budget, down to which they are.
unscaled = st.integers(112, 2000)


@given(width=unscaled, height=unscaled, more=st.integers(0, 500))
def test_a_larger_image_never_takes_fewer_tokens_while_nothing_is_scaled(
    width: int, height: int, more: int
) -> None:
    wider = min(width + more, 2000)
    smaller, larger = image_tokens(width, height, PATCH28), image_tokens(wider, height, PATCH28)
    assert smaller is not None
    assert larger is not None
    assert larger >= smaller
    assert smaller == pytest.approx(width * height / 784, rel=0.3)


@given(width=side, height=side)
def test_turning_an_image_does_not_change_its_tokens(width: int, height: int) -> None:
    def tokens(w: int, h: int) -> int | str | None:
        try:
            return image_tokens(w, h, PATCH28)
        except MediaLimitError:
            return "refused"

    assert tokens(width, height) == tokens(height, width)


@pytest.mark.parametrize(("width", "height"), [(28, 5601), (5601, 28), (1, 201), (20_000, 99)])
def test_a_side_over_200_times_the_other_is_an_error(width: int, height: int) -> None:
    with pytest.raises(MediaLimitError) as caught:
        image_tokens(width, height, PATCH28)
    assert caught.value.code == "ratio"
    assert "Cut it into pieces" in str(caught.value)


def test_no_pixels_are_an_error() -> None:
    with pytest.raises(MediaLimitError):
        image_tokens(0, 100, PATCH28)


@given(
    total=st.integers(1, 200_000),
    fps=st.floats(1, 120),
    # Narrower ones may pass the budget: the processor keeps a side of 28 px whatever becomes of the other.
    width=st.integers(224, 4096),
    height=st.integers(224, 4096),
)
def test_a_clip_is_looked_at_in_pairs_within_its_budget(
    total: int, fps: float, width: int, height: int
) -> None:
    found = video_tokens(total, fps, total / fps, width, height, PATCH28)
    assert found is not None
    assert found.sampled_frames % 2 == 0
    assert 2 <= found.sampled_frames <= 600
    assert found.resized_width % 28 == found.resized_height % 28 == 0
    assert 1 <= found.tokens <= 47_040_000 / (2 * 28 * 28)


def test_a_long_clip_of_few_frames_shows_each_once() -> None:
    found = video_tokens(301, 0.5, 602.0, 640, 480, PATCH28)
    assert found is not None
    assert found.sampled_frames == 302


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("", 0),
        ("   \n", 0),
        ("a", 2),
        ("one two three", 4),
        ("图中有一片蓝", 4),
        ("猫", 1),
        ("a cat 猫猫猫", 5),
        ("...", 1),
        ("🙂🙂🙂", 4),
        ("x" * 120, 14),
    ],
)
def test_texts_are_counted_by_the_rule_of_thumb(text: str, tokens: int) -> None:
    assert text_tokens(text) == tokens


@given(st.text(max_size=200), st.text(max_size=200))
def test_a_longer_text_never_takes_fewer_tokens(first: str, second: str) -> None:
    both = text_tokens(f"{first} {second}")
    assert both >= max(text_tokens(first), text_tokens(second))
    assert both <= text_tokens(first) + text_tokens(second) + 1
    assert (both > 0) == bool((first + second).strip())
