"""A job's results as immutable Parquet parts in one folder, here or in an object store, by any number of
writers.

Each writer stores parts of its own, ``parts/<writer>/<number>.parquet``, so there are no locks. Of rows with
one id a final one counts, then the newest; of several versions of one item the newest. ``merge`` writes the
rows that count into large parts, and a manifest says which parts they replace. Needs the extra ``parquet``.
"""

from __future__ import annotations

import hashlib
import io
import re
import time
import uuid
import weakref
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, TypeVar

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from visionpipe.errors import OutputError
from visionpipe.files.stores import Store
from visionpipe.pipeline.part_edits import PartReviews
from visionpipe.pipeline.part_index import PartIndex, Words
from visionpipe.pipeline.reading import Spent
from visionpipe.pipeline.rows import COST, RESULT_TYPE
from visionpipe.results import ItemResult
from visionpipe.values import Money

SCHEMA = pa.schema(
    [
        ("id", pa.binary(16)),
        ("key", pa.string()),
        ("question", pa.string()),
        ("content", pa.string()),
        ("final", pa.bool_()),
        ("at", pa.timestamp("ms", "UTC")),
        ("job", pa.string()),
        ("run", pa.string()),
        ("requests", pa.int32()),
        ("tokens", pa.int64()),
        ("cost", COST),
        ("currency", pa.string()),
        ("result", RESULT_TYPE),
    ]
)

ROWS_A_MERGED_PART = 100_000
_ROWS_A_GROUP = 5_000
_ROWS_AT_ONCE = 250
_FILES_KEPT = 16
_GROUPS_KEPT = 16
_SOME_KEPT = 16
_SMALL = 5_000
_COMPARED_AT_ONCE = 100_000
_PRUNE_AFTER_S = 24 * 3600
_STAMP = "%Y%m%dT%H%M%S"
_COUNTING = ("id", "content", "final", "at")

Row = Mapping[str, Any]
_K = TypeVar("_K")
_V = TypeVar("_V")


def id_of(source: str, question: str, content: str | None) -> bytes:
    """What rows about one item, question and version have in common: 8 bytes of the BLAKE2b of item and
    question, and 8 of that of the version."""
    return asked_of(source, question) + _hash(content or "")


def asked_of(source: str, question: str) -> bytes:
    """The half of an id that all versions of an item share."""
    return _hash(f"{source}\0{question}")


def _hash(text: str) -> bytes:
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()[:8]


def number_of(half: bytes) -> int:
    """Half of an id as an index takes it."""
    return int.from_bytes(half, "big")


def key_text(source: str) -> str:
    """An item's name as Arrow can hold it: it takes no half of a surrogate pair."""
    return source.encode("utf-8", "replace").decode()


def stamp_of(seconds: float) -> str:
    """A time as it begins the names of writers and merges, so that their order is that of time."""
    return datetime.fromtimestamp(seconds, UTC).strftime(_STAMP)


def counting(rows: Iterable[Row]) -> list[Row]:
    """Of the rows about each item, question and version the one that counts: a final one, then the newest;
    of several as new, the one that comes last."""
    best: dict[tuple[bytes, str | None], Row] = {}
    for row in rows:
        about = (row["id"][:8], row["content"])
        known = best.get(about)
        if known is None or (row["final"], row["at"]) >= (known["final"], known["at"]):
            best[about] = row
    return list(best.values())


def newest(rows: Iterable[Row]) -> Row | None:
    """Of the rows that count the newest: an item's last version, or the last question."""
    return max(counting(rows), key=lambda row: row["at"], default=None)


class Parts:
    """The parts of a job as they stand.

    Args:
        store: the folder that holds ``parts/``, ``merged/`` and ``manifests/``.
    """

    def __init__(self, store: Store) -> None:
        self.store = store
        self.manifest: dict[str, Any] = {"parts": [], "replaces": [], "at": 0.0}
        self.number = 0
        self.names: list[str] = []
        self._ends: list[int] = []
        """The number of rows in each part and all before it, as far as they have been counted."""
        self._files: OrderedDict[int, pq.ParquetFile] = OrderedDict()
        self._groups: OrderedDict[tuple[int, int], pa.Table] = OrderedDict()
        self._some: OrderedDict[tuple[int, int], list[dict[str, Any]]] = OrderedDict()
        self.refresh()

    def refresh(self) -> None:
        """Lists what is there now."""
        manifests = sorted(found.name for found in self.store.find("manifests"))
        if manifests:
            self.manifest = orjson.loads(self.store.read(manifests[-1]))
            self.number = _number_of_manifest(manifests[-1])
        replaced = set(self.manifest["replaces"])
        stored = (found.name for found in self.store.find("parts"))
        self.names = [*self.manifest["parts"]]
        self.names += [name for name in stored if name.endswith(".parquet") and name not in replaced]
        self._ends = []
        for kept in (self._files, self._groups, self._some):
            kept.clear()

    def add(self, name: str, rows: int) -> int:
        """Takes in a part that was stored since; returns the number of its first row."""
        first = self._ends[-1] if self._ends else 0
        self.names.append(name)
        self._ends.append(first + rows)
        return first

    def index(self) -> PartIndex:
        """Of every row, by item and question."""
        return self._index("id", _of_ids)

    def _index(self, column: str, hashes: Callable[[pa.Array], Words]) -> PartIndex:
        self._ends = []

        def read() -> Iterator[Words]:
            total = 0
            for name in self.names:
                found = self._read(name, [column])[column]
                total += len(found)
                self._ends.append(total)
                yield from map(hashes, found.chunks)

        made = PartIndex.of(read())
        pa.default_memory_pool().release_unused()
        return made

    def answers(self, job: str | None = None) -> Callable[[str], ItemResult | None]:
        """What gives, as a person left it, an item's result by its name; None where it was never asked about.

        Args:
            job: as for ``results``.
        """
        reviews = PartReviews(self.store)
        index = self._index("key", _of_keys)
        job = self.last_job() if job is None else job

        def answer(source: str) -> ItemResult | None:
            key = key_text(source)
            found = (self.row(number) for number in index.rows(number_of(_hash(key))))
            row = newest(row for row in found if row["key"] == key and row["job"] == job)
            return None if row is None else reviews.standing_row(row)

        return answer

    def holds_any(self, beginnings: Sequence[str]) -> bool:
        """Whether anything is recorded about an item whose name begins with one of these."""
        wanted = tuple(map(key_text, beginnings))
        return any(
            key.startswith(wanted)
            for name in self.names
            for key in self._read(name, ["key"])["key"].to_pylist()
        )

    def last_job(self) -> str | None:
        """The key of the job that stored the newest row; None where there is none."""
        last: tuple[datetime, str] | None = None
        for name in self.names:
            table = self._read(name, ["at", "job"])
            if table.num_rows:
                at = pc.max(table["at"])
                job = table["job"][pc.index(table["at"], at).as_py()].as_py()
                last = max(last or (at.as_py(), job), (at.as_py(), job))
        return None if last is None else last[1]

    def spent(self, job: str | None = None) -> Spent:
        """What the rows say was billed."""
        requests, tokens, money = 0, 0, dict[str, Decimal]()
        for name in self.names:
            table = self._read(name, ["job", "requests", "tokens", "cost", "currency"])
            if job is not None:
                table = table.filter(pc.equal(table["job"], job))
            requests += pc.sum(table["requests"]).as_py() or 0
            tokens += pc.sum(table["tokens"]).as_py() or 0
            for row in table.group_by("currency").aggregate([("cost", "sum")]).to_pylist():
                if row["currency"] is not None and row["cost_sum"] is not None:
                    money[row["currency"]] = money.get(row["currency"], Decimal(0)) + row["cost_sum"]
        return Spent(requests, tokens, tuple(Money(amount, name) for name, amount in sorted(money.items())))

    def row(self, number: int) -> Row:
        """One row, by its number in an index."""
        part = bisect_right(self._ends, number)
        row = number - (self._ends[part - 1] if part else 0)
        group, row = divmod(row, _ROWS_A_GROUP)
        some, row = divmod(row, _ROWS_AT_ONCE)
        place = (part, group * (_ROWS_A_GROUP // _ROWS_AT_ONCE) + some)

        def read() -> list[dict[str, Any]]:
            table = _kept(self._groups, (part, group), _GROUPS_KEPT, lambda: self._group(part, group))
            return list(table.slice(some * _ROWS_AT_ONCE, _ROWS_AT_ONCE).to_pylist())

        return _kept(self._some, place, _SOME_KEPT, read)[row]

    def _group(self, part: int, group: int) -> pa.Table:
        rows = self._ends[part] - (self._ends[part - 1] if part else 0)

        def opened() -> pq.ParquetFile:
            name = self.names[part]
            if rows <= _SMALL:
                return pq.ParquetFile(pa.BufferReader(self.store.read(name)))
            handle = self.store.open(name)
            file = pq.ParquetFile(handle)
            # Closed when nobody reads from it any more, which is after it left the cache.
            weakref.finalize(file, handle.close)
            return file

        with self._errors(self.names[part]):
            return _kept(self._files, part, _FILES_KEPT, opened).read_row_group(group)

    def winners(self) -> Iterator[pa.Table]:
        """The rows that count about each item, question and version, a part at a time."""
        return self._without(self._beaten(self.index(), _COUNTING, counting))

    def results(self, job: str | None = None) -> Iterator[ItemResult]:
        """Every item's result, once, as a person left it.

        Args:
            job: a recipe's key; default the one that stored the newest row.
        """
        job = self.last_job() if job is None else job

        def one_a_key(rows: Iterable[Row]) -> list[Row]:
            by_key: dict[str, list[Row]] = {}
            for row in rows:
                if row["job"] == job:
                    by_key.setdefault(row["key"], []).append(row)
            return [found for found in map(newest, by_key.values()) if found is not None]

        reviews = PartReviews(self.store)
        beaten = self._beaten(self._index("key", _of_keys), (*_COUNTING, "key", "job"), one_a_key)
        for table in self._without(beaten):
            chosen = table.filter(pc.equal(table["job"], job)).select(["key", "job", "content", "result"])
            for batch in chosen.to_batches(max_chunksize=_ROWS_AT_ONCE):
                for row in batch.to_pylist():
                    yield reviews.standing_row(row)

    def _beaten(
        self, index: PartIndex, columns: Sequence[str], choose: Callable[[Iterable[Row]], list[Row]]
    ) -> Words:
        """The numbers of the rows that others about the same count in place of."""
        found: list[Words] = []
        for numbers in index.shared(_COMPARED_AT_ONCE):
            rows: list[dict[str, Any]] = []
            for part, first, within in self._by_part(numbers):
                taken = self._read(self.names[part], columns).take(pa.array(within))
                rows += [
                    {**row, "number": first + int(at)}
                    for row, at in zip(taken.to_pylist(), within, strict=True)
                ]
            counts = {row["number"] for row in choose(rows)}
            found.append(np.array([n for n in numbers.tolist() if n not in counts], np.uint64))
        return np.sort(np.concatenate(found)) if found else np.empty(0, np.uint64)

    def _by_part(self, numbers: Words) -> Iterator[tuple[int, int, Words]]:
        """(part, number of its first row, rows within it) for each part that some of ``numbers`` are in."""
        first = begin = 0
        for part, end in enumerate(self._ends):
            stop = int(np.searchsorted(numbers, np.uint64(end)))
            if begin < stop:
                yield part, first, numbers[begin:stop] - np.uint64(first)
            first, begin = end, stop

    def _without(self, beaten: Words) -> Iterator[pa.Table]:
        for number, name in enumerate(self.names):
            first = self._ends[number - 1] if number else 0
            begin, end = (int(np.searchsorted(beaten, np.uint64(at))) for at in (first, self._ends[number]))
            table = self._read(name, None)
            if begin < end:
                keep = np.ones(table.num_rows, bool)
                keep[(beaten[begin:end] - np.uint64(first)).astype(np.int64)] = False
                table = table.filter(pa.array(keep))
            yield table

    def merge(self, *, prune: bool = False, now: Callable[[], float] = time.time) -> Merged:
        """Writes the rows that count into large parts, and the manifest of what they replace; nothing where
        nothing has been stored since the last merge.

        Args:
            prune: take away what has been replaced for a day, and what a merge left that was killed.
            now: seconds since 1970.

        Raises:
            OutputError: another merge has been finished meanwhile; nothing is changed.
        """
        sources, at = list(self.names), now()
        total, written = 0, list(self.manifest["parts"])
        if sources != written:
            total, written = self._write_merged(f"merged/{stamp_of(at)}-{uuid.uuid4().hex}")
            there = {found.name for folder in ("parts", "merged") for found in self.store.find(folder)}
            replaces = sorted({*self.manifest["replaces"], *sources} & there)
            made = {"parts": written, "replaces": replaces, "at": at, "rows": total}
            name = f"manifests/{self.number + 1:08}.json"
            if not self.store.put(name, orjson.dumps(made), new=True):
                for each in written:
                    self.store.remove(each)
                raise OutputError(
                    "another merge has been finished meanwhile",
                    cure="Nothing is lost; run it again if there is more to merge.",
                    subject=self.store.address,
                )
        else:
            total = self.manifest.get("rows", 0)
        removed = self._prune(at - _PRUNE_AFTER_S) if prune else 0
        self.refresh()
        return Merged(total, len(sources), len(written), removed)

    def _write_merged(self, folder: str) -> tuple[int, list[str]]:
        written: list[str] = []
        waiting: list[pa.Table] = []
        rows = total = 0

        def store() -> None:
            nonlocal rows, total
            name = f"{folder}/{len(written):06}.parquet"
            self.store.put(name, parquet_of(pa.concat_tables(waiting)))
            written.append(name)
            total, rows = total + rows, 0
            waiting.clear()

        for table in self.winners():
            while table.num_rows:
                piece = table.slice(0, ROWS_A_MERGED_PART - rows)
                waiting.append(piece)
                rows += piece.num_rows
                table = table.slice(piece.num_rows)
                if rows == ROWS_A_MERGED_PART:
                    store()
        if waiting:
            store()
        return total, written

    def _prune(self, until: float) -> int:
        """Removes what nobody reads who began after ``until``: what a manifest as old as that replaced, and
        merged parts as old that no manifest names; returns how many parts."""
        removed, named, past = 0, set[str](), list[str]()
        replaced: set[str] = set()
        for found in sorted(self.store.find("manifests"), key=lambda found: found.name):
            manifest = orjson.loads(self.store.read(found.name))
            named |= {*manifest["parts"], *manifest["replaces"]}
            if manifest["at"] <= until:
                past.append(found.name)
                replaced |= set(manifest["replaces"])
        for name in [found.name for found in self.store.find("merged")]:
            begun = re.match(r"merged/(\d{8}T\d{6})-", name)
            if name not in named and begun is not None and begun[1] <= stamp_of(until):
                replaced.add(name)
        there = {found.name for folder in ("parts", "merged") for found in self.store.find(folder)}
        for name in sorted(replaced & there):
            self.store.remove(name)
            removed += 1
        for name in past[:-1]:
            self.store.remove(name)
        return removed

    def _read(self, name: str, columns: Sequence[str] | None) -> pa.Table:
        data = self.store.read(name)
        with self._errors(name), pq.ParquetFile(pa.BufferReader(data)) as file:
            return file.read(None if columns is None else list(columns), use_threads=False)

    @contextmanager
    def _errors(self, name: str) -> Iterator[None]:
        try:
            yield
        except (pa.ArrowException, OSError) as error:
            raise OutputError(
                f"this part cannot be read ({error})",
                cure="Take it away: what it held is asked again.",
                subject=f"{self.store.address.rstrip('/')}/{name}",
            ) from error


@dataclass(frozen=True, slots=True)
class Merged:
    """What a merge did: rows that count, parts they were in, parts they are in now, and parts removed."""

    rows: int
    sources: int
    parts: int
    removed: int


def parquet_of(table: pa.Table) -> bytes:
    """A part."""
    out = io.BytesIO()
    pq.write_table(table, out, compression="zstd", row_group_size=_ROWS_A_GROUP)
    return out.getvalue()


def _kept(cache: OrderedDict[_K, _V], key: _K, most: int, make: Callable[[], _V]) -> _V:
    found = cache.get(key)
    if found is None:
        found = cache[key] = make()
        if len(cache) > most:
            cache.popitem(last=False)
    else:
        cache.move_to_end(key)
    return found


def _of_ids(ids: pa.Array) -> Words:
    """The first halves of ids."""
    data = np.frombuffer(ids.buffers()[1], ">u8")[2 * ids.offset :][: 2 * len(ids)]
    return data[::2].astype(np.uint64)


def _of_keys(keys: pa.Array) -> Words:
    return np.fromiter((number_of(_hash(key)) for key in keys.to_pylist()), np.uint64, len(keys))


def _number_of_manifest(name: str) -> int:
    return int(name.rpartition("/")[2].partition(".")[0])
