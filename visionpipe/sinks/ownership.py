"""Whose an output is: one rule for every sink, and what is done with somebody else's file.

A file is ours where a record of what was written knows its bytes. A file of which there is no record, since
an older release or a sink without one wrote it, is ours where it bears the signs of its kind (a table's own
columns, say); a sidecar, where it is byte for byte what would be written. Everything else, and what was
edited since it was written, is somebody else's: it is kept, or, where that is asked for, makes way and stays
beside the new one as a numbered backup.
"""

from __future__ import annotations

import sqlite3
import tarfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol, TypeAlias, runtime_checkable

from visionpipe.errors import OutputError, ParameterError
from visionpipe.files import FileMark, back_up, carries, mark_file, output_errors, resolve_link, set_aside
from visionpipe.results import ItemResult
from visionpipe.sinks.columns import COLUMNS
from visionpipe.sinks.csv import FailuresSink
from visionpipe.sinks.sink import Sink, load_result

Existing: TypeAlias = Literal["keep", "overwrite", "append", "prepend"]
"""What to do where somebody else's file is in the way. ``keep`` it; ``overwrite`` it and leave a numbered
backup; for text sidecars also ``append`` to its text or ``prepend`` before it."""

EXISTING: tuple[Existing, ...] = ("keep", "overwrite", "append", "prepend")
JOINED: tuple[Existing, ...] = ("append", "prepend")
FOREIGN = "foreign_output"
"""The code of the error for an output that is somebody else's."""
COLLISION = "collision"
"""The code of the error for images whose sidecars would be one file."""


def chosen_existing(word: str) -> Existing:
    """The policy of that name.

    Raises:
        ParameterError: there is none.
    """
    for existing in EXISTING:
        if word == existing:
            return existing
    raise ParameterError(
        f"{word!r} is no way to treat what is there",
        cure="Use keep, overwrite, append or prepend.",
        subject="--existing",
    )


@dataclass(frozen=True, slots=True)
class Written:
    """One file that was written.

    Attributes:
        mark: by which it is known again.
        around: of a text sidecar that was joined with somebody else's text: "append" or "prepend", and that
            text.
    """

    mark: FileMark
    around: tuple[Existing, str] | None = None


class WrittenRecord(Protocol):
    """Remembers what was written, by absolute path."""

    def find(self, place: Path) -> Written | None:
        """What was written there last."""

    def remember(self, place: Path, written: Written) -> None:
        """Something was written there, or is about to be."""

    def earlier(self, source: str) -> Iterable[ItemResult]:
        """Every answer that is known for an item, whatever was asked."""


class MemoryRecord:
    """Remembers for as long as the program runs."""

    def __init__(self) -> None:
        self._written: dict[Path, Written] = {}

    def find(self, place: Path) -> Written | None:
        return self._written.get(place)

    def remember(self, place: Path, written: Written) -> None:
        self._written[place] = written

    def earlier(self, source: str) -> Iterable[ItemResult]:
        return ()


def recorded_as_ours(place: Path, record: WrittenRecord) -> bool | None:
    """Whether the record knows the file at ``place``: True; False where it was changed since; None where
    there is no record of it.

    Raises:
        OutputError: it cannot be read.
    """
    written = record.find(place)
    if written is None:
        return None
    with output_errors(place):
        return carries(place, written.mark)


def place_of(path: Path) -> Path:
    """The absolute place of the file that ``path`` stands for."""
    return resolve_link(path).absolute()


def refuse_foreign(kind: str, path: Path, record: WrittenRecord) -> None:
    """Make sure that a table, archive or page in this place is ours to replace.

    Args:
        kind: of the output, as in ``-o KIND:PLACE``.
        path: of the file, or of the shards' common name.
        record: of what was written.

    Raises:
        OutputError: (``code`` "foreign_output") it is somebody else's, or was edited.
    """
    for file in _files(kind, path):
        why = _foreign(kind, file, record)
        if why is not None:
            raise OutputError(
                f"it is there, and {why}",
                cure="Choose another name, or give --existing overwrite, which keeps a backup of it.",
                subject=str(file),
                code=FOREIGN,
            )


def foreign_files(kind: str, path: Path, record: WrittenRecord) -> list[Path]:
    """Those files of an output that are somebody else's, or were edited."""
    return [file for file in _files(kind, path) if _foreign(kind, file, record) is not None]


def _foreign(kind: str, file: Path, record: WrittenRecord) -> str | None:
    place = place_of(file)
    if not place.is_file() or not place.stat().st_size:
        return None
    ours = recorded_as_ours(place, record)
    if ours is None:
        with output_errors(file):
            ours = _SIGNS.get(kind, _never)(place)
        return None if ours else "no job of visionpipe made it"
    return None if ours else "somebody changed it since a job wrote it"


def first_file(kind: str, path: Path) -> Path:
    """The file of an output that is written whatever its results."""
    return path.with_name(f"{path.stem}-{0:06d}.tar") if kind == "webdataset" else path


def _files(kind: str, path: Path) -> Iterator[Path]:
    if kind != "webdataset":
        yield path
        return
    number = 0
    while (shard := path.with_name(f"{path.stem}-{number:06d}.tar")).exists():
        yield shard
        number += 1


def _is_jsonl(path: Path) -> bool:
    with path.open("rb") as file:
        for line in file:
            try:
                load_result(line)
            except ValueError:
                return not line.endswith(b"\n") and line.startswith(b'{"path":')  # torn by a kill
    return True


def _is_csv(path: Path) -> bool:
    return _begins_with(path, [column.name for column in COLUMNS])


def _is_failures(path: Path) -> bool:
    return _begins_with(path, FailuresSink.HEADER)


def _begins_with(path: Path, names: Sequence[str]) -> bool:
    header = ",".join(names).encode()
    with path.open("rb") as file:
        return file.read(len(header) + 3).removeprefix(b"\xef\xbb\xbf").startswith(header)


def _is_parquet(path: Path) -> bool:
    # The schema's metadata stands in the footer, in plain bytes.
    with path.open("rb") as file:
        size = file.seek(0, 2)
        file.seek(max(0, size - (1 << 20)))
        tail = file.read()
        return tail.endswith(b"PAR1") and b"visionpipe.schema" in tail


def _is_database(path: Path) -> bool:
    try:
        with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as database:
            found = database.execute(
                "SELECT count(*) FROM sqlite_master WHERE name IN ('results', 'results_columns')"
            )
            return bool(found.fetchone()[0] == 2)
    except sqlite3.Error:
        return False


def _is_page(path: Path) -> bool:
    with path.open("rb") as file:
        return b'<script type="application/json" id="items">' in file.read(1 << 16)


def _is_shard(path: Path) -> bool:
    try:
        with tarfile.open(path, "r:") as archive:
            names = [member.name for member, _ in zip(archive, range(3), strict=False)]
            if not names:
                return True
            described = archive.extractfile(f"{names[0].partition('.')[0]}.json")
            return described is not None and bool(load_result(described.read()))
    except (tarfile.TarError, KeyError, ValueError):
        return False


def _never(path: Path) -> bool:
    """Only a record knows such a file for ours: other programs write the same."""
    return False


_SIGNS: Mapping[str, Callable[[Path], bool]] = {
    "jsonl": _is_jsonl,
    "csv": _is_csv,
    "failures": _is_failures,
    "parquet": _is_parquet,
    "sqlite": _is_database,
    "html": _is_page,
    "webdataset": _is_shard,
    "kohya": _never,
    "imagefolder": _never,
    "pairs": _never,
    "timeline": _never,
}


@runtime_checkable
class Removing(Protocol):
    """A sink that items can be taken out of again."""

    def remove(self, sources: Iterable[str]) -> None:
        """Take the items' rows out."""


class OwnedSink:
    """A table, archive or page that takes nobody else's place, and is remembered when it is whole.

    Args:
        kind, path: as for ``refuse_foreign``.
        open_inner: opens the sink that writes it.
        grows: the sink adds to what is there.
        record: of what was written.
        existing: "overwrite" lets somebody else's file make way; every other policy keeps it.
        include_skipped: skipped items are written too.

    Raises:
        OutputError: it is somebody else's and is kept, or it cannot be opened.
    """

    def __init__(
        self,
        kind: str,
        path: Path,
        open_inner: Callable[[], Sink],
        grows: bool,
        record: WrittenRecord,
        existing: Existing,
        include_skipped: bool,
    ) -> None:
        self._kind, self._path = kind, path
        self._record = record
        self._include_skipped = include_skipped
        self._closed = False
        if existing != "overwrite":
            refuse_foreign(kind, path, record)
        self._replaced = foreign_files(kind, path, record)
        if grows:
            # It would be added to, so it goes first.
            for file in self._replaced:
                set_aside(place_of(file))
            self._replaced = []
        self.inner = open_inner()
        if self.inner.keeps_previous:
            self._remember(begun=True)

    @property
    def keeps_previous(self) -> bool:
        return self.inner.keeps_previous

    def write(self, result: ItemResult) -> None:
        if self._include_skipped or result.outcome.value != "skipped":
            self.inner.write(result)

    def flush(self) -> None:
        self.inner.flush()

    def close(self) -> None:
        if self._closed:
            return
        if not self.inner.keeps_previous:
            for file in self._replaced:
                back_up(place_of(file))
            self._replaced = []
        self.inner.close()
        self._remember(begun=False)
        self._closed = True

    def abort(self) -> None:
        self.inner.abort()
        if self.inner.keeps_previous and not self._closed:
            self._remember(begun=False)

    def remove(self, sources: Iterable[str]) -> None:
        """Take items out of an output that is added to.

        Raises:
            OutputError: it cannot be written.
        """
        if isinstance(self.inner, Removing):
            self.inner.remove(sources)

    def _remember(self, *, begun: bool) -> None:
        for file in _files(self._kind, self._path):
            place = place_of(file)
            if place.is_file():
                with output_errors(place):
                    self._record.remember(place, Written(FileMark.begun() if begun else mark_file(place)))
