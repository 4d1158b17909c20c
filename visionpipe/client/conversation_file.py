"""A conversation as JSON and back.

What was sent from memory is in the file as base64 (all but the largest images); what was too large
for that and streamed from disk is kept as a reference (path, size and time of change, which are checked when
it is sent again), unless ``embed`` puts it into the file as well.
"""

from __future__ import annotations

import json
import os
from base64 import b64decode, b64encode
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import orjson

from visionpipe.client.options import CallOptions
from visionpipe.errors import InputError, OutputError, UnsupportedError
from visionpipe.files import found_file, read_content, replace_file
from visionpipe.media import (
    Content,
    FileContent,
    Image,
    LinkedFile,
    LinkedImage,
    LinkedVideo,
    MemoryContent,
    Part,
    Text,
)
from visionpipe.registry.estimates import Calibration
from visionpipe.request import Message, ToolCall
from visionpipe.stages.history import Transcript
from visionpipe.values import JSON

VERSION = 1
_LINKS: dict[str, type[LinkedImage | LinkedVideo | LinkedFile]] = {
    "image_link": LinkedImage,
    "video_link": LinkedVideo,
    "file_link": LinkedFile,
}
_IMAGE = (
    "name",
    "format",
    "width",
    "height",
    "orientation",
    "colour",
    "bits",
    "alpha",
    "frames",
    "wide_gamut",
)


def save_conversation(
    path: str | os.PathLike[str], transcript: Transcript, system: str | None, *, embed: bool
) -> None:
    """Write a conversation; the file is whole or as it was before.

    Raises:
        OutputError: it cannot be written.
        UnreadableSourceError: an image to embed is gone, or no longer what was shown.
    """
    target = Path(path)
    data = _written(conversation_json(transcript, system, embed=embed))
    try:
        replace_file(target, data, make_folder=False)
    except OutputError as cause:
        raise OutputError(
            cause.reason, cure=cause.cure, subject=str(target), code=cause.code, scope="item"
        ) from cause


def load_conversation(path: str | os.PathLike[str]) -> tuple[Transcript, str | None]:
    """Read what ``save_conversation`` wrote: the transcript and the system text.

    Raises:
        UnreadableSourceError: the file cannot be read.
        InputError: it holds no conversation.
    """
    data = read_content(found_file(path, str(path)))
    try:
        return read_conversation(_read(data))
    except (KeyError, TypeError, ValueError, AttributeError) as cause:
        raise InputError(
            f"it holds no conversation ({type(cause).__name__}: {cause})",
            cure="Give a file that Conversation.save wrote.",
            subject=str(path),
            code="conversation",
        ) from cause


def begin(load: str | os.PathLike[str] | None, options: CallOptions) -> tuple[Transcript, CallOptions]:
    """A new transcript, or the one in a file, whose system text holds unless the options have their own.

    Raises:
        UnreadableSourceError, InputError: as ``load_conversation``.
    """
    if load is None:
        return Transcript(), options
    transcript, system = load_conversation(load)
    if system is not None and "system" not in options:
        return transcript, {**options, "system": system}
    return transcript, options


def _written(record: JSON) -> bytes:
    try:
        return orjson.dumps(record, option=orjson.OPT_INDENT_2)
    except TypeError:
        # A path that is no UTF-8 has halves of surrogate pairs, which only the standard library's JSON keeps.
        return json.dumps(record, indent=2).encode("ascii")


def _read(data: bytes) -> Any:
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError:
        return json.loads(data)


def conversation_json(transcript: Transcript, system: str | None, *, embed: bool = False) -> dict[str, JSON]:
    """A conversation as one JSON object."""
    return {
        "visionpipe_conversation": VERSION,
        "system": system,
        "calibration": {
            "factor": transcript.calibration.factor,
            "per_medium": transcript.calibration.per_medium,
        },
        "messages": [_message_json(message, embed) for message in transcript.messages],
    }


def read_conversation(record: Mapping[str, Any]) -> tuple[Transcript, str | None]:
    """The inverse of ``conversation_json``; KeyError, TypeError or ValueError on a record of another
    shape."""
    if record["visionpipe_conversation"] != VERSION:
        raise ValueError(f"version {record['visionpipe_conversation']!r}, and {VERSION} is known")
    messages = tuple(_message(entry) for entry in record["messages"])
    learnt = record["calibration"]
    calibration = Calibration(float(learnt["factor"]), int(learnt["per_medium"]))
    return Transcript(messages, calibration), record["system"]


def _message_json(message: Message, embed: bool) -> dict[str, JSON]:
    said: dict[str, JSON] = {
        "role": message.role,
        "parts": [_part_json(part, embed) for part in message.parts],
    }
    if message.tool_calls:
        said["tool_calls"] = [
            {"id": call.id, "name": call.name, "arguments": call.arguments} for call in message.tool_calls
        ]
    if message.tool_call_id is not None:
        said["tool_call_id"] = message.tool_call_id
    return said


def _message(entry: Mapping[str, Any]) -> Message:
    role = entry["role"]
    if role not in ("user", "assistant", "tool"):
        raise ValueError(f"{role!r} is no role of a conversation")
    parts = tuple(_part(part) for part in entry["parts"])
    calls = (ToolCall(call["id"], call["name"], call["arguments"]) for call in entry.get("tool_calls", ()))
    return Message(role, parts, tuple(calls), entry.get("tool_call_id"))


def _part_json(part: Part, embed: bool) -> dict[str, JSON]:
    match part:
        case Text():
            return {"type": "text", "text": part.text}
        case Image():
            return {
                "type": "image",
                **{name: getattr(part, name) for name in _IMAGE},
                **_content_json(part.content, embed),
            }
    for kind, link in _LINKS.items():
        if isinstance(part, link):
            return {"type": kind, **{field.name: getattr(part, field.name) for field in fields(link)}}
    raise UnsupportedError(
        "a clip's bytes are not kept in a saved conversation",
        cure="Give the clip as a link.",
        subject=part.name,
    )


def _part(entry: Mapping[str, Any]) -> Part:
    match entry["type"]:
        case "text":
            return Text(entry["text"])
        case "image":
            # What earlier files did not say has its default.
            return Image(content=_content(entry), **{name: entry[name] for name in _IMAGE if name in entry})
    link = _LINKS[entry["type"]]
    return link(**{field.name: entry[field.name] for field in fields(link)})


def _content_json(content: Content, embed: bool) -> dict[str, JSON]:
    if isinstance(content, MemoryContent):
        return {"base64": b64encode(content.data).decode("ascii")}
    if not embed:
        path = str(Path(content.path).absolute())
        return {"path": path, "size": content.size, "modified_ns": content.modified_ns}
    return {"base64": b64encode(read_content(content)).decode("ascii")}


def _content(entry: Mapping[str, Any]) -> Content:
    if "base64" in entry:
        return MemoryContent(b64decode(entry["base64"], validate=True))
    return FileContent(entry["path"], entry["size"], entry["modified_ns"])
