"""A request is held against its model's record; what the record knows is an error that names the way out."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from visionpipe.errors import (
    ContextLimitError,
    MediaLimitError,
    ParameterError,
    TooManyImagesError,
    UnsupportedError,
)
from visionpipe.media import Image, LinkedFile, LinkedImage, LinkedVideo, MemoryContent, Part, Text
from visionpipe.registry.estimates import estimate
from visionpipe.registry.lookup import Registry
from visionpipe.registry.records import ModelRecord
from visionpipe.request import Message, Parameters, Request
from visionpipe.stages.check import check_context, check_media, check_parameters, input_room

REGISTRY = Registry.load()
PHOTO = Image("a.jpg", MemoryContent(bytes(1000)), "jpeg", 1024, 1024)
LINK = LinkedImage("https://example.com/a.jpg")


def request(model: str, *parts: Part, **parameters: int) -> Request:
    message = Message("user", (*parts, Text("What is this?")))
    return Request(model, (message,), Parameters(**parameters))  # type: ignore[arg-type]  # by name


def check(model: str, *parts: Part) -> None:
    check_media(request(model, *parts), REGISTRY.model(model), REGISTRY)


@pytest.mark.parametrize(
    ("model", "parts"),
    [
        ("glm-4v-plus-0111", [PHOTO] * 5),
        ("glm-4v-plus-0111", [LinkedVideo("https://example.com/a.mp4")]),
        ("glm-4v-flash", [LINK]),
        ("glm-4.6v", [PHOTO, LINK] * 25),
        ("glm-4.6v", [LinkedFile("https://example.com/a.pdf")]),
        ("glm-9v-unheard-of", [PHOTO] * 99),
    ],
)
def test_what_fits_passes(model: str, parts: list[Part]) -> None:
    check(model, *parts)


@pytest.mark.parametrize(
    ("model", "parts", "kind", "words"),
    [
        ("glm-4v-plus-0111", [PHOTO] * 6, TooManyImagesError, "6 images, and glm-4v-plus-0111 takes 5"),
        ("glm-4v-flash", [LINK, PHOTO], TooManyImagesError, "takes 1"),
        ("glm-4.6v", [PHOTO] * 51, TooManyImagesError, "takes 50"),
        ("glm-4v-flash", [LinkedVideo("https://x/a.mp4")], UnsupportedError, "Send frames of it as images"),
        ("glm-4v-plus", [LinkedFile("https://x/a.pdf")], UnsupportedError, "takes no files"),
        ("glm-4.6v", [PHOTO, LinkedVideo("https://x/a.mp4")], UnsupportedError, "one kind at a time"),
        ("glm-4.6v", [replace(PHOTO, format="webp")], MediaLimitError, "webp is none of jpeg, png"),
        ("glm-4.6v", [replace(PHOTO, width=6001)], MediaLimitError, "takes 6000 a side"),
        (
            "glm-4.6v",
            [replace(PHOTO, content=MemoryContent(bytes(5 * 1024**2 + 1)))],
            MediaLimitError,
            "5,242,881 bytes, and glm-4.6v takes 5,242,880",
        ),
    ],
)
def test_what_does_not_fit_names_the_limit(
    model: str, parts: list[Part], kind: type[Exception], words: str
) -> None:
    with pytest.raises(kind, match=words):
        check(model, *parts)


def test_the_cure_for_too_many_images_names_the_first_three_models_that_take_them() -> None:
    with pytest.raises(TooManyImagesError) as refused:
        check("glm-4v-flash", LINK, PHOTO)
    named = re.findall(r"([\w.-]+) \((\d+)\)", refused.value.cure)
    able = REGISTRY.models_taking(images=2, endpoints=REGISTRY.model("glm-4v-flash").endpoints)
    assert named == [(other.id, str(other.images.max_count)) for other in able[:3] if other.images]
    assert len(named) == 3
    assert "allow a repair" in refused.value.cure


def test_the_cure_for_too_many_images_names_no_model_where_none_takes_them() -> None:
    with pytest.raises(TooManyImagesError) as refused:
        check("glm-4.6v", *[PHOTO] * 9_999)
    assert refused.value.cure.startswith("Send at most 50; allow a repair")


def test_history_counts_too() -> None:
    earlier = Message("user", (PHOTO, PHOTO, PHOTO, Text("These?")))
    now = Message("user", (PHOTO, PHOTO, PHOTO, Text("And these?")))
    model = REGISTRY.model("glm-4v-plus-0111")
    with pytest.raises(TooManyImagesError, match="6 images"):
        check_media(Request(model.id, (earlier, now)), model, REGISTRY)


def test_input_is_at_most_context_less_output() -> None:
    model = REGISTRY.model("glm-4v-flash").model_copy(update={"context_tokens": 16_384})
    assert model.max_output_tokens == 1024
    words = Text("word " * 11_000)

    def held(max_tokens: int) -> None:
        asked = request(model.id, words, max_tokens=max_tokens)
        check_context(asked, estimate(asked, model), model)

    held(1024)
    words = Text("word " * 12_000)
    with pytest.raises(ContextLimitError, match=r"room for 15,360 \(16,384 of context less 1,024 of output"):
        held(1024)


def test_an_unknown_context_holds_nothing_back() -> None:
    model = REGISTRY.model("glm-4v-plus-0111")
    assert model.context_tokens is None
    asked = request(model.id, Text("word " * 100_000))
    check_context(asked, estimate(asked, model), model)


@pytest.mark.parametrize(
    ("asked", "usual", "most", "room"),
    [
        (None, 100, 400, 900),
        (None, 600, 400, 600),
        (None, None, 400, 1000),
        (None, 1500, None, 0),
        (250, 100, 400, 750),
        (50, 100, 400, 950),
    ],
    ids=["usual", "usual over most", "usual unknown", "usual over context", "asked for", "asked for less"],
)
def test_output_takes_what_is_asked_for_or_else_what_is_usual(
    asked: int | None, usual: int | None, most: int | None, room: int
) -> None:
    model = ModelRecord(id="m", context_tokens=1000, default_output_tokens=usual, max_output_tokens=most)
    assert input_room(Parameters(max_tokens=asked), model) == room


def test_input_may_fill_its_room_to_the_last_token() -> None:
    asked = request("m", Text("word " * 100), max_tokens=50)
    needed = estimate(asked, ModelRecord(id="m"))
    exact = ModelRecord(id="m", context_tokens=needed.prompt_tokens + 50)
    check_context(asked, needed, exact)
    with pytest.raises(ContextLimitError):
        check_context(asked, needed, ModelRecord(id="m", context_tokens=needed.prompt_tokens + 49))


def test_one_token_of_output_may_be_asked_for_and_none_not() -> None:
    model = REGISTRY.model("glm-4.6v")
    check_parameters(Parameters(max_tokens=1), model)
    with pytest.raises(ParameterError, match="below 1"):
        check_parameters(Parameters(max_tokens=0), model)
