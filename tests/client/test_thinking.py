"""Thinking on, off and by effort, as each model's record allows; the thoughts stay apart from the answer."""

from __future__ import annotations

from typing import Any

import pytest

from tests.client.faces import Face, chat, setup_for
from tests.client.faulty import struck
from tests.loopback import Loopback
from visionpipe.errors import UnsupportedError
from visionpipe.testing.sandbox import SandboxHandle


@pytest.mark.parametrize(
    ("model", "options", "sent", "notes"),
    [
        ("glm-4.6v", {}, {}, []),
        ("glm-4.6v", {"thinking": "on"}, {"thinking": {"type": "enabled"}}, []),
        ("glm-4.6v", {"thinking": "off"}, {"thinking": {"type": "disabled"}}, []),
        ("glm-5.3-flash", {"reasoning_effort": "low"}, {"reasoning_effort": "low"}, []),
        # The field is known from GLM-4.5 on: what holds anyway is not sent to the older ones.
        ("glm-4v-plus-0111", {"thinking": "off"}, {}, ["never thinks"]),
        ("glm-4.1v-thinking-flash", {"thinking": "on"}, {}, ["always thinks"]),
    ],
)
def test_what_is_sent(
    face: Face,
    loopback: Loopback,
    model: str,
    options: dict[str, Any],
    sent: dict[str, Any],
    notes: list[str],
) -> None:
    loopback.script(chat("Done."))
    reply = face.ask("What?", setup=setup_for(loopback, model=model), **options)
    body = loopback.requests[0].json()
    assert {name: body[name] for name in ("thinking", "reasoning_effort") if name in body} == sent
    assert [a.detail.split(", ")[0].removeprefix(f"{model} ") for a in reply.adjustments] == notes
    assert all((a.kind, a.subject) == ("dropped", "thinking") for a in reply.adjustments)


@pytest.mark.parametrize(
    ("model", "options", "words"),
    [
        ("glm-4v-plus-0111", {"thinking": "on"}, "does not think"),
        ("glm-5.3-flash", {"thinking": "off"}, "cannot stop thinking"),
        ("glm-4.1v-thinking-flash", {"thinking": "off"}, "cannot stop thinking"),
        ("glm-5.3-flash", {"reasoning_effort": "medium"}, "knows no effort 'medium'"),
        ("glm-4.6v", {"reasoning_effort": "low"}, "knows no effort 'low'"),
    ],
)
def test_what_a_model_cannot_do_costs_no_request(
    face: Face, loopback: Loopback, model: str, options: dict[str, Any], words: str
) -> None:
    with pytest.raises(UnsupportedError, match=words):
        face.ask("What?", setup=setup_for(loopback, model=model), **options)
    assert loopback.requests == []


@pytest.mark.parametrize("way", ["ask", "stream"])
def test_thoughts_stay_apart_and_tags_become_a_note(face: Face, sandbox: SandboxHandle, way: str) -> None:
    setup = {**struck(sandbox, {"kind": "markup", "form": "answer"}), "defaults": {}}
    if way == "ask":
        reply = face.ask("Tell me.", setup=setup, thinking="on")
    else:
        pieces, reply = face.stream("Tell me.", setup=setup, thinking="on")
        assert "".join(pieces).strip() == reply.text
    assert reply.text == "A grey cat sleeps on a red sofa by the window."
    assert reply.reasoning == "I look at 0 item(s).\nI look closely."
    assert [note.kind for note in reply.notes] == ["markup_removed"]
    assert reply.usage is not None and reply.usage.reasoning_tokens > 0


def test_no_thoughts_where_thinking_is_off(face: Face, sandbox: SandboxHandle) -> None:
    setup = struck(sandbox, {"kind": "latency", "seconds": 0})
    assert face.ask("Tell me.", setup=setup, thinking="on").reasoning != ""
    reply = face.ask("Tell me.", setup=setup, thinking="off")
    assert (reply.reasoning, reply.notes) == ("", ())


ON, OFF = {"enable_thinking": True}, {"enable_thinking": False}


@pytest.mark.parametrize(
    ("endpoint", "model", "thinking", "sent"),
    [
        ("dashscope", "qwen3-vl-plus", "off", OFF),
        ("dashscope", "qwen3-vl-plus", "on", ON),
        ("siliconflow", "zai-org/GLM-4.6V", "off", OFF),
        ("vllm", "zai-org/GLM-4.6V", "off", {"chat_template_kwargs": OFF}),
        ("sglang", "zai-org/GLM-4.5V", "on", {"chat_template_kwargs": ON}),
        ("ollama", "glm-4.6v-flash", "off", {"reasoning_effort": "none"}),
        ("openai", "gpt-5.4", "off", {"reasoning_effort": "none"}),
        ("openai", "gpt-5.4", "on", {"reasoning_effort": "medium"}),
        ("openrouter", "z-ai/glm-4.6v", "off", {"reasoning": {"enabled": False}}),
        ("vllm", "Qwen/Qwen3-VL-8B-Instruct", "off", {}),
        ("vllm", "some-model", "off", {"chat_template_kwargs": OFF}),
        ("openai-compatible", "some-model", "off", {}),
        ("bigmodel", "glm-4.6v", "off", {"thinking": {"type": "disabled"}}),
    ],
)
def test_thinking_is_switched_as_each_server_wants_it(
    face: Face, loopback: Loopback, endpoint: str, model: str, thinking: str, sent: dict[str, Any]
) -> None:
    loopback.script(chat("Done."))
    setup = {**setup_for(loopback, model=model), "base_url": f"{endpoint}+{loopback.url}"}
    reply = face.ask("What?", setup=setup, thinking=thinking)
    body = loopback.requests[0].json()
    fields = ("thinking", "enable_thinking", "chat_template_kwargs", "reasoning_effort", "reasoning")
    assert {name: body[name] for name in fields if name in body} == sent
    # What is not known for certain is told.
    doubts = [a.subject for a in reply.adjustments if a.kind == "doubt"]
    assert doubts == (["thinking"] if model == "some-model" else [])


@pytest.mark.parametrize(
    ("endpoint", "model", "words"),
    [
        ("vllm", "Qwen/Qwen3-VL-8B-Thinking", "cannot stop thinking"),
        ("openai", "gpt-5-mini", "cannot stop thinking"),
        ("gemini", "gemini-3.8-flash", "cannot stop thinking"),
    ],
)
def test_a_model_that_always_thinks_is_not_asked_to_stop(
    face: Face, loopback: Loopback, endpoint: str, model: str, words: str
) -> None:
    setup = {**setup_for(loopback, model=model), "base_url": f"{endpoint}+{loopback.url}"}
    with pytest.raises(UnsupportedError, match=words):
        face.ask("What?", setup=setup, thinking="off")


@pytest.mark.parametrize(
    ("endpoint", "model", "capped", "switched"),
    [
        ("bigmodel", "glm-4.6v", True, True),
        ("dashscope", "qwen3-vl-plus", True, True),
        ("vllm", "zai-org/GLM-4.6V", True, True),
        ("vllm", "Qwen/Qwen3-VL-8B-Instruct", True, False),
        ("vllm", "Qwen/Qwen3-VL-8B-Thinking", False, False),
        ("openai", "gpt-5.4", True, True),
        ("openai", "gpt-5-mini", False, False),
        ("vllm", "some-model", False, False),
        ("openai-compatible", "glm-4.6v", False, False),
    ],
)
def test_a_presets_cap_never_starves_a_model_that_may_think(
    face: Face, loopback: Loopback, endpoint: str, model: str, capped: bool, switched: bool
) -> None:
    loopback.script(chat("Done."))
    face.describe(setup={**setup_for(loopback, model=model), "base_url": f"{endpoint}+{loopback.url}"})
    body = loopback.requests[0].json()
    assert ("max_tokens" in body or "max_completion_tokens" in body) is capped
    fields = {"thinking", "enable_thinking", "chat_template_kwargs", "reasoning_effort"}
    assert bool(fields & body.keys()) is switched
