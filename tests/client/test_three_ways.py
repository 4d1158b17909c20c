"""The same calls whole, streamed and as tasks, on both clients: one reply."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields
from typing import Any

import pytest

from tests.client.faces import AsyncFace, SyncFace
from tests.client.service_faces import call_async, call_sync
from tests.client.test_tasks import CHINA, SAMPLES, sandbox_setup
from visionpipe.reply import Reply
from visionpipe.testing.sandbox import SandboxHandle, running_sandbox

COFFEE = SAMPLES / "coffee.png"
LINK = "https://example.com/cat.jpg"
LINES = {"kind": "finish", "reason": "length", "text": "It breaks\u2028here\u0085and there."}
THINKS = {"kind": "markup", "form": "think"}
BOXES = {"kind": "markup", "form": "box"}

CALLS: dict[str, tuple[str, tuple[Any, ...], dict[str, Any], dict[str, Any] | None]] = {
    "words": ("glm-4.6v-flash", (), {}, None),
    "a photo": ("glm-4.6v-flash", (CHINA,), {}, None),
    "two photos": ("glm-4v-plus-0111", (CHINA, COFFEE), {}, None),
    "a link": ("glm-4.6v", (LINK,), {}, None),
    "shrunk": ("glm-4.6v", (COFFEE,), {"max_side": 120}, None),
    "a contact sheet": ("glm-4v-flash", (CHINA, COFFEE), {"on_too_many": "contact_sheet"}, None),
    "with a system text": ("glm-4.6v", (CHINA,), {"system": "Be brief."}, None),
    "with parameters": ("glm-4v-plus-0111", (CHINA,), {"temperature": 0.1, "max_tokens": 90}, None),
    "without thinking": ("glm-4.6v", (CHINA,), {"thinking": "off"}, None),
    "thinking aloud": ("glm-4.1v-thinking-flash", (CHINA,), {}, THINKS),
    "boxed": ("glm-4.6v", (CHINA,), {}, BOXES),
    "cut off at odd line ends": ("glm-4.6v", (CHINA,), {}, LINES),
}
DIFFER = {"request_id", "attempts", "raw"}


@pytest.fixture(scope="module")
def own_sandbox() -> Iterator[SandboxHandle]:
    with running_sandbox() as handle:
        yield handle


@pytest.mark.parametrize("name", CALLS)
def test_three_ways_on_two_clients_give_one_reply(name: str, own_sandbox: SandboxHandle) -> None:
    model, images, options, fault = CALLS[name]
    own_sandbox.set_scenario({"rule": [{"fault": fault}]} if fault else {})
    setup = sandbox_setup(own_sandbox, model=model)
    replies: list[Reply] = []
    for face, call in ((SyncFace(), call_sync), (AsyncFace(), call_async)):
        replies.append(face.ask("What is it?", *images, setup=setup, **options))
        pieces, streamed = face.stream("What is it?", *images, setup=setup, **options)
        replies.append(streamed)
        assert "".join(pieces).strip() == streamed.text.strip()
        replies.append(call(setup, "tasks.submit", "What is it?", *images, then="wait", **options))
    first = replies[0]
    assert first.text
    for field in fields(Reply):
        if field.name not in DIFFER:
            found = [getattr(reply, field.name) for reply in replies]
            assert found == [getattr(first, field.name)] * 6, field.name
