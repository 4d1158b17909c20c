"""By what a file that was written is known again, and where another's goes that has to make way.

A mark is taken when a file is whole. A file carries its mark while size and time of change are as they were,
or, where only the time differs, while its bytes are; of a file above 64 MiB those at its beginning, middle
and end.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from visionpipe.files.writing import output_errors

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
    """As :func:`back_up`, but the file is moved away.

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
