"""What a caller offers the model to use: functions, a knowledge base, the web.

The platform's FAQ: the three kinds exclude one another, and of a mixture only one takes effect, functions
before retrieval before web search. A mixture is refused here with that order named, unless the caller asks
for the winner; which kinds a model takes stands in its record.

Of a Python function the signature becomes a JSON Schema, and its docstring what the model reads of it. It is
only ever called with arguments that fit its type hints, and what it gives back goes to the model as text,
JSON where it is no text already.
"""

from __future__ import annotations

import inspect
import re
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias, get_args

from visionpipe.errors import ParameterError, UnsupportedError
from visionpipe.registry.records import EndpointRecord, ModelRecord
from visionpipe.stages.schema import MappedShape, MisfitError, TypedShape, sendable
from visionpipe.values import JSON, Adjustment
from visionpipe.wire.tolerant_json import Spoiled, read_documents, unfenced

Kind: TypeAlias = Literal["function", "retrieval", "web_search"]
PRIORITY: tuple[Kind, ...] = get_args(Kind)
MOST_TOOLS = 128  # docs.bigmodel.cn, chat completion OpenAPI, read 2026-04-23

Recency: TypeAlias = Literal["oneDay", "oneWeek", "oneMonth", "oneYear", "noLimit"]
_CHOICES = {
    "search_recency_filter": get_args(Recency),
    "content_size": ("medium", "high"),
    "result_sequence": ("before", "after"),
}


@dataclass(frozen=True, slots=True)
class WebSearch:
    """Let the model search the web; the pages found are in the reply's ``sources``.

    Attributes:
        enable: sent in any case, because the service takes its absence for false.
        search_result: whether the pages found are returned.
        search_engine: search_std, search_pro, search_pro_sogou or search_pro_quark.
        search_query: what to search for; default what the prompt says.
        count: pages to find, 1 to 50.
        search_domain_filter: only this domain.
        search_recency_filter: how old pages may be.
        content_size: how much of a page is told.
        search_intent, require_search, search_prompt, result_sequence: as the service documents them.

    Fields: docs.bigmodel.cn, chat completion OpenAPI, read 2026-04-23; the defaults of ``enable`` (false at
    the service) and ``search_result`` by the platform's FAQ, read 2026-09.

    Raises:
        ParameterError: a value that the service does not know.
    """

    enable: bool = True
    search_result: bool = True
    search_engine: str = "search_std"
    search_query: str | None = None
    count: int | None = None
    search_domain_filter: str | None = None
    search_recency_filter: Recency | None = None
    content_size: Literal["medium", "high"] | None = None
    search_intent: bool | None = None
    require_search: bool | None = None
    search_prompt: str | None = None
    result_sequence: Literal["before", "after"] | None = None

    def __post_init__(self) -> None:
        if self.count is not None and not 1 <= self.count <= 50:
            raise ParameterError(f"{self.count} is outside 1 to 50", cure="Ask for 1 to 50.", subject="count")
        for name, known in _CHOICES.items():
            value = getattr(self, name)
            if value is not None and value not in known:
                raise ParameterError(f"{value!r} is unknown", cure=f"Use {', '.join(known)}.", subject=name)

    def to_json(self) -> dict[str, JSON]:
        """As the service takes it."""
        fields = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return {
            "type": "web_search",
            "web_search": {name: value for name, value in fields.items() if value is not None},
        }


@dataclass(frozen=True, slots=True)
class Retrieval:
    """Let the model look things up in a knowledge base of the account.

    Attributes:
        knowledge_id: of the knowledge base.
        prompt_template: how what is found is put to the model; default the service's own.
    """

    knowledge_id: str
    prompt_template: str | None = None

    def to_json(self) -> dict[str, JSON]:
        """As the service takes it."""
        holder: dict[str, JSON] = {"knowledge_id": self.knowledge_id}
        if self.prompt_template is not None:
            holder["prompt_template"] = self.prompt_template
        return {"type": "retrieval", "retrieval": holder}


Tool: TypeAlias = "FunctionTool | WebSearch | Retrieval | Callable[..., Any]"
"""What ``tools`` takes; a plain function becomes a ``FunctionTool``."""


@dataclass(frozen=True, slots=True)
class Toolbox:
    """The tools of one request: as sent, and the functions behind them."""

    sent: tuple[Mapping[str, JSON], ...] = ()
    functions: tuple[FunctionTool, ...] = ()
    adjustments: tuple[Adjustment, ...] = ()


def choose_tools(tools: Sequence[Tool], model: ModelRecord, *, prefer_priority: bool = False) -> Toolbox:
    """Turn what the caller gave into one kind of tools that ``model`` takes.

    Args:
        tools: functions, or one WebSearch, or one Retrieval.
        model: the record that says which kinds it takes.
        prefer_priority: of several kinds, send the one that would take effect, and record the others.

    Raises:
        ParameterError: several kinds, one name twice, or too many.
        UnsupportedError: the model takes no tools of this kind.
    """
    kinds: dict[Kind, list[Any]] = {}
    for tool in tools:
        kind, made = _typed(tool)
        kinds.setdefault(kind, []).append(made)
    if not kinds:
        return Toolbox()
    winner, *others = (kind for kind in PRIORITY if kind in kinds)
    if others and not prefer_priority:
        raise ParameterError(
            f"{', '.join([winner, *others])} in one request, and they exclude one another; "
            f"of a mixture only one takes effect: {' > '.join(PRIORITY)}",
            cure=f"Send one kind, or pass prefer_priority=True to send {winner} only.",
            subject="tools",
        )
    if winner not in model.tools:
        able = f" It takes {', '.join(model.tools)}." if model.tools else ""
        raise UnsupportedError(
            f"{model.id} takes no tools of the kind {winner}",
            cure=f"Choose a model that does (`visionpipe models`).{able}",
            subject="tools",
        )
    chosen = kinds[winner]
    _check_count(winner, chosen)
    dropped = [
        Adjustment("dropped", f"tools: {kind}", f"{winner} goes before it ({' > '.join(PRIORITY)})")
        for kind in others
    ]
    return Toolbox(
        sent=tuple(tool.to_json() for tool in chosen),
        functions=tuple(chosen) if winner == "function" else (),
        adjustments=tuple(dropped),
    )


def check_tool_choice(choice: JSON, endpoint: EndpointRecord) -> None:
    """GLM knows only "auto" (docs.bigmodel.cn, 2026-04-23); other servers have their own words.

    Raises:
        UnsupportedError: another choice on GLM.
    """
    if choice not in (None, "auto") and endpoint.dialect == "glm":
        raise UnsupportedError(
            f"{choice!r} is not known here", cure="Use 'auto', or leave it out.", subject="tool_choice"
        )


def _typed(tool: Any) -> tuple[Kind, FunctionTool | WebSearch | Retrieval]:
    match tool:
        case WebSearch():
            return "web_search", tool
        case Retrieval():
            return "retrieval", tool
        case FunctionTool():
            return "function", tool
    if not callable(tool):
        raise ParameterError(
            f"{type(tool).__name__} is no tool",
            cure="Give functions, FunctionTool, WebSearch or Retrieval.",
            subject="tools",
        )
    return "function", FunctionTool.of(tool)


def _check_count(kind: Kind, chosen: Sequence[Any]) -> None:
    if kind != "function":
        if len(chosen) > 1:
            raise ParameterError(f"{len(chosen)} of the kind {kind}", cure="Give one.", subject="tools")
        return
    if len(chosen) > MOST_TOOLS:
        raise ParameterError(
            f"{len(chosen)} functions, and the service takes {MOST_TOOLS}",
            cure=f"Give at most {MOST_TOOLS}.",
            subject="tools",
        )
    names = [tool.name for tool in chosen]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise ParameterError("two functions have this name", cure="Rename one.", subject=twice)


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
    ``read_documents`` reads them. ``null``, an empty list or nothing at all
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
