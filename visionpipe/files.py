"""Files opened, read, written and replaced safely: the one home of these rules.

Only regular files are read, so a FIFO or a device can never hang a run; and what was probed is
what is read, or an error says that it changed.

A block of this size taken anew goes back to the system after each use, and fetching it again, page
by page, costs more than what is done with it; one that was just used is still in the processor's cache. So
the last one given back is the first one taken.

A file is either appended to, and cut back when a write fails, or written under a temporary name in
its own folder and renamed when it is whole. A link stays, and the file it leads to is written so.
"""

from __future__ import annotations

import errno
import hashlib
import io
import os
import re
import stat
import tempfile
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from visionpipe.errors import OutputError, ParameterError, UnreadableSourceError
from visionpipe.media import Content, FileContent, MemoryContent

_FLAGS = (
    os.O_RDONLY
    | getattr(os, "O_NONBLOCK", 0)  # so that opening a FIFO returns
    | getattr(os, "O_CLOEXEC", 0)
    | getattr(os, "O_BINARY", 0)
    | getattr(os, "O_NOCTTY", 0)
)


_ADDRESS = re.compile(r"([a-z][a-z0-9+.-]*)://", re.IGNORECASE)
_READABLE = frozenset({"http", "https", "file"})
_COPY_WITH = {
    "s3": "aws s3 cp --recursive",
    "gs": "gcloud storage cp --recursive",
    "hf": "hf download",
    "az": "az storage blob download-batch",
    "abfs": "az storage blob download-batch",
}


def refuse_store(text: str, *, output: bool = False) -> None:
    """Refuses an address of a store (``s3://bucket/a.jpg``), which would else be taken for a local path.

    Args:
        text: what was given: a path, a link, or such an address.
        output: whether it is to be written; then links are refused too.

    Raises:
        ParameterError: code "unsupported_address", of scope "job".
    """
    found = _ADDRESS.match(text)
    scheme = found.group(1).lower() if found is not None else ""
    if not scheme or (scheme in _READABLE and not output):
        return
    if output:
        reason, cure = f"nothing is written to {scheme}:// addresses", "Give a local path, and copy it then."
    else:
        reason = f"{scheme}:// addresses are not read"
        tool = f" (such as `{_COPY_WITH[scheme]}`)" if scheme in _COPY_WITH else ""
        cure = f"Copy the files to a local folder first{tool} and give that, or give https links."
    raise ParameterError(reason, cure=cure, subject=text, code="unsupported_address", scope="job")


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
        UnreadableSourceError: as :func:`open_regular`.
    """
    text = os.fspath(path)
    descriptor, state = open_regular(text, name or text)
    os.close(descriptor)
    return FileContent(str(Path(text).absolute()), state.st_size, state.st_mtime_ns)


def changed(name: str) -> UnreadableSourceError:
    """The error for a file that is no longer as it was when it was probed, or that grew while it was read."""
    return UnreadableSourceError(
        "the file has changed since it was looked at",
        cure="Wait until nothing writes to it, and run again.",
        subject=name,
        code="changed",
        retryable=True,
    )


def check_unchanged(content: FileContent, name: str | None = None) -> None:
    """Make sure that the file is still the one that was probed, without reading it.

    Args:
        content: as it was probed.
        name: the subject of errors; default the path.

    Raises:
        UnreadableSourceError: it ``vanished``, ``changed``, or cannot be read.
    """
    os.close(_reopened(content, name or content.path))


def _reopened(content: FileContent, name: str) -> int:
    """A descriptor of the file that was probed."""
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
    if (state.st_size, state.st_mtime_ns) != (content.size, content.modified_ns):
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
    with os.fdopen(_reopened(content, name or content.path), "rb") as file:
        yield file


def read_content(content: Content) -> bytes:
    """The encoded bytes of ``content``.

    Raises:
        UnreadableSourceError: the file ``vanished``, ``changed`` since it was probed, or cannot be read.
    """
    if isinstance(content, MemoryContent):
        return content.data
    descriptor = _reopened(content, content.path)
    try:
        return read_all(descriptor, content.size)
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
        """Takes back what :meth:`take` gave; the caller uses it no more."""
        self._free.append(buffer)


_FULL = (errno.ENOSPC, errno.EDQUOT)
_BAD_NAME = (errno.ENAMETOOLONG, errno.EILSEQ, errno.EINVAL)
_LONGEST_NAME = 255  # bytes, on nearly every file system


@contextmanager
def output_errors(path: Path) -> Iterator[None]:
    """Turn an OSError met while writing ``path`` into an OutputError."""
    try:
        yield
    except OSError as error:
        raise output_error(path, error) from error


def output_error(path: Path, error: OSError) -> OutputError:
    """The OutputError that says what an OSError means for the output."""
    if error.errno in _FULL:
        return disk_full(path)
    if error.errno in _BAD_NAME:
        return OutputError(
            f"the file system takes no such name ({error.strerror or error})",
            cure="Choose a shorter or plainer one.",
            subject=str(path),
            code="bad_name",
        )
    return OutputError(
        f"cannot be written ({error.strerror or error})",
        cure="Check the folder and its permissions, then run the same command again.",
        subject=str(path),
    )


def disk_full(path: Path) -> OutputError:
    """The disk or the quota is used up."""
    return OutputError(
        "the disk is full",
        cure="Make space, then run the same command again; nothing accepted so far is lost.",
        subject=str(path),
        code="disk_full",
    )


def partial_path(path: Path) -> Path:
    """Where ``path`` is written until it is whole: beside it, always under the same name, so that a killed
    run leaves one file that the next run takes over. The name is no longer than a file system takes."""
    name = f".{path.name}.part"
    if len(os.fsencode(name)) > _LONGEST_NAME:
        name = f".visionpipe-{hashlib.sha256(os.fsencode(path.name)).hexdigest()[:16]}.part"
    return path.with_name(name)


@contextmanager
def whole_file(target: Path) -> Iterator[Path]:
    """A path to write to, for libraries that open files themselves: afterwards ``target``, or what that leads
    to, is there whole, or the old one is untouched. Its folder is made.

    Raises:
        OutputError: the folder cannot be made, or the file cannot be put in its place.
    """
    target = resolve_link(target)
    draft = partial_path(target)
    with output_errors(target):
        target.parent.mkdir(parents=True, exist_ok=True)
    try:
        yield draft
        with output_errors(target):
            draft.replace(target)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise


def resolve_link(path: Path) -> Path:
    """The file that ``path`` stands for: where it is a link, what it leads to, there or not.

    Raises:
        OutputError: it leads round in a circle, or into a folder that may not be entered.
    """
    if not path.is_symlink():
        return path
    with output_errors(path):
        try:
            return Path(os.path.realpath(path, strict=True))
        except FileNotFoundError:
            return Path(os.path.realpath(path))


def prove_folder(folder: Path) -> None:
    """Make sure that files can be made in ``folder``, by making one that is gone at once.

    Where the folder is not there yet, the nearest one above it is tried.

    Raises:
        OutputError: they cannot.
    """
    with output_errors(folder):
        there = folder
        while not there.exists() and there != there.parent:
            there = there.parent
        with tempfile.NamedTemporaryFile(dir=there, prefix=".visionpipe-"):
            pass


class GrowingFile:
    """A file that bytes are added to, whole or not at all.

    Args:
        path: the file; its folder is made.
        keep: add to what is there; else start empty.
        sync_every: how many additions may be lost when the machine (not the process) goes down; 0 leaves
            it to the operating system.
    """

    def __init__(self, path: Path, *, keep: bool = False, sync_every: int = 0) -> None:
        self.path = path
        self._sync_every = sync_every
        self._unsynced = 0
        with output_errors(path):
            resolve_link(path).parent.mkdir(parents=True, exist_ok=True)
            flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0) | (0 if keep else os.O_TRUNC)
            self._fd: int | None = os.open(path, flags, 0o666)
            self.size = os.lseek(self._fd, 0, os.SEEK_END)

    def add(self, data: bytes | bytearray | memoryview) -> None:
        """Write all of ``data`` at the end.

        Raises:
            OutputError: it could not be; the file is as long as before.
        """
        self.add_pieces((data,))

    def add_pieces(self, pieces: Iterator[bytes] | tuple[bytes | bytearray | memoryview, ...]) -> int:
        """Write all pieces at the end, or none; returns their bytes.

        Raises:
            OutputError: a piece could not be written; the file is as long as before.
        """
        fd = self._open_fd()
        before = self.size
        try:
            with output_errors(self.path):
                for piece in pieces:
                    self.size += _write_all(fd, piece)
        except BaseException:
            self.cut(before)
            raise
        self._unsynced += 1
        if self._sync_every and self._unsynced >= self._sync_every:
            self.sync()
        return self.size - before

    def cut(self, size: int) -> None:
        """Shorten the file to ``size`` bytes."""
        fd = self._open_fd()
        with output_errors(self.path):
            os.ftruncate(fd, size)
            self.size = os.lseek(fd, size, os.SEEK_SET)

    def read_tail(self, most: int) -> bytes:
        """The last bytes, at most ``most``."""
        fd = self._open_fd()
        with output_errors(self.path):
            os.lseek(fd, max(0, self.size - most), os.SEEK_SET)
            tail = os.read(fd, most)
            os.lseek(fd, self.size, os.SEEK_SET)
        return tail

    def sync(self) -> None:
        """Have the operating system put everything on the disk."""
        if self._fd is not None and self._unsynced:
            with output_errors(self.path):
                os.fsync(self._fd)
            self._unsynced = 0

    @property
    def closed(self) -> bool:
        return self._fd is None

    def close(self) -> None:
        """Put everything on the disk and let go of the file."""
        if self._fd is not None:
            self.sync()
            fd, self._fd = self._fd, None
            with output_errors(self.path):
                os.close(fd)

    def discard(self) -> None:
        """Let go of the file and delete it."""
        if self._fd is not None:
            fd, self._fd = self._fd, None
            with suppress(OSError):  # what counts is that it is gone
                os.close(fd)
        with suppress(FileNotFoundError):
            self.path.unlink()

    def _open_fd(self) -> int:
        if self._fd is None:
            raise ValueError(f"{self.path} is closed")
        return self._fd


class ReplacingFile(GrowingFile):
    """A file written beside ``target``, or what that leads to, whose place it takes on :meth:`finish`."""

    def __init__(self, target: Path, *, durable: bool = True) -> None:
        self.target = resolve_link(target)
        self._durable = durable
        self._in_place = False
        super().__init__(partial_path(self.target))
        self._unsynced = 1  # even an empty file is put on the disk before it replaces another

    def sync(self) -> None:
        if self._durable:
            super().sync()

    def finish(self) -> None:
        """Put the file in its place; again after an error, and twice is as good as once."""
        self.close()
        if not self._in_place:
            with output_errors(self.target):
                self.path.replace(self.target)
            self._in_place = True


def replace_file(target: Path, data: bytes) -> None:
    """Write a small file in one step: afterwards it is there whole, or the old one is untouched.

    Only where it takes another's place is it put on the disk at once (about 2 ms), so that the machine going
    down cannot cost the old one; a new file goes there in the operating system's own time.

    Raises:
        OutputError: it could not be written.
    """
    file = ReplacingFile(target, durable=target.exists())
    try:
        file.add(data)
        file.finish()
    except BaseException:
        file.discard()
        raise


def _write_all(fd: int, data: bytes | bytearray | memoryview) -> int:
    view = memoryview(data)
    done = 0
    while done < len(view):
        done += os.write(fd, view[done:])
    return done
