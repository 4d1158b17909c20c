"""What the service refuses, the sandbox refuses with the same code."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.sandbox.calls import JPEG, PNG, chat, image, linked, send, text
from visionpipe.testing.images import image_bytes
from visionpipe.testing.sandbox import SandboxHandle, running_sandbox

MP4 = b"\0\0\0\x18ftypisom\0\0\0\0isommp42" + b"\0" * 64
VIDEO = linked("video_url", "https://example.com/a.mp4")
PDF = linked("file_url", "https://example.com/a.pdf")


def data_uri(data: bytes) -> dict[str, Any]:
    bare = image(data)["image_url"]["url"]
    return {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{bare}"}}


def messages(*turns: dict[str, Any], model: str = "glm-4.6v") -> dict[str, Any]:
    return {"model": model, "messages": list(turns)}


FILE_DATA = {
    "type": "file",
    "file": {"file_data": "data:application/pdf;base64,JVBERi0=", "filename": "a.pdf"},
}
SYSTEM = {"role": "system", "content": "Be kind"}
USER = {"role": "user", "content": "Hello"}

REFUSED: list[tuple[str, str, dict[str, Any]]] = [
    ("no model", "1213", {"messages": [USER]}),
    ("model is no text", "1214", {**chat(), "model": 7}),
    ("unknown model", "1211", chat(model="gpt-9")),
    ("a stand-in of the catalog is no model", "1211", chat(model="unknown-glm")),
    ("no messages", "1213", {"model": "glm-4.6v"}),
    ("empty messages", "1214", messages()),
    ("system only", "1214", messages(SYSTEM)),
    ("system in parts", "1214", messages({"role": "system", "content": [text()]}, USER)),
    ("unknown role", "1214", messages({"role": "robot", "content": "x"})),
    ("no content", "1213", messages({"role": "user"})),
    ("empty text", "1214", chat(text(""))),
    ("blank text", "1214", messages({"role": "user", "content": "  "})),
    ("unknown part", "1214", chat({"type": "audio"})),
    ("image from the assistant", "1214", messages({"role": "assistant", "content": [image()]}, USER)),
    (
        "tool turn without tools",
        "1214",
        messages(USER, {"role": "tool", "content": "1"}, model="glm-4v-plus"),
    ),
    ("temperature too high", "1214", chat(temperature=1.01)),
    ("temperature as text", "1214", chat(temperature="0.5")),
    ("top_p too high", "1214", chat(top_p=1.5)),
    ("top_p negative", "1214", chat(top_p=-0.1)),
    ("max_tokens zero", "1214", chat(max_tokens=0)),
    ("max_tokens over the model's", "1214", chat(model="glm-4v-flash", max_tokens=1025)),
    ("stop as text", "1214", chat(stop="end")),
    ("stream as text", "1214", chat(stream="yes")),
    ("request_id too short", "1214", chat(request_id="abc")),
    ("user_id too long", "1214", chat(user_id="u" * 129)),
    ("thinking of an unknown type", "1214", chat(thinking={"type": "maybe"})),
    ("thinking that cannot be disabled", "1210", chat(model="glm-5.3-flash", thinking={"type": "disabled"})),
    ("effort of another model", "1210", chat(reasoning_effort="max")),
    ("two images for flash", "1210", chat(image(), image(JPEG), text(), model="glm-4v-flash")),
    ("six images for plus", "1210", chat(*[image()] * 6, text(), model="glm-4v-plus-0111")),
    ("image and video", "1210", chat(image(), VIDEO, text())),
    ("image and file", "1210", chat(image(), PDF, text())),
    ("video not first", "1210", chat(text(), VIDEO, model="glm-4v-plus-0111")),
    ("video for a model without", "1210", chat(VIDEO, text(), model="glm-4v-flash")),
    ("base64 video", "1210", chat(linked("video_url", image(MP4)["image_url"]["url"]), text())),
    ("base64 file", "1210", chat(linked("file_url", image(PNG)["image_url"]["url"]), text())),
    ("file for a model without", "1210", chat(PDF, text(), model="glm-4v-plus-0111")),
    ("file of an unknown type", "1210", chat(linked("file_url", "https://example.com/a.exe"), text())),
    ("data URI", "1210", chat(data_uri(PNG), text())),
    (
        "detail key",
        "1210",
        chat({"type": "image_url", "image_url": {"url": "https://e.com/a.png", "detail": "low"}}),
    ),
    ("not base64", "1210", chat(linked("image_url", "!!!!"), text())),
    ("no image", "1210", chat(image(b"just some text"), text())),
    ("cut within the header", "1210", chat(image(PNG[:20]), text())),
    ("gif", "1210", chat(image(image_bytes("gif", 20, 20)), text())),
    ("webp", "1210", chat(image(image_bytes("webp", 20, 20)), text())),
    ("too many pixels a side", "1210", chat(image(image_bytes("png", 6001, 2)), text())),
    ("too many bytes", "1210", chat(image(PNG + b"\0" * (5 * 1024 * 1024)), text())),
    ("a link without a host", "1210", chat(linked("image_url", "https://"), text())),
    ("file without anything", "1213", chat({"type": "file", "file": {}}, text())),
    ("file is no object", "1214", chat({"type": "file", "file": "id"}, text())),
    ("file data that is no data URI", "1210", chat({"type": "file", "file": {"file_data": "AAAA"}}, text())),
    ("image for a text model", "1210", chat(model="text-only")),
    (
        "system for a model without",
        "1214",
        messages(SYSTEM, USER, model="text-only"),
    ),
    ("tool turn without its id", "1214", messages(USER, {"role": "tool", "content": "1"})),
    ("no url", "1213", chat({"type": "image_url", "image_url": {}}, text())),
    ("url is no object", "1214", chat({"type": "image_url", "image_url": "https://e.com/a.png"}, text())),
    ("a prompt over the context", "1261", chat(text("word " * 80_000), model="glm-4.5v")),
]


@pytest.fixture(scope="module")
def with_overlay(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SandboxHandle]:
    overlay = tmp_path_factory.mktemp("overlay") / "overlay.toml"
    overlay.write_text(
        '[[model]]\nid = "text-only"\nbase = "glm-4.6v"\nimages = false\nsystem_role = false\n'
    )
    with running_sandbox(overlay=overlay) as sandbox:
        yield sandbox


@pytest.mark.parametrize(("code", "body"), [r[1:] for r in REFUSED], ids=[r[0] for r in REFUSED])
def test_refused(with_overlay: SandboxHandle, code: str, body: dict[str, Any]) -> None:
    sandbox = with_overlay
    sandbox.reset()
    answer = send(sandbox, body=body)
    assert (answer.status, answer.code) == (400, code), answer.body
    assert sandbox.stats()["per_code"] == {code: 1}


TAKEN: list[tuple[str, dict[str, Any]]] = [
    ("temperature and top_p at their ends", chat(temperature=1.0, top_p=0.0)),
    ("nulls of the official SDKs", chat(response_format=None, thinking=None, tools=None, stop=None)),
    ("fields no schema names", chat(seed=1, n=1)),
    ("five images for plus", chat(*[image()] * 5, text(), model="glm-4v-plus-0111")),
    ("video first", chat(VIDEO, text(), model="glm-4v-plus-0111")),
    ("video anywhere", chat(text(), VIDEO)),
    ("files", chat(PDF, PDF, text())),
    ("a file by id", chat({"type": "file", "file": {"file_id": "file-1"}}, text())),
    ("a file by link", chat({"type": "file", "file": {"file_url": "https://e.com/a.pdf"}}, text())),
    ("a file in the request", chat(FILE_DATA, text())),
    ("base64 for flash, as the FAQ says", chat(model="glm-4v-flash")),
    ("an image at the limit", chat(image(image_bytes("png", 6000, 2)), text())),
    ("a link", chat(linked("image_url", "https://example.com/a.png"), text())),
    ("plain text content", messages(USER)),
    (
        "history with images",
        messages({"role": "user", "content": [image()]}, {"role": "assistant", "content": "A."}, USER),
    ),
]


@pytest.mark.parametrize("body", [t[1] for t in TAKEN], ids=[t[0] for t in TAKEN])
def test_taken(sandbox: SandboxHandle, body: dict[str, Any]) -> None:
    answer = send(sandbox, body=body)
    assert answer.status == 200, answer.body


def test_bodies_that_are_no_json_object(sandbox: SandboxHandle) -> None:
    for body in (b"", b"{", b"[1]", b"\xff\xfe", b'{"model": "glm-4.6v"'):
        assert send(sandbox, body=body).code == "1210"


def test_lenient_takes_what_some_hosts_take() -> None:
    inline = linked("video_url", image(MP4)["image_url"]["url"])
    with running_sandbox(lenient=True) as sandbox:
        seen = send(sandbox, body=chat(data_uri(PNG), text()))
        assert seen.status == 200 and "png 40x30" in seen.text
        assert send(sandbox, body=chat(inline, text())).text.startswith("I see 1 video: mp4")
        detail = {"type": "image_url", "image_url": {"url": "https://e.com/a.png", "detail": "low"}}
        assert send(sandbox, body=chat(detail, text())).status == 200
        for data in (b"nothing known", b"RIFF....AVI LIST", b"\x1a\x45\xdf\xa3....webm", b"....ftypqt  "):
            other = linked("video_url", image(data)["image_url"]["url"])
            taken = send(sandbox, body=chat(other, text())).status == 200
            assert taken is (data[8:10] == b"qt")
        assert (
            send(sandbox, body=chat(linked("video_url", image(b"")["image_url"]["url"]), text())).status
            == 400
        )


def test_url_only_refuses_base64_where_the_model_page_does() -> None:
    with running_sandbox(url_only=True) as sandbox:
        assert send(sandbox, body=chat(model="glm-4v-flash")).code == "1210"
        link = linked("image_url", "https://example.com/a.png")
        assert send(sandbox, body=chat(link, text(), model="glm-4v-flash")).status == 200
        assert send(sandbox, body=chat()).status == 200


def test_decode_finds_broken_pixels() -> None:
    broken = JPEG[: len(JPEG) // 2]
    with running_sandbox(decode=True) as sandbox:
        assert send(sandbox, body=chat(image(broken), text())).code == "1210"
        assert send(sandbox, body=chat(image(JPEG), text())).status == 200


def test_further_models_and_an_overlay(tmp_path: Any) -> None:
    overlay = tmp_path / "overlay.toml"
    overlay.write_text('[[model]]\nid = "my-tuned"\nbase = "glm-4v-flash"\n')
    with running_sandbox(models=("house-model",), overlay=overlay) as sandbox:
        assert send(sandbox, body=chat(model="house-model")).status == 200
        assert send(sandbox, body=chat(model="my-tuned")).status == 200
        assert send(sandbox, body=chat(image(), image(JPEG), text(), model="my-tuned")).code == "1210"


def test_a_presigned_link_keeps_its_secret(sandbox: SandboxHandle) -> None:
    link = linked("image_url", "https://me:word@example.com/a.png?signature=hidden")
    assert send(sandbox, body=chat(link, text())).status == 200
    assert sandbox.log()[-1]["media"][0]["link"] == "https://example.com/a.png"
