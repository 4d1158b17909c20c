"""Messages as the platform writes them, and what one call says for itself: headers, detail and extra."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import orjson
import pytest

from tests.client.faces import KEY, Clock, Face, chat, event_stream, setup_for
from tests.loopback import Answer, Loopback
from visionpipe import Client
from visionpipe.errors import (
    BadImageError,
    InputError,
    ParameterError,
    RejectedRequestError,
    UnsupportedError,
)
from visionpipe.stages.tools import WebSearch
from visionpipe.testing.images import png_bytes

PICTURE = base64.b64encode(png_bytes()).decode()
LINK = "https://pictures.example/a.jpg"
EARLIER: list[dict[str, Any]] = [
    {"role": "system", "content": "Be brief."},
    {
        "role": "user",
        "content": [
            {"type": "image_url", "image_url": {"url": LINK}},
            {"type": "text", "text": "Who is it?"},
        ],
    },
    {"role": "assistant", "content": [{"type": "text", "text": "A cat."}]},
]
QUESTION = {"role": "user", "content": "What colour?"}


def sent(loopback: Loopback) -> list[dict[str, Any]]:
    messages: list[dict[str, Any]] = loopback.requests[-1].json()["messages"]
    return messages


@pytest.mark.parametrize("streamed", [False, True], ids=["ask", "stream"])
def test_the_faqs_messages_are_sent_as_they_are(face: Face, loopback: Loopback, streamed: bool) -> None:
    loopback.script(event_stream("Grey.") if streamed else chat("Grey."))
    setup = setup_for(loopback, model="glm-4.6v")
    messages = [*EARLIER, QUESTION]
    if streamed:
        reply = face.stream("", setup=setup, messages=messages)[1]
    else:
        reply = face.ask("", setup=setup, messages=messages)
    assert reply.text == "Grey."
    system, user, assistant, question = sent(loopback)
    assert system == {"role": "system", "content": "Be brief."}
    assert [part["type"] for part in user["content"]] == ["image_url", "text"]
    assert user["content"][0]["image_url"] == {"url": LINK}
    assert assistant == {"role": "assistant", "content": "A cat."}
    assert question["content"] == [{"type": "text", "text": "What colour?"}]


def test_a_prompt_comes_behind_the_messages(face: Face, loopback: Loopback) -> None:
    loopback.script(chat("Grey."))
    face.ask("What colour?", png_bytes(), setup=setup_for(loopback, model="glm-4.6v"), messages=EARLIER)
    assert [message["role"] for message in sent(loopback)] == ["system", "user", "assistant", "user"]
    assert [part["type"] for part in sent(loopback)[-1]["content"]] == ["image_url", "text"]


@pytest.mark.parametrize("url", [PICTURE, f"data:image/png;base64,{PICTURE}"], ids=["bare", "data URI"])
def test_pictures_inside_messages_are_loaded_and_checked(face: Face, loopback: Loopback, url: str) -> None:
    loopback.script(chat("Grey."))
    part = {"type": "image_url", "image_url": {"url": url}}
    messages = [{"role": "user", "content": [part, {"type": "text", "text": "What?"}]}]
    face.ask("", setup=setup_for(loopback, model="glm-4.6v"), messages=messages)
    assert base64.b64decode(sent(loopback)[0]["content"][0]["image_url"]["url"])[:4] == b"\x89PNG"


def test_a_conversation_goes_on_behind_messages(loopback: Loopback) -> None:
    loopback.script(chat("Grey."))
    with Client(**setup_for(loopback, model="glm-4.6v")) as client:
        talk = client.conversation(load=EARLIER)
        assert talk.system == "Be brief."
        assert talk.ask("What colour?").text == "Grey."
        assert [message.role for message in talk.messages] == ["user", "assistant"] * 2
    assert len(sent(loopback)) == 4


@pytest.mark.parametrize(
    ("messages", "words"),
    [
        ("Hello", "no list of messages"),
        ([], "no message in it"),
        ([{"content": "x"}], r"messages\[0\]: it is no message with a known role"),
        ([{"role": "user", "content": ""}], "it is empty"),
        ([{"role": "user", "content": 7}], "neither a text nor a list"),
        ([{"role": "user", "content": [{"type": "audio"}]}], r"content\[0\]: a part of the type 'audio'"),
        ([{"role": "user", "content": [{"type": "image_url", "image_url": {}}]}], "has no url"),
        ([{"role": "user", "content": [{"type": "image_url", "image_url": "/etc/a.png"}]}], "neither a link"),
        ([{"role": "assistant", "content": "A cat."}], "the last message is no question"),
        ([{"role": "assistant", "tool_calls": [{"id": 1}]}], "a tool call has no function"),
    ],
)
def test_messages_of_another_form_are_refused_by_their_place(
    face: Face, loopback: Loopback, messages: Any, words: str
) -> None:
    with pytest.raises(ParameterError, match=words):
        face.ask("", setup=setup_for(loopback, model="glm-4.6v"), messages=messages)
    assert loopback.requests == []


def test_a_path_inside_messages_is_never_opened_unless_it_is_given_as_one(
    loopback: Loopback, tmp_path: Path
) -> None:
    picture = tmp_path / "a.png"
    picture.write_bytes(png_bytes())

    def holding(url: Any) -> list[dict[str, Any]]:
        parts = [{"type": "image_url", "image_url": {"url": url}}, {"type": "text", "text": "What?"}]
        return [{"role": "user", "content": parts}]

    loopback.script(chat("Grey."))
    with Client(**setup_for(loopback, model="glm-4.6v")) as client:
        with pytest.raises(InputError):
            client.ask(messages=holding(str(picture)))
        assert client.ask(messages=holding(picture)).text == "Grey."
        with pytest.raises(ParameterError, match="system, messages"):
            client.ask(messages=EARLIER, prompt="And?", system="Be long.")
        with pytest.raises(ParameterError, match="has its own messages"):
            client.conversation().ask("And?", messages=EARLIER)
        with pytest.raises(ParameterError, match="not the model's"):
            client.conversation(load=[*EARLIER, QUESTION])


def test_a_call_has_headers_of_its_own(face: Face, loopback: Loopback) -> None:
    for streamed in (False, True):
        loopback.script(event_stream("Grey.") if streamed else chat("Grey."))
        setup = setup_for(loopback, model="glm-4.6v")
        (face.stream if streamed else face.ask)("What?", setup=setup, headers={"X-Trace": "abc"})
        seen = loopback.requests[-1]
        assert seen.headers["x-trace"] == "abc"
        assert seen.headers["authorization"] == f"Bearer {KEY}"


@pytest.mark.parametrize(
    ("headers", "words"),
    [
        ({"Authorization": "Bearer other"}, "not a call's to set"),
        ({"api-key": "x"}, "not a call's to set"),
        ({"Content-Length": "3"}, "not a call's to set"),
        ({"X-Ä": "a"}, "characters that headers cannot have"),
        ({"X-A": "a\r\nB: c"}, "characters that headers cannot have"),
        ({"X-A": 7}, "characters that headers cannot have"),
    ],
)
def test_headers_that_a_call_cannot_set(face: Face, loopback: Loopback, headers: Any, words: str) -> None:
    with pytest.raises(ParameterError, match=words):
        face.ask("What?", setup=setup_for(loopback), headers=headers)
    assert loopback.requests == []


@pytest.mark.parametrize("name", ["model", "messages", "stream"])
def test_extra_cannot_replace_what_the_call_says(face: Face, loopback: Loopback, name: str) -> None:
    with pytest.raises(ParameterError, match=f"extra: it holds '{name}'"):
        face.ask("What?", setup=setup_for(loopback), extra={name: "x"})
    assert loopback.requests == []


def test_detail_goes_where_it_is_known(face: Face, loopback: Loopback) -> None:
    loopback.script(chat("Grey."))
    setup = {"base_url": loopback.url, "model": "some-model", "api_key": KEY}
    face.ask("What?", png_bytes(), LINK, setup=setup, detail="low")
    assert [part["image_url"]["detail"] for part in sent(loopback)[0]["content"][:2]] == ["low", "low"]
    reply = face.ask("What?", png_bytes(), setup=setup_for(loopback, model="glm-4.6v"), detail="low")
    assert "detail" not in sent(loopback)[0]["content"][0]["image_url"]
    assert [(a.kind, a.subject) for a in reply.adjustments] == [("dropped", "detail")]
    with pytest.raises(ParameterError, match="none of low, high, auto"):
        face.ask("What?", setup=setup, detail="huge")


@pytest.mark.parametrize("link", ["https://x.example/report.pdf", "https://x.example/a/Report.DOCX?sig=1"])
def test_a_link_to_a_document_is_refused_as_what_it_is(face: Face, loopback: Loopback, link: str) -> None:
    with pytest.raises(BadImageError, match=r"a link to a document \(\.(pdf|DOCX)\), not an image"):
        face.ask("What?", link, setup=setup_for(loopback, model="glm-4.6v"))
    assert loopback.requests == []


def test_1210_from_a_model_that_wants_links_says_what_helps(face: Face, loopback: Loopback) -> None:
    loopback.script(
        Answer(400, orjson.dumps({"error": {"code": "1210", "message": "图片输入格式/解析错误"}}))
    )
    with pytest.raises(RejectedRequestError, match=r"--publish.*glm-4\.6v-flash"):
        face.ask("What?", png_bytes(), setup=setup_for(loopback, model="glm-4v-flash"))
    with pytest.raises(RejectedRequestError, match="visionpipe check"):
        face.ask("What?", png_bytes(), setup=setup_for(loopback, model="glm-4.6v"))


@pytest.mark.parametrize(("found", "notes"), [([], ["no_sources"]), ([{"title": "Cats", "link": LINK}], [])])
def test_a_web_search_without_sources_gets_a_note(
    face: Face, loopback: Loopback, found: list[Any], notes: list[str]
) -> None:
    loopback.script(chat("A cat.", web_search=found))
    search = WebSearch(search_result=True)
    reply = face.ask("What?", setup=setup_for(loopback, model="unknown-glm-text"), tools=[search])
    assert [note.kind for note in reply.notes] == notes


def test_a_batch_line_has_no_headers(loopback: Loopback) -> None:
    with Client(**setup_for(loopback, Clock(), model="glm-4v-plus-0111")) as client:
        with pytest.raises(UnsupportedError, match="no headers of its own"):
            client.batches.line("request-1", client.prepare("What?", headers={"X-A": "b"}))
        with pytest.raises(ParameterError, match="fewer than 6"):
            client.batches.line("r1", client.prepare("What?"))
