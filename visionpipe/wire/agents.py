"""The service's agents, called through an API of their own.

Shapes: docs.bigmodel.cn, agent API OpenAPI, read 2026-04-23. Other than in chat, ``image_url`` is a plain
string, a choice holds ``messages``, content is an object or a list of them, and a result that comes later
says pending, success or failed. The official SDK has ``message`` in a choice; either is read.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from visionpipe.values import JSON, Usage
from visionpipe.wire.answers import table_of, text_of
from visionpipe.wire.http import Body, encode_body
from visionpipe.wire.reply import read_usage

RESULT = "/async-result"
"""Below the agents' address: where a result that comes later is asked for."""


class AgentStatus(StrEnum):
    """The service's words. Any other word counts as pending."""

    PENDING = "pending"
    SUCCESS = "success"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class AgentReply:
    """What an agent answered.

    Attributes:
        text: its texts, joined.
        parts: everything it gave, as it came: texts, links to images and files.
        status: pending where the answer comes later under ``async_id``.
        conversation_id: to go on with the same conversation.
        async_id: to ask for the result with.
        raw: the answer's JSON (of a stream: its last event).
    """

    text: str
    agent_id: str
    parts: tuple[Mapping[str, JSON], ...] = ()
    status: AgentStatus = AgentStatus.SUCCESS
    conversation_id: str | None = None
    async_id: str | None = None
    finish_reason: str | None = None
    usage: Usage | None = None
    request_id: str | None = None
    raw: Mapping[str, JSON] = field(default_factory=dict, repr=False)

    @property
    def done(self) -> bool:
        return self.status is not AgentStatus.PENDING

    def __str__(self) -> str:
        return self.text


def encode_invocation(
    agent_id: str,
    prompt: str | None,
    image_urls: Sequence[str],
    *,
    history: Sequence[Mapping[str, JSON]] = (),
    variables: Mapping[str, JSON] | None = None,
    conversation_id: str | None = None,
    stream: bool = False,
) -> Body:
    """One question to an agent.

    Args:
        prompt: may be None where the agent takes pictures alone.
        image_urls: links.
        history: earlier messages, as the service has them.
        variables: the agent's own settings.
        conversation_id: of an earlier answer.
    """
    content: list[dict[str, str]] = [{"type": "image_url", "image_url": url} for url in image_urls]
    if prompt is not None:
        content.append({"type": "text", "text": prompt})
    fields: dict[str, Any] = {
        "agent_id": agent_id,
        "stream": stream,
        "messages": [*history, {"role": "user", "content": content}],
    }
    if variables:
        fields["custom_variables"] = dict(variables)
    if conversation_id is not None:
        fields["conversation_id"] = conversation_id
    return encode_body(fields)


def encode_question_after(agent_id: str, async_id: str) -> Body:
    """The question after a result that comes later."""
    return encode_body({"agent_id": agent_id, "async_id": async_id})


def error_of(answer: Mapping[str, Any]) -> tuple[str, str] | None:
    """Code and message of an error inside an answer; None where there is none."""
    error = table_of(answer, "error")
    code, message = text_of(error, "code"), text_of(error, "message")
    return (code or "", message or "") if code or message else None


def reply_of(answer: Mapping[str, Any], agent_id: str, request_id: str) -> AgentReply:
    """An answer, or a stream's event, whose text is that event's alone."""
    parts = tuple(_parts(answer))
    async_id = text_of(answer, "async_id")
    word = text_of(answer, "status")
    known = {status.value: status for status in AgentStatus}
    status = AgentStatus.SUCCESS if word is None else known.get(word.lower(), AgentStatus.PENDING)
    if word is None and async_id is not None and not parts:
        status = AgentStatus.PENDING
    choices = answer.get("choices")
    first = choices[0] if isinstance(choices, list) and choices and isinstance(choices[0], dict) else {}
    return AgentReply(
        text="".join(str(part["text"]) for part in parts if isinstance(part.get("text"), str)),
        agent_id=text_of(answer, "agent_id") or agent_id,
        parts=parts,
        status=status,
        conversation_id=text_of(answer, "conversation_id"),
        async_id=async_id,
        finish_reason=text_of(first, "finish_reason"),
        usage=read_usage(answer.get("usage")),
        request_id=text_of(answer, "request_id") or request_id,
        raw=answer,
    )


def _parts(answer: Mapping[str, Any]) -> Iterator[Mapping[str, JSON]]:
    choices = answer.get("choices")
    for choice in choices if isinstance(choices, list) else ():
        if not isinstance(choice, dict):
            continue
        for name in ("messages", "message", "delta"):
            for message in _listed(choice.get(name)):
                yield from _content(message.get("content") if isinstance(message, dict) else None)


def _content(content: Any) -> Iterator[Mapping[str, JSON]]:
    for part in _listed(content):
        if isinstance(part, str):
            yield {"type": "text", "text": part}
        elif isinstance(part, dict):
            yield part


def _listed(value: Any) -> Sequence[Any]:
    if value is None:
        return ()
    return value if isinstance(value, list) else (value,)
