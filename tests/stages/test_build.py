"""What a request is made of, and in which order."""

from __future__ import annotations

import pytest

from visionpipe.errors import ParameterError
from visionpipe.media import Image, LinkedVideo, Media, MemoryContent, Text
from visionpipe.registry.records import EndpointRecord, ImageRules, ModelRecord, ThinkingRules
from visionpipe.request import Message, Parameters, Request
from visionpipe.stages.check import build_request, request_form
from visionpipe.values import Adjustment

ENDPOINT = EndpointRecord(id="e", title="E", base_url="https://e.example", unknown_model="u")
MODEL = ModelRecord(id="m", thinking=ThinkingRules(mode="switchable"))
SHRUNK = Adjustment("resized", "a.jpg", "80x60 -> 40x30")
PICTURE = Image("a.jpg", MemoryContent(b"jpeg"), "jpeg", 40, 30, adjustments=(SHRUNK,))
CLIP = LinkedVideo("https://e.example/a.mp4")
EARLIER = (Message("user", (PICTURE, Text("Hello."))), Message("assistant", (Text("Hi."),)))


def built(
    *media: Media,
    model: ModelRecord = MODEL,
    endpoint: EndpointRecord = ENDPOINT,
    system: str | None = None,
    history: tuple[Message, ...] = (),
    published: bool = False,
    parameters: Parameters | None = None,
) -> Request:
    chosen = parameters or Parameters(temperature=0.5)
    return build_request(
        "What is it?",
        media,
        request_form(model=model, endpoint=endpoint, parameters=chosen, system=system),
        model=model,
        endpoint=endpoint,
        system=system,
        history=history,
        published=published,
    )


def test_a_clip_comes_first_then_images_then_the_text() -> None:
    request = built(PICTURE, CLIP)
    assert request.messages == (Message("user", (CLIP, PICTURE, Text("What is it?"))),)
    assert (request.model, request.parameters.temperature) == ("m", 0.5)
    assert request.adjustments == (SHRUNK,)


def test_what_was_said_before_stands_between_system_and_question() -> None:
    request = built(system="Be brief.", history=EARLIER)
    assert request.messages[0] == Message("system", (Text("Be brief."),))
    assert request.messages[1:3] == EARLIER
    assert request.messages[3] == Message("user", (Text("What is it?"),))


def test_a_model_without_a_system_role_reads_it_before_the_first_text() -> None:
    model = MODEL.model_copy(update={"system_role": False})
    request = built(model=model, system="Be brief.", history=EARLIER)
    assert request.messages[0] == Message("user", (PICTURE, Text("Be brief.\n\nHello.")))
    assert [a.kind for a in request.adjustments] == ["moved"]
    assert built(model=model).adjustments == ()


@pytest.mark.parametrize("prompt", ["", " \n\t"])
def test_an_empty_prompt_is_refused(prompt: str) -> None:
    with pytest.raises(ParameterError, match="empty"):
        build_request(prompt, (), Request(MODEL.id, ()), model=MODEL, endpoint=ENDPOINT)


def test_base64_is_doubtful_only_where_a_url_is_preferred_and_none_is_made() -> None:
    model = ModelRecord(id="m", images=ImageRules(transfer="url_preferred"))
    here = ENDPOINT.model_copy(update={"local": True})
    assert [a.kind for a in built(PICTURE, model=model).adjustments] == ["resized", "doubt"]
    assert built(PICTURE, model=model, published=True).adjustments == (SHRUNK,)
    assert built(PICTURE, model=model, endpoint=here).adjustments == (SHRUNK,)
    assert built(PICTURE, model=MODEL.model_copy(update={"images": None})).adjustments == (SHRUNK,)


def test_a_switch_that_the_model_lacks_is_left_out_where_it_changes_nothing() -> None:
    never = ModelRecord(id="m")
    request = built(model=never, parameters=Parameters(thinking="off"))
    assert request.parameters.thinking is None
    assert [(a.kind, a.subject) for a in request.adjustments] == [("dropped", "thinking")]
    assert built(parameters=Parameters(thinking="off")).parameters.thinking == "off"
