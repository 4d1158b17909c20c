"""Batch files on disk: written line by line, and their results read line by line, in constant memory.

A line stands in the file whole or not at all.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

from visionpipe.errors import OutputError, VisionPipeError
from visionpipe.transport.body import iterate
from visionpipe.wire.http import Body


class BatchFile:
    """A file of lines that is being written.

    Args:
        path: made anew.

    Raises:
        OutputError: it cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.lines = 0
        self.size = 0
        try:
            self._file = path.open("wb")
        except OSError as error:
            raise _unwritable(path, error) from error

    def add(self, line: Body) -> None:
        """Write one line.

        Raises:
            UnreadableSourceError: a file in it vanished or changed; the line is not in the file then.
            OutputError: the disk is full or fails; the file is of no use then.
        """
        try:
            for chunk in iterate(line):
                self._file.write(chunk)
        except OSError as error:
            raise _unwritable(self.path, error) from error
        except VisionPipeError:
            self._take_back()
            raise
        self.lines += 1
        self.size += line.size

    def _take_back(self) -> None:
        """Remove what was written of a line."""
        try:
            self._file.seek(self.size)
            self._file.truncate()
        except OSError as error:
            raise _unwritable(self.path, error) from error

    def close(self) -> None:
        """Everything is on the disk when this returns."""
        try:
            with self._file as file:
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise _unwritable(self.path, error) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def lines_of(path: Path) -> Iterator[bytes]:
    """The file's lines without their ends; empty ones are passed over. Only LF ends a line."""
    with path.open("rb") as file:
        for line in file:
            stripped = line.strip()
            if stripped:
                yield stripped


def _unwritable(path: Path, error: OSError) -> OutputError:
    return OutputError(
        f"the batch file cannot be written: {(error.strerror or str(error)).lower()}",
        cure="Make space on the disk, or choose another folder; then run again.",
        subject=str(path),
        code="disk_full" if error.errno in (errno.ENOSPC, errno.EDQUOT) else None,
    )
