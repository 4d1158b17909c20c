"""One run at a time on a database, by whatever name its file is reached.

Two locks of the operating system are held, and both die with their process. One is on ``NAME.lock`` beside
the file; its text (pid and start) tells a second run which one it has met. It goes when the run ends, so
whoever takes it makes sure that others will find the same file by its name. The other is on the database's
own bytes, so a hard link, a bind mount or another spelling leads to the same lock: one byte of the page that
SQLite reserves for its locks and never reads, and behind the bytes that SQLite locks itself.

Closing any descriptor of a file drops every POSIX lock that the process holds on it, SQLite's included. So
the descriptor that holds the lock stays open until no connection of this process uses the file.
"""

from __future__ import annotations

import errno
import json
import os
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeAlias

from visionpipe.errors import JournalError

_TEXT_OFFSET = 1 << 20
"""Far behind the text of ``NAME.lock``, because Windows keeps others from reading what is locked."""

_CLAIMS_OFFSET = 1 << 62
"""From here on a byte stands for each piece of work that can be claimed; no database is as long."""

_DATABASE_OFFSET = 0x40000000 + 2048
"""SQLite's lock page begins at 2**30, and its own locks take the first 512 bytes of it."""

if sys.platform == "win32":
    import msvcrt

    def _lock_name(descriptor: int) -> None:
        os.lseek(descriptor, _TEXT_OFFSET, os.SEEK_SET)
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        os.lseek(descriptor, 0, os.SEEK_SET)

    def _remove_name(descriptor: int, place: Path) -> None:
        # What is open cannot be removed here: neither this one before it is closed, nor another run's after.
        os.close(descriptor)
        with suppress(OSError):
            place.unlink()

    def _lock_database(descriptor: int) -> None:
        os.lseek(descriptor, _DATABASE_OFFSET, os.SEEK_SET)
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)

    def _unlock_database(descriptor: int) -> None:
        os.lseek(descriptor, _DATABASE_OFFSET, os.SEEK_SET)
        msvcrt.locking(descriptor, msvcrt.LK_UNLCK, 1)
else:
    import fcntl

    def _lock_name(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def _remove_name(descriptor: int, place: Path) -> None:
        # While it is held, so that no other run's is removed.
        with suppress(OSError):
            place.unlink()
        os.close(descriptor)

    if sys.platform == "linux":
        import struct

        def _set_lock(descriptor: int, kind: int, offset: int) -> None:
            # Of the open file description: no other descriptor's close takes it away, as with SQLite's.
            wanted = struct.pack("hhqqi", kind, os.SEEK_SET, offset, 1, 0)
            fcntl.fcntl(descriptor, fcntl.F_OFD_SETLK, wanted)

        def _is_locked(descriptor: int) -> bool:
            wanted = struct.pack("hhqqi", fcntl.F_WRLCK, os.SEEK_SET, _DATABASE_OFFSET, 1, 0)
            found: int = struct.unpack("hhqqi", fcntl.fcntl(descriptor, fcntl.F_OFD_GETLK, wanted))[0]
            return found != fcntl.F_UNLCK

        def _lock_database(descriptor: int) -> None:
            _set_lock(descriptor, fcntl.F_WRLCK, _DATABASE_OFFSET)

        def _unlock_database(descriptor: int) -> None:
            _set_lock(descriptor, fcntl.F_UNLCK, _DATABASE_OFFSET)
    else:

        def _lock_database(descriptor: int) -> None:
            """Elsewhere the lock of the resolved name, and this process's own list, have to do."""

        def _unlock_database(descriptor: int) -> None:
            """See ``_lock_database``."""


def _lock_claim(descriptor: int, offset: int, *, taken: bool) -> None:
    """Takes or gives back one claim's byte. Elsewhere this process's own list has to do: Windows takes no
    place so far behind the file."""
    if sys.platform == "linux":
        _set_lock(descriptor, fcntl.F_WRLCK if taken else fcntl.F_UNLCK, offset)


_NOT_SUPPORTED = (errno.EINVAL, errno.ENOSYS, getattr(errno, "EOPNOTSUPP", None))
"""Said by file systems without such locks, where the lock of the name has to do."""

FileId: TypeAlias = tuple[int, int]
"""Device and inode."""


@dataclass(slots=True)
class _OpenFile:
    """A database that this process uses: by how many connections, the descriptor that may be locked, and the
    places of the work in it that is claimed."""

    users: int = 0
    descriptor: int | None = None
    locked: bool = False
    claims: set[int] = field(default_factory=set)


_open_files: dict[FileId, _OpenFile] = {}
_open_files_lock = threading.RLock()


def use_file(path: Path) -> FileId:
    """Counts one more connection to the file at ``path``, until ``leave_file``."""
    found = path.stat()
    file = (found.st_dev, found.st_ino)
    with _open_files_lock:
        _open_files.setdefault(file, _OpenFile()).users += 1
    return file


def leave_file(file: FileId) -> None:
    """One connection less; with the last one goes the descriptor that was kept for its lock."""
    with _open_files_lock:
        held = _open_files[file]
        held.users -= 1
        if held.users == 0:
            del _open_files[file]
            if held.descriptor is not None:
                os.close(held.descriptor)


class FileLock:
    """Holds the database at ``path`` until closed; its folder and an empty file are made if missing.

    Args:
        path: of the database.
        started_at: seconds since 1970, to be told to whoever comes second.

    Raises:
        JournalError: another run holds it (``code`` "locked"), or the file cannot be written.
    """

    def __init__(self, path: Path, started_at: float) -> None:
        self._path = path
        real = Path(os.path.realpath(path))
        self._place = real.with_name(f"{real.name}.lock")
        self._name = self._lock_name(self._place)
        try:
            self._file = self._lock_file(real)
        except BaseException:
            _remove_name(self._name, self._place)
            raise
        started = datetime.fromtimestamp(started_at, UTC).isoformat(timespec="seconds")
        os.ftruncate(self._name, 0)
        os.write(self._name, json.dumps({"pid": os.getpid(), "started": started}).encode())

    def close(self) -> None:
        """Gives the locks back, and removes ``NAME.lock``."""
        with _open_files_lock:
            held = _open_files[self._file]
            held.locked = False
            if held.descriptor is not None:
                with suppress(OSError):
                    # Where there are no such locks there is nothing to give back.
                    _unlock_database(held.descriptor)
            leave_file(self._file)
        _remove_name(self._name, self._place)

    def _lock_name(self, place: Path) -> int:
        while True:
            try:
                place.parent.mkdir(parents=True, exist_ok=True)
                descriptor = os.open(place, os.O_RDWR | os.O_CREAT, 0o644)
            except OSError as error:
                raise self._unwritable(error) from error
            try:
                _lock_name(descriptor)
            except (BlockingIOError, PermissionError) as error:
                owner = _owner(descriptor)
                os.close(descriptor)
                raise self._locked(owner) from error
            except OSError as error:
                _remove_name(descriptor, place)
                raise self._no_locks(error) from error
            if _is_at(descriptor, place):
                return descriptor
            # The run that held it has removed it since it was opened.
            os.close(descriptor)

    def _lock_file(self, real: Path) -> FileId:
        with _open_files_lock:
            try:
                with suppress(FileExistsError):
                    os.close(os.open(real, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o644))
                file = use_file(real)
            except OSError as error:
                raise self._unwritable(error) from error
            try:
                self._take(_open_files[file], real)
            except BaseException:
                leave_file(file)
                raise
            return file

    def _take(self, held: _OpenFile, real: Path) -> None:
        if held.locked:
            raise self._locked("in this process, by another name of the file")
        try:
            if held.descriptor is None:
                held.descriptor = os.open(real, os.O_RDWR)
        except OSError as error:
            raise self._unwritable(error) from error
        try:
            _lock_database(held.descriptor)
        except (BlockingIOError, PermissionError) as error:
            raise self._locked("by another name of the file") from error
        except OSError as error:
            if error.errno not in _NOT_SUPPORTED:
                raise self._no_locks(error) from error
        held.locked = True

    def _locked(self, owner: str) -> JournalError:
        return JournalError(
            f"another run is using this journal ({owner})",
            cure="Wait for it to end or stop it; or choose another output.",
            subject=str(self._path),
            code="locked",
        )

    def _unwritable(self, error: OSError) -> JournalError:
        return JournalError(
            f"the journal's lock cannot be written: {(error.strerror or str(error)).lower()}",
            cure="Check that its folder can be made and written to.",
            subject=str(self._path),
        )

    def _no_locks(self, error: OSError) -> JournalError:
        return JournalError(
            f"the journal cannot be locked here: {(error.strerror or str(error)).lower()}",
            cure="Keep it on a file system with locks; most network shares have none.",
            subject=str(self._path),
        )


@contextmanager
def claimed(path: Path, work: str) -> Iterator[None]:
    """Holds one piece of work in a database that several runs share, so that no two pay for it.

    Args:
        path: of the database, which this process has open.
        work: its key, in hex.

    Raises:
        JournalError: another run holds it (``code`` "locked").
    """
    offset = _CLAIMS_OFFSET + int(work[:15], 16)
    real = Path(os.path.realpath(path))
    with _open_files_lock:
        file = use_file(real)
        held = _open_files[file]
        try:
            if offset in held.claims:
                raise BlockingIOError(errno.EAGAIN, "held in this process")
            if held.descriptor is None:
                held.descriptor = os.open(real, os.O_RDWR)
            _lock_claim(held.descriptor, offset, taken=True)
        except OSError as error:
            if error.errno not in _NOT_SUPPORTED:
                leave_file(file)
                raise JournalError(
                    "another run with this journal is at the same clip"
                    if isinstance(error, BlockingIOError | PermissionError)
                    else f"the journal cannot be locked here: {(error.strerror or str(error)).lower()}",
                    cure="Wait for it to end or stop it; or give another journal.",
                    subject=str(path),
                    code="locked",
                    scope="item",
                ) from error
        held.claims.add(offset)
    try:
        yield
    finally:
        with _open_files_lock:
            held.claims.discard(offset)
            if held.descriptor is not None:
                with suppress(OSError):
                    _lock_claim(held.descriptor, offset, taken=False)
            leave_file(file)


def refuse_folder(path: Path, title: str) -> None:
    """Raises JournalError where a folder stands in the place of a database of that kind."""
    if path.is_dir():
        raise JournalError(
            f"this is a folder, no {title}",
            cure="Give a file in it; it is made where there is none.",
            subject=str(path),
            code="is_a_folder",
        )


def check_free(path: Path) -> None:
    """Finds out ahead of a run whether another one holds the database at ``path``; nothing is made.

    Raises:
        JournalError: another run holds it, or it is a folder.
    """
    refuse_folder(path, "journal")
    if path.exists():
        FileLock(path, time.time()).close()


def holder(path: Path) -> str | None:
    """Which run holds the database at ``path``, as it says of itself; None where none does.

    No lock is taken, so a run that begins meanwhile meets none. Where the system has no way to look at a lock
    (all but Linux), the process that ``NAME.lock`` names is looked for instead, and on Windows the lock of
    that file is tried.
    """
    real = Path(os.path.realpath(path))
    held = _is_database_held(real)
    try:
        descriptor = os.open(real.with_name(f"{real.name}.lock"), os.O_RDWR)
    except OSError:
        return "by another name of the file" if held else None
    try:
        owner = _owner(descriptor)
        return owner if held or (held is None and _is_name_held(descriptor)) else None
    finally:
        os.close(descriptor)


if sys.platform == "linux":

    def _is_database_held(real: Path) -> bool | None:
        """None where it cannot be told."""
        with _open_files_lock, suppress(OSError):
            found = real.stat()
            use = _open_files.get((found.st_dev, found.st_ino))
            if use is None:
                # Nobody in this process uses the file, so closing this drops no lock.
                descriptor = os.open(real, os.O_RDONLY)
                try:
                    return _is_locked(descriptor)
                finally:
                    os.close(descriptor)
            if use.descriptor is not None:
                return use.locked or _is_locked(use.descriptor)
        return None
else:

    def _is_database_held(real: Path) -> bool | None:
        return None


if sys.platform == "win32":

    def _is_name_held(descriptor: int) -> bool:
        try:
            _lock_name(descriptor)
        except OSError:
            return True
        os.lseek(descriptor, _TEXT_OFFSET, os.SEEK_SET)
        msvcrt.locking(descriptor, msvcrt.LK_UNLCK, 1)
        return False
else:

    def _is_name_held(descriptor: int) -> bool:
        try:
            os.lseek(descriptor, 0, os.SEEK_SET)
            os.kill(int(json.loads(os.read(descriptor, 4096))["pid"]), 0)
        except PermissionError:
            return True  # it is there, and somebody else's
        except (OSError, ValueError, KeyError, TypeError, OverflowError):
            return False
        return True


def _is_at(descriptor: int, place: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), place.stat())
    except OSError:
        return False


def _owner(descriptor: int) -> str:
    try:
        os.lseek(descriptor, 0, os.SEEK_SET)
        owner = json.loads(os.read(descriptor, 4096))
        return f"pid {owner['pid']}, started {owner['started']}"
    except (OSError, ValueError, KeyError, TypeError):
        return "its pid is not written yet"
