"""A Python function as a tool: its signature as a JSON Schema, its docstring as what the model reads of it.

A function is only ever called with arguments that fit its type hints, and what it gives back goes
to the model as text, JSON where it is no text already.
"""

from __future__ import annotations

import inspect
import re
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from visionpipe.errors import ParameterError
from visionpipe.stages.schema import MappedShape, MisfitError, TypedShape, sendable
from visionpipe.values import JSON
from visionpipe.wire.tolerant_json import Spoiled, read_documents, unfenced

_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}\Z")
_PLAIN = (str, int, float, bool, list, dict, type(None))
_NO_ARGUMENTS = ("", "null", "None", "[]", '""', "''")


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
        ParameterError: a name the service does not take, or parameters no service could read.
    """

    name: str
    description: str
    parameters: Mapping[str, Any]
    function: Callable[..., Any] | None = None
    _shape: Any = field(default=None, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self._shape is None:
            object.__setattr__(self, "_shape", MappedShape(self.parameters, self.name))
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
        from pydantic import TypeAdapter

        called: str = name or getattr(function, "__name__", "") or type(function).__name__
        model = _arguments_model(function, called)
        parameters = sendable(_schema(model, called), called)
        return cls(
            name=called,
            description=description or inspect.getdoc(function) or "",
            parameters=parameters,
            function=function,
            _shape=TypedShape(TypeAdapter(model), parameters),
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
        data = read_arguments(text)
        try:
            given = self._shape.validate(data)
        except MisfitError as misfit:
            raise ArgumentsError(str(misfit)) from misfit
        if isinstance(given, dict):
            return given
        fields = type(given).model_fields
        # What was not given is left to the function's own defaults.
        return {fields[name].alias: getattr(given, name) for name in fields if name in given.model_fields_set}


def read_arguments(text: str) -> dict[str, Any]:
    """A call's arguments as a JSON object: in a fence, encoded twice or with slips of the pen, as
    :func:`visionpipe.wire.tolerant_json.read_documents` reads them. ``null``, an empty list or nothing at all
    are no arguments.

    Raises:
        ArgumentsError: no JSON object, or one that cannot be relied on.
    """
    if unfenced(text) in _NO_ARGUMENTS:
        return {}
    found = [value for value in read_documents(text) if not isinstance(value, str)]
    if len(found) == 1 and isinstance(found[0], dict):
        return found[0]
    spoiled = [value.reason for value in found if isinstance(value, Spoiled)]
    if spoiled or not found:
        raise ArgumentsError(f"the arguments are no valid JSON{f' ({spoiled[0]})' if spoiled else ''}")
    if len(found) > 1:
        raise ArgumentsError("the arguments are several JSON documents")
    raise ArgumentsError("the arguments are no JSON object")


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
