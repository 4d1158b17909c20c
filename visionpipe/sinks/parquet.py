"""Parquet: the columns of ``visionpipe.sinks.columns``, and those of ``visionpipe.sinks.fields``,
typed, in row groups.

Memory holds one row group, whatever the count, and the file takes its target's place when it is
whole. Each field carries its unit and meaning as metadata. Needs the extra ``parquet``.
"""

from __future__ import annotations

import io
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from visionpipe.errors import missing_extra
from visionpipe.files import ReplacingFile
from visionpipe.results import ItemResult
from visionpipe.sinks.columns import COLUMNS, SCHEMA_VERSION, Column, Value, to_row
from visionpipe.sinks.fields import fields_of

if TYPE_CHECKING:
    import pyarrow as pa


class ParquetSink:
    """Writes one row a result.

    Args:
        path: the file to make or replace at ``close``.
        rows_per_group: rows held in memory and written together.
        schema: of the results' structured data (a JSON Schema or a pydantic model): each of its fields gets a
            column after the fixed ones; a list of texts, numbers or booleans becomes a list column.

    Raises:
        ConfigurationError: pyarrow is not installed.
        ParameterError: ``schema`` is no schema.
        OutputError: the file cannot be made.
    """

    keeps_previous = False

    def __init__(self, path: str | Path, *, rows_per_group: int = 2_000, schema: Any = None) -> None:
        try:
            import pyarrow.parquet as pq
        except ImportError as error:
            raise missing_extra("writing Parquet needs pyarrow", "parquet", subject=str(path)) from error
        self.path = Path(path)
        self._rows_per_group = rows_per_group
        self._rows: list[tuple[Value | list[Value], ...]] = []
        self._fields = fields_of(schema)
        self._columns = (*COLUMNS, *(field.column for field in self._fields))
        self._schema = _schema(self._columns)
        self._file = ReplacingFile(self.path)
        # pyarrow writes into memory and the file takes it from there, so that a full disk can be met
        # without leaving the writer in the middle of a row group.
        self._outbox = _Outbox()
        self._writer: pq.ParquetWriter | None = pq.ParquetWriter(
            self._outbox, self._schema, compression="zstd"
        )

    def write(self, result: ItemResult) -> None:
        if len(self._rows) >= self._rows_per_group:
            self._write_group()
        self._rows.append((*to_row(result), *(field.value(result.data) for field in self._fields)))

    def flush(self) -> None:
        """Pass on what is encoded; a row group that is not full waits in memory."""
        self._drain()
        self._file.sync()

    def close(self) -> None:
        if self._file.closed:
            return
        self._write_group()
        if self._writer is not None:
            self._writer.close()
            self._writer = None
        self._drain()
        self._file.finish()

    def abort(self) -> None:
        if not self._file.closed:
            self._file.discard()

    def _write_group(self) -> None:
        import pyarrow as pa

        self._drain()
        if self._rows and self._writer is not None:
            arrays = [
                pa.array([_typed(column.kind, value) for value in values], type=field.type)
                for column, field, values in zip(
                    self._columns, self._schema, zip(*self._rows, strict=True), strict=True
                )
            ]
            self._writer.write_table(pa.Table.from_arrays(arrays, schema=self._schema))
            self._rows = []
            self._drain()

    def _drain(self) -> None:
        if self._outbox.pending:
            self._file.add(self._outbox.pending)
            self._outbox.pending = bytearray()


class _Outbox(io.RawIOBase):
    """A file for pyarrow that keeps what is written until it is taken away."""

    def __init__(self) -> None:
        self.pending = bytearray()
        self._position = 0

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        view = memoryview(data)
        self.pending += view
        self._position += view.nbytes
        return view.nbytes

    def tell(self) -> int:
        return self._position


def _schema(columns: tuple[Column, ...]) -> pa.Schema:
    import pyarrow as pa

    types = {
        "text": pa.string(),
        "json": pa.string(),
        "integer": pa.int64(),
        "boolean": pa.bool_(),
        "real": pa.float64(),
        "decimal": pa.decimal128(38, 18),
    }
    return pa.schema(
        [
            pa.field(
                column.name,
                types[column.kind] if column.items is None else pa.list_(types[column.items]),
                metadata={"unit": column.unit, "meaning": column.meaning},
            )
            for column in columns
        ],
        metadata={"visionpipe.schema": str(SCHEMA_VERSION)},
    )


def _typed(kind: str, value: Value | list[Value]) -> Value | list[Value] | Decimal:
    return Decimal(value) if kind == "decimal" and isinstance(value, str) else value
