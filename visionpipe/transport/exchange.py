"""One request and its answer on one HTTP/1.1 connection, as bytes in and bytes out; no I/O.

All senders drive this same code, so that framing, early answers, the time that is left and the question
whether a connection may be used again are decided once. The protocol itself is h11's.

What has come with status 200 may be paid for. So a head is read without what is wrong in it, and an answer
that is a whole JSON document although its connection broke behind it, or its head promised another length.

An answer's compression is undone in small pieces and within the answer's time: a few compressed bytes can
stand for gigabytes, and each further coding multiplies that by a thousand. So one coding is taken, and before
each piece the deadline is looked at; how many bytes are taken in all is for the reader to limit.
"""

from __future__ import annotations

import math
import re
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from enum import Enum

import h11
import httpx
import orjson

from visionpipe.errors import UnreadableAnswerError
from visionpipe.transport.errors import TimeUpError

RawHeaders = Sequence[tuple[bytes, bytes]]

MAX_HEAD = 1024 * 1024
"""Bytes an answer's head may have: gateways add their traces, and what is behind them is paid for."""


LARGE_HEAD = 100 * 1024
"""Bytes from which an answer's head is worth a note."""

_GREETING = b"HTTP/"
_HEAD_END = re.compile(rb"\r?\n\r?\n")
_INTERIM = re.compile(rb"HTTP/1\.[01] 1\d\d\b")
_LINE = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+:[^\x00\x0b\x0c]*\Z")
_NO_CODING = re.compile(rb"transfer-encoding:\s*identity\s*", re.IGNORECASE)
_LONGEST_LENGTH = 18
"""Digits; no answer is longer."""

_LENGTH = re.compile(rb"content-length:\s*(.*?)\s*", re.IGNORECASE)


class Step(Enum):
    """What an exchange wants next, where it has no bytes to give."""

    MORE = "more"
    END = "end"


class _Length:
    """Stands for so many bytes that are not here; h11 takes anything that has a length."""

    def __init__(self, count: int) -> None:
        self._count = count

    def __len__(self) -> int:
        return self._count


class Exchange:
    """From the request's head to the answer's last byte.

    ``oddities``: what was not as HTTP wants it and was read all the same, for a note; the connection is then
    used for nothing else.
    """

    def __init__(self) -> None:
        self._h11 = self._begin()
        self._first = b""
        self._given = 0
        self._arrived: bytearray | None = bytearray()  # until the head is read
        self._method = b"GET"
        self.oddities: list[str] = []

    @staticmethod
    def _begin() -> h11.Connection:
        return h11.Connection(our_role=h11.CLIENT, max_incomplete_event_size=MAX_HEAD)

    def request(self, method: bytes, target: bytes, headers: RawHeaders) -> bytes:
        """The request's head. A body's length is announced in it, so its bytes go out as they are."""
        self._method = method
        return self._h11.send(h11.Request(method=method, target=target, headers=list(headers))) or b""

    def data(self, chunk: bytes) -> bytes:
        """A chunk of the body as it goes on the wire."""
        self._given += len(chunk)
        return chunk

    def end(self) -> None:
        """The body is complete; h11 refuses this where its length is not the announced one."""
        if self._given:
            # h11 only counts: once, with a stand-in, costs a tenth of handing it every chunk.
            stand_in = h11.Data(data=_Length(self._given))  # type: ignore[arg-type]  # typed for bytes only
            self._h11.send_with_data_passthrough(stand_in)
        self._h11.send(h11.EndOfMessage())

    def receive(self, data: bytes) -> None:
        """Bytes from the server; empty at the end of its stream."""
        if len(self._first) < len(_GREETING):
            self._first += data[: len(_GREETING)]
        if self._arrived is not None and len(self._arrived) <= MAX_HEAD:
            self._arrived += data
        self._h11.receive_data(data)

    @property
    def started(self) -> bool:
        """Whether a byte of the answer has come."""
        return bool(self._first)

    def head(self) -> tuple[int, RawHeaders] | None:
        """The answer's status and headers; None until they are complete. 1xx answers are passed over."""
        if not (self._first.startswith(_GREETING) or _GREETING.startswith(self._first)):
            raise h11.RemoteProtocolError(f"it begins with {self._first!r}")
        while True:
            try:
                event = self._h11.next_event()
            except h11.RemoteProtocolError:
                if not self._mend_head():
                    raise
                continue
            if event is h11.NEED_DATA:
                return None
            if isinstance(event, h11.Response):
                self._head_is_read()
                return event.status_code, event.headers.raw_items()
            if not isinstance(event, h11.InformationalResponse) or event.status_code == 101:
                raise h11.RemoteProtocolError(f"unexpected {type(event).__name__} before an answer")

    def _head_is_read(self) -> None:
        arrived, self._arrived = self._arrived or b"", None
        if len(arrived) > LARGE_HEAD and (end := _HEAD_END.search(arrived)) and end.end() > LARGE_HEAD:
            self.oddities.append(f"its head has {end.end():,} bytes")

    def _mend_head(self) -> bool:
        """Whether the head that h11 refused can be read without what is wrong in it: lengths that are none or
        contradict each other, and lines that are no headers. A body without a length ends with its
        connection."""
        arrived = bytes(self._arrived or b"")
        while _INTERIM.match(arrived) and (end := _HEAD_END.search(arrived)):
            arrived = arrived[end.end() :]
        end = _HEAD_END.search(arrived)
        if end is None or self.oddities:
            return False
        status, *lines = arrived[: end.start()].splitlines()
        taken = [line for line in lines if _LINE.match(line) and not _NO_CODING.fullmatch(line)]
        kept = [line for line in taken if not _LENGTH.fullmatch(line)]
        lengths = [found[1] for line in lines if (found := _LENGTH.fullmatch(line))]
        if len(set(lengths)) == 1 and lengths[0].isdigit() and len(lengths[0]) <= _LONGEST_LENGTH:
            kept.append(b"Content-Length: " + lengths[0])
        elif lengths:
            said = b" and ".join(lengths)[:60].decode("ascii", "replace")
            self.oddities.append(f"its Content-Length is {said!r}")
        left_out = len(lines) - len(taken)
        if left_out:
            self.oddities.append(f"{left_out} lines of its head are no headers")
        if not self.oddities:
            return False
        self._h11 = self._begin()
        self._h11.send(h11.Request(method=self._method, target=b"/", headers=[(b"Host", b"-")]))
        self._h11.send(h11.EndOfMessage())
        self._h11.receive_data(b"\r\n".join((status, *kept)) + b"\r\n\r\n" + arrived[end.end() :])
        return True

    def body(self) -> bytes | Step:
        """The next bytes of the answer's body."""
        while True:
            event = self._h11.next_event()
            if event is h11.NEED_DATA:
                return Step.MORE
            if isinstance(event, h11.Data):
                if event.data:
                    return bytes(event.data)
            else:
                return Step.END

    @property
    def reusable(self) -> bool:
        """Whether both sides are done, neither wants to close, and nothing came after the answer."""
        done = self._h11.our_state is h11.DONE and self._h11.their_state is h11.DONE
        return done and not self.behind and not self.oddities

    @property
    def behind(self) -> bytes:
        """What came behind the answer's end."""
        return self._h11.trailing_data[0]


def oddities_of(response: httpx.Response) -> tuple[str, ...]:
    """What was odd about the head of an answer that was read all the same."""
    exchange = response.extensions.get("exchange")
    return tuple(exchange.oddities) if isinstance(exchange, Exchange) else ()


def is_whole(response: httpx.Response, parts: Sequence[bytes]) -> bool:
    """Whether what has come of an answer with status 200 is a whole JSON object."""
    return response.status_code == 200 and _is_object(b"".join(parts))


def with_rest(response: httpx.Response, parts: list[bytes]) -> tuple[list[bytes], tuple[str, ...]]:
    """An answer's parts with what came behind its promised length, where only that makes it whole; and what
    was odd about it."""
    exchange = response.extensions.get("exchange")
    behind = exchange.behind if isinstance(exchange, Exchange) else b""
    odd = oddities_of(response)
    if behind and response.status_code == 200 and not is_whole(response, parts):
        longer = [*parts, behind]
        if is_whole(response, longer):
            return longer, (*odd, f"it is {len(behind)} bytes longer than its Content-Length says")
    return parts, odd


def _is_object(body: bytes) -> bool:
    try:
        return isinstance(orjson.loads(body), dict)
    except orjson.JSONDecodeError:
        return False


LONGEST_S = 1_000_000.0
"""Eleven days stand for ever: systems count a wait in milliseconds of 31 bits."""


def wait_limit(
    timeouts: Mapping[str, float],
    name: str,
    clock: Callable[[], float],
    otherwise: Callable[[str], httpx.TimeoutException],
) -> tuple[float, httpx.TimeoutException]:
    """Seconds to wait now, and the error to raise where they pass in vain.

    Args:
        timeouts: seconds by name; ``deadline``, where there is one, is a moment of ``clock``.
        name: which of them limits this wait.
        clock: seconds, monotonic.
        otherwise: makes the error of that limit.

    Raises:
        TimeUpError: the deadline has passed.
    """
    seconds = min(timeouts[name], LONGEST_S)
    left = timeouts.get("deadline", math.inf) - clock()
    if left <= 0:
        raise TimeUpError("the time is up")
    if left < seconds:
        return left, TimeUpError("the time is up")
    return seconds, otherwise(f"nothing happened for {seconds:g} s")


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
