"""What a source's bytes are: the SHA-256 of a file, or the address of a link.

The rule: a file is read once to know it, in stretches, and never again while size and time of its last
change are as recorded.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

from visionpipe.errors import UnreadableSourceError
from visionpipe.loaders.buffers import BufferPool
from visionpipe.loaders.disk import open_regular, unreadable

_buffers = BufferPool(1 << 20)
_LINKS = ("http://", "https://")


@dataclass(frozen=True, slots=True)
class Stat:
    """A file as the file system shows it: ``size`` in bytes, ``modified_ns`` since the epoch."""

    size: int
    modified_ns: int


def is_link(location: str) -> bool:
    """Whether the source is an address that is not ours to read."""
    return location.lower().startswith(_LINKS)


def content_of_link(url: str) -> str:
    """The content key of a link: its address stands for its bytes."""
    return "url:" + hashlib.sha256(url.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def sha256_of(content: str | None) -> str | None:
    """The SHA-256 in a content key, None for a link."""
    return None if content is None or content.startswith("url:") else content


def stat_of(path: str) -> Stat:
    """Size and time of change.

    Raises:
        UnreadableSourceError: it is not there.
    """
    try:
        found = Path(path).stat()
    except (OSError, ValueError) as error:
        raise unreadable(error, path, path) from error
    return Stat(found.st_size, found.st_mtime_ns)


def fingerprint(path: str) -> tuple[str, Stat]:
    """The SHA-256 of a file's bytes (hexadecimal), with the stat it held while they were read.

    Raises:
        UnreadableSourceError: it cannot be read, or was changed meanwhile.
    """
    seen = hashlib.sha256()
    descriptor, before = open_regular(path, path)
    buffer = _buffers.take()
    try:
        with os.fdopen(descriptor, "rb", buffering=0) as file:
            while count := file.readinto(buffer):
                seen.update(buffer[:count])
            after = os.fstat(file.fileno())
    except OSError as error:
        raise unreadable(error, path, path) from error
    finally:
        _buffers.give_back(buffer)
    if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
        raise UnreadableSourceError(
            "the file changed while it was read",
            cure="Run again when whatever writes it is done.",
            subject=path,
            code="changed",
            retryable=True,
        )
    return seen.hexdigest(), Stat(after.st_size, after.st_mtime_ns)
