"""Rows on a disk of this machine, on their way into a directory of parts: what a writer that was killed has
left there, the next one sends first.

A row is committed when ``Outbox.add`` returns. It is told which part it goes into before that is stored, and
removed after, so that a part is stored again whole, under its own name, or not at all.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from visionpipe.errors import JournalError
from visionpipe.store.database import Database, Schema

OUTBOX = Schema(
    "outbox",
    0x56504F42,
    ("CREATE TABLE unsent (number INTEGER PRIMARY KEY, part TEXT, row BLOB NOT NULL);",),
)
"""The application_id is "VPOB"."""

_SUFFIX = ".unsent"


class Outbox:
    """One writer's rows that are not stored yet.

    Args:
        folder: on a disk that outlasts the writer.
        address: of the directory of parts; what is on its way to another stays where it is.
        writer: its name.
        schema: of the rows.

    Raises:
        JournalError: the folder cannot be written, or its disk knows no locks.
    """

    def __init__(self, folder: Path, address: str, writer: str, schema: pa.Schema) -> None:
        self._folder = folder / hashlib.blake2b(address.rstrip("/").encode(), digest_size=8).hexdigest()
        self._rows = schema
        self._path = self._folder / (writer + _SUFFIX)
        self._database = Database(self._path, OUTBOX)
        self._left: list[tuple[Path, Database]] = []

    def left(self, name: str) -> Iterator[tuple[str, list[dict[str, Any]]]]:
        """(part, its rows) for all that earlier writers left unsent; a part goes when the next is asked for.

        Args:
            name: of parts for rows that had none yet; a number is put after it.
        """
        number = 0
        for path in sorted(self._folder.glob(f"*{_SUFFIX}")):
            if path == self._path:
                continue
            try:
                database = Database(path, OUTBOX)
            except JournalError as error:
                if error.code == "locked":
                    continue  # its writer is at work
                raise
            try:
                database.write(
                    ("UPDATE unsent SET part = ? WHERE part IS NULL", (f"{name}{number:06}.parquet",))
                )
                parts = [str(row["part"]) for row in database.all("SELECT DISTINCT part FROM unsent")]
                for part in parts:
                    found = database.all("SELECT row FROM unsent WHERE part = ? ORDER BY number", (part,))
                    yield part, [self._decoded(row["row"]) for row in found]
                    database.write(("DELETE FROM unsent WHERE part = ?", (part,)))
            finally:
                database.close()
            path.unlink()
            number += 1

    def add(self, number: int, row: dict[str, Any]) -> None:
        """Keeps a row; committed when this returns.

        Raises:
            JournalError: the disk is full or fails.
        """
        batch = pa.RecordBatch.from_pylist([row], self._rows)
        self._database.write(
            ("INSERT INTO unsent VALUES (?, NULL, ?)", (number, batch.serialize().to_pybytes()))
        )

    def sending(self, numbers: Sequence[int], part: str) -> None:
        """Notes which part rows go into."""
        self._database.write(
            *(("UPDATE unsent SET part = ? WHERE number = ?", (part, number)) for number in numbers)
        )

    def sent(self, part: str) -> None:
        """Forgets the rows of a part that is stored."""
        self._database.write(("DELETE FROM unsent WHERE part = ?", (part,)))

    def check_room(self) -> None:
        """Raises JournalError where there would be no room for another row."""
        self._database.check_room()

    def close(self) -> None:
        """Lets go; the file goes too where nothing is left in it."""
        empty = self._database.one("SELECT 1 FROM unsent LIMIT 1") is None
        self._database.close()
        if empty:
            self._path.unlink()

    def _decoded(self, data: bytes) -> dict[str, Any]:
        batch = pa.ipc.read_record_batch(pa.py_buffer(data), self._rows)
        found: dict[str, Any] = batch.to_pylist()[0]
        return found
