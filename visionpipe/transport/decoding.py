"""An answer's bytes as they were before compression, in small pieces and within the answer's time.

A few compressed bytes can stand for gigabytes, and each further coding multiplies that by a thousand. So one
coding is taken, it is undone a piece at a time, and before each piece the deadline is looked at; how many
bytes are taken in all is for the reader of the pieces to limit.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping

import httpx

from visionpipe.errors import UnreadableAnswerError
from visionpipe.transport.deadlines import wait_limit

ACCEPTED = "gzip"
"""What requests say they take. One ``deflate`` is read as well, as some servers send it unasked."""

PIECE_BYTES = 64 * 1024
"""Most bytes that one piece has."""

_NAMES = {"gzip": "gzip", "x-gzip": "gzip", "deflate": "deflate"}
_OTHER = frozenset(("br", "compress", "x-compress", "dcb", "dcz", "zstd"))


class Decoder:
    """Undoes the one coding of an answer.

    Args:
        coding: the answer's Content-Encoding. Words that name no compression (some servers give a character
            set there) are passed over.
        host: for messages.
        timeouts: seconds by name, with the ``deadline`` of ``clock``.
        clock: seconds, monotonic.

    Raises:
        UnreadableAnswerError: more than one coding, or one that was not asked for (code "content_coding").
    """

    def __init__(
        self, coding: str, host: str, timeouts: Mapping[str, float], clock: Callable[[], float]
    ) -> None:
        found: list[str] = []
        for word in coding.lower().split(","):
            name = word.strip()
            if name in _NAMES or name in _OTHER:
                found.append(name)
        if len(found) > 1 or not _OTHER.isdisjoint(found):
            raise UnreadableAnswerError(
                f"the answer is compressed as {', '.join(found)[:100]}, and one {ACCEPTED} was asked for",
                cure="Look for a proxy or gateway on the way that compresses answers, and turn that off.",
                subject=host,
                code="content_coding",
            )
        self._kind = _NAMES[found[0]] if found else ""
        self._timeouts = timeouts
        self._clock = clock
        self._zlib = self._begin(raw=False) if self._kind else None
        self._fresh = True
        self._head = b""

    def feed(self, data: bytes) -> Iterable[bytes]:
        """What ``data`` stands for, in pieces of at most ``PIECE_BYTES`` where it is compressed.

        Raises:
            TimeUpError: the deadline passed.
            httpx.DecodingError: it is not what the answer's head says.
        """
        return (data,) if self._zlib is None else self._undone(data)

    def _undone(self, data: bytes) -> Iterator[bytes]:
        if self._kind == "deflate" and self._fresh:
            # A header has two bytes, and by one alone nobody can tell whether it is there.
            data, self._head = self._head + data, b""
            if len(data) < 2:
                self._head = data
                return
        full = False
        while data or full:
            wait_limit(self._timeouts, "read", self._clock, httpx.ReadTimeout)
            piece, data = self._step(data)
            full = len(piece) == PIECE_BYTES  # more of what was read may wait inside
            if piece:
                yield piece

    def _step(self, data: bytes) -> tuple[bytes, bytes]:
        """The next piece, and what is left of ``data``."""
        undo = self._zlib or self._begin(raw=False)
        if undo.eof:
            if self._kind != "gzip" or not data.startswith(b"\x1f"):
                return b"", b""  # padding behind the end
            undo = self._zlib = self._begin(raw=False)  # the next member of the file
        try:
            piece = undo.decompress(data, PIECE_BYTES)
        except zlib.error as error:
            if self._kind == "deflate" and self._fresh:
                # Some servers send it without the header that the name promises.
                self._fresh = False
                self._zlib = self._begin(raw=True)
                return b"", data
            raise httpx.DecodingError(str(error)) from error
        self._fresh = False
        return piece, undo.unused_data if undo.eof else undo.unconsumed_tail

    def _begin(self, *, raw: bool) -> zlib._Decompress:
        if self._kind == "gzip":
            return zlib.decompressobj(16 + zlib.MAX_WBITS)
        return zlib.decompressobj(-zlib.MAX_WBITS if raw else zlib.MAX_WBITS)
