"""JSON Lines: one result a line, as ``ItemResult.to_json`` gives it.

Every line is whole. A line torn by a kill is cut off when the file is opened again, and a line that
found no room is taken back at once.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from visionpipe.errors import OutputError
from visionpipe.files import GrowingFile, ReplacingFile, output_errors
from visionpipe.results import ItemResult
from visionpipe.sinks.sink import dump, load, load_result

_BLOCK = 1 << 16


class JsonlSink:
    """Adds lines to a file.

    A result is with the operating system when ``write`` returns, so the end of the process loses nothing.

    Args:
        path: the file; what is there stays.
        sync_every: how many results may be lost when the machine itself goes down; 1 is slow, 0 leaves it
            to the operating system until ``close``.
        start_over: a new file, which takes the old one's place at ``close``.

    Raises:
        OutputError: the file cannot be opened, or holds something else than JSON lines.
    """

    def __init__(self, path: str | Path, *, sync_every: int = 64, start_over: bool = False) -> None:
        self.path = Path(path)
        self.keeps_previous = not start_over
        self._file: GrowingFile
        if start_over:
            self._file = ReplacingFile(self.path)
            return
        self._file = GrowingFile(self.path, keep=True, sync_every=sync_every)
        try:
            self._cut_torn_line()
        except BaseException:
            self._file.close()
            raise

    def write(self, result: ItemResult) -> None:
        self._file.add(dump(result.to_json()) + b"\n")

    def flush(self) -> None:
        self._file.sync()

    def close(self) -> None:
        if isinstance(self._file, ReplacingFile):
            self._file.finish()
        else:
            self._file.close()

    def abort(self) -> None:
        if isinstance(self._file, ReplacingFile) and not self._file.closed:
            self._file.discard()
        else:
            self._file.close()

    def _cut_torn_line(self) -> None:
        span = _BLOCK
        while self._file.size:
            tail = self._file.read_tail(span)
            end = tail.rfind(b"\n") + 1
            if end == 0 and len(tail) < self._file.size:
                span *= 4
                continue
            torn = tail[end:]
            if torn and not torn.lstrip().startswith(b"{"):
                raise OutputError(
                    "the file is there and does not hold JSON lines",
                    cure="Choose another name for the output.",
                    subject=str(self.path),
                    code="not_jsonl",
                )
            if torn and _is_whole(torn):
                self._file.add(b"\n")  # whole, but for its line end
            elif torn:
                self._file.cut(self._file.size - len(torn))
            return


def read_jsonl(path: str | Path) -> Iterator[ItemResult]:
    """The results in a JSONL file, in order; a torn last line is left out.

    Raises:
        OutputError: the file cannot be read, or another line than the last is broken.
    """
    path = Path(path)
    with output_errors(path), path.open("rb") as file:
        for number, line in enumerate(file, 1):
            try:
                yield load_result(line)
            except ValueError as error:
                if not line.endswith(b"\n"):
                    return
                raise OutputError(
                    f"line {number} holds no result",
                    cure="Rebuild the file with visionpipe export.",
                    subject=str(path),
                    code="not_jsonl",
                    scope="item",
                ) from error


def _is_whole(line: bytes) -> bool:
    try:
        load(line)
    except ValueError:
        return False
    return True
