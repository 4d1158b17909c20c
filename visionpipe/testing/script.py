"""Answers written by a test, for clients that check, repair, send and read as always and reach no service.

What a client sends is read back from the request's own body, so that a test sees what a service would.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import orjson
from pydantic import BaseModel

from visionpipe.files import sha256_of_content
from visionpipe.values import JSON, Usage
from visionpipe.wire.chat import CHAT_PATH
from visionpipe.wire.http import Base64Text, HttpRequest, HttpResponse, with_media_as

NO_KEY = "answered-by-a-test.no-key-is-needed"
_JSON_HEAD = {"content-type": "application/json"}


class ScriptError(AssertionError):
    """The program under test asked what its script has no answer for."""


@dataclass(frozen=True, slots=True)
class Says:
    """An answer with more than its text.

    Attributes:
        text: of the answer.
        finish_reason: as a service says it: stop, length, sensitive, ...
        reasoning: the model's thinking.
        usage: tokens; default a count by the length of the texts.
    """

    text: str = ""
    finish_reason: str = "stop"
    reasoning: str = ""
    usage: Usage | None = None


@dataclass(frozen=True, slots=True)
class Refuses:
    """A service's refusal.

    Attributes:
        code: its own, such as ``"1302"`` (too many at once) or ``"1113"`` (no balance).
        status: of HTTP.
        message: its words.
    """

    code: str
    status: int = 400
    message: str = "refused by the script"


@dataclass(frozen=True, slots=True)
class AskedImage:
    """An image or clip as it was sent: ``name`` is what the caller knows it by, ``sha256`` and ``size``
    (bytes) are of its encoded bytes."""

    name: str
    sha256: str
    size: int


@dataclass(frozen=True, slots=True)
class Asked:
    """One question as it was sent.

    Attributes:
        prompt: the texts of the last message.
        images: images and clips of the last message whose bytes were sent, in order.
        links: those of which the address was sent.
        model: the model asked.
        system: the system text; empty where there is none.
        streamed: whether the answer is wanted as a stream.
        body: all that was sent, as JSON, with the SHA-256 of each image in its place.
    """

    prompt: str
    images: tuple[AskedImage, ...]
    links: tuple[str, ...]
    model: str
    system: str
    streamed: bool
    body: Mapping[str, Any] = field(repr=False)

    def __str__(self) -> str:
        about = ", ".join([*(image.name for image in self.images), *self.links])
        return f"{self.prompt!r} about {about or 'nothing'}"


Answer: TypeAlias = "str | Mapping[str, Any] | list[Any] | BaseModel | Says | Refuses | Exception"
"""A text; data, which is given as JSON; more than a text; a refusal; or an error, which is raised."""

Answers: TypeAlias = "str | Sequence[Answer] | Mapping[str, Answer] | Callable[[Asked], Answer]"
"""One text for all questions; a list, in order; by words that stand in the prompt or in an image's name; or a
function of the question."""


class Script:
    """Gives answers, and keeps what was asked. Safe to use from several threads at once.

    Args:
        answers: see ``Answers``.
    """

    def __init__(self, answers: Answers) -> None:
        self._answers = answers
        self._lock = threading.Lock()
        self.asked: list[Asked] = []

    def whole(self, request: HttpRequest) -> HttpResponse:
        """What a service would answer.

        Raises:
            ScriptError: there is no answer to it.
        """
        asked, answer = self._next(request)
        if isinstance(answer, Refuses):
            return _refusal(answer)
        message = {"role": "assistant", "content": answer.text}
        if answer.reasoning:
            message["reasoning_content"] = answer.reasoning
        choice = {"index": 0, "finish_reason": answer.finish_reason, "message": message}
        return HttpResponse(200, _JSON_HEAD, orjson.dumps(_document(asked, answer, choice)))

    def streamed(self, request: HttpRequest) -> HttpResponse | list[bytes]:
        """What a service would stream, word by word; a refusal comes whole."""
        asked, answer = self._next(request)
        if isinstance(answer, Refuses):
            return _refusal(answer)
        return [_event(frame) for frame in _frames(asked, answer)] + [b"data: [DONE]\n\n"]

    def _next(self, request: HttpRequest) -> tuple[Asked, Says | Refuses]:
        asked = read_question(request)
        with self._lock:
            self.asked.append(asked)
            found = self._found(asked, len(self.asked))
        if isinstance(found, Exception):
            raise found
        match found:
            case Says() | Refuses():
                return asked, found
            case str():
                return asked, Says(found)
            case BaseModel():
                return asked, Says(found.model_dump_json())
            case Mapping() | list():
                return asked, Says(orjson.dumps(found).decode())
        raise ScriptError(f"{found!r} is no answer: give a text, data, Says, Refuses or an exception")

    def _found(self, asked: Asked, number: int) -> Answer:
        given = self._answers
        if isinstance(given, str):
            return given
        if isinstance(given, Mapping):
            said = [asked.prompt, *(image.name for image in asked.images), *asked.links]
            for words, answer in given.items():
                if any(words in text for text in said):
                    return answer
            known = ", ".join(repr(words) for words in given)
            raise ScriptError(f"the script has no answer to {asked}: none of {known} stands in it")
        if callable(given):
            return given(asked)
        if number > len(given):
            raise ScriptError(f"the script has {len(given)} answers, and question {number} is {asked}")
        return given[number - 1]


def read_question(request: HttpRequest) -> Asked:
    """A chat request as a test looks at it.

    Raises:
        ScriptError: it is another call of the service.
    """
    body = request.body.made_of if request.body is not None else None
    if not request.url.startswith(CHAT_PATH) or not isinstance(body, Mapping):
        raise ScriptError(
            f"a script answers chat calls, not {request.method} {request.url}: test with the sandbox"
        )
    last = body["messages"][-1]["content"]
    parts = last if isinstance(last, list) else [{"type": "text", "text": last}]
    media = [part[part["type"]]["url"] for part in parts if part["type"] != "text"]
    system = [said["content"] for said in body["messages"] if said["role"] == "system"]
    return Asked(
        prompt="\n".join(part["text"] for part in parts if part["type"] == "text"),
        images=tuple(_image(one) for one in media if isinstance(one, Base64Text)),
        links=tuple(one for one in media if isinstance(one, str)),
        model=body["model"],
        system="\n".join(system),
        streamed=bool(body.get("stream")),
        body=shown_body(body),
    )


def shown_body(body: Any) -> Any:
    """A request's JSON with the hash and size of each image in its place, and without the id that every try
    has of its own."""

    def shown(media: Base64Text) -> JSON:
        return {"sha256": sha256_of_content(media.content), "bytes": media.content.size}

    found = with_media_as(shown, body)
    return {name: value for name, value in found.items() if name != "request_id"}


def _image(media: Base64Text) -> AskedImage:
    return AskedImage(media.name, sha256_of_content(media.content), media.content.size)


def _document(asked: Asked, answer: Says, choice: Mapping[str, Any]) -> dict[str, Any]:
    usage = answer.usage or Usage(_words(asked.prompt), _words(answer.text + answer.reasoning))
    counts = {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": usage.total_tokens,
        "prompt_tokens_details": {"cached_tokens": usage.cached_tokens},
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
    }
    return {"id": "scripted", "model": asked.model, "choices": [choice], "usage": counts}


def _words(text: str) -> int:
    return -(-len(text) // 4)


def _frames(asked: Asked, answer: Says) -> Iterator[dict[str, Any]]:
    if answer.reasoning:
        yield {"choices": [{"index": 0, "delta": {"reasoning_content": answer.reasoning}}]}
    for piece in _pieces(answer.text):
        yield {"model": asked.model, "choices": [{"index": 0, "delta": {"content": piece}}]}
    end = {"index": 0, "finish_reason": answer.finish_reason, "delta": {"content": ""}}
    yield _document(asked, answer, end)


def _pieces(text: str) -> Iterable[str]:
    first, *rest = text.split(" ")
    return [first, *(f" {word}" for word in rest)]


def _event(frame: Mapping[str, Any]) -> bytes:
    return b"data: " + orjson.dumps(frame) + b"\n\n"


def _refusal(refusal: Refuses) -> HttpResponse:
    body = {"error": {"code": refusal.code, "message": refusal.message}}
    return HttpResponse(refusal.status, _JSON_HEAD, orjson.dumps(body))
