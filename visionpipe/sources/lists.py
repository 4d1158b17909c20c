"""Lists of paths and URLs: .csv, .tsv, .jsonl and .txt files, and what another program pipes in.

A line that cannot be understood is an error that names the file and the line; none is guessed at.

A path is taken as it is, with its spaces and signs; relative ones begin at the current folder.
"""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path, PurePath
from typing import IO

from visionpipe.errors import ParameterError, UnreadableSourceError, VisionPipeError
from visionpipe.files import unreadable
from visionpipe.files.stores import scheme_of
from visionpipe.images.load import path_of_file_url
from visionpipe.sources.shards import stored
from visionpipe.sources.walking import FailedSource, Source

LIST_SUFFIXES = frozenset([".csv", ".tsv", ".jsonl", ".ndjson", ".txt", ".list"])

COLUMNS = (
    *("path", "file", "image", "url", "filename", "file_name", "filepath", "file_path"),
    *("image_path", "image_url", "location", "source", "src", "uri"),
)
"""Columns and keys taken for the path or URL, in this order, where none is chosen."""

_Row = tuple[int, dict[str, str]]
_ONLY = "path"  # what the one column of a plain list is called


class PathList:
    """One list file.

    Args:
        path: of the list; its suffix says how it is read.
        column: the column or key that holds paths or URLs; the first of ``COLUMNS`` there is if None.

    Raises:
        UnreadableSourceError: it cannot be opened, or its head is malformed.
        ParameterError: it has no such column.
    """

    def __init__(self, path: str, column: str | None = None) -> None:
        self._path = path
        self._folder = Path(path).absolute().parent
        self._column = column
        self._suffix = PurePath(path).suffix.lower()
        self._header: Sequence[str] = ()
        first = next(self._rows(), None)
        if first is not None or self._header:
            self._place(first[1] if first is not None else dict.fromkeys(self._header, ""), 1)

    @property
    def columns(self) -> frozenset[str] | None:
        """The columns beside the paths, which each item brings; None where each line has its own."""
        if self._suffix in (".jsonl", ".ndjson"):
            return None
        head = dict.fromkeys(self._header, "") or {_ONLY: ""}
        return frozenset(head) - {self._place(head, 1)}

    def sources(self, unique: Callable[[str, str], str]) -> Iterator[Source | FailedSource]:
        """One source a line, in the list's order; a name met before gets its line's number.

        Args:
            unique: (name, what to call it if that is taken) -> a name that nothing else has.

        Raises:
            UnreadableSourceError: a malformed line, when it is reached.
        """
        for line, row in self._rows():
            place = self._place(row, line)
            written = row.pop(place)
            if not written:
                raise self._malformed(line, f"the column {place} is empty")
            name = unique(written, f"{written} (line {line})")
            if scheme_of(written):
                yield stored(written, name, row)
                continue
            try:
                yield Source(name, self._located(written), row)
            except VisionPipeError as error:
                yield FailedSource(name, error)

    def _located(self, written: str) -> str:
        """Where an entry lies; one of a store fails alone, whatever else the list holds."""
        if written[:5].lower() == "data:" or is_link(written):
            return written
        return str(self._folder / local_path(written))

    def _place(self, row: dict[str, str], line: int) -> str:
        if self._column is not None:
            if self._column in row:
                return self._column
        else:
            lowered = {key.lower(): key for key in reversed(row)}
            for column in COLUMNS:
                if column in lowered:
                    return lowered[column]
        wanted = self._column or "path, file, image or url"
        raise ParameterError(
            f"line {line} has no column {wanted}; it has {', '.join(row) or 'none'}",
            cure="Say which column holds the paths or URLs (--column); a table's first line names them.",
            subject=self._path,
        )

    def _rows(self) -> Iterator[_Row]:
        try:
            with self._opened() as file:
                if self._suffix in (".csv", ".tsv"):
                    yield from self._table(file)
                elif self._suffix in (".jsonl", ".ndjson"):
                    yield from self._objects(file)
                else:
                    yield from _lines(file)
        except UnicodeDecodeError as error:
            raise UnreadableSourceError(
                f"the list is not UTF-8 text ({error.reason} at byte {error.start})",
                cure="Save it as UTF-8.",
                subject=self._path,
                code="bad_list",
                scope="job",
            ) from error
        except OSError as error:
            raise unreadable(error, self._path, self._path) from error

    def _opened(self) -> IO[str]:
        path = Path(self._path)
        with path.open("rb") as raw:
            wide = raw.read(2) in (b"\xff\xfe", b"\xfe\xff")
        return path.open(encoding="utf-16" if wide else "utf-8-sig", newline="")

    def _table(self, file: IO[str]) -> Iterator[_Row]:
        first = file.readline()
        file.seek(0)
        delimiter = "\t" if self._suffix == ".tsv" or ("\t" in first and "," not in first) else ","
        if delimiter == "," and "," not in first and ";" in first:
            delimiter = ";"  # as spreadsheets write where the comma marks decimals
        reader = csv.reader(file, delimiter=delimiter, strict=True)
        header: Sequence[str] | None = None
        while True:
            try:
                values = next(reader, None)
            except csv.Error as error:
                raise self._malformed(reader.line_num, str(error)) from error
            if values is None:
                return
            if not values:
                continue
            if header is None:
                header = self._header = [value.strip() for value in values]
                continue
            if len(values) > len(header):
                raise self._malformed(reader.line_num, f"{len(values)} values under {len(header)} columns")
            values += [""] * (len(header) - len(values))
            yield reader.line_num, dict(zip(header, values, strict=True))

    def _objects(self, file: IO[str]) -> Iterator[_Row]:
        for line, text in enumerate(file, 1):
            if not text.strip():
                continue
            try:
                value = json.loads(text)
            except ValueError as error:
                raise self._malformed(line, f"it is no JSON: {error}") from error
            if isinstance(value, str):
                value = {_ONLY: value}
            if not isinstance(value, dict):
                raise self._malformed(line, "it is neither a JSON object nor a text")
            yield line, {key: _as_text(field) for key, field in value.items()}

    def _malformed(self, line: int, reason: str) -> UnreadableSourceError:
        return UnreadableSourceError(
            f"line {line}: {reason}",
            cure="Correct that line.",
            subject=self._path,
            code="bad_list",
            scope="job",
        )


def _lines(file: IO[str]) -> Iterator[_Row]:
    for line, text in enumerate(file, 1):
        written = text.strip()
        if written and not written.startswith("#"):
            yield line, {_ONLY: written}


def _as_text(value: object) -> str:
    if isinstance(value, str):
        return value
    return "" if value is None else json.dumps(value, ensure_ascii=False)


def is_link(spec: str) -> bool:
    """Whether a source is a link, and no path."""
    return spec[:8].lower().startswith(("http://", "https://"))


def local_path(text: str) -> str:
    """``text`` as a path of this machine; what a ``file:`` URL names is one.

    Raises:
        UnreadableSourceError: a ``file:`` URL of another machine.
    """
    return path_of_file_url(text) if text[:7].lower() == "file://" else text


def piped_paths(data: bytes) -> Iterator[str]:
    """The paths in what came down a pipe, in order; empty ones are left out.

    Args:
        data: lines as of ``find -name``, or with a NUL anywhere as of ``find -print0``.
    """
    mark = b"\0" if b"\0" in data else b"\n"
    begin = 0
    while begin < len(data):
        end = data.find(mark, begin)
        end = len(data) if end < 0 else end
        piece = data[begin:end]
        begin = end + 1
        if mark == b"\n":
            piece = piece.removesuffix(b"\r")
        if piece:
            yield os.fsdecode(piece)
