"""Messages as the platform's FAQ writes them: earlier turns and the question, as a list of
``{"role": "user", "content": ...}``, read into what a call is prepared from.

Content is a text or a list of parts: ``{"type": "text", "text": ...}``,
``{"type": "image_url", "image_url": {"url": ...}}`` and ``video_url`` in the same form. A url is a link, a
data URI or base64. It is never taken as the path of a local file, since messages often come from somebody
else; a local file is given as a ``Path`` in its place.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from visionpipe.client.options import Detail
from visionpipe.errors import ParameterError
from visionpipe.images.load import from_bare_base64
from visionpipe.media import LinkedVideo
from visionpipe.request import ToolCall

_DETAILS: dict[Any, Detail] = {"low": "low", "high": "high", "auto": "auto"}
_CURE = 'Write each as {"role": "user", "content": "..."}, as the platform does.'


@dataclass(frozen=True, slots=True)
class GivenTurn:
    """One message. ``parts`` are texts, and ``(source,)`` for each image or clip, in the order given."""

    role: str
    parts: tuple[str | tuple[Any], ...]
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str | None = None

    @property
    def text(self) -> str:
        return "\n".join(part for part in self.parts if isinstance(part, str))

    @property
    def sources(self) -> tuple[Any, ...]:
        return tuple(part[0] for part in self.parts if isinstance(part, tuple))


@dataclass(frozen=True, slots=True)
class GivenMessages:
    """The turns, without the system text; ``detail`` is that of the first image that names one."""

    turns: tuple[GivenTurn, ...]
    system: str | None = None
    detail: Detail | None = None


def read_messages(messages: Any) -> GivenMessages:
    """Read the messages.

    Raises:
        ParameterError: they are of another form; ``subject`` says which one.
    """
    if isinstance(messages, str | bytes | Mapping) or not isinstance(messages, Sequence):
        raise ParameterError("it is no list of messages", cure=_CURE, subject="messages")
    systems: list[str] = []
    turns: list[GivenTurn] = []
    details: list[Detail] = []
    for number, message in enumerate(messages):
        where = f"messages[{number}]"
        role = message.get("role") if isinstance(message, Mapping) else None
        if role not in ("system", "developer", "user", "assistant", "tool"):
            raise ParameterError("it is no message with a known role", cure=_CURE, subject=where)
        parts = tuple(_parts(message.get("content"), where, details))
        if role in ("system", "developer"):
            systems.append(GivenTurn(role, parts).text)
            continue
        calls = tuple(_call(call, where) for call in message.get("tool_calls") or ())
        if not parts and not calls:
            raise ParameterError(
                "it is empty, and the service refuses empty messages", cure="Leave it out.", subject=where
            )
        turns.append(GivenTurn(role, parts, calls, message.get("tool_call_id")))
    if not turns:
        raise ParameterError("there is no message in it", cure=_CURE, subject="messages")
    return GivenMessages(tuple(turns), "\n\n".join(systems) or None, details[0] if details else None)


def _parts(content: Any, where: str, details: list[Detail]) -> list[str | tuple[Any]]:
    if content is None or content == "":
        return []
    if isinstance(content, str):
        return [content]
    if isinstance(content, Mapping) or not isinstance(content, Sequence):
        raise ParameterError("its content is neither a text nor a list of parts", cure=_CURE, subject=where)
    found: list[str | tuple[Any]] = []
    for number, part in enumerate(content):
        place = f"{where}.content[{number}]"
        kind = part.get("type") if isinstance(part, Mapping) else None
        if kind == "text" and isinstance(part.get("text"), str):
            found += [part["text"]] if part["text"] else []
        elif kind in ("image_url", "video_url"):
            holder = part.get(kind)
            url = holder.get("url") if isinstance(holder, Mapping) else holder
            detail = holder.get("detail") if isinstance(holder, Mapping) else None
            if isinstance(detail, str) and detail in _DETAILS:
                details.append(_DETAILS[detail])
            found.append((_source(url, kind, place),))
        else:
            raise ParameterError(
                f"a part of the type {kind!r} is not known here",
                cure="Give text, image_url or video_url.",
                subject=place,
            )
    return found


def _source(url: Any, kind: str, where: str) -> Any:
    if isinstance(url, os.PathLike):
        return url
    if not isinstance(url, str):
        raise ParameterError("it has no url", cure='Write {"url": "https://..."}.', subject=where)
    if url[:8].lower().startswith(("http://", "https://")):
        return LinkedVideo(url) if kind == "video_url" else url
    if url[:5].lower() == "data:":
        return url
    data = from_bare_base64(url)
    if data is None:
        raise ParameterError(
            "its url is neither a link nor a data URI nor the base64 of an image",
            cure="Give a local file as a pathlib.Path, or as an image beside the prompt.",
            subject=where,
        )
    return data


def _call(call: Any, where: str) -> ToolCall:
    function = call.get("function") if isinstance(call, Mapping) else None
    if not isinstance(function, Mapping) or not isinstance(function.get("name"), str):
        raise ParameterError("a tool call has no function", cure=_CURE, subject=where)
    return ToolCall(str(call.get("id") or ""), function["name"], str(function.get("arguments") or ""))
