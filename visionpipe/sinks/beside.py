"""What a job answered, put beside what it was asked about: the source's tables with columns more, and its tar
shards with a file more beside each picture.

File by file, in their order, in the memory of a few rows; everything that was there stays as it was. A file
is written whole or not at all, and never takes another's place unasked.
"""

from __future__ import annotations

import tarfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import PurePosixPath
from typing import IO, TYPE_CHECKING, Any

from visionpipe.errors import (
    OutputError,
    ParameterError,
    VisionPipeError,
)
from visionpipe.files.stores import Store
from visionpipe.results import ItemResult, Outcome
from visionpipe.sinks.sink import dump, encodable
from visionpipe.sources.shards import TABLES, TARS, Unit, is_picture, members_of, table_batches
from visionpipe.stages.plain_text import PLAIN, TextForm, plain_text

if TYPE_CHECKING:
    import pyarrow as pa

_GROUP_BYTES = 16 << 20
NOT_ASKED = "not asked"


@dataclass(slots=True)
class Beside:
    """One file as it was written: how many of its rows or pictures have an answer, failed, were skipped or
    never asked about (``ends``). ``kept``: one was there already, and stayed; ``backup``: it was kept so."""

    name: str
    ends: Counter[str] = field(default_factory=Counter)
    kept: bool = False
    backup: str = ""


def write_beside(
    units: Sequence[Unit],
    store: Store,
    answer: Callable[[str], ItemResult | None],
    *,
    name: str | None = None,
    form: TextForm = PLAIN,
    overwrite: bool = False,
) -> Iterator[Beside]:
    """Writes each of ``units`` again, with the answers in it; gives each as it is stored.

    Args:
        units: tables and tar shards.
        store: where they go, under the names they have below the folder that they share.
        answer: from an item's name to its result, None where it was never asked about.
        name: in tables, what the new columns begin with (default ``caption``); in shards, the ending of the
            new files (default ``txt``): with ``json``, or one that ends so, they hold the whole result.
        form: how answers become text in shards.
        overwrite: what is there already is written anew, and leaves a numbered backup; else it is kept.

    Raises:
        ParameterError: a unit that is neither a table nor a shard, or a column that the source has already.
        OutputError: a file cannot be written, would take its source's place, or a shard has such a file
            beside a picture.
        UnreadableSourceError: a source breaks off.
    """
    targets = _targets(units)
    for unit, target in zip(units, targets, strict=True):
        if not unit.name.lower().endswith(TARS + TABLES):
            raise ParameterError(
                "nothing can be put beside what is no table and no shard",
                cure="Name .parquet, .arrow, .feather or .tar files; of others export a table.",
                subject=unit.address,
            )
        if f"{store.address.rstrip('/')}/{target}" == unit.address:
            raise OutputError(
                "it would take its source's place", cure="Give another folder.", subject=unit.address
            )
    store.prove()
    there = {found.name for found in store.find()}
    for unit, target in zip(units, targets, strict=True):
        if target in there and not overwrite:
            yield Beside(target, kept=True)
            continue
        backup = store.back_up(target) if target in there else ""
        with store.writing(target) as out:
            if unit.name.lower().endswith(TARS):
                ends = _shard(unit, out, answer, name or "txt", form)
            else:
                ends = _table(unit, out, answer, name or "caption")
        yield Beside(target, ends, backup=backup)


def _targets(units: Sequence[Unit]) -> list[str]:
    """The units' names below the longest folder that all share."""
    split = [unit.address.split("/") for unit in units]
    shared = 0
    while len({tuple(parts[: shared + 1]) for parts in split}) == 1 and all(
        len(parts) > shared + 1 for parts in split
    ):
        shared += 1
    return ["/".join(parts[shared:]) for parts in split]


def _end(result: ItemResult | None) -> str:
    return NOT_ASKED if result is None else result.outcome.value


def _shard(
    unit: Unit, out: IO[bytes], answer: Callable[[str], ItemResult | None], name: str, form: TextForm
) -> Counter[str]:
    ends = Counter[str]()
    whole = name.rpartition(".")[2].lower() == "json"
    mode: Any = "w|" if unit.name.lower().endswith(".tar") else "w|gz"
    sample, made, others = "", set[str](), set[str]()
    with tarfile.open(fileobj=out, mode=mode, format=tarfile.PAX_FORMAT) as archive:

        def add(member: tarfile.TarInfo, data: bytes | None) -> None:
            archive.addfile(member, None if data is None else BytesIO(data))
            archive.members = []  # type: ignore[attr-defined]  # else the list grows with the tar

        for member, data in members_of(unit):
            if isinstance(data, VisionPipeError):
                raise data
            folder, _, last = member.name.rpartition("/")
            if (at := f"{folder}/{last.partition('.')[0]}") != sample:
                sample, made, others = at, set(), set()
            add(member, data)
            others.add(member.name)
            if data is not None and is_picture(member.name, data):
                result = answer(f"{unit.address}/{member.name}")
                ends[_end(result)] += 1
                beside = f"{member.name.removesuffix(PurePosixPath(member.name).suffix)}.{name}"
                made.add(beside)
                text = _text(result, form, whole=whole)
                if text is not None:
                    more = tarfile.TarInfo(beside)
                    more.size, more.mode, more.mtime = len(text), 0o644, member.mtime
                    add(more, text)
            if made & others:
                raise OutputError(
                    f"the shard has a {min(made & others)} of its own",
                    cure="Give the new files another ending, such as --field caption.txt.",
                    subject=unit.address,
                )
    return ends


def _text(result: ItemResult | None, form: TextForm, *, whole: bool) -> bytes | None:
    """What stands beside a picture; None where there is nothing to say."""
    if result is None:
        return None
    if whole:
        return dump(result.to_json())
    if result.outcome is not Outcome.DONE:
        return None
    return encodable(plain_text(result.caption or "", result.data, form).text).encode()


def _table(unit: Unit, out: IO[bytes], answer: Callable[[str], ItemResult | None], name: str) -> Counter[str]:
    import pyarrow as pa

    ends = Counter[str]()
    number = 0
    with table_batches(unit) as (batches, schema), ExitStack() as closing:
        more = _columns(name)
        taken = sorted({each.name for each in more} & set(schema.names))
        if taken:
            raise ParameterError(
                f"it has a column {taken[0]} of its own",
                cure="Let the new columns begin with another word: --field WORD.",
                subject=unit.address,
            )
        whole = pa.schema([*schema, *more], schema.metadata)
        write = _writer(unit, out, whole, closing)
        for batch in batches:
            results = [answer(f"{unit.address}/{number + n:08}") for n in range(batch.num_rows)]
            number += batch.num_rows
            ends.update(map(_end, results))
            rows = list(map(_row, results))
            added = [pa.array([row[at] for row in rows], field.type) for at, field in enumerate(more)]
            write(pa.RecordBatch.from_arrays([*batch.columns, *added], schema=whole))
    return ends


def _columns(name: str) -> list[pa.Field[Any]]:
    import pyarrow as pa

    texts = {
        name: "The answer's text; null unless done",
        f"{name}_data": "Structured data as JSON",
        f"{name}_outcome": "done, failed or skipped; null where it was never asked about",
        f"{name}_model": "The model id the service reports",
        f"{name}_reason": "Why it failed or was skipped",
    }
    found = [pa.field(each, pa.string(), metadata={"meaning": words}) for each, words in texts.items()]
    notes = {"meaning": "The kinds of what is worth knowing about the answer"}
    return [*found, pa.field(f"{name}_notes", pa.list_(pa.string()), metadata=notes)]


def _row(result: ItemResult | None) -> tuple[Any, ...]:
    if result is None:
        return (None,) * 6
    failure = result.failure
    texts = (
        result.caption,
        None if result.data is None else dump(result.data).decode(),
        result.outcome.value,
        result.model,
        result.reason if failure is None else failure.reason,
    )
    return (
        *(None if text is None else encodable(text) for text in texts),
        [note.kind for note in result.notes],
    )


def _writer(
    unit: Unit, out: IO[bytes], schema: pa.Schema, closing: ExitStack
) -> Callable[[pa.RecordBatch], object]:
    """What writes rows as the source's kind of file; Parquet in row groups of some 16 MB."""
    import pyarrow as pa

    kind = unit.name.lower().rpartition(".")[2]
    if kind != "parquet":
        options = pa.ipc.IpcWriteOptions(compression="lz4" if kind == "feather" else None)
        new = pa.ipc.new_stream if kind == "arrow" and not _is_file(unit) else pa.ipc.new_file
        writer = closing.enter_context(new(out, schema, options=options))
        return lambda batch: writer.write_batch(batch)
    import pyarrow.parquet as pq

    parquet = closing.enter_context(pq.ParquetWriter(out, schema, compression=_codec(unit)))
    waiting: list[pa.RecordBatch] = []

    def flush() -> None:
        if waiting:
            table = pa.Table.from_batches(waiting, schema)
            parquet.write_table(table, row_group_size=max(1, table.num_rows))
            waiting.clear()

    def write(batch: pa.RecordBatch) -> None:
        waiting.append(batch)
        if sum(each.nbytes for each in waiting) >= _GROUP_BYTES:
            flush()

    closing.callback(flush)
    return write


def _is_file(unit: Unit) -> bool:
    with unit.store.open(unit.name) as file:
        return file.read(6) == b"ARROW1"


def _codec(unit: Unit) -> str:
    """How the source is compressed, as its first column tells."""
    import pyarrow.parquet as pq

    with unit.store.open(unit.name) as file:
        metadata = pq.ParquetFile(file).metadata
        if not metadata.num_row_groups or not metadata.num_columns:
            return "snappy"
        codec = str(metadata.row_group(0).column(0).compression).lower()
        return "none" if codec == "uncompressed" else codec
