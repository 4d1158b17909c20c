"""HTTP requests and responses as plain values, and JSON bodies in pieces with media spliced in.

Joining the encoded pieces gives exactly the JSON document that the value describes; base64 text
stands in it as its own piece and is produced only while it is sent.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

import orjson

from visionpipe.errors import ParameterError
from visionpipe.media import Content


@dataclass(frozen=True, slots=True)
class Base64Piece:
    """A stretch of a body: ``content``, encoded as base64 while it is sent."""

    content: Content

    @property
    def size(self) -> int:
        """Bytes on the wire."""
        return (self.content.size + 2) // 3 * 4


@dataclass(frozen=True, slots=True)
class FilePiece:
    """A stretch of a body: ``content`` as it is (an upload)."""

    content: Content

    @property
    def size(self) -> int:
        return self.content.size


Piece: TypeAlias = bytes | Base64Piece | FilePiece


@dataclass(frozen=True, slots=True)
class Body:
    """A request's body as a list of pieces; never joined into one string. ``made_of`` is the JSON value that
    they encode, with :class:`Base64Text` for media, None where they are something else."""

    pieces: tuple[Piece, ...]
    media_type: str = "application/json"
    made_of: Any = field(default=None, compare=False, repr=False)

    @property
    def size(self) -> int:
        """Content-Length in bytes."""
        size = 0
        for piece in self.pieces:
            size += len(piece) if isinstance(piece, bytes) else piece.size
        return size


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds. ``first_byte`` is from the request's last byte to the answer's first; ``idle`` between two
    pieces of an answer; ``first_token`` from a streamed answer's head to its first piece, as a server may
    send the head before it begins to think (behind a proxy, ``idle`` holds there too); ``total`` from
    connecting to the answer's last byte, so that an answer which drips or never ends comes to an end."""

    connect: float = 10.0
    write: float = 60.0
    first_byte: float = 300.0
    idle: float = 60.0
    first_token: float = 300.0
    total: float = 3600.0


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """``url`` is a path below the endpoint's base URL (``/chat/completions``), or a whole URL on the same
    host. The key is not in here: the transport adds it."""

    method: Literal["GET", "POST", "DELETE"]
    url: str
    body: Body | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    timeouts: Timeouts = Timeouts()


@dataclass(frozen=True, slots=True)
class HttpResponse:
    """``headers`` have lower-case names. ``body`` is the whole answer. ``oddities``: what was not as its head
    says, or as HTTP wants it, and was read all the same."""

    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)
    oddities: tuple[str, ...] = ()


_MARK = b"\0"
"""Where base64 goes. JSON escapes this byte in any text, so it stands nowhere else."""


@dataclass(frozen=True, slots=True)
class Base64Text:
    """A JSON string that is ``prefix`` (plain ASCII without quotes) followed by ``content`` in base64."""

    content: Content
    prefix: str = ""


def encode_body(value: Any) -> Body:
    """Encode a JSON value that may hold :class:`Base64Text` leaves.

    Raises:
        ParameterError: a text in it has half a surrogate pair (a file's name that is no UTF-8, say).
    """
    contents: list[Content] = []

    def encode(leaf: Any) -> Any:
        if isinstance(leaf, Base64Text):
            contents.append(leaf.content)
            return orjson.Fragment(b'"' + leaf.prefix.encode("ascii") + _MARK + b'"')
        if isinstance(leaf, Mapping):
            return dict(leaf)
        raise TypeError(f"{type(leaf).__name__} is no JSON value")

    try:
        whole = orjson.dumps(value, default=encode, option=orjson.OPT_PASSTHROUGH_DATACLASS)
    except orjson.JSONEncodeError as error:
        if "surrogates" not in str(error):
            raise
        raise ParameterError(
            "a text of the request is no whole Unicode text: it holds half a surrogate pair",
            cure='Clean it with text.encode("utf-8", "backslashreplace").decode().',
            subject="prompt",
            code="surrogates",
        ) from error
    plain = whole.split(_MARK)
    pieces: list[Piece] = [plain[0]]
    for content, text in zip(contents, plain[1:], strict=True):
        pieces += (Base64Piece(content), text)
    return Body(tuple(pieces), made_of=value)
