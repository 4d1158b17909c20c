"""Structured data: what to ask for, whether an answer holds it, and what to say when it does not.

A value is only ever what the schema allows. An answer that does not fit is asked for once more,
with the reasons; after that it is an error that carries the answer.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar

import orjson

from visionpipe.errors import UnreadableAnswerError
from visionpipe.media import Text
from visionpipe.registry.records import ModelRecord
from visionpipe.reply import Reply
from visionpipe.request import Message, Request
from visionpipe.values import JSON
from visionpipe.wire.tolerant_json import NoJSONError, read_tolerant

T = TypeVar("T")

_MOST_ERRORS = 8
_ASK = {
    "en": "Answer with one JSON document only, without comments or fences, that fits this JSON Schema:\n",
    "zh": "只回答一个 JSON 文档，不要注释，不要代码块，且必须符合这个 JSON Schema：\n",
}
_AGAIN = {
    "en": "That answer cannot be used:\n{errors}\nAnswer again with the whole corrected JSON document only.",
    "zh": "这个回答无法使用：\n{errors}\n请重新回答，只给出改正后的完整 JSON 文档。",
}


class MisfitError(ValueError):
    """The data does not fit; ``errors`` are short sentences, each naming its place."""

    def __init__(self, errors: list[str]) -> None:
        super().__init__("; ".join(errors))
        self.errors = errors[:_MOST_ERRORS]


class Schema(Generic[T]):
    """A target for extraction: a pydantic model, any type pydantic can validate (lists, unions, dataclasses,
    TypedDicts), or a JSON Schema as a mapping (the value is then plain JSON data).

    Args:
        target: the type or JSON Schema.

    Raises:
        ParameterError: ``target`` is neither.
    """

    def __init__(self, target: Any) -> None:
        self._target = target
        self._adapter: Any = None
        if isinstance(target, Mapping):
            self.json_schema: dict[str, Any] = _checked_json_schema(target)
            self.name = _identifier(str(target.get("title", "answer")))
        else:
            self._adapter, self.json_schema = _typed_schema(target)
            self.name = _identifier(getattr(target, "__name__", "answer"))

    def read(self, text: str) -> tuple[T, Any]:
        """The value in an answer's text, and the JSON data it was made of.

        Raises:
            MisfitError: no whole JSON document, or one that does not fit.
        """
        try:
            data = read_tolerant(text)
        except NoJSONError as cause:
            raise MisfitError([str(cause)]) from cause
        return self.validate(data), data

    def validate(self, data: Any) -> T:
        """``data`` as a value of the target type. Raises MisfitError."""
        if self._adapter is None:
            errors = [f"{e.json_path}: {e.message}" for e in _validator(self.json_schema).iter_errors(data)]
            if errors:
                raise MisfitError(errors)
            value: T = data
            return value
        from pydantic import ValidationError

        try:
            # As from JSON, so that dates, enums and tuples are taken from their JSON forms.
            typed: T = self._adapter.validate_json(orjson.dumps(data))
            return typed
        except ValidationError as cause:
            places = [
                f"{'.'.join(str(step) for step in error['loc']) or 'document'}: {error['msg']}"
                for error in cause.errors(include_url=False, include_context=False)
            ]
            raise MisfitError(places) from cause


@dataclass(frozen=True, slots=True)
class Extraction(Generic[T]):
    """``value`` of the asked-for type, ``data`` as plain JSON, and the reply it is from (two, merged, after a
    second question)."""

    value: T
    data: Any
    reply: Reply


def with_schema(request: Request, schema: Schema[Any], model: ModelRecord, lang: str) -> Request:
    """The request, asking for ``schema``: by response_format where the model's record has it, and in words
    in any case, since a model writes better what it has read."""
    instruction = Text(_ASK[lang] + orjson.dumps(schema.json_schema).decode())
    *earlier, last = request.messages
    asked = replace(request, messages=(*earlier, replace(last, parts=(*last.parts, instruction))))
    if not model.structured_output:
        return asked
    wrapped: dict[str, JSON] = {"name": schema.name, "schema": schema.json_schema}
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


def _typed_schema(target: Any) -> tuple[Any, dict[str, Any]]:
    from pydantic import PydanticSchemaGenerationError, PydanticUserError, TypeAdapter
    from pydantic.errors import PydanticInvalidForJsonSchema

    from visionpipe.errors import ParameterError

    try:
        adapter = TypeAdapter(target)
        return adapter, adapter.json_schema()
    except (PydanticSchemaGenerationError, PydanticUserError, PydanticInvalidForJsonSchema) as cause:
        raise ParameterError(
            f"{target!r} has no JSON Schema",
            cure="Give a pydantic model, a type that pydantic can validate, or a JSON Schema.",
            subject="schema",
        ) from cause


def _checked_json_schema(target: Mapping[str, Any]) -> dict[str, Any]:
    from jsonschema import Draft202012Validator, SchemaError

    from visionpipe.errors import ParameterError

    schema = dict(target)
    try:
        Draft202012Validator.check_schema(schema)
    except SchemaError as cause:
        raise ParameterError(
            f"it is no JSON Schema ({cause.message})", cure="Mend it.", subject="schema"
        ) from cause
    return schema


def _validator(schema: dict[str, Any]) -> Any:
    from jsonschema import Draft202012Validator

    return Draft202012Validator(schema)


def _identifier(name: str) -> str:
    """What endpoints take as a schema's name: letters, digits, _ and -, at most 64."""
    return "".join(char if char.isascii() and (char.isalnum() or char in "_-") else "_" for char in name)[:64]
