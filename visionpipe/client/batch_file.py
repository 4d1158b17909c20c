"""A batch file of your own: requests as lines of JSON, written a line at a time and never whole in memory."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Self

from visionpipe.files import GrowingFile
from visionpipe.transport.body import iterate
from visionpipe.wire.http import Body


class BatchFile(GrowingFile):
    """A file of lines that is being written; ``lines`` and ``size`` (bytes) say how far it is.

    Args:
        path: made anew.

    Raises:
        OutputError: it cannot be written.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path, make_folder=False)
        self.lines = 0
        self._unsynced = 1  # all of it is on the disk once it is closed

    def add_line(self, line: Body) -> None:
        """Write one line, whole or not at all.

        Raises:
            UnreadableSourceError: a file in it vanished or changed.
            OutputError: the disk is full or fails; the file is of no use then.
        """
        self.add_pieces(iterate(line))
        self.lines += 1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
