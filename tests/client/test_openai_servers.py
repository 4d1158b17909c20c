"""Servers that speak the OpenAI form: each of their quirks is a field of a record, and is heeded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pytest

from tests.client.faces import Clock, Face, chat, event_stream
from tests.client.faulty import THRICE
from tests.loopback import Answer, Loopback
from visionpipe import errors
from visionpipe.media import LinkedVideo, Text
from visionpipe.registry.lookup import Registry
from visionpipe.request import Message, Request
from visionpipe.sources.addresses import FetchedFile
from visionpipe.stages.check import check_media
from visionpipe.testing.images import jpeg_bytes, png_bytes, webp_bytes
from visionpipe.testing.sandbox import SandboxHandle

LOCAL = ["", "vllm+", "llamacpp+", "ollama+"]
"""How a base URL begins, to be taken by that server's record; with nothing, by the one for any server."""


def at(url: str, prefix: str = "", **more: Any) -> dict[str, Any]:
    clock = Clock()
    return {
        "base_url": prefix + url,
        "api_key": "abc",
        "model": "some-model",
        "retry": THRICE,
        "clock": clock,
        "sleep": clock.sleep,
        **more,
    }


def sandboxed(sandbox: SandboxHandle, prefix: str = "") -> dict[str, Any]:
    return at(sandbox.openai_url, prefix, api_key=sandbox.key, model="glm-4.6v")


@pytest.mark.parametrize("prefix", [*LOCAL, "openai+"])
def test_images_arrive_as_data_uris(face: Face, sandbox: SandboxHandle, prefix: str) -> None:
    reply = face.ask("What?", jpeg_bytes(), png_bytes(), setup=sandboxed(sandbox, prefix), max_tokens=50)
    seen = sandbox.log()[-1]
    assert seen["path"] == "/v1/chat/completions"
    assert [(item["form"], item["format"]) for item in seen["media"]] == [
        ("data_uri", "jpeg"),
        ("data_uri", "png"),
    ]
    assert reply.usage is not None and "jpeg 32x24" in reply.text


@pytest.mark.parametrize("prefix", LOCAL)
def test_other_formats_become_jpeg_or_png_and_say_so(face: Face, sandbox: SandboxHandle, prefix: str) -> None:
    reply = face.ask("What?", webp_bytes(), setup=sandboxed(sandbox, prefix))
    assert sandbox.log()[-1]["media"][0]["format"] in {"jpeg", "png"}
    assert reply.adjustments


@pytest.mark.parametrize(
    ("prefix", "asked"),
    [("", False), ("vllm+", True), ("llamacpp+", True), ("ollama+", True), ("openai+", True)],
)
def test_a_streams_usage_is_asked_for_where_the_server_knows_how(
    face: Face, sandbox: SandboxHandle, loopback: Loopback, prefix: str, asked: bool
) -> None:
    pieces, reply = face.stream("What?", jpeg_bytes(), setup=sandboxed(sandbox, prefix))
    assert "".join(pieces) == reply.text
    assert (reply.usage is not None) is asked
    loopback.script(event_stream("Done."))
    face.stream("What?", jpeg_bytes(), setup=at(loopback.url, prefix))
    body = loopback.requests[0].json()
    assert body.get("stream_options") == ({"include_usage": True} if asked else None)


def test_the_fields_have_openais_names(face: Face, loopback: Loopback) -> None:
    loopback.script(chat("Done."))
    setup = at(loopback.url, "openai+")
    face.ask("What?", jpeg_bytes(), setup=setup, max_tokens=50, user_id="user-01", temperature=1.5, top_p=0.9)
    body = loopback.requests[0].json()
    assert (body["max_completion_tokens"], body["user"]) == (50, "user-01")
    assert not {"max_tokens", "user_id", "request_id", "thinking"} & set(body)


SAYINGS = [
    (500, "image input is not supported - hint: if this is unexpected, you may need to provide the mmproj"),
    (500, "image input is not supported by this server"),
    (400, "unsupported content[].type: Unsupported content part type: image_url"),
    (400, "At most 1 image(s) may be provided in one prompt."),
    (400, "text-model is not a multimodal model"),
    (500, "vision model only supports one image per message"),
    (500, "this model does not support images"),
]


@pytest.mark.parametrize("prefix", LOCAL)
@pytest.mark.parametrize(("status", "words"), SAYINGS)
def test_what_a_server_cannot_do_is_explained_and_sent_once(
    face: Face, loopback: Loopback, prefix: str, status: int, words: str
) -> None:
    error = {"error": {"code": status, "message": words, "type": "server_error"}}
    loopback.script(Answer(status, orjson.dumps(error)))
    setup = at(loopback.url, prefix)
    for way in (face.ask, face.stream):
        with pytest.raises(errors.ServiceError) as caught:
            way("What?", jpeg_bytes(), setup=setup)
        assert (caught.value.retryable, caught.value.attempts) == (False, 1)
        hints = Registry.load([]).endpoint(prefix + loopback.url).error_hints
        assert caught.value.cure in hints.values()
        assert words in str(caught.value)
    assert len(loopback.requests) == 2


def test_the_missing_projector_is_named(face: Face, loopback: Loopback) -> None:
    loopback.script(Answer(500, orjson.dumps({"error": {"code": 500, "message": SAYINGS[0][1]}})))
    with pytest.raises(errors.ServerError, match="--mmproj FILE"):
        face.ask("What?", jpeg_bytes(), setup=at(loopback.url, "llamacpp+"))


def test_an_error_of_the_server_without_a_known_cause_is_sent_again(face: Face, loopback: Loopback) -> None:
    loopback.script(Answer(500, b'{"error": {"code": 500, "message": "slot unavailable"}}'), chat("Done."))
    assert len(face.ask("What?", jpeg_bytes(), setup=at(loopback.url, "llamacpp+")).attempts) == 2


@pytest.mark.parametrize(
    ("prefix", "fetched"), [("", False), ("vllm+", False), ("llamacpp+", True), ("ollama+", True)]
)
def test_links_are_fetched_for_servers_that_do_not_follow_them(
    face: Face, loopback: Loopback, prefix: str, fetched: bool
) -> None:
    def fetch(url: str, **limits: Any) -> FetchedFile:
        return FetchedFile(jpeg_bytes(), url, "image/jpeg")

    loopback.script(chat("Done."))
    reply = face.ask("What?", "https://example.com/a.jpg", setup=at(loopback.url, prefix, fetch=fetch))
    sent = loopback.requests[0].json()["messages"][0]["content"][0]["image_url"]["url"]
    assert sent.startswith("data:image/jpeg;base64,") is fetched
    assert [a.kind for a in reply.adjustments] == (["fetched"] if fetched else [])


def test_a_server_of_one_image_is_a_record_of_the_users(
    face: Face, loopback: Loopback, tmp_path: Path
) -> None:
    catalog = tmp_path / "mine.toml"
    catalog.write_text(
        """
        [[model]]
        id = "small-eyes"
        base = "unknown-llamacpp"
        endpoints = ["llamacpp"]
        images = { max_count = 1 }
        """,
        "utf-8",
    )
    setup = at(loopback.url, "llamacpp+", catalog=catalog, model="small-eyes")
    with pytest.raises(errors.TooManyImagesError, match="2 images"):
        face.ask("What?", jpeg_bytes(), png_bytes(), setup=setup)
    assert loopback.requests == []
    loopback.script(chat("First."), chat("Second."))
    assert face.ask("What?", jpeg_bytes(), png_bytes(), setup=setup, on_too_many="split").text == (
        "First.\n\nSecond."
    )


@pytest.mark.parametrize("name", ["llamacpp", "ollama", "openai", "openai-compatible"])
def test_clips_are_refused_where_no_server_takes_them(name: str) -> None:
    registry = Registry.load([])
    model = registry.model("some-model", name)
    clip = Message("user", (LinkedVideo("https://example.com/a.mp4"), Text("What?")))
    with pytest.raises(errors.UnsupportedError):
        check_media(Request("some-model", (clip,)), model, registry)
