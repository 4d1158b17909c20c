"""A request's body as chunks of bytes, in constant memory.

The rule: exactly ``Body.size`` bytes or an error, never a short body; and a file that is no longer as it
was probed is refused before the first byte goes out.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import pybase64

from visionpipe.errors import UnreadableSourceError
from visionpipe.media import FileContent, MemoryContent
from visionpipe.wire.http import Base64Piece, Body

STEP = 192 * 1024
"""Bytes of source a chunk; a multiple of 3, so that base64 needs no padding in between."""

SMALL = 16 * 1024
"""Pieces under this many bytes travel together with their neighbour."""


def check_files(body: Body) -> None:
    """Raise UnreadableSourceError (code "changed") where a file is not as it was when it was probed."""
    for piece in body.pieces:
        if not isinstance(piece, bytes) and isinstance(piece.content, FileContent):
            content = piece.content
            try:
                found = Path(content.path).stat()
            except OSError as error:
                raise _unreadable(content, error) from error
            _compare(content, found)


def iterate(body: Body) -> Iterator[bytes]:
    """The body's bytes in order, in chunks of up to about 256 KiB; may be called again for a new attempt.

    Raises:
        UnreadableSourceError: a file vanished, or changed (code "changed") while it was read.
    """
    small: list[bytes] = []
    held = 0
    for chunk in _pieces(body):
        if len(chunk) < SMALL:
            small.append(chunk)
            held += len(chunk)
            if held >= SMALL:
                yield b"".join(small)
                small, held = [], 0
        elif held:
            yield b"".join((*small, chunk))
            small, held = [], 0
        else:
            yield chunk
    if held:
        yield b"".join(small)


def _pieces(body: Body) -> Iterator[bytes]:
    for piece in body.pieces:
        if isinstance(piece, bytes):
            if len(piece) <= STEP:
                yield piece
            else:
                yield from _memory(piece)
        else:
            content = piece.content
            source = _memory(content.data) if isinstance(content, MemoryContent) else _file(content)
            if isinstance(piece, Base64Piece):
                for step in source:
                    yield pybase64.b64encode(step)
            else:
                yield from source


def _memory(data: bytes) -> Iterator[bytes]:
    if len(data) <= STEP:
        yield data
        return
    view = memoryview(data)
    for start in range(0, len(data), STEP):
        yield bytes(view[start : start + STEP])


def _file(content: FileContent) -> Iterator[bytes]:
    try:
        with Path(content.path).open("rb", buffering=0) as file:
            _compare(content, os.fstat(file.fileno()))
            left = content.size
            while left:
                step = _read(file, min(STEP, left))
                left -= len(step)
                if len(step) < STEP and left:
                    raise _changed(content)
                if not left:
                    # Before the last chunk leaves: written to in place, the file shows it in its time.
                    _compare(content, os.fstat(file.fileno()))
                yield step
    except OSError as error:
        raise _unreadable(content, error) from error


def _read(file: BinaryIO, size: int) -> bytes:
    """Up to ``size`` bytes; fewer only at the end of the file."""
    step = file.read(size)
    while len(step) < size:
        more = file.read(size - len(step))
        if not more:
            break
        step += more
    return step


def _compare(content: FileContent, found: os.stat_result) -> None:
    if found.st_size != content.size or found.st_mtime_ns != content.modified_ns:
        raise _changed(content)


def _changed(content: FileContent) -> UnreadableSourceError:
    return UnreadableSourceError(
        "the file has changed since it was looked at",
        cure="Wait until whatever writes it is done, then give it again.",
        subject=content.path,
        code="changed",
    )


def _unreadable(content: FileContent, error: OSError) -> UnreadableSourceError:
    return UnreadableSourceError(
        f"the file can no longer be read ({error.strerror or type(error).__name__})",
        cure="Check that it is still there and readable, then give it again.",
        subject=content.path,
        code="vanished" if isinstance(error, FileNotFoundError) else "unreadable",
    )
