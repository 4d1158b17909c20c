"""HTTP requests and responses as plain values, JSON bodies in pieces with media spliced in, and what can send
them.

Joining the encoded pieces gives exactly the JSON document that the value describes; base64 text stands in it
as its own piece and is produced only while it is sent: exactly ``Body.size`` bytes or an error, in constant
memory. A file that is no longer as it was probed is refused before the first byte.

A sender raises only the library's own errors (ConnectionFailedError, ReplyTimeoutError,
InterruptedAnswerError for a stream that breaks off, InputError where a body's file changed), answers every
HTTP status as a value, never retries, and never shows the key.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from io import FileIO
from typing import Any, Literal, Protocol, TypeAlias

import orjson
import pybase64

from visionpipe.errors import ParameterError
from visionpipe.files import BufferPool, changed, check_unchanged, is_same, reopened, unreadable
from visionpipe.media import Content, FileContent
from visionpipe.values import JSON


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
    they encode, with ``Base64Text`` for media, None where they are something else."""

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
    host. The key is not in here: the transport adds it. ``server`` is the place of the one to be
    asked, of several."""

    method: Literal["GET", "POST", "DELETE"]
    url: str
    body: Body | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    timeouts: Timeouts = Timeouts()
    server: int = 0


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
    """A JSON string that is ``prefix`` (plain ASCII without quotes) followed by ``content`` in base64;
    ``name`` is what the caller knows it by, and is not sent."""

    content: Content
    prefix: str = ""
    name: str = field(default="", compare=False)


def with_media_as(stand_in: Callable[[Base64Text], JSON], value: Any) -> Any:
    """A JSON value that may hold ``Base64Text`` leaves, with something in the place of each."""
    match value:
        case Base64Text():
            return stand_in(value)
        case Mapping():
            return {name: with_media_as(stand_in, entry) for name, entry in value.items()}
        case list() | tuple():
            return [with_media_as(stand_in, entry) for entry in value]
    return value


def encode_body(value: Any) -> Body:
    """Encode a JSON value that may hold ``Base64Text`` leaves.

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


STEP = 192 * 1024
"""Bytes of source a chunk; a multiple of 3, so that base64 needs no padding in between. Every request whose
socket takes no more holds a chunk: with 64 at once, twice as much takes some 10 MB more, and half as much a
tenth more CPU."""

SMALL = 16 * 1024
"""Pieces under this many bytes travel together."""

_buffers = BufferPool(STEP)


def check_files(body: Body) -> None:
    """Raise UnreadableSourceError (code "changed") where a file is not as it was when it was probed."""
    for piece in body.pieces:
        if not isinstance(piece, bytes) and isinstance(piece.content, FileContent):
            check_unchanged(piece.content)


def chunks_of(body: Body) -> Iterator[bytes]:
    """The body's bytes in order, in chunks of up to 256 KiB; may be called again for a new attempt.

    Raises:
        UnreadableSourceError: a file vanished, or changed (code "changed") while it was read.
    """
    small: list[bytes] = []
    held = 0
    for piece in body.pieces:
        for chunk in _chunks(piece):
            if len(chunk) < SMALL:
                small.append(chunk)
                held += len(chunk)
                if held < SMALL:
                    continue
            if held:
                # On its own: to join it to a large chunk would copy that one.
                yield b"".join(small)
                small, held = [], 0
            if len(chunk) >= SMALL:
                yield chunk
    if held:
        yield b"".join(small)


def _chunks(piece: Piece) -> Iterable[bytes]:
    if isinstance(piece, bytes):
        return (piece,) if len(piece) <= STEP else _steps(piece, False)
    encode = isinstance(piece, Base64Piece)
    if isinstance(piece.content, FileContent):
        return _file(piece.content, encode)
    data = piece.content.data
    if len(data) <= STEP:
        return (pybase64.b64encode(data) if encode else data,)
    return _steps(data, encode)


def _steps(data: bytes, encode: bool) -> Iterator[bytes]:
    view = memoryview(data)
    for start in range(0, len(data), STEP):
        step = view[start : start + STEP]
        yield pybase64.b64encode(step) if encode else bytes(step)


def _file(content: FileContent, encode: bool) -> Iterator[bytes]:
    try:
        with FileIO(reopened(content)) as file:
            left = content.size
            while left:
                buffer = _buffers.take()
                try:
                    count = _fill(buffer if left >= STEP else buffer[:left], file)
                    step = buffer if count == STEP else buffer[:count]
                    chunk = pybase64.b64encode(step) if encode else bytes(step)
                finally:
                    _buffers.give_back(buffer)
                left -= count
                cut = count < STEP and left
                # Before the last chunk leaves: written to in place, the file shows it in its time.
                if cut or (not left and not is_same(content, os.fstat(file.fileno()))):
                    raise changed(content.path)
                yield chunk
    except OSError as error:
        raise unreadable(error, content.path, content.path) from error


def _fill(buffer: memoryview, file: FileIO) -> int:
    """Fills the buffer from the file; returns how many bytes came, fewer only at the file's end."""
    filled = file.readinto(buffer)
    while filled < len(buffer):
        got = file.readinto(buffer[filled:])
        if not got:
            break
        filled += got
    return filled


class ByteStream(Protocol):
    """An answer that is read as it arrives; closing it early closes its connection."""

    @property
    def status(self) -> int: ...
    @property
    def headers(self) -> Mapping[str, str]: ...
    @property
    def oddities(self) -> tuple[str, ...]:
        """What of its head was not as HTTP wants it, and was read all the same."""

    def __iter__(self) -> Iterator[bytes]: ...
    def close(self) -> None: ...


class Sender(Protocol):
    """Sends from any number of threads at once."""

    def send(self, request: HttpRequest) -> HttpResponse: ...
    def open(self, request: HttpRequest) -> ByteStream: ...
    def close(self) -> None: ...


class AsyncByteStream(Protocol):
    """As ByteStream, awaited."""

    @property
    def status(self) -> int: ...
    @property
    def headers(self) -> Mapping[str, str]: ...
    @property
    def oddities(self) -> tuple[str, ...]:
        """See ``ByteStream``."""

    def __aiter__(self) -> AsyncIterator[bytes]: ...
    async def close(self) -> None: ...


class AsyncSender(Protocol):
    """Sends from any number of tasks of one event loop at once."""

    async def send(self, request: HttpRequest) -> HttpResponse: ...
    async def open(self, request: HttpRequest) -> AsyncByteStream: ...
    async def close(self) -> None: ...
