"""What a caller offers the model to use: functions, a knowledge base, the web.

The platform's FAQ: the three kinds exclude one another, and of a mixture only one takes effect, functions
before retrieval before web search. The rule: a mixture is refused here with that order named, unless the
caller asks for the winner; which kinds a model takes stands in its record.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, get_args

from visionpipe.errors import ParameterError, UnsupportedError
from visionpipe.registry.records import EndpointRecord, ModelRecord
from visionpipe.stages.function_tool import FunctionTool
from visionpipe.values import JSON, Adjustment

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
"""What ``tools`` takes; a plain function becomes a :class:`FunctionTool`."""


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
