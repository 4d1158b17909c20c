"""A body's pieces back to a JSON value, without encoding large media only to decode them again.

The result is the value of the joined body, for every body that joins to valid JSON. A large base64
piece is replaced by its first characters and a random mark, and what the mark stands for is put back
wherever a string is looked at.
"""

from __future__ import annotations

import json
import secrets
from dataclasses import dataclass
from typing import Any

import pybase64

from visionpipe.files import read_content
from visionpipe.wire.http import Base64Piece, Body, FilePiece

SMALL = 1024
KEPT_BYTES = 6
"""The first 8 characters stay as they are: an escape that began before the piece may need up to five."""
KEPT = KEPT_BYTES // 3 * 4


@dataclass(frozen=True, slots=True)
class SplicedJson:
    """A JSON value whose strings may hold marks; read them with :meth:`text` and :meth:`base64`."""

    value: Any
    _aside: dict[str, bytes]

    def text(self, string: str) -> str:
        """``string`` as the joined body has it."""
        for mark, data in self._aside.items():
            if mark in string:
                string = string.replace(mark, _encoded(data).decode("ascii")[KEPT:])
        return string

    def base64(self, string: str) -> bytes:
        """What ``string`` decodes to as bare base64 or as a data URI.

        Raises:
            ValueError: it is neither.
        """
        head, comma, rest = string.partition(",") if string.startswith("data:") else ("", "", string)
        if comma and not head.endswith(";base64"):
            raise ValueError("a data URI without base64")
        data = self._aside.get(rest[KEPT:])
        if data is not None and rest[:KEPT].encode() == _encoded(data[:KEPT_BYTES]):
            return data
        return pybase64.b64decode(self.text(rest), validate=True)


def read_json(body: Body) -> SplicedJson:
    """Read a JSON body.

    Raises:
        ValueError: the joined pieces are no JSON.
        UnreadableSourceError: a piece's file is gone or has changed.
    """
    joined = bytearray()
    aside: dict[str, bytes] = {}
    for piece in body.pieces:
        if isinstance(piece, bytes):
            joined += piece
        elif isinstance(piece, FilePiece):
            joined += read_content(piece.content)
        else:
            joined += _mark(piece, aside)
    try:
        return SplicedJson(json.loads(joined), aside)
    except ValueError:
        if not aside:
            raise
    # A piece that stands outside a string (digits are base64, too) is only right when written out.
    plain = b"".join(p if isinstance(p, bytes) else _written(p) for p in body.pieces)
    return SplicedJson(json.loads(plain), {})


def _mark(piece: Base64Piece, aside: dict[str, bytes]) -> bytes:
    data = read_content(piece.content)
    if len(data) <= SMALL:
        return _encoded(data)
    mark = f"<{secrets.token_hex(16)}>"
    aside[mark] = data
    return _encoded(data[:KEPT_BYTES]) + mark.encode("ascii")


def _written(piece: Base64Piece | FilePiece) -> bytes:
    data = read_content(piece.content)
    return _encoded(data) if isinstance(piece, Base64Piece) else data


def _encoded(data: bytes) -> bytes:
    return pybase64.b64encode(data)
