"""Twelve calls, each made whole, streamed and as a task, by both clients: six replies that are equal."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from tests.client.faces import AsyncFace, Clock, SyncFace
from tests.client.service_faces import call_async, call_sync
from visionpipe.reply import Reply
from visionpipe.stages.tools import WebSearch
from visionpipe.testing.images import jpeg_bytes, png_bytes
from visionpipe.testing.sandbox import SandboxHandle, running_sandbox

SAMPLES = Path(__file__).parent.parent.parent / "samples"
STRANGER = "some-text-model"


def weather(city: str) -> str:
    """Tell the weather of a city."""
    return f"rain in {city}"


@dataclass(frozen=True)
class Case:
    """One call: prompt, images, options, and the sandbox's scenario for it."""

    prompt: str
    images: tuple[Any, ...] = ()
    options: dict[str, Any] = field(default_factory=dict)
    scenario: dict[str, Any] = field(default_factory=dict)


def struck(**fault: Any) -> dict[str, Any]:
    return {"answer": [{"text": "A grey cat."}], "rule": [{"fault": fault}]}


CASES = {
    "a photo": Case("What is it?", (SAMPLES / "china.jpg",)),
    "two photos and a system text": Case(
        "Compare them.", (SAMPLES / "china.jpg", SAMPLES / "coffee.png"), {"system": "Be brief."}
    ),
    "a link": Case("What is it?", ("https://example.com/a.jpg",)),
    "a repaired photo": Case("What?", (jpeg_bytes(80, 60, orientation=6),), {"max_side": 40}),
    "Chinese, deterministic": Case("这是什么？", (png_bytes(),), {"do_sample": False, "max_tokens": 500}),
    "without thinking": Case("What?", (png_bytes(),), {"thinking": "off", "temperature": 0.1}),
    "a model that always thinks": Case("What?", (png_bytes(),), {"model": "glm-4.1v-thinking-flash"}),
    "cut off": Case("Tell me all.", (), {"max_tokens": 3, "thinking": "off"}),
    "odd line ends and thoughts": Case(
        "Say it.", scenario={"answer": [{"text": "One\u2028two\u0085three.", "reasoning": "Hm\u2029."}]}
    ),
    "think and box markup": Case("What?", (png_bytes(),), scenario=struck(kind="markup", form="answer")),
    "a function asked for": Case("What is the weather?", (), {"tools": [weather]}),
    "a web search": Case("Who won?", (), {"model": STRANGER, "tools": [WebSearch(count=3)]}),
}


@pytest.fixture(scope="module")
def server() -> Iterator[SandboxHandle]:
    with running_sandbox(models=(STRANGER,), task_polls=2) as sandbox:
        yield sandbox


def alike(reply: Reply) -> Reply:
    """What must not differ; ids, times and the raw JSON do."""
    calls = tuple(replace(call, id="") for call in reply.tool_calls)
    return replace(reply, request_id="", attempts=(), raw={}, tool_calls=calls)


@pytest.mark.parametrize("name", CASES)
def test_three_ways_and_two_clients_give_one_reply(server: SandboxHandle, name: str) -> None:
    case = CASES[name]
    clock = Clock()
    setup = {
        "base_url": f"bigmodel+{server.base_url}",
        "api_key": server.key,
        "model": "glm-4.6v",
        "clock": clock,
        "sleep": clock.sleep,
    }
    replies: dict[str, Reply] = {}
    for face, call, kind in ((SyncFace(), call_sync, "sync"), (AsyncFace(), call_async, "async")):
        server.reset()
        server.set_scenario(case.scenario)
        replies[f"whole, {kind}"] = face.ask(case.prompt, *case.images, setup=setup, **case.options)
        pieces, streamed = face.stream(case.prompt, *case.images, setup=setup, **case.options)
        assert "".join(pieces).strip() == streamed.text.strip()
        replies[f"streamed, {kind}"] = streamed
        replies[f"task, {kind}"] = call(
            setup, "tasks.submit", case.prompt, *case.images, then="wait", **case.options
        )
        ways = [(record["path"], record["stream"]) for record in server.log() if record["method"] == "POST"]
        assert ways == [
            ("/api/paas/v4/chat/completions", False),
            ("/api/paas/v4/chat/completions", True),
            ("/api/paas/v4/async/chat/completions", False),
        ]
    first = alike(replies["whole, sync"])
    assert first.text or first.tool_calls
    assert {way: alike(reply) for way, reply in replies.items()} == dict.fromkeys(replies, first)


def test_the_twelve_calls_differ_in_what_they_show(server: SandboxHandle) -> None:
    assert len(CASES) == 12
    setup = {"base_url": f"bigmodel+{server.base_url}", "api_key": server.key, "model": "glm-4.6v"}
    seen = {}
    for name, case in CASES.items():
        server.set_scenario(case.scenario)
        seen[name] = SyncFace().ask(case.prompt, *case.images, setup=setup, **case.options)
    assert seen["odd line ends and thoughts"].text == "One\u2028two\u0085three."
    assert seen["odd line ends and thoughts"].reasoning == "Hm\u2029."
    assert [a.kind for a in seen["a repaired photo"].adjustments] != []
    assert seen["without thinking"].reasoning == ""
    assert seen["a model that always thinks"].reasoning != ""
    assert [note.kind for note in seen["cut off"].notes] == ["truncated"]
    assert seen["think and box markup"].text == "A grey cat."
    assert [call.name for call in seen["a function asked for"].tool_calls] == ["weather"]
    assert len(seen["a web search"].sources) == 2
    assert seen["a photo"].cost is not None
