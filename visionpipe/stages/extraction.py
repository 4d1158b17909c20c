"""Structured data: what to ask for, whether an answer holds it, and what to say when it does not.

A value is only ever what the schema allows. An answer that does not fit is asked for once more,
with the reasons; after that it is an error that carries the answer.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar

import orjson

from visionpipe.errors import AnswerError, UnreadableAnswerError
from visionpipe.media import Text
from visionpipe.registry.records import ModelRecord
from visionpipe.reply import Reply, merge_replies
from visionpipe.request import Message, Request
from visionpipe.stages.schema import MisfitError, plain, root_wrapped, shape_of_target, takes_text
from visionpipe.values import JSON, Note
from visionpipe.wire.tolerant_json import Spoiled, read_documents, unfenced

T = TypeVar("T")

EXTRACTION_PROMPT = {
    "en": "Extract from what you see exactly the data asked for.",
    "zh": "请从画面中准确提取所要求的数据。",
}
_ASK = {
    "en": "Answer with one JSON document only, without comments or fences, that fits this JSON Schema:\n",
    "zh": "只回答一个 JSON 文档，不要注释，不要代码块，且必须符合这个 JSON Schema：\n",
}
_AGAIN = {
    "en": "That answer cannot be used:\n{errors}\nAnswer again with the whole corrected JSON document only.",
    "zh": "这个回答无法使用：\n{errors}\n请重新回答，只给出改正后的完整 JSON 文档。",
}


_EMPTY: tuple[Any, ...] = ({}, [])
_PREAMBLE = re.compile(
    r"(?:sure|certainly|of course|okay|ok|here(?:['’]s| is| are)|the (?:answer|result|title|text|value) is"
    r"|answer|result)\b|好的|当然|以下|如下|结果|答案",
    re.IGNORECASE,
)


class Schema(Generic[T]):
    """A target for extraction: a pydantic model, any type pydantic can validate (lists, unions, dataclasses,
    TypedDicts), or a JSON Schema as a mapping (the value is then plain JSON data).

    ``json_schema`` is the target's own; ``sent`` what a service is given, whose root is always an object:
    what has another root stands under one name in it, and is taken out again.

    Args:
        target: the type or JSON Schema.

    Raises:
        ParameterError: ``target`` is neither, or no service could read it.
    """

    def __init__(self, target: Any) -> None:
        self._shape = shape_of_target(target)
        self.json_schema: dict[str, Any] = self._shape.json_schema
        self.sent, self._root = root_wrapped(self.json_schema)
        self._takes_text, self._takes_any_text = takes_text(self.json_schema, self.json_schema)
        named = target.get("title") if isinstance(target, Mapping) else getattr(target, "__name__", None)
        self.name = _identifier(str(named or "answer"))

    def read(self, text: str, *, cut_off: bool = False) -> tuple[T, Any]:
        """The value in an answer's text, and the JSON data it was made of.

        Of several whole documents the last that fits counts; a broken one behind it is no answer. A bare
        text is taken where the target is one (``str``, ``Literal``, a date).

        Args:
            text: the answer.
            cut_off: the service says that it is not finished; only what a bracket or a quote closes counts.

        Raises:
            MisfitError: no whole JSON document, or none that fits.
        """
        found = read_documents(text)
        if cut_off:
            found = [value for value in found if isinstance(value, dict | list | str | Spoiled)]
        misfit: MisfitError | None = None
        for place in range(len(found) - 1, -1, -1):
            data = found[place]
            if isinstance(data, Spoiled):
                raise misfit or MisfitError([f"the answer holds no whole JSON document: {data.reason}"])
            data = self.unwrapped(data)
            try:
                value = self.validate(data)
            except MisfitError as error:
                misfit = misfit or error
                continue
            if data in _EMPTY and any(isinstance(other, type(data)) and other for other in found[:place]):
                raise MisfitError(["an empty document stands behind one that is not"])
            return value, plain(data)
        if not cut_off and self._takes_text and all(isinstance(value, int | float) for value in found):
            return self._bare(unfenced(text), misfit)
        raise misfit or MisfitError(["the answer holds no whole JSON document"])

    def _bare(self, text: str, misfit: MisfitError | None) -> tuple[T, Any]:
        first, _, more = text.partition("\n")
        # "Here is the title: Tea" is not the title.
        if not text or (
            self._takes_any_text and (_PREAMBLE.match(text) or (more and first.rstrip()[-1:] in ":："))
        ):
            raise misfit or MisfitError(["the answer holds no JSON document, and more than a bare value"])
        return self.validate(text), text

    def words(self, data: Any, text: str) -> str:
        """The words that an answer is shown by: its text, as it is."""
        return text

    def unwrapped(self, data: Any) -> Any:
        """``data`` without the object that was put around the root for the service."""
        if self._root is not None and isinstance(data, dict) and data.keys() == {self._root}:
            return data[self._root]
        return data

    def fits(self, text: str) -> bool:
        """Whether ``read`` takes an answer's text."""
        try:
            self.read(text)
        except MisfitError:
            return False
        return True

    def shown(self, data: Any) -> Any:
        """A document that is not finished yet, as ``unwrapped``; None where only the object around the
        root has come."""
        return None if self._root is not None and data == {} else self.unwrapped(data)

    def validate(self, data: Any) -> T:
        """``data`` as a value of the target type. Raises MisfitError."""
        value: T = self._shape.validate(data)
        return value


@dataclass(frozen=True, slots=True)
class Extraction(Generic[T]):
    """``value`` of the asked-for type, ``data`` as plain JSON, and the reply it is from (two, merged, after a
    second question)."""

    value: T
    data: Any
    reply: Reply


def was_cut_off(reply: Reply) -> bool:
    """Whether the service says that it cut the answer off."""
    return any(note.kind == "truncated" for note in reply.notes)


def with_schema(request: Request, schema: Schema[Any], model: ModelRecord, lang: str) -> Request:
    """The request, asking for ``schema``: by response_format where the model's record has it, and in words
    in any case, since a model writes better what it has read."""
    shown = schema.sent if model.structured_output else schema.json_schema
    instruction = Text(_ASK[lang] + orjson.dumps(shown).decode())
    *earlier, last = request.messages
    asked = replace(request, messages=(*earlier, replace(last, parts=(*last.parts, instruction))))
    if not model.structured_output:
        return asked
    wrapped: dict[str, JSON] = {"name": schema.name, "schema": schema.sent}
    return replace(asked, response_format={"type": "json_schema", "json_schema": wrapped})


def ask_again(request: Request, answer: str, misfit: MisfitError, lang: str) -> Request:
    """The same conversation with the answer and what is wrong with it."""
    errors = "\n".join(f"- {error}" for error in misfit.errors)
    return replace(
        request,
        messages=(
            *request.messages,
            Message("assistant", (Text(answer),)),
            Message("user", (Text(_AGAIN[lang].format(errors=errors)),)),
        ),
    )


def does_not_fit(misfit: MisfitError, reply: Reply, *, answers: int = 2) -> UnreadableAnswerError:
    """The error after the last answer that does not fit."""
    return UnreadableAnswerError(
        f"the answer does not fit the schema{', twice' if answers > 1 else ''}: {misfit}",
        cure="Simplify the schema, describe its fields, or use a model with structured output.",
        code="schema",
        request_id=reply.request_id,
        reply=reply,
    )


def after_the_first(error: AnswerError, first: Reply, note: Note) -> AnswerError:
    """The second answer's error, with what the first one cost."""
    if error.reply is not None:
        error.reply = together(first, error.reply, note)
    return error


def together(first: Reply, second: Reply, note: Note) -> Reply:
    """The second reply with what both of them cost."""
    both = merge_replies((first, second))
    return replace(both, text=second.text, reasoning=second.reasoning, notes=(note, *second.notes))


def _identifier(name: str) -> str:
    """What endpoints take as a schema's name: letters, digits, _ and -, at most 64."""
    return "".join(char if char.isascii() and (char.isalnum() or char in "_-") else "_" for char in name)[:64]
