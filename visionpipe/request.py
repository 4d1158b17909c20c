"""One request to a model as a frozen value: built once, checked, and encoded anew for each attempt."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from visionpipe.media import Part
from visionpipe.values import JSON, Adjustment

Role: TypeAlias = Literal["system", "user", "assistant", "tool"]
Thinking: TypeAlias = Literal["on", "off"]
CacheUse: TypeAlias = Literal["use", "refresh", "off"]


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A function the model asks for; ``arguments`` is JSON text as the model wrote it, maybe invalid."""

    id: str
    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class Message:
    """One turn. ``tool_calls`` belong to an assistant's turn, ``tool_call_id`` to a tool's."""

    role: Role
    parts: tuple[Part, ...]
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str | None = None


@dataclass(frozen=True, slots=True)
class Parameters:
    """What steers an answer. None means: not sent, the service's default holds.

    Attributes:
        temperature: 0.0 to 1.0 on GLM; not together with ``top_p``.
        top_p: 0.0 to 1.0; not together with ``temperature``.
        max_tokens: most tokens of the answer, at most the model's own maximum.
        do_sample: False asks for the most likely answer; temperature and top_p then have no effect.
        stop: texts that end the answer.
        thinking: "on" or "off" where the model can switch; None leaves it as it is.
        reasoning_effort: one of the efforts in the model's record.
        user_id: the end user's id, 6 to 128 characters.
        detail: how closely images are looked at (low, high, auto), where the service knows the word.
        extra: further fields for the body, sent as they are.
    """

    temperature: float | None = None
    top_p: float | None = None
    max_tokens: int | None = None
    do_sample: bool | None = None
    stop: tuple[str, ...] = ()
    thinking: Thinking | None = None
    reasoning_effort: str | None = None
    user_id: str | None = None
    detail: str | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Request:
    """Everything one call says, whatever way it is made (whole, streamed, as a task, in a batch file).
    ``headers`` are HTTP headers of this call, beside the client's own; ``cache`` says what is done with the
    client's cache of answers."""

    model: str
    messages: tuple[Message, ...]
    parameters: Parameters = Parameters()
    tools: tuple[Mapping[str, JSON], ...] = ()
    tool_choice: JSON = None
    response_format: Mapping[str, JSON] | None = None
    adjustments: tuple[Adjustment, ...] = ()
    headers: Mapping[str, str] = field(default_factory=dict)
    cache: CacheUse = "use"
