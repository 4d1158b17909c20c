"""A Python function as a tool: its signature as a JSON Schema, its docstring as what the model reads of it.

A function is only ever called with arguments that fit its type hints, and what it gives back goes
to the model as text, JSON where it is no text already.
"""

from __future__ import annotations

import inspect
import re
import typing
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson

from visionpipe.errors import ParameterError
from visionpipe.values import JSON

_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}\Z")
_PLAIN = (str, int, float, bool, list, dict, type(None))
_MOST_ERRORS = 8


class ArgumentsError(ValueError):
    """What the model wrote cannot be the function's arguments; the message says why."""


@dataclass(frozen=True, slots=True)
class FunctionTool:
    """A function the model may ask for.

    Attributes:
        name: 1 to 64 letters, digits, _ or - (docs.bigmodel.cn, 2026).
        description: what it does, for the model.
        parameters: JSON Schema of its arguments, an object.
        function: what is called with the arguments by name; None where the caller runs it himself and only
            ``ask`` or ``stream`` is used.

    Raises:
        ParameterError: a name the service does not take.
    """

    name: str
    description: str
    parameters: Mapping[str, Any]
    function: Callable[..., Any] | None = None
    _model: Any = field(default=None, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not _NAME.match(self.name):
            raise ParameterError(
                "a function's name has 1 to 64 letters, digits, _ or -",
                cure="Name it: FunctionTool.of(function, name='...').",
                subject=self.name,
            )

    @classmethod
    def of(
        cls, function: Callable[..., Any], *, name: str | None = None, description: str | None = None
    ) -> FunctionTool:
        """Make a tool of a function, a method or any callable with type hints.

        Args:
            function: synchronous, or asynchronous for AsyncClient. ``Annotated[str, Field(description=...)]``
                describes an argument.
            name: default its own.
            description: default its docstring.

        Raises:
            ParameterError: a parameter without a type hint, or one that cannot be given by name.
        """
        called: str = name or getattr(function, "__name__", "") or type(function).__name__
        model = _arguments_model(function, called)
        return cls(
            name=called,
            description=description or inspect.getdoc(function) or "",
            parameters=_schema(model, called),
            function=function,
            _model=model,
        )

    @property
    def asynchronous(self) -> bool:
        """Whether only AsyncClient can call it."""
        return inspect.iscoroutinefunction(self.function)

    def to_json(self) -> dict[str, JSON]:
        """As the service takes it."""
        function: dict[str, JSON] = {"name": self.name, "parameters": dict(self.parameters)}
        if self.description:
            function["description"] = self.description
        return {"type": "function", "function": function}

    def arguments(self, text: str) -> dict[str, Any]:
        """What to call the function with.

        Args:
            text: as the model wrote it; empty counts as no arguments.

        Raises:
            ArgumentsError: no JSON object, or one that does not fit.
        """
        try:
            data = orjson.loads(text) if text.strip() else {}
        except orjson.JSONDecodeError as cause:
            raise ArgumentsError(f"the arguments are no valid JSON ({cause})") from cause
        if not isinstance(data, dict):
            raise ArgumentsError("the arguments are no JSON object")
        return self._typed(data) if self._model is not None else self._checked(data)

    def _typed(self, data: dict[str, Any]) -> dict[str, Any]:
        from pydantic import ValidationError

        try:
            # As from JSON, so that dates, enums and tuples are taken from their JSON forms.
            given = self._model.model_validate_json(orjson.dumps(data))
        except ValidationError as cause:
            raise _misfit(
                f"{'.'.join(str(step) for step in error['loc']) or 'arguments'}: {error['msg']}"
                for error in cause.errors(include_url=False, include_context=False)
            ) from cause
        fields = type(given).model_fields
        # What was not given is left to the function's own defaults.
        return {fields[name].alias: getattr(given, name) for name in fields if name in given.model_fields_set}

    def _checked(self, data: dict[str, Any]) -> dict[str, Any]:
        from jsonschema import Draft202012Validator

        found = [
            f"{e.json_path}: {e.message}" for e in Draft202012Validator(self.parameters).iter_errors(data)
        ]
        if found:
            raise _misfit(found)
        return data


def result_text(value: Any) -> str:
    """What a function returned, for the model: text as it is, all else as JSON.

    Raises:
        ValueError: it has no JSON form.
    """
    # The service refuses empty text.
    if isinstance(value, str) and value.strip():
        return value
    from pydantic_core import to_json

    return to_json(value).decode()


def _misfit(errors: Iterable[str]) -> ArgumentsError:
    return ArgumentsError("; ".join(list(errors)[:_MOST_ERRORS]))


def _arguments_model(function: Callable[..., Any], name: str) -> Any:
    from pydantic import ConfigDict, PydanticSchemaGenerationError, PydanticUserError, create_model

    called = function if inspect.isroutine(function) else type(function).__call__
    try:
        signature = inspect.signature(function)
        hints = typing.get_type_hints(called, include_extras=True)
    except (NameError, TypeError, ValueError) as cause:
        raise _unusable(name, f"its signature cannot be read ({cause})") from cause
    fields: dict[str, Any] = {}
    for place, parameter in enumerate(signature.parameters.values()):
        if parameter.kind not in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
            raise _unusable(name, f"{parameter.name} cannot be given by name")
        if parameter.name not in hints:
            raise _unusable(name, f"{parameter.name} has no type hint")
        # The fields have names of their own, so that a parameter may be called anything ("schema", "_x").
        fields[f"argument_{place}"] = (hints[parameter.name], _field(parameter))
    try:
        return create_model(name, __config__=ConfigDict(extra="forbid"), **fields)
    except (PydanticSchemaGenerationError, PydanticUserError) as cause:
        raise _unusable(name, f"a type of its signature has no JSON Schema ({cause})") from cause


def _field(parameter: inspect.Parameter) -> Any:
    from pydantic import Field

    default = parameter.default
    if default is parameter.empty:
        return Field(alias=parameter.name)
    if isinstance(default, _PLAIN):
        return Field(default, alias=parameter.name)
    # A default that JSON cannot hold is not told to the model.
    return Field(default_factory=lambda: default, alias=parameter.name)


def _schema(model: Any, name: str) -> dict[str, Any]:
    from pydantic.errors import PydanticInvalidForJsonSchema

    try:
        schema: dict[str, Any] = _untitled(model.model_json_schema(by_alias=True))
    except PydanticInvalidForJsonSchema as cause:
        raise _unusable(name, f"a type of its signature has no JSON Schema ({cause})") from cause
    schema.setdefault("properties", {})
    return schema


def _untitled(schema: Any) -> Any:
    """Without the titles that pydantic makes of names: they cost tokens and tell nothing."""
    if isinstance(schema, list):
        return [_untitled(entry) for entry in schema]
    if not isinstance(schema, dict):
        return schema
    named = ("properties", "$defs")
    return {
        key: {name: _untitled(entry) for name, entry in value.items()} if key in named else _untitled(value)
        for key, value in schema.items()
        if key != "title"
    }


def _unusable(name: str, reason: str) -> ParameterError:
    return ParameterError(
        reason,
        cure="Give every parameter a type hint that JSON can hold, or describe it with a FunctionTool.",
        subject=name,
    )
