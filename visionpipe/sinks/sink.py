"""What every sink can do, how one is filled from any run of results, and a result as JSON bytes.

Whatever a file name holds can be written. A name that is not UTF-8 reaches Python with lone
surrogates, which are written as JSON escapes, and read back as they were.

What ``write`` has returned from is accepted and is not lost by a later error; a ``write`` that
raises leaves the sink as it was before, so the same result can be written again when the cause is gone.
An error with scope "item" concerns that result only, and the sink goes on; with scope "job" every further
result would meet the same end.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Protocol, TypeAlias

import orjson

from visionpipe.errors import OutputError
from visionpipe.results import ItemResult

_LONG, _LONG_BYTES = re.compile(r"\d{19}"), re.compile(rb"\d{19}")


def dump(record: Any, *, indent: bool = False) -> bytes:
    """The record as JSON, without a line end."""
    try:
        return orjson.dumps(record, option=orjson.OPT_INDENT_2 if indent else 0)
    except TypeError:  # lone surrogates and whole numbers of more than 64 bits, which orjson refuses
        text = json.dumps(record, indent=2 if indent else None, separators=None if indent else (",", ":"))
        return text.encode("ascii")


def load(data: bytes | str) -> Any:
    """The record; raises ValueError where it is no JSON."""
    if _LONG.search(data) if isinstance(data, str) else _LONG_BYTES.search(data):
        # orjson makes a float of it.
        return json.loads(data)
    try:
        return orjson.loads(data)
    except ValueError:
        return json.loads(data)


def load_result(data: bytes | str) -> ItemResult:
    """The result in one JSON object.

    Raises:
        ValueError: it holds none.
    """
    try:
        return ItemResult.from_json(load(data))
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"not a result: {error!r}") from error


def encodable(text: str) -> str:
    """The text with lone surrogates written out (``\\udcff``), so that any format can hold it."""
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode("utf-8")


def missing_image(source: str, error: OSError | None) -> OutputError:
    """The error for an item whose image is not at hand, or, with ``error``, cannot be read."""
    return OutputError(
        f"its image cannot be read ({error})" if error else "its image is not at hand",
        cure="Give the folder the images are in.",
        subject=source,
        code="source_missing",
        scope="item",
    )


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
