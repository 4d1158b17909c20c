"""CSV: the columns of ``visionpipe.sinks.columns``, and those of ``visionpipe.sinks.fields``, under a
header line, in UTF-8.

The file is written beside its target and takes its place when it is whole. A null is an empty cell,
a boolean is true or false, a list is JSON.
"""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

from visionpipe.files import ReplacingFile
from visionpipe.results import ItemResult
from visionpipe.sinks.columns import COLUMNS, Value, plain_cell, to_row
from visionpipe.sinks.fields import fields_of


class CsvSink:
    """Writes one row a result.

    Args:
        path: the file to make or replace at ``close``.
        spreadsheet: an apostrophe stands before a text that a spreadsheet would run as a formula; False: the
            exact text, for programs.
        byte_order_mark: begin with one, by which Excel knows that the text is UTF-8.
        schema: of the results' structured data (a JSON Schema or a pydantic model): each of its fields gets a
            column after the fixed ones.

    Raises:
        OutputError: the file cannot be made.
        ParameterError: ``schema`` is no schema.
    """

    keeps_previous = False

    def __init__(
        self,
        path: str | Path,
        *,
        spreadsheet: bool = True,
        byte_order_mark: bool = False,
        schema: Any = None,
    ) -> None:
        self.path = Path(path)
        self._spreadsheet = spreadsheet
        self._fields = fields_of(schema)
        self._file = ReplacingFile(self.path)
        columns = (*COLUMNS, *(field.column for field in self._fields))
        header = _line(tuple(column.name for column in columns))
        self._file.add((b"\xef\xbb\xbf" if byte_order_mark else b"") + header)

    def write(self, result: ItemResult) -> None:
        row = (*to_row(result), *(field.cell(result.data) for field in self._fields))
        if self._spreadsheet:
            row = tuple(plain_cell(value) if isinstance(value, str) else value for value in row)
        self._file.add(_line(row))

    def flush(self) -> None:
        self._file.sync()

    def close(self) -> None:
        self._file.finish()

    def abort(self) -> None:
        if not self._file.closed:
            self._file.discard()


class FailuresSink(CsvSink):
    """Writes one row a failure: what failed, why, what to do, and whether it may pass by itself.

    Args:
        path, spreadsheet: as for ``CsvSink``.
    """

    HEADER = ("path", "error", "code", "reason", "cure", "retryable")

    def __init__(self, path: str | Path, *, spreadsheet: bool = True) -> None:
        self.path = Path(path)
        self._spreadsheet = spreadsheet
        self._file = ReplacingFile(self.path)
        self._file.add(_line(self.HEADER))

    def write(self, result: ItemResult) -> None:
        failure = result.failure
        if failure is None:
            return
        texts = (result.source, failure.error, failure.code, failure.reason, failure.cure)
        row = tuple(map(plain_cell, texts)) if self._spreadsheet else texts
        self._file.add(_line((*row, failure.retryable)))


def _line(values: tuple[Value, ...]) -> bytes:
    text = io.StringIO()
    cells = [("true" if value else "false") if isinstance(value, bool) else value for value in values]
    csv.writer(text, lineterminator="\n").writerow(cells)
    return text.getvalue().encode()
