"""The answer written to the connection, with what a fault makes of it: of its content (a finish_reason,
markup, frames left out or put in), of the connection, or of its pace.

A fault that breaks the connection does so after what came before it has left, so that the client sees exactly
the part it is meant to see.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, NoReturn

import orjson

from visionpipe.sandbox.answers import ChatAnswer
from visionpipe.sandbox.connection import BreakOff, Connection
from visionpipe.sandbox.replies import (
    BytesReply,
    Dialect,
    JsonReply,
    Refusal,
    Reply,
    StreamReply,
    error_body,
    shaped,
)
from visionpipe.sandbox.scenario import (
    BodyFault,
    Fault,
    FinishFault,
    MarkupFault,
    ResetFault,
    ShapeFault,
    SlowWriterFault,
    StreamFault,
)

DONE = b"data: [DONE]\n\n"

_MARKUP = {
    "box": "<|begin_of_box|>{}<|end_of_box|>",
    "think": "<think>I look closely.</think>\n{}",
    "answer": "<think>I look closely.</think><answer>{}</answer>",
}


def alter(answer: ChatAnswer, fault: Fault | None) -> ChatAnswer:
    """The answer as the fault wants it; the same answer where the fault is of another sort."""
    match fault:
        case FinishFault():
            return replace(answer, text=fault.text, finish_reason=fault.reason, tool_calls=())
        case MarkupFault(form="parts"):
            return replace(answer, as_parts=True)
        case MarkupFault():
            return replace(answer, text=_MARKUP[fault.form].format(answer.text))
    return answer


def alter_document(document: Any, fault: Fault | None) -> Any:
    """A whole answer's JSON without its choices or usage, where the fault says so."""
    match fault:
        case BodyFault(form="empty_choices"):
            return {**document, "choices": []}
        case BodyFault(form="no_usage"):
            return {name: value for name, value in document.items() if name != "usage"}
        case BodyFault(form="error_frame"):
            return error_body(Refusal(fault.code), Dialect.GLM)
        case ShapeFault():
            return shaped(document, fault.form)
    return document


def frames(events: Sequence[Mapping[str, Any]], fault: Fault | None) -> list[bytes]:
    """A stream's frames as bytes, each with its blank line, ``[DONE]`` last, as the fault leaves them."""
    documents = list(events)
    half = max(1, len(documents) // 2)
    done, blank = [DONE], b"\n\n"
    match fault:
        case BodyFault(form="empty_choices"):
            documents = [{**document, "choices": []} for document in documents]
        case BodyFault(form="no_usage"):
            documents = [{k: v for k, v in d.items() if k != "usage"} for d in documents]
        case BodyFault(form="error_frame"):
            documents, done = [*documents[:half], error_body(Refusal(fault.code), Dialect.GLM)], []
        case ShapeFault():
            documents = [shaped(document, fault.form) for document in documents]
        case StreamFault(form="no_done"):
            done = []
        case StreamFault(form="no_blank_lines"):
            blank, done = b"\n", [b"data: [DONE]\n"]
        case StreamFault(form="cut" | "stall"):
            documents, done = documents[:half], []
        case StreamFault(form="endless"):
            documents, done = documents[:-1], []
    written = [b"data: " + orjson.dumps(document) + blank for document in documents]
    if isinstance(fault, BodyFault) and fault.form == "invalid_json":
        written[half - 1] = written[half - 1][: len(written[half - 1]) // 2] + blank
    return written + done


JSON_TYPE = "application/json; charset=utf-8"
EVENT_TYPE = "text/event-stream"
HTML = (
    b"<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n<body>\r\n"
    b"<center><h1>502 Bad Gateway</h1></center>\r\n<hr><center>proxy</center>\r\n</body>\r\n</html>\r\n"
)
FILLER = b"x" * 65_536


async def deliver(connection: Connection, reply: Reply, fault: Fault | None) -> None:
    """Write the reply as the fault wants it.

    Raises:
        ClientGone: the client left.
        BreakOff: the fault wants the connection reset now.
    """
    match fault, reply:
        case ResetFault(), _:
            await _break_off(connection, reply, fault)
        case BodyFault(form="html"), _:
            await _send(connection, fault.status, "text/html", HTML)
        case BodyFault(form="oversized"), _:
            await _oversized(connection, fault.bytes, isinstance(reply, StreamReply))
        case _, StreamReply():
            await _stream(connection, frames(reply.events, fault), fault)
        case _, BytesReply():
            await _send(connection, 200, reply.media_type, reply.data, fault)
        case _, JsonReply():
            data = orjson.dumps(alter_document(reply.value, fault) if reply.status == 200 else reply.value)
            if isinstance(fault, BodyFault) and fault.form == "invalid_json":
                data = data[: len(data) * 2 // 3]
            await _send(connection, reply.status, JSON_TYPE, data, fault, reply.headers)


async def _send(
    connection: Connection,
    status: int,
    media_type: str,
    data: bytes,
    fault: Fault | None = None,
    headers: Mapping[str, str] | None = None,
) -> None:
    fields = [("content-type", media_type), ("content-length", str(len(data))), *(headers or {}).items()]
    await connection.start(status, fields)
    if isinstance(fault, SlowWriterFault):
        await _slowly(connection, data, fault.bytes_per_second)
    else:
        await connection.write(data)
    await connection.finish()


async def _stream(connection: Connection, written: Iterable[bytes], fault: Fault | None) -> None:
    await connection.start(200, [("content-type", EVENT_TYPE), ("cache-control", "no-cache")])
    last = b""
    for frame in written:
        last = frame
        if isinstance(fault, SlowWriterFault):
            await _slowly(connection, frame, fault.bytes_per_second)
        else:
            await connection.write(frame)
            await asyncio.sleep(0)  # each frame leaves in a packet of its own
    if isinstance(fault, StreamFault) and fault.form == "stall":
        await connection.pause(None)
    while isinstance(fault, StreamFault) and fault.form == "endless":
        await connection.pause(fault.every)
        await connection.write(last)
    await connection.finish()


async def _slowly(connection: Connection, data: bytes, bytes_per_second: float) -> None:
    step = max(1, int(bytes_per_second / 20))
    for start in range(0, len(data), step):
        piece = data[start : start + step]
        await connection.write(piece)
        await connection.pause(len(piece) / bytes_per_second)


async def _break_off(connection: Connection, reply: Reply, fault: ResetFault) -> NoReturn:
    """Write nothing, half the body, or a stream up to the middle of a frame; then break off."""
    if fault.when in ("body", "frame"):
        if isinstance(reply, StreamReply):
            written = frames(reply.events, None)
            half = len(written) // 2
            await connection.start(200, [("content-type", EVENT_TYPE)])
            for frame in written[:half]:
                await connection.write(frame)
            if fault.when == "frame":
                await connection.write(written[half][: len(written[half]) // 2])
        else:
            data = reply.data if isinstance(reply, BytesReply) else orjson.dumps(reply.value)
            await connection.start(200, [("content-type", JSON_TYPE), ("content-length", str(len(data)))])
            await connection.write(data[: len(data) // 2])
    raise BreakOff


async def _oversized(connection: Connection, size: int, stream: bool) -> None:
    """An answer of ``size`` bytes and more, made while it is sent: nobody holds it whole but the client."""
    head, tail = b'{"choices":[{"index":0,"message":{"role":"assistant","content":"', b'"}}]}'
    if stream:
        head, tail = b'data: {"choices":[{"index":0,"delta":{"content":"', b'"}}]}\n\ndata: [DONE]\n\n'
    await connection.start(200, [("content-type", EVENT_TYPE if stream else JSON_TYPE)])
    await connection.write(head)
    sent = 0
    while sent < size:
        await connection.write(FILLER[: size - sent])
        sent += len(FILLER)
        await connection.pause(0)
    await connection.write(tail)
    await connection.finish()
