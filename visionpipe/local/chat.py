"""The chat protocol on the embedded engine: a JSON value in, the service's JSON answer or error out.

It answers like the service, so that nothing above the sender knows the difference, and what it
cannot do it refuses in the service's form instead of passing over it.

Tokens: the engine has no tokenizer and bills nothing. It counts its own pieces, a word or a Chinese
character each, in the prompt's text and in the answer; images count 0.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import pybase64

from visionpipe.errors import BadImageError
from visionpipe.files import read_content
from visionpipe.local.facts import Facts, LocalAnswer
from visionpipe.local.sentence import NO_TEXT, all_text, is_abstention, tags
from visionpipe.prompts.presets import LANGUAGES, PRESETS, Language
from visionpipe.values import JSON
from visionpipe.wire.http import Base64Text

MODEL = "visionpipe-local"

_HAN = r"\u3400-\u4dbf\u4e00-\u9fff"
_PIECE = re.compile(rf"[{_HAN}]\W*|[^\s{_HAN}]+\s*|\s+")
_NO_ANSWERS: Mapping[Language, str] = {
    "en": "The embedded engine cannot answer questions and only describes: ",
    "zh": "内置引擎不能回答问题，只作描述：",
}


_PURPOSES = {PRESETS[name].text(lang): name for name in ("tags", "ocr") for lang in LANGUAGES}
"""The prompts that ask for something else than a description."""

_NO_SUBJECT = "the local analysis cannot name the subject"
_NO_QUESTIONS = "the embedded engine answers no questions"


class EmbeddedEngine(Protocol):
    """What describes images."""

    def describe(self, images: Sequence[bytes], *, lang: Language) -> LocalAnswer: ...


class RefusedRequest(Exception):
    """A request that is answered with an error: HTTP status, the service's code, and a message."""

    def __init__(self, message: str, *, code: str = "1210", status: int = 400) -> None:
        super().__init__(message)
        self.status = status
        self.body = json.dumps({"error": {"code": code, "message": message}}, ensure_ascii=False).encode()


@dataclass(frozen=True, slots=True)
class EmbeddedCall:
    """What a chat request asks of the engine: the images of its latest turn that has any, and the text of
    its last user turn."""

    images: tuple[bytes, ...]
    prompt: str
    prompt_tokens: int
    request_id: str | None
    max_tokens: int | None
    stream: bool

    @property
    def lang(self) -> Language:
        return "zh" if re.search(f"[{_HAN}]", self.prompt) else "en"

    @property
    def purpose(self) -> str:
        """``tags``, ``ocr``, or ``describe``, which is all that every other prompt comes to."""
        return next((name for text, name in _PURPOSES.items() if self.prompt.startswith(text)), "describe")

    @property
    def is_question(self) -> bool:
        return self.prompt.rstrip().endswith(("?", "？"))


@dataclass(frozen=True, slots=True)
class EmbeddedAnswer:
    """The engine's answer to one call, as the service would write it."""

    id: str
    request_id: str
    created: int
    tokens: tuple[str, ...]
    finish_reason: str
    usage: Mapping[str, JSON]
    local: Mapping[str, JSON]

    def whole(self) -> bytes:
        """The answer as one JSON object."""
        message = {"role": "assistant", "content": "".join(self.tokens)}
        choice = {"index": 0, "finish_reason": self.finish_reason, "message": message}
        return _json(self._frame(choice) | {"usage": self.usage, "local": self.local})

    def frames(self) -> Iterator[bytes]:
        """The answer as server-sent events: a word each, usage and facts in the last, then ``[DONE]``."""
        for token in self.tokens:
            delta = {"role": "assistant", "content": token}
            yield _event(_json(self._frame({"index": 0, "delta": delta, "finish_reason": None})))
        last = {
            "index": 0,
            "finish_reason": self.finish_reason,
            "delta": {"role": "assistant", "content": ""},
        }
        yield _event(_json(self._frame(last) | {"usage": self.usage, "local": self.local}))
        yield _event(b"[DONE]")

    def _frame(self, choice: dict[str, Any]) -> dict[str, Any]:
        return {
            "id": self.id,
            "request_id": self.request_id,
            "created": self.created,
            "model": MODEL,
            "choices": [choice],
        }


def read_call(fields: object) -> EmbeddedCall:
    """Take a chat request apart.

    Args:
        fields: the request as a JSON value, with base64 text or ``Base64Text`` for its images.

    Raises:
        Refusal: it is not a chat request, or asks for what the engine cannot do.
        UnreadableSourceError: an image's file is gone or has changed.
    """
    if not isinstance(fields, dict) or not isinstance(fields.get("messages"), list) or not fields["messages"]:
        raise RefusedRequest("messages: a list of at least one message is needed", code="1214")
    form = fields.get("response_format")
    if isinstance(form, Mapping) and form.get("type") != "text":
        raise RefusedRequest("response_format: the embedded engine gives plain text only")
    images: tuple[bytes, ...] = ()
    prompt, tokens = "", 0
    for message in fields["messages"]:
        if not isinstance(message, dict):
            raise RefusedRequest("messages: every message is an object", code="1214")
        parts = _parts(message.get("content"))
        text = "\n".join(part["text"] for part in parts if part["type"] == "text")
        tokens += len(_tokens(text))
        if message.get("role") == "user":
            prompt = text
        urls = [part["image_url"] for part in parts if part["type"] == "image_url"]
        if urls:
            images = tuple(_image(i, url) for i, url in enumerate(urls, 1))
    if not images:
        raise RefusedRequest("messages: no image; the embedded engine only describes images")
    request_id = fields.get("request_id")
    return EmbeddedCall(
        images=images,
        prompt=prompt,
        prompt_tokens=tokens,
        request_id=request_id if isinstance(request_id, str) else None,
        max_tokens=_max_tokens(fields),
        stream=fields.get("stream") is True,
    )


def answer(call: EmbeddedCall, engine: EmbeddedEngine, *, id: str, created: int) -> EmbeddedAnswer:
    """Let ``engine`` answer ``call``.

    Raises:
        Refusal: an image cannot be used; the message gives its number and the reason. Or text was asked for,
            and none can be read here.
    """
    try:
        said = engine.describe(call.images, lang=call.lang)
    except BadImageError as error:
        raise RefusedRequest(str(error)) from error
    text, abstained = _said(call, said)
    tokens = _tokens(text)
    cut = call.max_tokens is not None and call.max_tokens < len(tokens)
    tokens = tokens[: call.max_tokens]
    return EmbeddedAnswer(
        id=id,
        request_id=call.request_id or id,
        created=created,
        tokens=tokens,
        finish_reason="length" if cut else "stop",
        usage={
            "prompt_tokens": call.prompt_tokens,
            "completion_tokens": len(tokens),
            "total_tokens": call.prompt_tokens + len(tokens),
            "prompt_tokens_details": {"cached_tokens": 0},
        },
        local={
            "engine": MODEL,
            "facts": [facts.to_json() for facts in said.facts],
            "abstained": abstained,
        },
    )


def _said(call: EmbeddedCall, found: LocalAnswer) -> tuple[str, str | None]:
    """The answer's text, and why it is none, where the engine abstains."""
    if call.purpose == "ocr":
        return "\n\n".join(map(_read, found.facts)), None
    if call.purpose == "tags":
        named = list(dict.fromkeys(tag for facts in found.facts for tag in tags(facts, call.lang)))
        return json.dumps({"tags": named}, ensure_ascii=False), None if named else _NO_SUBJECT
    if call.is_question:
        return _NO_ANSWERS[call.lang] + found.text, _NO_QUESTIONS
    return found.text, _NO_SUBJECT if all(map(is_abstention, found.facts)) else None


def _read(facts: Facts) -> str:
    text = all_text(facts)
    if facts.text is None and text == NO_TEXT:
        raise RefusedRequest("; ".join(facts.notes) or "text was not read")
    return text


def _parts(content: object) -> list[dict[str, Any]]:
    if content is None:
        return []
    if isinstance(content, str):
        return [{"type": "text", "text": content}]
    if not isinstance(content, list):
        raise RefusedRequest("messages.content: a string or a list of parts is needed", code="1214")
    return [_part(part) for part in content]


def _part(part: object) -> dict[str, Any]:
    match part:
        case {"type": "text", "text": str(text)}:
            return {"type": "text", "text": text}
        case {"type": "image_url", "image_url": {"url": str() | Base64Text() as url}}:
            return {"type": "image_url", "image_url": url}
        case {"type": "video_url" | "file_url" | "file" as kind}:
            raise RefusedRequest(
                f"messages.content.type {kind}: the embedded engine reads only text and images"
            )
    raise RefusedRequest("messages.content: a part is neither a text nor an image_url part", code="1214")


def _image(number: int, url: str | Base64Text) -> bytes:
    if isinstance(url, Base64Text):
        return read_content(url.content)
    if url[:8].lower().startswith(("http://", "https://")):
        raise RefusedRequest(f"image {number}: the embedded engine reads no links; send the image itself")
    try:
        head, comma, rest = url.partition(",") if url.startswith("data:") else ("", "", url)
        if comma and not head.endswith(";base64"):
            raise ValueError("a data URI without base64")
        return pybase64.b64decode(rest, validate=True)
    except ValueError as error:
        raise RefusedRequest(f"image {number}: neither base64 nor a data URI ({error})") from error


def _max_tokens(fields: dict[str, Any]) -> int | None:
    for name in ("max_tokens", "max_completion_tokens"):
        value = fields.get(name)
        if value is None:
            continue
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise RefusedRequest(f"{name}: a whole number of at least 1 is needed", code="1214")
        return value
    return None


def _tokens(text: str) -> tuple[str, ...]:
    return tuple(_PIECE.findall(text))


def _event(data: bytes) -> bytes:
    return b"data: " + data + b"\n\n"


def _json(value: dict[str, Any]) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
