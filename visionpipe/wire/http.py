"""HTTP requests and responses as plain values, so that nothing above the transport knows its library."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

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
    """A request's body as a list of pieces; never joined into one string."""

    pieces: tuple[Piece, ...]
    media_type: str = "application/json"

    @property
    def size(self) -> int:
        """Content-Length in bytes."""
        return sum(len(piece) if isinstance(piece, bytes) else piece.size for piece in self.pieces)


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
    """``headers`` have lower-case names. ``body`` is the whole answer."""

    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)
