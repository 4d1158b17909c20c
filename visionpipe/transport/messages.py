"""A request as the transports take it, and the answer they give, whichever way it went."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Generic, TypeAlias, TypeVar

import orjson

from visionpipe.transport.exchange import Exchange, RawHeaders

Pieces = TypeVar("Pieces")
Closed = TypeVar("Closed")


@dataclass(slots=True)
class RawRequest:
    """``target`` is a path with its query, ``headers`` begin with the host's, ``chunks`` are the body, read
    once. ``timeouts`` are seconds by name, and may change while an answer is read; a ``deadline`` among them
    is a moment of the transport's clock, and no wait goes beyond it."""

    method: str
    target: bytes
    headers: RawHeaders
    chunks: Iterable[bytes]
    timeouts: dict[str, float]


@dataclass(slots=True)
class RawAnswer(Generic[Pieces, Closed]):
    """An answer whose head is there.

    ``pieces`` are its body as it arrives, still compressed; ``timeouts`` its request's. ``close``, to be
    called once, frees its connection, or closes it where the body is not read to its end. ``exchange`` is
    None behind a proxy, where nobody looks at the bytes.
    """

    status: int
    headers: dict[str, str]
    pieces: Pieces
    timeouts: dict[str, float]
    close: Callable[[], Closed]
    exchange: Exchange | None = None

    @property
    def oddities(self) -> tuple[str, ...]:
        """What was odd about its head, which was read all the same."""
        return tuple(self.exchange.oddities) if self.exchange else ()

    def is_whole(self, parts: Sequence[bytes]) -> bool:
        """Whether what has come of an answer with status 200 is a whole JSON object."""
        return self.status == 200 and _is_object(b"".join(parts))

    def with_rest(self, parts: list[bytes]) -> tuple[list[bytes], tuple[str, ...]]:
        """Its parts with what came behind its promised length, where only that makes it whole; and what was
        odd about it."""
        odd = self.oddities
        behind = self.exchange.behind if self.exchange else b""
        if behind and self.status == 200 and not self.is_whole(parts):
            longer = [*parts, behind]
            if self.is_whole(longer):
                return longer, (*odd, f"it is {len(behind)} bytes longer than its Content-Length says")
        return parts, odd


Answer: TypeAlias = RawAnswer[Iterator[bytes], None]
AsyncAnswer: TypeAlias = RawAnswer[AsyncIterator[bytes], Awaitable[None]]


def _is_object(body: bytes) -> bool:
    try:
        return isinstance(orjson.loads(body), dict)
    except orjson.JSONDecodeError:
        return False
