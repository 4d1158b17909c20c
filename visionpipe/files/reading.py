"""Files opened and read safely.

Only regular files are read, so a FIFO or a device can never hang a run; and what was probed is
what is read, or an error says that it changed.

A block of this size taken anew goes back to the system after each use, and fetching it again, page
by page, costs more than what is done with it; one that was just used is still in the processor's cache. So
the last one given back is the first one taken.
"""

from __future__ import annotations

import errno
import hashlib
import io
import os
import stat
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from visionpipe.errors import UnreadableSourceError
from visionpipe.media import Content, FileContent, MemoryContent

_FLAGS = (
    os.O_RDONLY
    | getattr(os, "O_NONBLOCK", 0)  # so that opening a FIFO returns
    | getattr(os, "O_CLOEXEC", 0)
    | getattr(os, "O_BINARY", 0)
    | getattr(os, "O_NOCTTY", 0)
)


def open_regular(path: str, name: str) -> tuple[int, os.stat_result]:
    """A descriptor of the regular file at ``path``, and its state; the caller closes it.

    Args:
        path: of the file.
        name: the subject of errors.

    Raises:
        UnreadableSourceError: missing, permission, is_a_folder, special_file, or unreadable.
    """
    try:
        descriptor = os.open(path, _FLAGS)
    except (OSError, ValueError) as error:
        raise unreadable(error, path, name) from error
    state = os.fstat(descriptor)
    if stat.S_ISREG(state.st_mode):
        return descriptor, state
    os.close(descriptor)
    if stat.S_ISDIR(state.st_mode):
        raise _folder(name)
    raise UnreadableSourceError(
        "it is a pipe, a socket or a device, not a file",
        cure="Give an ordinary file, or read the bytes yourself and pass them.",
        subject=name,
        code="special_file",
    )


def read_all(descriptor: int, size: int) -> bytes:
    """All bytes from the descriptor's position, in one read where the file is as large as it was."""
    data = os.read(descriptor, size + 1)
    if len(data) == size:
        return data
    pieces = [data]
    while data:
        data = os.read(descriptor, 1 << 20)
        pieces.append(data)
    return b"".join(pieces)


def found_file(path: str | os.PathLike[str], name: str | None = None) -> FileContent:
    """The regular file at ``path`` as it is now, to be read later.

    Args:
        path: of the file.
        name: the subject of errors; default the path.

    Raises:
        UnreadableSourceError: as ``open_regular``.
    """
    text = os.fspath(path)
    descriptor, state = open_regular(text, name or text)
    os.close(descriptor)
    return content_of(text, state)


def content_of(path: str, state: os.stat_result) -> FileContent:
    """The file at ``path`` with this state, to be read later."""
    return FileContent(absolute(path), state.st_size, state.st_mtime_ns)


def absolute(path: str) -> str:
    """The path from the root on."""
    if not os.path.isabs(path):  # noqa: PTH117 (a Path costs more than opening the file)
        path = str(Path(path).absolute())
    return path


def changed(name: str) -> UnreadableSourceError:
    """The error for a file that is no longer as it was when it was probed, or that grew while it was read."""
    return UnreadableSourceError(
        "the file has changed since it was looked at",
        cure="Wait until nothing writes to it, and run again.",
        subject=name,
        code="changed",
        retryable=True,
    )


def is_same(content: FileContent, state: os.stat_result) -> bool:
    """Whether a file with this state is still the one that was probed."""
    return (state.st_size, state.st_mtime_ns) == (content.size, content.modified_ns)


def check_unchanged(content: FileContent, name: str | None = None) -> None:
    """Make sure that the file is still the one that was probed, without reading it.

    Args:
        content: as it was probed.
        name: the subject of errors; default the path.

    Raises:
        UnreadableSourceError: it ``vanished``, ``changed``, or cannot be read.
    """
    try:
        same = is_same(content, os.stat(content.path))  # noqa: PTH116 (a Path costs as much as the rest)
    except OSError:
        same = False
    if not same:
        os.close(reopened(content, name))  # which tells what is wrong


def reopened(content: FileContent, name: str | None = None) -> int:
    """A descriptor of the file that was probed; the caller closes it.

    Args:
        content: as it was probed.
        name: the subject of errors; default the path.

    Raises:
        UnreadableSourceError: the file ``vanished``, ``changed`` since it was probed, or cannot be read.
    """
    name = name or content.path
    try:
        descriptor, state = open_regular(content.path, name)
    except UnreadableSourceError as error:
        if error.code != "missing":
            raise
        raise UnreadableSourceError(
            "the file is gone since it was looked at",
            cure="Put it back, or leave it out.",
            subject=name,
            code="vanished",
        ) from error
    if not is_same(content, state):
        os.close(descriptor)
        raise changed(name)
    return descriptor


@contextmanager
def opened(content: Content, name: str | None = None) -> Iterator[io.BufferedReader | io.BytesIO]:
    """The content open for reading.

    Args:
        content: as it was probed.
        name: the subject of errors; default the path.

    Raises:
        UnreadableSourceError: the file ``vanished``, ``changed`` since it was probed, or cannot be read.
    """
    if isinstance(content, MemoryContent):
        yield io.BytesIO(content.data)
        return
    with os.fdopen(reopened(content, name), "rb") as file:
        yield file


def read_content(content: Content) -> bytes:
    """The encoded bytes of ``content``.

    Raises:
        UnreadableSourceError: the file ``vanished``, ``changed`` since it was probed, or cannot be read.
    """
    if isinstance(content, MemoryContent):
        return content.data
    descriptor = reopened(content)
    try:
        return read_all(descriptor, content.size)
    except OSError as error:
        raise unreadable(error, content.path, content.path) from error
    finally:
        os.close(descriptor)


def sha256_of_content(content: Content) -> str:
    """The SHA-256 of the encoded bytes, in hexadecimal.

    Raises:
        UnreadableSourceError: the file ``vanished``, ``changed`` since it was probed, or cannot be read.
    """
    if isinstance(content, MemoryContent):
        return hashlib.sha256(content.data).hexdigest()
    try:
        with opened(content) as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise unreadable(error, content.path, content.path) from error


def lines_of(path: Path) -> Iterator[bytes]:
    """The file's lines without their ends; empty ones are passed over. Only LF ends a line."""
    with path.open("rb") as file:
        for line in file:
            stripped = line.strip()
            if stripped:
                yield stripped


def unreadable(error: OSError | ValueError, path: str, name: str) -> UnreadableSourceError:
    """The library's error for what the operating system said of ``path``."""
    number = error.errno if isinstance(error, OSError) else None
    if number in (errno.ENOENT, errno.ENOTDIR):
        if Path(path).is_symlink():
            return UnreadableSourceError(
                "it is a link to a file that is not there",
                cure="Restore the file that it points to, or remove the link.",
                subject=name,
                code="missing",
            )
        return UnreadableSourceError(
            "there is no such file", cure="Check the path.", subject=name, code="missing"
        )
    if number == errno.ELOOP:
        return UnreadableSourceError(
            "it is a link that leads back to itself",
            cure="Remove the link, or point it at a file.",
            subject=name,
            code="missing",
        )
    if number in (errno.EACCES, errno.EPERM):
        return UnreadableSourceError(
            "it may not be read by this user",
            cure="Change the file's permissions, or run as its owner.",
            subject=name,
            code="permission",
        )
    if number == errno.EISDIR:
        return _folder(name)
    if number is not None and number in (errno.ENXIO, getattr(errno, "EOPNOTSUPP", None)):
        return UnreadableSourceError(
            "it is a socket or a device, not a file",
            cure="Give an ordinary file.",
            subject=name,
            code="special_file",
        )
    if number in (errno.ENAMETOOLONG, errno.EINVAL, None):
        shown = name if len(name) <= 80 else f"{name[:80]}..."
        return UnreadableSourceError(
            "this is no path of a file", cure="Check the path.", subject=shown, code="missing"
        )
    return UnreadableSourceError(
        f"it cannot be read ({os.strerror(number)})",
        cure="Check the disk or the network share, and try again.",
        subject=name,
        code="unreadable",
    )


def _folder(name: str) -> UnreadableSourceError:
    return UnreadableSourceError(
        "it is a folder, not a file",
        cure="Give a file of it, or use the command or call that takes folders.",
        subject=name,
        code="is_a_folder",
    )


_KEPT = 4
"""How many wait to be used again; more are in use only while more threads read at the same moment."""


class BufferPool:
    """Buffers of ``size`` bytes; thread-safe."""

    def __init__(self, size: int) -> None:
        self.size = size
        self._free: deque[memoryview] = deque(maxlen=_KEPT)

    def take(self) -> memoryview:
        """A writable buffer, with whatever it held before."""
        try:
            return self._free.pop()
        except IndexError:
            return memoryview(bytearray(self.size))

    def give_back(self, buffer: memoryview) -> None:
        """Takes back what ``take`` gave; the caller uses it no more."""
        self._free.append(buffer)
