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
from functools import partial

import h11

from visionpipe.errors import UnreadableAnswerError
from visionpipe.transport.errors import TimeUpError
from visionpipe.transport.httpx_library import httpx

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

_TOKEN = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_VALUE = rb"[\x21-\x7e](?:[\t\x20-\x7e]*[\x21-\x7e])?"
_PLAIN_REQUEST = re.compile(
    rb"(?i:host): %b\r\n(?:(?!(?i:host|transfer-encoding):)%b: %b\r\n)*" % (_VALUE, _TOKEN, _VALUE)
)
_PLAIN_TARGET = re.compile(rb"[\x21-\x7e]+")
_PLAIN_ANSWER = re.compile(
    rb"HTTP/1\.1 ((?!204|304)[2-5]\d\d)(?: [\t\x20-\x7e]*)?\r\n((?:%b:[\t\x20-\x7e]*\r\n)*)\r\n" % _TOKEN
)
_LENGTH = re.compile(rb"content-length:\s*(.*?)\s*", re.IGNORECASE)


class Step(Enum):
    """What an exchange wants next, where it has no bytes to give."""

    MORE = "more"
    END = "end"


class Exchange:
    """From the request's head to the answer's last byte.

    A plain request and a plain answer (whole lines, one Content-Length, nothing that wants to close) are most
    of all there are, and are written and read here, in far fewer calls; everything else is h11's.

    ``given``: bytes of the request's body that were sent, for the sender to count. ``oddities``: what was not
    as HTTP wants it and was read all the same, for a note; the connection is then used for nothing else.
    """

    def __init__(self) -> None:
        self._h11: h11.Connection | None = None
        """Reads the answer, where that is not plain."""
        self._first = b""
        self.given = self.announced = 0
        self._arrived: bytearray | None = bytearray()  # until the head is read
        self._method = b"GET"
        self._keeps_open = True
        self._ended = False
        self._closed = False
        self._body = bytearray()
        self._length = self._left = 0
        self.oddities: list[str] = []

    def request(self, method: bytes, target: bytes, headers: RawHeaders) -> bytes:
        """The request's head. A body's length is announced in it, so its bytes go out as they are.

        Raises:
            h11.LocalProtocolError: a header has what headers cannot have.
        """
        self._method = method
        lengths: list[bytes] = []
        for name, value in headers:
            kind = name.lower()
            if kind == b"content-length":
                lengths.append(value)
            elif kind == b"connection":
                self._keeps_open = b"close" not in value.lower()
        counted = lengths[0].isdigit() if len(lengths) == 1 else not lengths
        self.announced = int(lengths[0]) if lengths and counted else 0
        lines = b"".join(map(b"%b: %b\r\n".__mod__, headers))
        # As many lines as headers: none holds the end of a line.
        plain = counted and lines.count(b"\n") == len(headers) and _PLAIN_REQUEST.fullmatch(lines)
        if plain and _PLAIN_TARGET.fullmatch(target):
            return b"%b %b HTTP/1.1\r\n%b\r\n" % (method, target, lines)
        request = h11.Request(method=method, target=target, headers=list(headers))
        return h11.Connection(our_role=h11.CLIENT).send(request) or b""

    def end(self) -> None:
        """The body is complete.

        Raises:
            h11.LocalProtocolError: its length is not the announced one.
        """
        if self.given != self.announced:
            raise h11.LocalProtocolError(f"{self.given} bytes of a body of {self.announced}")
        self._ended = True

    def receive(self, data: bytes) -> None:
        """Bytes from the server; empty at the end of its stream."""
        if len(self._first) < len(_GREETING):
            self._first += data[: len(_GREETING)]
        self._closed = self._closed or not data
        if self._arrived is not None and len(self._arrived) <= MAX_HEAD:
            self._arrived += data
        elif self._h11 is None:
            self._body += data
        if self._h11 is not None:
            self._h11.receive_data(data)

    @property
    def started(self) -> bool:
        """Whether a byte of the answer has come."""
        return bool(self._first)

    def head(self) -> tuple[int, dict[str, str]] | None:
        """The answer's status and headers, by lower-case names; None until they are complete. 1xx answers are
        passed over."""
        if not (self._first.startswith(_GREETING) or _GREETING.startswith(self._first)):
            raise h11.RemoteProtocolError(f"it begins with {self._first!r}")
        if self._h11 is None:
            arrived = self._arrived or bytearray()
            if not self._closed and len(arrived) <= LARGE_HEAD and not _HEAD_END.search(arrived):
                return None
            plain = self._plain_head(arrived)
            if plain is not None:
                return plain
            self._read_by_h11(bytes(arrived))
        while True:
            assert self._h11 is not None, "what is not plain is read by it"
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
                return event.status_code, read_headers(event.headers.raw_items())
            if not isinstance(event, h11.InformationalResponse) or event.status_code == 101:
                raise h11.RemoteProtocolError(f"unexpected {type(event).__name__} before an answer")

    def _plain_head(self, arrived: bytearray) -> tuple[int, dict[str, str]] | None:
        """Status and headers of an answer that holds nothing but what any does; else None."""
        if len(arrived) > LARGE_HEAD or self._closed or self._method == b"HEAD":
            return None
        found = _PLAIN_ANSWER.match(arrived)
        if found is None:
            return None
        headers: list[tuple[bytes, bytes]] = []
        length: int | None = None
        for line in bytes(found[2]).split(b"\r\n")[:-1]:
            name, _, value = line.partition(b":")
            value = value.strip(b" \t")
            headers.append((name, value))
            kind = name.lower()
            if kind == b"content-length":
                if length is not None or not value.isdigit() or len(value) > _LONGEST_LENGTH:
                    return None
                length = int(value)
            elif kind == b"transfer-encoding" or (kind == b"connection" and value.lower() != b"keep-alive"):
                return None
        if length is None:
            return None
        self._length = self._left = length
        self._arrived, self._body = None, arrived[found.end() :]
        return int(found[1]), read_headers(headers)

    def _read_by_h11(self, arrived: bytes) -> None:
        """Has h11 read the answer, from its beginning; what it answers is made up, and is not sent."""
        self._h11 = h11.Connection(our_role=h11.CLIENT, max_incomplete_event_size=MAX_HEAD)
        self._h11.send(h11.Request(method=self._method, target=b"/", headers=[(b"Host", b"-")]))
        self._h11.send(h11.EndOfMessage())
        if arrived:
            self._h11.receive_data(arrived)
        if self._closed:
            self._h11.receive_data(b"")

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
        self._read_by_h11(b"\r\n".join((status, *kept)) + b"\r\n\r\n" + arrived[end.end() :])
        return True

    def body(self) -> bytes | Step:
        """The next bytes of the answer's body."""
        if self._h11 is None:
            if not self._left:
                return Step.END
            if not self._body:
                if self._closed:
                    raise h11.RemoteProtocolError(
                        "peer closed connection without sending complete message body "
                        f"(received {self._length - self._left} bytes, expected {self._length})"
                    )
                return Step.MORE
            piece = bytes(self._body[: self._left])
            del self._body[: self._left]
            self._left -= len(piece)
            return piece
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
        if not (self._ended and self._keeps_open) or self.behind or self.oddities:
            return False
        if self._h11 is None:
            return self._arrived is None and not self._left and not self._closed
        return self._h11.our_state is h11.DONE and self._h11.their_state is h11.DONE

    @property
    def behind(self) -> bytes:
        """What came behind the answer's end."""
        if self._h11 is not None:
            return self._h11.trailing_data[0]
        return b"" if self._left else bytes(self._body)


def read_headers(raw: RawHeaders, coding: str = "utf-8") -> dict[str, str]:
    """Headers by their names in lower case; the values of one name that comes again are joined with a comma.
    Where one is not UTF-8, all are read as ISO 8859-1."""
    headers: dict[str, str] = {}
    try:
        for name, value in raw:
            key, text = name.lower().decode(coding), value.decode(coding)
            headers[key] = f"{headers[key]}, {text}" if key in headers else text
    except UnicodeDecodeError:
        return read_headers(raw, "iso-8859-1")
    return headers


LONGEST_S = 1_000_000.0
"""Eleven days stand for ever: systems count a wait in milliseconds of 31 bits."""


def wait_limit(
    timeouts: Mapping[str, float],
    name: str,
    clock: Callable[[], float],
    otherwise: Callable[[str], httpx.TimeoutException],
) -> tuple[float, Callable[[], httpx.TimeoutException]]:
    """Seconds to wait now, and what makes the error to raise where they pass in vain.

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
        return left, partial(TimeUpError, "the time is up")
    return seconds, lambda: otherwise(f"nothing happened for {seconds:g} s")


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
