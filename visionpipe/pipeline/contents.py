"""The bytes of a source, read for their key: once, and not again while size and modification time are as
recorded.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from io import FileIO

from visionpipe.files import BufferPool, changed, open_regular, unreadable
from visionpipe.images.load import MAX_FILE_BYTES, TAIL_BYTES, SeenFile, load_image
from visionpipe.images.sniff import HEAD_BYTES, kind_of
from visionpipe.media import Image
from visionpipe.pipeline.channel import Closed
from visionpipe.sources.find import Source

_buffers = BufferPool(1 << 20)


@dataclass(frozen=True, slots=True)
class Stat:
    """A file as the file system shows it: ``size`` in bytes, ``modified_ns`` since the epoch."""

    size: int
    modified_ns: int


def stat_seen(file: SeenFile) -> Stat:
    """That of a file as it was read."""
    return Stat(file.size, file.modified_ns)


def held_image(source: Source) -> Image | None:
    """The picture that an item holds itself; None where it says from where to read it.

    Raises:
        VisionPipeError: it is no picture.
    """
    if source.image is None:
        return None
    found = load_image(source.image, name=source.name)
    assert isinstance(found, Image), "a link is a location"
    return found


def stat_of(path: str) -> Stat:
    """Size and time of change.

    Raises:
        UnreadableSourceError: it is not there.
    """
    try:
        found = os.stat(path)  # noqa: PTH116 (a Path costs as much as the rest, once an item)
    except (OSError, ValueError) as error:
        raise unreadable(error, path, path) from error
    return Stat(found.st_size, found.st_mtime_ns)


def fingerprint(path: str, is_over: Callable[[], bool] | None = None) -> tuple[str, SeenFile]:
    """The SHA-256 of a file's bytes (hexadecimal), and the file as it was while they were read.

    Args:
        path: of the file.
        is_over: asked between two megabytes whether to go on.

    Raises:
        UnreadableSourceError: it cannot be read, or was changed meanwhile.
        BadImageError: it is too large for a picture, and no clip; found before it is read.
        Closed: ``is_over`` said so.
    """
    seen = hashlib.sha256()
    descriptor, before = open_regular(path, path)
    if before.st_size > MAX_FILE_BYTES:
        _refuse_what_is_no_clip(descriptor, path)
    head = tail = b""
    buffer = _buffers.take()
    try:
        with FileIO(descriptor) as file:
            while count := file.readinto(buffer):
                piece = buffer if count == _buffers.size else buffer[:count]
                seen.update(piece)
                head = head or bytes(piece[:HEAD_BYTES])
                tail = (tail + bytes(piece[-TAIL_BYTES:]))[-TAIL_BYTES:]
                if count == before.st_size:
                    break
                if count == _buffers.size and is_over is not None and is_over():
                    raise Closed
            after = os.fstat(file.fileno())
    except OSError as error:
        raise unreadable(error, path, path) from error
    finally:
        _buffers.give_back(buffer)
    if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
        raise changed(path)
    return seen.hexdigest(), SeenFile(path, after.st_size, after.st_mtime_ns, head, tail)


def _refuse_what_is_no_clip(descriptor: int, path: str) -> None:
    """Have a file that is too large for a picture refused by what reads pictures, unless it is a clip."""
    from visionpipe.clips.load import is_clip

    try:
        kind = kind_of(os.read(descriptor, HEAD_BYTES))
        os.lseek(descriptor, 0, os.SEEK_SET)
        if not is_clip(kind, path):
            load_image(path)
    except BaseException:
        os.close(descriptor)
        raise
