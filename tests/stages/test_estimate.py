"""Estimates count what can be counted, say what they could not, and learn from the service's own counts."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from visionpipe.errors import MediaLimitError
from visionpipe.media import FileContent, Image, LinkedImage, LinkedVideo, MemoryContent, Part, Text, Video
from visionpipe.registry.estimates import (
    Calibration,
    estimate,
    image_tokens,
    message_tokens,
    text_tokens,
    tools_tokens,
    video_tokens,
)
from visionpipe.registry.records import ModelRecord, Price, TokenRules
from visionpipe.request import Message, Parameters, Request, ToolCall
from visionpipe.values import JSON, Money

PATCHES = ModelRecord(
    id="m",
    default_output_tokens=1024,
    tokens=TokenRules(formula="patch28", source="the published processor"),
    prices=(Price(input=Decimal(2), output=Decimal(6)),),
)
FLAT = ModelRecord(id="f", tokens=TokenRules(flat=1000))
SILENT = ModelRecord(id="s")
PICTURE = Image("a.jpg", MemoryContent(b"jpeg"), "jpeg", 560, 280, orientation=6)
CLIP = Video("a.mp4", FileContent("/a.mp4", 100, 0), "mp4", 640, 480, 10.0, 25.0, 250)
TOOL: dict[str, JSON] = {"type": "function", "function": {"name": "look", "parameters": {}}}


def asked(*parts: Part) -> Message:
    return Message("user", parts)


def test_a_request_is_the_sum_of_its_parts() -> None:
    called = Message("assistant", (), (ToolCall("1", "look", '{"at":"cat"}'),))
    request = Request("m", (asked(PICTURE, CLIP, Text("What is it?")), called), tools=(TOOL,))
    clip = video_tokens(250, 25.0, 10.0, 640, 480, PATCHES.tokens)
    picture = image_tokens(280, 560, PATCHES.tokens)
    assert clip is not None
    assert picture is not None
    told = estimate(request, PATCHES)
    texts = text_tokens("What is it?") + text_tokens('look {"at":"cat"}') + tools_tokens([TOOL])
    assert told.prompt_tokens == picture + clip.tokens + texts
    assert (told.output_tokens, told.complete, told.source) == (1024, True, "the published processor")
    assert told.cost == Money(
        (told.prompt_tokens * Decimal(2) + 1024 * Decimal(6)) / Decimal(1_000_000), "CNY"
    )
    assert told.to_json() == {
        "prompt_tokens": told.prompt_tokens,
        "output_tokens": 1024,
        "complete": True,
        "cost": told.cost.to_json(),
        "source": "the published processor",
    }


def test_a_link_is_counted_only_at_a_flat_figure() -> None:
    link = asked(LinkedImage("https://a.example/a.jpg"))
    assert message_tokens(link, FLAT) == (1000, 0)
    assert message_tokens(link, PATCHES) == (0, 1)
    assert message_tokens(asked(LinkedVideo("https://a.example/a.mp4")), FLAT) == (0, 1)


def test_what_cannot_be_counted_makes_it_incomplete() -> None:
    told = estimate(Request("s", (asked(PICTURE, CLIP),), Parameters(max_tokens=7)), SILENT)
    assert (told.prompt_tokens, told.output_tokens, told.complete, told.cost) == (0, 7, False, None)
    assert "no published figure" in told.source
    assert told.to_json()["cost"] is None


def test_a_calibration_learns_only_from_counts() -> None:
    fresh = Calibration()
    assert fresh.after(100, 0, None) is fresh
    assert fresh.after(0, 1, 900) is fresh
    assert fresh.after(100, 0, 150) == Calibration(factor=1.5)
    assert fresh.after(100, 0, 50) == fresh
    learned = fresh.after(100, 2, 1100)
    assert learned == Calibration(per_medium=500)
    assert learned.after(100, 1, 300) == learned
    assert Calibration().tokens((), FLAT) == 0


@given(st.integers(1, 3), st.integers(1, 5000), st.integers(0, 10))
def test_a_calibrated_estimate_is_at_least_what_was_counted(media: int, counted: int, words: int) -> None:
    message = asked(*([LinkedVideo("https://a.example/a.mp4")] * media), Text("word " * (words + 1)))
    known, unknown = message_tokens(message, SILENT)
    after = Calibration().after(known, unknown, counted)
    assert after.tokens([message], SILENT) >= counted


def test_a_refusal_names_the_file_and_its_size() -> None:
    strip = Image("strip.png", MemoryContent(b"png"), "png", 20_000, 10)
    clip = Video("strip.mp4", FileContent("/strip.mp4", 100, 0), "mp4", 10, 4000, 10.0, 25.0, 250)
    for part, told in ((strip, "strip.png: .*(20000x10 px)"), (clip, "strip.mp4: .*(10x4000 px)")):
        with pytest.raises(MediaLimitError, match=told.replace("(", "\\(").replace(")", "\\)")) as caught:
            message_tokens(asked(part), PATCHES)
        assert caught.value.code == "ratio"
