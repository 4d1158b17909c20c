"""A request's body as chunks of bytes, in constant memory.

Exactly ``Body.size`` bytes or an error, never a short body; and a file that is no longer as it
was probed is refused before the first byte goes out.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from io import FileIO

import pybase64

from visionpipe.files import BufferPool, changed, check_unchanged, is_same, reopened, unreadable
from visionpipe.media import FileContent
from visionpipe.wire.http import Base64Piece, Body

STEP = 192 * 1024
"""Bytes of source a chunk; a multiple of 3, so that base64 needs no padding in between. Half as much means
twice as many turns between the threads that send, which costs a tenth of all; twice as much is no faster."""

SMALL = 16 * 1024
"""Pieces under this many bytes travel together."""

_buffers = BufferPool(STEP)


def check_files(body: Body) -> None:
    """Raise UnreadableSourceError (code "changed") where a file is not as it was when it was probed."""
    for piece in body.pieces:
        if not isinstance(piece, bytes) and isinstance(piece.content, FileContent):
            check_unchanged(piece.content)


def iterate(body: Body) -> Iterator[bytes]:
    """The body's bytes in order, in chunks of up to 256 KiB; may be called again for a new attempt.

    Raises:
        UnreadableSourceError: a file vanished, or changed (code "changed") while it was read.
    """
    small: list[bytes] = []
    held = 0
    for chunk in _pieces(body):
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


def _pieces(body: Body) -> Iterator[bytes]:
    for piece in body.pieces:
        if isinstance(piece, bytes):
            data, encode = piece, False
        else:
            encode = isinstance(piece, Base64Piece)
            if isinstance(piece.content, FileContent):
                yield from _file(piece.content, encode)
                continue
            data = piece.content.data
        if len(data) <= STEP:
            yield pybase64.b64encode(data) if encode else data
            continue
        view = memoryview(data)
        for start in range(0, len(data), STEP):
            step = view[start : start + STEP]
            yield pybase64.b64encode(step) if encode else bytes(step)


def _file(content: FileContent, encode: bool) -> Iterator[bytes]:
    try:
        with os.fdopen(reopened(content), "rb", buffering=0) as file:
            left = content.size
            while left:
                chunk, count = _next_chunk(file, min(STEP, left), encode)
                left -= count
                cut = count < STEP and left
                # Before the last chunk leaves: written to in place, the file shows it in its time.
                if cut or (not left and not is_same(content, os.fstat(file.fileno()))):
                    raise changed(content.path)
                yield chunk
    except OSError as error:
        raise unreadable(error, content.path, content.path) from error


def _next_chunk(file: FileIO, most: int, encode: bool) -> tuple[bytes, int]:
    """Up to ``most`` bytes of the file as they go on the wire, and how many they were in the file."""
    buffer = _buffers.take()
    try:
        step = _read(file, buffer[:most])
        return (pybase64.b64encode(step) if encode else bytes(step)), len(step)
    finally:
        _buffers.give_back(buffer)


def _read(file: FileIO, buffer: memoryview) -> memoryview:
    """The buffer, filled from the file; shorter only at the file's end."""
    filled = 0
    while filled < len(buffer):
        got = file.readinto(buffer[filled:])
        if not got:
            break
        filled += got
    return buffer[:filled]
