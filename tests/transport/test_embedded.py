"""The embedded sender answers chat requests like the service, on this machine."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import orjson
import pybase64
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from visionpipe.errors import BadImageError, UnreadableSourceError
from visionpipe.local.facts import Facts, LocalAnswer, Look, Subject, TextLine
from visionpipe.media import FileContent, MemoryContent
from visionpipe.prompts import presets
from visionpipe.prompts.presets import Language
from visionpipe.transport.embedded import AsyncEmbeddedSender, EmbeddedSender
from visionpipe.wire.http import (
    AsyncSender,
    Base64Piece,
    Base64Text,
    Body,
    HttpRequest,
    HttpResponse,
    Sender,
    encode_body,
)

SAMPLES = Path(__file__).parent.parent.parent / "samples"
LOOK = Look(colours=(), grey=False, bilevel=False, sharpness=None, brightness=1.0, exposure="normal")


class Echo:
    """An engine that says which images it was given, and in which language."""

    def describe(self, images: Sequence[bytes], *, lang: Language) -> LocalAnswer:
        for number, data in enumerate(images, 1):
            if data == b"bad":
                raise BadImageError("it is no image", cure="Give another.", subject=f"image {number}")
        facts = tuple(Facts("0", "png", 1, 1, None, (), (), LOOK) for _ in images)
        names = " ".join(data.decode() for data in images)
        return LocalAnswer({"en": f"I see {names}.", "zh": f"我看到{names}。"}[lang], facts)


def image(data: bytes, prefix: str = "") -> dict[str, Any]:
    url = prefix + pybase64.b64encode(data).decode()
    return {"type": "image_url", "image_url": {"url": url}}


def text(words: str) -> dict[str, Any]:
    return {"type": "text", "text": words}


def user(*parts: dict[str, Any]) -> dict[str, Any]:
    return {"role": "user", "content": list(parts)}


def post(*messages: Any, url: str = "/chat/completions", **fields: Any) -> HttpRequest:
    return HttpRequest(
        "POST", url, Body((orjson.dumps({"model": "m", "messages": list(messages), **fields}),))
    )


def ask(*messages: Any, **fields: Any) -> HttpResponse:
    return EmbeddedSender(Echo(), clock=lambda: 1_700_000_000.9).send(post(*messages, **fields))


def said(response: HttpResponse) -> str:
    assert response.status == 200, response.body
    content = json.loads(response.body)["choices"][0]["message"]["content"]
    assert isinstance(content, str)
    return content


def refused(response: HttpResponse, code: str = "1210", status: int = 400) -> str:
    assert response.status == status
    error = json.loads(response.body)["error"]
    assert error["code"] == code
    assert isinstance(error["message"], str)
    return error["message"]


def test_one_photo_one_sentence() -> None:
    head, tail = orjson.dumps(
        {
            "model": "m",
            "messages": [user({"type": "image_url", "image_url": {"url": "@"}}, text("Describe it."))],
        }
    ).split(b"@")
    cat = SAMPLES / "chelsea.png"
    content = FileContent(str(cat), cat.stat().st_size, cat.stat().st_mtime_ns)
    sender: Sender = EmbeddedSender()
    response = sender.send(HttpRequest("POST", "/chat/completions", Body((head, Base64Piece(content), tail))))
    assert said(response) == "A photo of a cat, mostly brown."
    (facts,) = json.loads(response.body)["local"]["facts"]
    assert facts["subject"]["family"] == "cat"
    sender.close()


def test_the_answer_has_the_services_form() -> None:
    response = ask(user(image(b"a"), text("Describe it.")), request_id="r-123456")
    assert response.headers["content-type"].startswith("application/json")
    reply = json.loads(response.body)
    assert reply.pop("id").startswith("local-")
    assert reply.pop("local") == {
        "engine": "visionpipe-local",
        "facts": [Echo().describe([b"a"], lang="en").facts[0].to_json()],
        "abstained": "the local analysis cannot name the subject",
    }
    assert reply == {
        "request_id": "r-123456",
        "created": 1_700_000_000,
        "model": "visionpipe-local",
        "choices": [
            {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "I see a."}}
        ],
        "usage": {
            "prompt_tokens": 2,
            "completion_tokens": 3,
            "total_tokens": 5,
            "prompt_tokens_details": {"cached_tokens": 0},
        },
    }


def test_without_a_request_id_the_answers_id_is_it() -> None:
    reply = json.loads(ask(user(image(b"a"))).body)
    assert reply["request_id"] == reply["id"]


@pytest.mark.parametrize("prefix", ["", "data:image/png;base64,", "data:image/jpeg;base64,"])
def test_bare_base64_and_data_uris(prefix: str) -> None:
    assert said(ask(user(image(b"a", prefix), image(b"b")))) == "I see a b."


def test_pieces_reach_the_engine_as_they_are() -> None:
    large = b"x" * 5000
    body = Body(
        (
            b'{"messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"',
            Base64Piece(MemoryContent(large)),
            b'"}}]}]}',
        )
    )
    response = EmbeddedSender(Echo()).send(HttpRequest("POST", "/chat/completions", body))
    assert said(response) == f"I see {large.decode()}."


def test_the_value_that_a_body_was_made_of_is_taken() -> None:
    seen: list[bytes] = []

    class Looking(Echo):
        def describe(self, images: Sequence[bytes], *, lang: Language) -> LocalAnswer:
            seen.extend(images)
            return super().describe(images, lang=lang)

    data = b"x" * 5000
    for prefix in ("", "data:image/png;base64,"):
        part = {"type": "image_url", "image_url": {"url": Base64Text(MemoryContent(data), prefix)}}
        body = encode_body({"model": "m", "messages": [user(part, text("Describe it."))]})
        response = EmbeddedSender(Looking()).send(HttpRequest("POST", "/chat/completions", body))
        assert said(response) == f"I see {data.decode()}."
    assert all(given is data for given in seen) and len(seen) == 2


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["user", "assistant", "system"]),
            st.lists(st.one_of(st.text(max_size=8), st.binary(min_size=1, max_size=8)), max_size=3),
        ),
        max_size=3,
    ),
    st.none() | st.integers(-1, 4),
)
def test_the_value_and_the_bytes_of_a_body_are_answered_alike(
    turns: list[tuple[str, list[str | bytes]]], most: int | None
) -> None:
    def part(given: str | bytes) -> dict[str, Any]:
        if isinstance(given, str):
            return text(given)
        named = given.hex().encode()
        return {"type": "image_url", "image_url": {"url": Base64Text(MemoryContent(named))}}

    value = {
        "messages": [{"role": role, "content": [part(given) for given in parts]} for role, parts in turns],
        "max_tokens": most,
    }
    body = encode_body(value)
    replies = [
        EmbeddedSender(Echo(), clock=lambda: 0.0).send(HttpRequest("POST", "/chat/completions", form))
        for form in (body, Body(body.pieces))
    ]
    one, other = ({**json.loads(r.body), "id": "", "request_id": "", "status": r.status} for r in replies)
    assert one == other


def test_a_file_behind_a_value_that_changed_is_an_input_error(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(b"abc")
    content = FileContent(str(path), 3, 0)
    part = {"type": "image_url", "image_url": {"url": Base64Text(content)}}
    body = encode_body({"messages": [user(part)]})
    with pytest.raises(UnreadableSourceError, match="changed"):
        EmbeddedSender(Echo()).send(HttpRequest("POST", "/chat/completions", body))


def test_the_latest_images_are_described() -> None:
    turns = [user(image(b"old")), {"role": "assistant", "content": "An old one."}, user(image(b"new"))]
    assert said(ask(*turns)) == "I see new."
    assert said(ask(*turns, {"role": "assistant", "content": None}, user(text("Go on.")))) == "I see new."


def test_chinese_prompts_get_chinese_answers() -> None:
    assert said(ask(user(image(b"a"), text("请描述这张图片。")))) == "我看到a。"
    assert said(ask(user(text("描述"), image(b"a")), user(text("And in English.")))) == "I see a."


def test_a_question_is_not_answered_and_it_says_so() -> None:
    english = said(ask(user(image(b"a"), text("Who is it? "))))
    assert english == "The embedded engine cannot answer questions and only describes: I see a."
    assert said(ask(user(image(b"a"), text("这是谁？")))) == "内置引擎不能回答问题，只作描述：我看到a。"


def test_max_tokens_cuts_the_answer() -> None:
    reply = json.loads(ask(user(image(b"a")), max_tokens=2).body)
    assert reply["choices"][0]["message"]["content"] == "I see "
    assert reply["choices"][0]["finish_reason"] == "length"
    assert reply["usage"]["completion_tokens"] == 2
    assert (
        json.loads(ask(user(image(b"a")), max_completion_tokens=3).body)["choices"][0]["finish_reason"]
        == "stop"
    )


@pytest.mark.parametrize(
    ("prompt", "answer"),
    [("Describe.", "I see a."), ("这是谁？", "内置引擎不能回答问题，只作描述：我看到a。")],
)
def test_a_stream_says_the_same_word_by_word(prompt: str, answer: str) -> None:
    request = post(user(image(b"a"), text(prompt)), stream=True, request_id="r-123456")
    stream = EmbeddedSender(Echo()).open(request)
    assert stream.status == 200
    assert stream.headers["content-type"].startswith("text/event-stream")
    events = list(stream)
    assert all(event.startswith(b"data: ") and event.endswith(b"\n\n") for event in events)
    assert events[-1] == b"data: [DONE]\n\n"
    *chunks, last = [json.loads(event[6:]) for event in events[:-1]]
    words = [chunk["choices"][0]["delta"]["content"] for chunk in chunks]
    assert "".join(words) == answer
    assert len(words) >= 3
    assert all(chunk["choices"][0]["finish_reason"] is None and "usage" not in chunk for chunk in chunks)
    assert last["choices"] == [
        {"index": 0, "finish_reason": "stop", "delta": {"role": "assistant", "content": ""}}
    ]
    assert last["usage"]["completion_tokens"] == len(words)
    assert len(last["local"]["facts"]) == 1
    assert {chunk["request_id"] for chunk in [*chunks, last]} == {"r-123456"}


def test_a_closed_stream_ends() -> None:
    stream = EmbeddedSender(Echo()).open(post(user(image(b"a")), stream=True))
    chunks = iter(stream)
    assert next(chunks)
    stream.close()
    assert list(chunks) == []


def test_send_and_open_take_both_kinds() -> None:
    sender = EmbeddedSender(Echo())
    assert sender.send(post(user(image(b"a")), stream=True)).body.endswith(b"data: [DONE]\n\n")
    assert json.loads(b"".join(sender.open(post(user(image(b"a"))))))["choices"]


@pytest.mark.parametrize(
    ("messages", "code", "word"),
    [
        ([user(text("Hello."))], "1210", "no image"),
        ([{"role": "user", "content": "Hello."}], "1210", "no image"),
        ([user(image(b"a"), image(b"bad"))], "1210", "image 2: it is no image"),
        ([user({"type": "image_url", "image_url": {"url": "https://host/a.png"}})], "1210", "reads no links"),
        ([user({"type": "image_url", "image_url": {"url": "HTTP://host/a.png"}})], "1210", "reads no links"),
        ([user({"type": "image_url", "image_url": {"url": "@@@"}})], "1210", "image 1: neither base64"),
        ([user({"type": "image_url", "image_url": {"url": "data:image/png,abc"}})], "1210", "neither base64"),
        ([user({"type": "video_url", "video_url": {"url": "AAAA"}})], "1210", "video_url"),
        ([user({"type": "file_url", "file_url": {"url": "https://host/a.pdf"}})], "1210", "file_url"),
        ([user({"type": "image_url", "image_url": "AAAA"})], "1214", "neither a text nor"),
        ([{"role": "user", "content": 7}], "1214", "messages.content"),
        (["hello"], "1214", "object"),
        ([], "1214", "messages"),
    ],
)
def test_what_it_cannot_do_is_refused_as_the_service_does(messages: list[Any], code: str, word: str) -> None:
    assert word in refused(ask(*messages), code)


@pytest.mark.parametrize(
    ("fields", "code", "word"),
    [
        ({"max_tokens": 0}, "1214", "max_tokens"),
        ({"max_tokens": True}, "1214", "max_tokens"),
        ({"response_format": {"type": "json_object"}}, "1210", "response_format"),
    ],
)
def test_parameters_it_cannot_heed_are_refused(fields: dict[str, Any], code: str, word: str) -> None:
    assert word in refused(ask(user(image(b"a")), **fields), code)
    assert said(ask(user(image(b"a")), response_format={"type": "text"})) == "I see a."


@pytest.mark.parametrize(
    "request_",
    [
        HttpRequest("GET", "/chat/completions"),
        HttpRequest("POST", "/async/chat/completions"),
        HttpRequest("POST", "https://host/api/paas/v4/async/chat/completions"),
        HttpRequest("GET", "/async-result/1"),
        HttpRequest("POST", "/files"),
    ],
)
def test_other_paths_are_not_there(request_: HttpRequest) -> None:
    assert request_.url in refused(EmbeddedSender(Echo()).send(request_), "1222", 404)


def test_a_whole_url_is_taken() -> None:
    request = post(user(image(b"a")), url="https://open.bigmodel.cn/api/paas/v4/chat/completions")
    assert said(EmbeddedSender(Echo()).send(request)) == "I see a."


def test_bodies_that_are_none_or_no_json() -> None:
    sender = EmbeddedSender(Echo())
    refused(sender.send(HttpRequest("POST", "/chat/completions")), "1213")
    assert "no JSON" in refused(sender.send(HttpRequest("POST", "/chat/completions", Body((b"{",)))))
    refused(sender.send(HttpRequest("POST", "/chat/completions", Body((b"[1]",)))), "1214")


def test_a_vanished_file_is_an_input_error(tmp_path: Path) -> None:
    gone = Base64Piece(FileContent(str(tmp_path / "gone.png"), 3, 0))
    with pytest.raises(UnreadableSourceError):
        EmbeddedSender(Echo()).send(HttpRequest("POST", "/chat/completions", Body((b'["', gone, b'"]'))))


def test_the_async_sender_says_the_same() -> None:
    async def both() -> tuple[HttpResponse, list[bytes], int, str]:
        sender: AsyncSender = AsyncEmbeddedSender(Echo())
        whole = await sender.send(post(user(image(b"a"))))
        stream = await sender.open(post(user(image(b"a")), stream=True))
        events = [event async for event in stream]
        closed = await sender.open(post(user(image(b"a")), stream=True))
        await closed.close()
        assert [event async for event in closed] == []
        await sender.close()
        return whole, events, stream.status, stream.headers["content-type"]

    whole, events, status, kind = asyncio.run(both())
    assert said(whole) == "I see a."
    assert events[-1] == b"data: [DONE]\n\n"
    assert status == 200
    assert kind.startswith("text/event-stream")


NO_SOCKETS = """
import json, sys

OUTWARD = {"socket." + name for name in ("connect", "getaddrinfo", "gethostbyname", "sendto", "sendmsg")}

def refuse(event, arguments):
    if event in OUTWARD:
        raise SystemExit(f"{event} {arguments}")

sys.addaudithook(refuse)
from visionpipe.media import MemoryContent
from visionpipe.transport.embedded import EmbeddedSender
from visionpipe.wire.http import Base64Piece, Body, HttpRequest

assert not {"cv2", "numpy", "PIL", "httpx"} & set(sys.modules), "heavy imports before the first request"
head, tail = json.dumps({"messages": [{"role": "user", "content": [
    {"type": "image_url", "image_url": {"url": "@"}}]}]}).encode().split(b"@")
page = Base64Piece(MemoryContent(open(sys.argv[1], "rb").read()))
response = EmbeddedSender().send(HttpRequest("POST", "/chat/completions", Body((head, page, tail))))
sys.stdout.buffer.write(response.body)
"""


def test_nothing_opens_a_socket() -> None:
    run = subprocess.run(
        [sys.executable, "-c", NO_SOCKETS, str(SAMPLES / "page.png")], capture_output=True, timeout=120
    )
    assert run.returncode == 0, run.stderr
    (facts,) = json.loads(run.stdout)["local"]["facts"]
    assert facts["text"][0]["text"] == "Region-based segmentation"


def abstained(response: HttpResponse) -> str | None:
    found: str | None = json.loads(response.body)["local"]["abstained"]
    return found


class Shown:
    """An engine that finds these facts in every image."""

    def __init__(self, **found: Any) -> None:
        fields: dict[str, Any] = {"subject": None, "objects": (), "look": LOOK, **found}
        self._facts = Facts("0", "png", 1, 1, guesses=(), **fields)

    def describe(self, images: Sequence[bytes], *, lang: Language) -> LocalAnswer:
        return LocalAnswer("A photo.", (self._facts,) * len(images))

    def answer(self, prompt: str) -> HttpResponse:
        return EmbeddedSender(self).send(post(user(image(b"a"), text(prompt))))


CAT = Subject(281, "tabby", "cat", 0.9)


def test_what_is_no_answer_is_marked_as_an_abstention() -> None:
    assert abstained(Shown(subject=CAT).answer("Describe it.")) is None
    assert abstained(Shown().answer("Describe it.")) == "the local analysis cannot name the subject"
    assert abstained(Shown(subject=CAT).answer("Is it big?")) == "the embedded engine answers no questions"


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_tags_are_answered_in_their_form(lang: Language) -> None:
    prompt = f"{presets.tags.text(lang)}\n\nAnswer with one JSON document"
    named = {"en": ["cat"], "zh": ["猫"]}[lang]
    assert json.loads(said(Shown(subject=CAT).answer(prompt))) == {"tags": named}
    nothing = Shown().answer(prompt)
    assert (said(nothing), bool(abstained(nothing))) == ('{"tags": []}', True)


def test_text_is_read_or_refused_but_never_made_up() -> None:
    prompt = presets.ocr.text("en")
    read = Shown(text=(TextLine("STOP", 0.9), TextLine("here", 0.9))).answer(prompt)
    assert (said(read), abstained(read)) == ("STOP\nhere", None)
    assert said(Shown(text=()).answer(prompt)) == "[no text]"
    assert "rapidocr is missing" in refused(Shown(notes=("rapidocr is missing",)).answer(prompt))
