"""JSON as a list of byte pieces, with media spliced in between instead of copied through strings.

The rule: joining the encoded pieces gives exactly the JSON document that the value describes; base64 text
stands in it as its own piece and is produced only while it is sent.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from visionpipe.media import Content
from visionpipe.wire.http import Base64Piece, Body, Piece


@dataclass(frozen=True, slots=True)
class Base64Text:
    """A JSON string that is ``prefix`` (plain ASCII without quotes) followed by ``content`` in base64."""

    content: Content
    prefix: str = ""


def encode_body(value: Any) -> Body:
    """Encode a JSON value that may hold :class:`Base64Text` leaves."""
    pieces: list[Piece] = []
    plain = bytearray()
    for piece in _walk(value):
        if isinstance(piece, bytes):
            plain += piece
        else:
            pieces.append(bytes(plain))
            pieces.append(piece)
            plain.clear()
    pieces.append(bytes(plain))
    return Body(tuple(pieces))


def _walk(value: Any) -> Iterator[bytes | Base64Piece]:
    if isinstance(value, Base64Text):
        yield b'"' + value.prefix.encode("ascii")
        yield Base64Piece(value.content)
        yield b'"'
    elif isinstance(value, Mapping):
        opening = b"{"
        for key, item in value.items():
            yield opening + orjson.dumps(key) + b":"
            yield from _walk(item)
            opening = b","
        yield b"}" if value else b"{}"
    elif isinstance(value, list | tuple):
        opening = b"["
        for item in value:
            yield opening
            yield from _walk(item)
            opening = b","
        yield b"]" if value else b"[]"
    else:
        yield orjson.dumps(value)
