"""Who answers: the scenario's texts, the embedded engine, or a report of what arrived.

A scripted text that fits the request goes first in every mode; without one the mode decides. The
engine runs in one thread of its own, so that the server goes on meanwhile.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import orjson

from visionpipe.errors import BadImageError
from visionpipe.sandbox.call import Call
from visionpipe.sandbox.conversation import Conversation
from visionpipe.sandbox.received import Received, text_tokens
from visionpipe.sandbox.replies import Refusal
from visionpipe.sandbox.scenario import AnswerMode, ScriptedAnswer
from visionpipe.sandbox.tools import example, function_call, search_results

if TYPE_CHECKING:
    from visionpipe.local.engine import LocalEngine


def saw_sentence(conversation: Conversation) -> str:
    """``I see 1 image: jpeg 640x480, 81234 bytes, sha256 9f86....``, or that nothing was shown."""
    media = conversation.media
    if not media:
        return "I see no picture; you wrote: " + conversation.prompt
    kind = media[0].kind
    noun = kind if len(media) == 1 else f"{kind}s"
    return f"I see {len(media)} {noun}: {'; '.join(_one(item) for item in media)}."


def _one(item: Received) -> str:
    if not item.sha256:
        return f"{item.format or 'a link'} {item.link}"
    size = f" {item.width}x{item.height}" if item.width else ""
    return f"{item.format}{size}, {item.size} bytes, sha256 {item.sha256}"


def saw_json(conversation: Conversation) -> str:
    """What arrived as one JSON object: ``prompt`` and ``media``, each with the keys of the log's media."""
    report = {"prompt": conversation.prompt, "media": [item.to_json() for item in conversation.media]}
    return orjson.dumps(report).decode()


def cut(text: str, stop: Sequence[str], max_tokens: int | None) -> tuple[str, str]:
    """The text up to the first stop text and within ``max_tokens``, and the finish_reason."""
    ends = [place for place in (text.find(end) for end in stop) if place >= 0]
    if ends:
        text = text[: min(ends)]
    if max_tokens is None or text_tokens(text) <= max_tokens:
        return text, "stop"
    low, high = 0, len(text)
    while low < high:  # the longest beginning that fits
        middle = (low + high + 1) // 2
        low, high = (middle, high) if text_tokens(text[:middle]) <= max_tokens else (low, middle - 1)
    return text[:low], "length"


_CHINESE = re.compile("[\u4e00-\u9fff]")

NOTHING_SCRIPTED = "The sandbox has no text for this request."


@dataclass(frozen=True, slots=True)
class ChatAnswer:
    """What the model says. ``as_parts``: the content goes out as a list of text parts."""

    text: str
    reasoning: str = ""
    finish_reason: str = "stop"
    tool_calls: tuple[dict[str, Any], ...] = ()
    web_search: tuple[dict[str, Any], ...] = ()
    as_parts: bool = False

    @property
    def tokens(self) -> int:
        return self.reasoning_tokens + text_tokens(self.text) + 12 * len(self.tool_calls)

    @property
    def reasoning_tokens(self) -> int:
        return text_tokens(self.reasoning)


class Script:
    """The scenario's texts, each list taken in turn."""

    def __init__(self, answers: Sequence[ScriptedAnswer]) -> None:
        self._answers = answers
        self._turns: dict[tuple[int, ...], int] = {}

    def next(self, call: Call) -> ScriptedAnswer | None:
        """The next text for this request: among those made for its prompt or image if there are any, else
        among those made for all; None where there is none."""
        special = [i for i, a in enumerate(self._answers) if (a.contains or a.sha256) and _fits(a, call)]
        general = [i for i, a in enumerate(self._answers) if not (a.contains or a.sha256)]
        places = tuple(special or general)
        if not places:
            return None
        turn = self._turns.get(places, 0)
        self._turns[places] = turn + 1
        return self._answers[places[turn % len(places)]]


def _fits(answer: ScriptedAnswer, call: Call) -> bool:
    if answer.contains is not None and answer.contains not in call.conversation.prompt:
        return False
    wanted = answer.sha256
    return wanted is None or any(item.sha256.startswith(wanted) for item in call.conversation.media)


class ChatAnswerer:
    """Answers calls that are in order."""

    def __init__(self, mode: AnswerMode) -> None:
        self._mode = mode
        self._engine: LocalEngine | None = None
        self._thread: ThreadPoolExecutor | None = None
        self._calls = 0
        self.script = Script(())

    async def answer(self, call: Call) -> ChatAnswer:
        """The answer to one call, held to its ``stop`` and ``max_tokens``; Refusal 1210 where the engine
        finds that an image cannot be decoded."""
        conversation = call.conversation
        self._calls += 1
        reasoning = f"I look at {len(conversation.media)} item(s)." if call.parameters.thinks else ""
        scripted = self.script.next(call)
        if scripted is not None and scripted.calls:
            return ChatAnswer(
                scripted.text, scripted.reasoning or reasoning, "tool_calls", self._asked(scripted)
            )
        if scripted is not None:
            return _bounded(scripted.text, scripted.reasoning or reasoning, call)
        if call.tools.must or (call.tools.functions and conversation.tool_result is None):
            wanted = function_call(call.tools, conversation.prompt, self._calls, conversation.called)
            return ChatAnswer("", reasoning, "tool_calls", (wanted,))
        if call.parameters.json_schema is not None:
            text = orjson.dumps(example(call.parameters.json_schema)).decode()
        elif conversation.tool_result is not None:
            text = f"The function returned: {conversation.tool_result}"
        elif self._mode == "script":
            text = NOTHING_SCRIPTED
        elif self._mode == "saw_json" or call.parameters.json_answer:
            text = saw_json(conversation)
        elif self._mode == "saw":
            text = saw_sentence(conversation)
        elif (schema := schema_in(conversation.prompt)) is not None:
            text = orjson.dumps(example(schema)).decode()
        else:
            text = await self._look(call)
        found = search_results(conversation.prompt) if call.tools.search_results else []
        return _bounded(text, reasoning, call, tuple(found))

    def _asked(self, scripted: ScriptedAnswer) -> tuple[dict[str, Any], ...]:
        return tuple(
            {
                "id": f"call_{self._calls}_{place}",
                "type": "function",
                "function": {"name": wanted.name, "arguments": wanted.arguments},
            }
            for place, wanted in enumerate(scripted.calls)
        )

    async def _look(self, call: Call) -> str:
        pictures = [item.data for item in call.conversation.media if item.kind == "image" and item.data]
        if not pictures:
            return saw_sentence(call.conversation)
        if self._thread is None:
            self._thread = ThreadPoolExecutor(1, "visionpipe-sandbox-engine")
        loop = asyncio.get_running_loop()
        try:
            prompt = call.conversation.prompt
            return await loop.run_in_executor(self._thread, self._describe, pictures, prompt)
        except BadImageError as error:
            raise Refusal("1210", f"image input format or parse error: {error.reason}") from error

    def _describe(self, pictures: Sequence[bytes], prompt: str) -> str:
        if self._engine is None:
            from visionpipe.local.engine import LocalEngine

            self._engine = LocalEngine()
        return self._engine.describe(pictures, lang="zh" if _CHINESE.search(prompt) else "en").text

    def close(self) -> None:
        if self._thread is not None:
            self._thread.shutdown(wait=False, cancel_futures=True)


def schema_in(prompt: str) -> Mapping[str, Any] | None:
    """The JSON Schema that a prompt ends with, as one line, where it asks for data in words."""
    line = prompt.rstrip().rpartition("\n")[2]
    if not line.startswith("{"):
        return None
    try:
        schema = orjson.loads(line)
    except orjson.JSONDecodeError:
        return None
    return schema if {"type", "properties", "$ref", "anyOf"} & set(schema) else None


def _bounded(text: str, reasoning: str, call: Call, found: tuple[dict[str, Any], ...] = ()) -> ChatAnswer:
    kept, finish_reason = cut(text, call.parameters.stop, call.parameters.max_tokens)
    return ChatAnswer(kept, reasoning, finish_reason, web_search=found)
