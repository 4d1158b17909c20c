"""What every sink can do, and how one is filled from any run of results.

The rules: what ``write`` has returned from is accepted and is not lost by a later error; a ``write`` that
raises leaves the sink as it was before, so the same result can be written again when the cause is gone.
An error with scope "item" concerns that result only, and the sink goes on; with scope "job" every further
result would meet the same end.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Protocol, TypeAlias

from visionpipe.errors import OutputError
from visionpipe.results import ItemResult

Locate: TypeAlias = Callable[[str], Path | None]
"""From a result's ``source`` to its file; None where there is none."""


class Sink(Protocol):
    """A place results are written to."""

    @property
    def keeps_previous(self) -> bool:
        """True where an existing output is added to (JSONL, SQLite, sidecars), False where a new one takes
        its place at ``close``, so that all results must be written again (CSV, Parquet, HTML, shards)."""

    def write(self, result: ItemResult) -> None:
        """Take one result.

        Raises:
            OutputError: it could not be written.
        """

    def flush(self) -> None:
        """Hand everything accepted to the operating system, as far as the format allows.

        Raises:
            OutputError: there is no room.
        """

    def close(self) -> None:
        """Finish the output; it is complete afterwards. Twice is as good as once.

        Raises:
            OutputError: there is no room; the sink stays open and can be closed again.
        """

    def abort(self) -> None:
        """Give up: a new whole-file output is dropped and what was there before stays; what a sink that
        keeps its previous output has accepted stays too."""


def export(results: Iterable[ItemResult], sink: Sink) -> tuple[int, tuple[OutputError, ...]]:
    """Write all results and close the sink.

    Returns:
        How many were written, and the errors of those that could not be, each of one item.

    Raises:
        OutputError: with scope "job", after ``abort``.
    """
    written = 0
    refused: list[OutputError] = []
    try:
        for result in results:
            try:
                sink.write(result)
            except OutputError as error:
                if error.scope == "job":
                    raise
                refused.append(error)
            else:
                written += 1
        sink.close()
    except BaseException:
        sink.abort()
        raise
    return written, tuple(refused)
