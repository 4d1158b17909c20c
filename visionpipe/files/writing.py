"""Files written and replaced safely, known again, and made way for.

A file is either appended to, and cut back when a write fails, or written under a temporary name in
its own folder and renamed when it is whole. A link stays, and the file it leads to is written so.

A mark is taken when a file is whole. A file carries its mark while size and time of change are as they were,
or, where only the time differs, while its bytes are; of a file above 64 MiB those at its beginning, middle
and end.
"""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from visionpipe.errors import OutputError

_FULL = (errno.ENOSPC, getattr(errno, "EDQUOT", None))  # not every platform has quotas
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
def whole_file(target: Path, *, make_folder: bool = True) -> Iterator[Path]:
    """A path to write to, for libraries that open files themselves: afterwards ``target``, or what that leads
    to, is there whole, or the old one is untouched.

    Args:
        target: the file.
        make_folder: make its folder where there is none.

    Raises:
        OutputError: the folder cannot be made, or the file cannot be put in its place.
    """
    target = resolve_link(target)
    draft = partial_path(target)
    if make_folder:
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
    with output_errors(path):
        if not path.is_symlink():
            return path
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
        path: the file.
        keep: add to what is there; else start empty.
        make_folder: make its folder where there is none.
        sync_every: how many additions may be lost when the machine (not the process) goes down; 0 leaves
            it to the operating system.
        subject: what errors name; default the file.
    """

    def __init__(
        self,
        path: Path,
        *,
        keep: bool = False,
        make_folder: bool = True,
        sync_every: int = 0,
        subject: Path | None = None,
    ) -> None:
        self.path = path
        self._subject = subject or path
        self._sync_every = sync_every
        self._unsynced = 0
        with output_errors(self._subject):
            if make_folder:
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
            with output_errors(self._subject):
                for piece in pieces:
                    self.size += _write_all(fd, piece)
        except BaseException as error:
            try:
                self.cut(before)
            except OutputError:
                if not isinstance(error, OutputError):  # which says why
                    raise
            raise
        self._unsynced += 1
        if self._sync_every and self._unsynced >= self._sync_every:
            self.sync()
        return self.size - before

    def cut(self, size: int) -> None:
        """Shorten the file to ``size`` bytes."""
        fd = self._open_fd()
        with output_errors(self._subject):
            os.ftruncate(fd, size)
            self.size = os.lseek(fd, size, os.SEEK_SET)

    def read_tail(self, most: int) -> bytes:
        """The last bytes, at most ``most``."""
        fd = self._open_fd()
        with output_errors(self._subject):
            os.lseek(fd, max(0, self.size - most), os.SEEK_SET)
            tail = os.read(fd, most)
            os.lseek(fd, self.size, os.SEEK_SET)
        return tail

    def sync(self) -> None:
        """Have the operating system put everything on the disk."""
        if self._fd is not None and self._unsynced:
            with output_errors(self._subject):
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
            with output_errors(self._subject):
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
    """A file written beside ``target``, or what that leads to, whose place it takes on ``finish``."""

    def __init__(self, target: Path, *, durable: bool = True, make_folder: bool = True) -> None:
        self.target = resolve_link(target)
        self._durable = durable
        self._in_place = False
        super().__init__(partial_path(self.target), make_folder=make_folder, subject=target)
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


def replace_file(target: Path, data: bytes, *, make_folder: bool = True) -> None:
    """Write a small file in one step: afterwards it is there whole, or the old one is untouched.

    Only where it takes another's place is it put on the disk at once (about 2 ms), so that the machine going
    down cannot cost the old one; a new file goes there in the operating system's own time.

    Raises:
        OutputError: it could not be written.
    """
    file = ReplacingFile(target, durable=target.exists(), make_folder=make_folder)
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


_WHOLE = 64 << 20
_STRETCH = 1 << 20


@dataclass(frozen=True, slots=True)
class FileMark:
    """A file as it was written: ``size`` in bytes, ``modified_ns`` since the epoch, and the SHA-256 of its
    bytes in hexadecimal; None while it is still being written."""

    size: int
    modified_ns: int
    digest: str | None

    @classmethod
    def begun(cls) -> FileMark:
        """The mark of a file that is being written."""
        return cls(0, 0, None)


def mark_file(path: Path) -> FileMark:
    """The mark of the file as it is now.

    Raises:
        OSError: it cannot be read.
    """
    state = path.stat()
    return FileMark(state.st_size, state.st_mtime_ns, _digest(path, state.st_size))


def carries(path: Path, mark: FileMark) -> bool:
    """Whether the file at ``path`` is the one that was marked, and unchanged since.

    Raises:
        OSError: it cannot be read.
    """
    state = path.stat()
    if mark.digest is None or (state.st_size, state.st_mtime_ns) == (mark.size, mark.modified_ns):
        return True
    return state.st_size == mark.size and _digest(path, state.st_size) == mark.digest


def back_up(path: Path) -> Path:
    """Keep what is at ``path`` under another name beside it, ``NAME.~1~`` or the next free number; the file
    stays where it is, too.

    Raises:
        OutputError: there is no room, or the folder takes no file.
    """
    with output_errors(path):
        backup = _free(path)
        try:
            os.link(path, backup)
        except OSError:  # a file system without hard links, or a name on another one
            shutil.copy2(path, backup)
        return backup


def set_aside(path: Path) -> Path:
    """As ``back_up``, but the file is moved away.

    Raises:
        OutputError: the folder takes no file.
    """
    with output_errors(path):
        return path.rename(_free(path))


def _free(path: Path) -> Path:
    names = (path.with_name(f"{path.name}.~{number}~") for number in count(1))
    return next(name for name in names if not name.exists())


def _digest(path: Path, size: int) -> str:
    with path.open("rb") as file:
        if size <= _WHOLE:
            return hashlib.file_digest(file, "sha256").hexdigest()
        seen = hashlib.sha256()
        for start in (0, size // 2, size - _STRETCH):
            file.seek(start)
            seen.update(file.read(_STRETCH))
        return seen.hexdigest()
