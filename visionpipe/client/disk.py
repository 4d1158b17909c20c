"""Files that go to the service and come from it: one to send, one to receive, and batch files line by line.

What is written stands on the disk whole or not at all, a received file as well as a batch's line,
and nothing is ever whole in memory.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

from visionpipe.errors import VisionPipeError
from visionpipe.files import output_error, output_errors
from visionpipe.files import whole_file as whole_path
from visionpipe.transport.body import iterate
from visionpipe.wire.http import Body


@contextmanager
def whole_file(path: str) -> Iterator[BinaryIO]:
    """A file to write, which appears under its name when it is whole; what broke off leaves nothing.

    Raises:
        OutputError: it cannot be written.
    """
    target = Path(path)
    with whole_path(target, make_folder=False) as draft, output_errors(target), draft.open("wb") as file:
        yield file


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
            raise output_error(path, error) from error

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
            raise output_error(self.path, error) from error
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
            raise output_error(self.path, error) from error

    def close(self) -> None:
        """Everything is on the disk when this returns."""
        try:
            with self._file as file:
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise output_error(self.path, error) from error

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
