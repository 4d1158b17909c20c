"""The lines of batch files: written, divided over files, and read back.

Limits and shapes: docs.bigmodel.cn, batch guide and OpenAPI, read 2026-04-23: at most 50,000 lines and 100 MB
a file (base64 counts; "MB" is read as 1,000,000 bytes), one model a file, unique ids.

The rule: a line's size is known before a byte of it is written, and results are told by their custom_id,
never by their order.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

import orjson

from visionpipe.errors import MediaLimitError
from visionpipe.registry.records import EndpointRecord
from visionpipe.request import Request
from visionpipe.wire.answers import needed, number_of, read_object, table_of, unreadable
from visionpipe.wire.chat import chat_fields
from visionpipe.wire.files import LARGEST
from visionpipe.wire.http import Body
from visionpipe.wire.pieces import encode_body

LINE_URL = "/v4/chat/completions"
MOST_LINES = 50_000
MOST_BYTES = LARGEST["batch"]


def custom_id(*parts: str) -> str:
    """An id of 35 characters that is the same whenever the parts are (the service asks for 6 or more)."""
    text = "\0".join(parts)
    return f"vp-{hashlib.sha256(text.encode('utf-8', 'surrogatepass')).hexdigest()[:32]}"


def encode_line(identity: str, request: Request, endpoint: EndpointRecord) -> Body:
    """One request as a line, its line end included; media are pieces, encoded while they are written."""
    line = {
        "custom_id": identity,
        "method": "POST",
        "url": LINE_URL,
        "body": chat_fields(request, endpoint),
    }
    body = encode_body(line)
    return Body((*body.pieces, b"\n"), "application/jsonl")


@dataclass(frozen=True, slots=True)
class BatchLimits:
    """The most that one file may hold."""

    lines: int = MOST_LINES
    size: int = MOST_BYTES


class Splitter:
    """Divides lines over files: greedily in their order, one open file a model.

    Args:
        limits: of each file.
    """

    def __init__(self, limits: BatchLimits | None = None) -> None:
        self._limits = limits or BatchLimits()
        self._open: dict[str, tuple[int, int, int]] = {}
        self._files = 0

    def place(self, model: str, size: int) -> int:
        """The number of the file that a line goes into, from 0.

        Args:
            model: that the line asks.
            size: of the line in bytes.

        Raises:
            MediaLimitError: the line alone is over the limit.
        """
        if size > self._limits.size:
            raise MediaLimitError(
                f"a request of {size:,} bytes, and a batch file may have {self._limits.size:,}",
                cure="Send fewer or smaller images in one request, or send links.",
                subject="batch file",
                code="bytes",
            )
        number, lines, filled = self._open.get(model, (-1, 0, 0))
        if number < 0 or lines >= self._limits.lines or filled + size > self._limits.size:
            number, lines, filled = self._files, 0, 0
            self._files += 1
        self._open[model] = number, lines + 1, filled + size
        return number


@dataclass(frozen=True, slots=True)
class ResultLine:
    """One line of an output or error file: what the request would have been answered with by itself.

    ``status`` is an HTTP status, ``body`` the JSON of the answer or of the error.
    """

    custom_id: str
    status: int
    body: bytes


def read_line(line: bytes) -> ResultLine:
    """Read one line.

    Raises:
        UnreadableAnswerError: it is no result, or does not say whose.
    """
    what = "a batch's line"
    entry = read_object(line, what)
    identity = needed(entry, "custom_id", what)
    response = table_of(entry, "response")
    body: Any = response.get("body")
    if not isinstance(body, dict):
        error = entry.get("error") or response.get("error")
        if not isinstance(error, dict):
            raise unreadable(f"{what} for {identity}", "it has neither an answer nor an error")
        body = {"error": error}
    status = number_of(response, "status_code") or (400 if "error" in body else 200)
    return ResultLine(identity, status, orjson.dumps(body))
