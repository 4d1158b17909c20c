"""The body of a chat call: every kind of part, both dialects, and nothing that was not set."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from visionpipe.media import (
    Image,
    LinkedFile,
    LinkedImage,
    LinkedVideo,
    MemoryContent,
    Part,
    Text,
    Video,
)
from visionpipe.registry.lookup import Registry
from visionpipe.registry.records import EndpointRecord
from visionpipe.request import Message, Parameters, Request, ToolCall
from visionpipe.wire.chat import encode_chat
from visionpipe.wire.http import Body

REGISTRY = Registry.load()
GLM = REGISTRY.endpoint("bigmodel")
OPENAI = REGISTRY.endpoint("openai")
PICTURE = Image("a.png", MemoryContent(b"\x89PNG..."), "png", 4, 3)
CLIP = Video("a.webm", MemoryContent(b"webm"), "webm", 4, 3, 1.0, 25.0, 25, time_base=Fraction(1, 1000))
LINK = "https://a.example/b"


def sent(body: Body) -> Any:
    """The body as the service reads it."""
    joined = b""
    for piece in body.pieces:
        if isinstance(piece, bytes):
            joined += piece
        elif isinstance(piece.content, MemoryContent):
            joined += base64.b64encode(piece.content.data)
    assert len(joined) == body.size
    return orjson.loads(joined)


def asked(*parts: Part, **more: Any) -> Request:
    return Request("m", (Message("user", parts),), **more)


@pytest.mark.parametrize(
    ("part", "glm", "openai"),
    [
        (Text("猫?"), {"type": "text", "text": "猫?"}, None),
        (LinkedImage(LINK), {"type": "image_url", "image_url": {"url": LINK}}, None),
        (LinkedVideo(LINK), {"type": "video_url", "video_url": {"url": LINK}}, None),
        (LinkedFile(LINK), {"type": "file_url", "file_url": {"url": LINK}}, None),
        (
            PICTURE,
            {"type": "image_url", "image_url": {"url": "iVBORy4uLg=="}},
            {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORy4uLg=="}},
        ),
        (
            CLIP,
            {"type": "video_url", "video_url": {"url": "d2VibQ=="}},
            {"type": "video_url", "video_url": {"url": "data:video/webm;base64,d2VibQ=="}},
        ),
    ],
    ids=lambda value: type(value).__name__,
)
def test_each_kind_of_part(part: Part, glm: dict[str, Any], openai: dict[str, Any] | None) -> None:
    for endpoint, expected in ((GLM, glm), (OPENAI, openai or glm)):
        body = sent(encode_chat(asked(part), endpoint))
        assert body["messages"] == [{"role": "user", "content": [expected]}]


def test_what_was_not_set_is_not_sent() -> None:
    for endpoint in (GLM, OPENAI):
        assert sent(encode_chat(asked(Text("Hi.")), endpoint)).keys() == {"model", "messages"}


def test_every_parameter_in_the_glm_form() -> None:
    given_ = Parameters(
        temperature=0.0,
        max_tokens=7,
        do_sample=False,
        stop=("END",),
        thinking="off",
        reasoning_effort="high",
        user_id="user-1",
        extra={"seed": 3},
    )
    body = sent(encode_chat(asked(Text("Hi."), parameters=given_), GLM, request_id="vp-1"))
    del body["messages"]
    assert body == {
        "model": "m",
        "temperature": 0.0,
        "max_tokens": 7,
        "do_sample": False,
        "stop": ["END"],
        "thinking": {"type": "disabled"},
        "reasoning_effort": "high",
        "user_id": "user-1",
        "seed": 3,
        "request_id": "vp-1",
    }


def test_the_plain_form_has_its_own_names_and_no_request_id() -> None:
    settings = Parameters(top_p=0.5, max_tokens=7, thinking="on", user_id="user-1")
    body = sent(encode_chat(asked(Text("Hi."), parameters=settings), OPENAI, request_id="vp-1", stream=True))
    assert (body["top_p"], body[OPENAI.output_limit_field], body["user"]) == (0.5, 7, "user-1")
    assert "thinking" not in body
    assert body["reasoning_effort"] == "medium"
    assert (body["stream"], body["stream_options"]) == (True, {"include_usage": True})
    assert not body.keys() & {"request_id", "user_id"}


def test_a_glm_stream_asks_for_no_options() -> None:
    body = sent(encode_chat(asked(Text("Hi.")), GLM, stream=True))
    assert body["stream"] is True
    assert "stream_options" not in body


def test_tools_a_choice_among_them_and_a_schema() -> None:
    tool: dict[str, Any] = {"type": "function", "function": {"name": "look"}}
    request = asked(Text("Hi."), tools=(tool,), tool_choice="auto", response_format={"type": "json_object"})
    body = sent(encode_chat(request, GLM))
    assert (body["tools"], body["tool_choice"]) == ([tool], "auto")
    assert body["response_format"] == {"type": "json_object"}
    assert "tool_choice" not in sent(encode_chat(asked(Text("Hi."), tools=(tool,)), GLM))
    assert "tool_choice" not in sent(encode_chat(asked(Text("Hi."), tool_choice="auto"), GLM))


def test_the_other_roles_are_plain_strings() -> None:
    call = ToolCall("1", "look", '{"at":"cat"}')
    messages = (
        Message("system", (Text("Be brief."), Text("Be kind."))),
        Message("assistant", (), (call,)),
        Message("tool", (Text("a cat"),), tool_call_id="1"),
        Message("assistant", ()),
    )
    assert sent(encode_chat(Request("m", messages), GLM))["messages"] == [
        {"role": "system", "content": "Be brief.\nBe kind."},
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [
                {"id": "1", "type": "function", "function": {"name": "look", "arguments": '{"at":"cat"}'}}
            ],
        },
        {"role": "tool", "content": "a cat", "tool_call_id": "1"},
        {"role": "assistant", "content": ""},
    ]


def nulls(value: Any) -> Iterator[Any]:
    """Everything null inside of it."""
    if value is None:
        yield value
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from nulls(inner)


parameters = st.builds(
    Parameters,
    temperature=st.none() | st.floats(0, 1),
    top_p=st.none() | st.floats(0, 1),
    max_tokens=st.none() | st.integers(1, 9000),
    do_sample=st.none() | st.booleans(),
    stop=st.lists(st.text(max_size=3), max_size=2).map(tuple),
    thinking=st.sampled_from([None, "on", "off"]),
    reasoning_effort=st.sampled_from([None, "low"]),
    user_id=st.none() | st.just("user-1"),
)
parts = st.sampled_from([PICTURE, CLIP, LinkedImage(LINK), LinkedVideo(LINK), LinkedFile(LINK), Text("Hi.")])


@given(
    st.sampled_from([GLM, OPENAI]),
    parameters,
    st.lists(parts, min_size=1, max_size=4),
    st.none() | st.just("vp-1"),
    st.booleans(),
)
def test_a_question_holds_no_null(
    endpoint: EndpointRecord, settings: Parameters, media: list[Part], request_id: str | None, stream: bool
) -> None:
    request = asked(*media, parameters=settings)
    body = sent(encode_chat(request, endpoint, request_id=request_id, stream=stream))
    assert not list(nulls(body))
    assert len(body["messages"][0]["content"]) == len(media)
