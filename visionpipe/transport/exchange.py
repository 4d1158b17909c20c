"""One request and its answer on one HTTP/1.1 connection, as bytes in and bytes out; no I/O.

Both senders drive this same code, so that framing, early answers and the question whether a
connection may be used again are decided once. The protocol itself is h11's.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum

import h11

RawHeaders = Sequence[tuple[bytes, bytes]]

MAX_HEAD = 1024 * 1024
"""Bytes an answer's head may have: gateways add their traces, and what is behind them is paid for."""


_GREETING = b"HTTP/"


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
    """From the request's head to the answer's last byte."""

    def __init__(self) -> None:
        self._h11 = h11.Connection(our_role=h11.CLIENT, max_incomplete_event_size=MAX_HEAD)
        self._first = b""
        self._given = 0

    def request(self, method: bytes, target: bytes, headers: RawHeaders) -> bytes:
        """The request's head. A body's length is announced in it, so its bytes go out as they are."""
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
            event = self._h11.next_event()
            if event is h11.NEED_DATA:
                return None
            if isinstance(event, h11.Response):
                return event.status_code, event.headers.raw_items()
            if not isinstance(event, h11.InformationalResponse) or event.status_code == 101:
                raise h11.RemoteProtocolError(f"unexpected {type(event).__name__} before an answer")

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
        return done and not self._h11.trailing_data[0]
