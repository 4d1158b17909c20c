"""The older application API, which the documentation marks as deprecated: variables, uploads, and questions.

Shapes: docs.bigmodel.cn, agent API (old) OpenAPI, read 2026-04-23. Answers come in an envelope
``{"data", "code": 200, "message"}``, errors are flat, and a question is streamed unless told otherwise.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any

from visionpipe.values import JSON, Usage
from visionpipe.wire.answers import needed, number_of, table_of, text_of, unreadable
from visionpipe.wire.http import Body, encode_body

UPLOAD = "/v2/application/file_upload"
FILE_STATE = "/v2/application/file_stat"
INVOKE = "/v3/application/invoke"
GOOD = 200


class FileKind(IntEnum):
    """What an uploaded file is."""

    EXCEL = 1
    DOCUMENT = 2
    AUDIO = 3
    IMAGE = 4
    VIDEO = 5


class FileReadiness(IntEnum):
    """How far the service is with an uploaded file."""

    BUSY = 0
    READY = 1
    MISSING = 11009


@dataclass(frozen=True, slots=True)
class Variable:
    """One input of an application. ``kind`` is input, selection_list, upload_image, upload_file, upload_video
    or upload_audio; ``name`` is the key to give its value under."""

    id: str
    name: str
    kind: str
    hint: str = ""
    allowed: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Value:
    """What to put into an input: a text, or the ids of uploaded files joined by commas."""

    value: str
    key: str | None = None
    kind: str = "input"


@dataclass(frozen=True, slots=True)
class UploadedFile:
    """A file that an application may be shown; ``problem`` says why it was not taken."""

    name: str
    id: str | None = None
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class ApplicationReply:
    """What an application answered.

    Attributes:
        text: the answer.
        conversation_id: to go on with the same conversation.
        usage: of all its nodes together; None where the service does not say.
        raw: the answer's JSON (of a stream: its last event).
    """

    text: str
    conversation_id: str | None = None
    request_id: str | None = None
    finish_reason: str | None = None
    usage: Usage | None = None
    raw: Mapping[str, JSON] = field(default_factory=dict, repr=False)

    def __str__(self) -> str:
        return self.text


def encode_application(
    app_id: str, values: Sequence[Value], *, conversation_id: str | None, stream: bool
) -> Body:
    """One question to an application."""
    content = [
        {"type": value.kind, "value": value.value, **({"key": value.key} if value.key else {})}
        for value in values
    ]
    fields: dict[str, Any] = {
        "app_id": app_id,
        "stream": stream,
        "send_log_event": False,
        "messages": [{"role": "user", "content": content}],
    }
    if conversation_id is not None:
        fields["conversation_id"] = conversation_id
    return encode_body(fields)


def encode_file_state(app_id: str, file_ids: Sequence[str]) -> Body:
    """The question how far uploaded files are."""
    return encode_body({"app_id": app_id, "file_ids": list(file_ids)})


def error_of(answer: Mapping[str, Any]) -> tuple[str, str] | None:
    """Code and message where an answer with status 200 is an error after all; None where it is none."""
    code = number_of(answer, "code")
    if code is not None and code != GOOD:
        return str(code), text_of(answer, "message") or ""
    choice = _choice(answer)
    problem = table_of(choice, "error_msg") or table_of(answer, "error_msg")
    if choice.get("finish_reason") == "error" or text_of(problem, "code"):
        return text_of(problem, "code") or "", text_of(problem, "msg") or ""
    return None


def variables_of(answer: Mapping[str, Any]) -> tuple[Variable, ...]:
    """An application's inputs. Raises UnreadableAnswerError."""
    entries = _data(answer, "an application's variables")
    return tuple(
        Variable(
            id=text_of(entry, "id") or "",
            name=text_of(entry, "name") or "",
            kind=(text_of(entry, "type") or "input").lower(),
            hint=text_of(entry, "tips") or "",
            allowed=tuple(map(str, entry.get("allowed_values") or ())),
        )
        for entry in entries
    )


def conversation_of(answer: Mapping[str, Any]) -> str:
    """The id of a new conversation. Raises UnreadableAnswerError."""
    return needed(table_of(answer, "data"), "conversation_id", "a conversation")


def uploads_of(answer: Mapping[str, Any]) -> tuple[UploadedFile, ...]:
    """What became of uploaded files; both spellings that the documentation has had are read."""
    data = table_of(answer, "data")
    taken = _entries(data.get("successInfo") or data.get("success_info"))
    failed = _entries(data.get("failInfo") or data.get("fail_info"))

    def named(entry: Mapping[str, Any], *names: str) -> str:
        return next((found for name in names if (found := text_of(entry, name))), "")

    return (
        *(
            UploadedFile(named(entry, "fileName", "file_name"), named(entry, "fileId", "file_id") or None)
            for entry in taken
        ),
        *(
            UploadedFile(
                named(entry, "fileName", "file_name"),
                problem=named(entry, "failReason", "fail_reason") or "no reason given",
            )
            for entry in failed
        ),
    )


def file_states_of(answer: Mapping[str, Any]) -> dict[str, FileReadiness]:
    """How far each file is; an unknown number counts as busy. Raises UnreadableAnswerError."""
    known = {int(state): state for state in FileReadiness}
    states = {}
    for entry in _data(answer, "uploaded files"):
        identity = text_of(entry, "file_id") or text_of(entry, "fileId")
        if identity is not None:
            states[identity] = known.get(number_of(entry, "code") or 0, FileReadiness.BUSY)
    return states


def reply_of(answer: Mapping[str, Any]) -> ApplicationReply:
    """An answer, or a stream's event, whose text is that event's alone."""
    choice = _choice(answer)
    content = table_of(table_of(choice, "messages") or table_of(choice, "delta"), "content")
    said = content.get("msg")
    return ApplicationReply(
        text=said if isinstance(said, str) else "",
        conversation_id=text_of(answer, "conversation_id"),
        request_id=text_of(answer, "request_id"),
        finish_reason=text_of(choice, "finish_reason"),
        usage=_usage(answer.get("usage")),
        raw=answer,
    )


def _usage(nodes: Any) -> Usage | None:
    entries = _entries(nodes)
    if not entries:
        return None
    return Usage(
        sum(number_of(node, "inputTokenCount") or 0 for node in entries),
        sum(number_of(node, "outputTokenCount") or 0 for node in entries),
    )


def _choice(answer: Mapping[str, Any]) -> dict[str, Any]:
    choices = _entries(answer.get("choices"))
    return dict(choices[0]) if choices else {}


def _data(answer: Mapping[str, Any], what: str) -> Sequence[Mapping[str, Any]]:
    data = answer.get("data")
    if not isinstance(data, list):
        raise unreadable(what, "it has no list")
    return _entries(data)


def _entries(value: Any) -> list[Mapping[str, Any]]:
    return [entry for entry in value if isinstance(entry, dict)] if isinstance(value, list) else []
