"""Files opened safely, and encoded content read back.

The rule: only regular files are read, so a FIFO or a device can never hang a run; and what was probed is
what is read, or an error says that it changed.
"""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

from visionpipe.errors import UnreadableSourceError
from visionpipe.media import Content, MemoryContent

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


def read_content(content: Content) -> bytes:
    """The encoded bytes of ``content``.

    Raises:
        UnreadableSourceError: the file ``vanished``, ``changed`` since it was probed, or cannot be read.
    """
    if isinstance(content, MemoryContent):
        return content.data
    try:
        descriptor, state = open_regular(content.path, content.path)
    except UnreadableSourceError as error:
        if error.code != "missing":
            raise
        raise UnreadableSourceError(
            "the file vanished after it was found",
            cure="Put it back, or leave it out.",
            subject=content.path,
            code="vanished",
        ) from error
    try:
        if (state.st_size, state.st_mtime_ns) != (content.size, content.modified_ns):
            raise UnreadableSourceError(
                "the file changed after it was looked at",
                cure="Wait until nothing writes to it, and run again.",
                subject=content.path,
                code="changed",
                retryable=True,
            )
        return read_all(descriptor, state.st_size)
    except OSError as error:
        raise unreadable(error, content.path, content.path) from error
    finally:
        os.close(descriptor)


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
    if number in (errno.ENXIO, errno.EOPNOTSUPP):
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
