"""A job's results as immutable Parquet parts in one folder, here or in an object store, by any number of
writers.

Each writer stores parts of its own, ``parts/<writer>/<number>.parquet``, so there are no locks. A result
counts, and is handed on, when its part is stored. Of rows about one item and question a final one wins, then
the newest; ``merge`` writes the winners into large parts, and a manifest says which parts they replace.
Needs the extra ``parquet``.
"""

from __future__ import annotations

import hashlib
import io
import threading
import time
import uuid
from bisect import bisect_left
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from visionpipe.errors import ConnectionFailedError, OutputError, VisionPipeError
from visionpipe.files.stores import Store, open_store
from visionpipe.pipeline.keys import Recipe, Stat
from visionpipe.pipeline.ledger import Key, Sent
from visionpipe.pipeline.reading import Recorded, Spent, kept_good
from visionpipe.pipeline.rows import COST, RESULT_TYPE, from_struct, to_struct
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

GROUP_S = 0.25
"""The least time between two parts, so that what waits meanwhile goes in one."""

ROWS_A_MERGED_PART = 100_000
_ROWS_A_GROUP = 5_000
_FOLD_AFTER = 20_000
_GROUPS_KEPT = 4
_TABLES_TOGETHER = 50
_PRUNE_AFTER_S = 24 * 3600
_ID_BYTES = 16


def id_of(source: str, question: str) -> bytes:
    """What rows about one item and question have in common."""
    named = f"{source}\0{question}".encode("utf-8", "surrogatepass")
    return hashlib.blake2b(named, digest_size=_ID_BYTES).digest()


@dataclass(slots=True)
class _Index:
    """Where the row that counts is, for each id: sorted ids in one block of memory, 24 bytes each, found by
    bisection. ``places`` are a part's number and a row's."""

    ids: memoryview = field(default_factory=lambda: memoryview(b""))
    places: memoryview = field(default_factory=lambda: memoryview(b"").cast("q"))

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, number: int) -> bytes:
        return bytes(self.ids[number * _ID_BYTES : (number + 1) * _ID_BYTES])

    def place(self, wanted: bytes) -> int | None:
        at = bisect_left(self, wanted)
        return self.places[at] if at < len(self) and self[at] == wanted else None

    @classmethod
    def of(cls, table: pa.Table) -> _Index:
        """Of columns id, final, at, place; the last of each id in their order is the one that counts."""
        if not table.num_rows:
            return cls()
        keys = [(name, "ascending") for name in ("id", "final", "at", "place")]
        table = table.take(pc.sort_indices(table, sort_keys=keys)).combine_chunks()
        ids = table["id"].combine_chunks()
        if len(ids) > 1:
            last = pa.concat_arrays([pc.not_equal(ids[:-1], ids[1:]), pa.array([True])])
            table = table.filter(last)
        ids, places = (
            pa.concat_arrays(table[name].chunks) if table[name].num_chunks != 1 else table[name].chunk(0)
            for name in ("id", "place")
        )
        return cls(
            memoryview(ids.buffers()[1])[ids.offset * _ID_BYTES :][: len(ids) * _ID_BYTES],
            memoryview(places.buffers()[1]).cast("q")[places.offset :][: len(places)],
        )


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
        self._groups: OrderedDict[tuple[int, int], list[dict[str, Any]]] = OrderedDict()
        self._files: dict[int, list[int]] = {}
        self.refresh()

    def refresh(self) -> None:
        """Lists what is there now."""
        manifests = sorted(found.name for found in self.store.find("manifests"))
        if manifests:
            self.manifest = orjson.loads(self.store.read(manifests[-1]))
            self.number = int(manifests[-1].rpartition("/")[2].partition(".")[0])
        replaced = set(self.manifest["replaces"])
        stored = (found.name for found in self.store.find("parts"))
        self.names = [*self.manifest["parts"]]
        self.names += [name for name in stored if name.endswith(".parquet") and name not in replaced]

    def index(self) -> _Index:
        """Of every row that counts."""
        tables = []
        for number, name in enumerate(self.names):
            table = self._read(name, ["id", "final", "at"])
            rows = range(number << 32, (number << 32) + table.num_rows)
            places = pa.array(rows, pa.int64())
            tables.append(table.append_column("place", places))
            if len(tables) == _TABLES_TOGETHER:
                tables = [pa.concat_tables(tables).combine_chunks()]
                pa.default_memory_pool().release_unused()
        found = _Index.of(pa.concat_tables(tables)) if tables else _Index()
        del tables
        pa.default_memory_pool().release_unused()
        return found

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

    def row(self, place: int) -> dict[str, Any]:
        """One row, by its place in an index."""
        part, row = place >> 32, place & 0xFFFF_FFFF
        name = self.names[part]
        if part not in self._files:
            with pq.ParquetFile(pa.BufferReader(self.store.read(name))) as file:
                metadata = file.metadata
                self._files[part] = [metadata.row_group(n).num_rows for n in range(metadata.num_row_groups)]
        group = 0
        while row >= self._files[part][group]:
            row -= self._files[part][group]
            group += 1
        rows = self._groups.get((part, group))
        if rows is None:
            with pq.ParquetFile(pa.BufferReader(self.store.read(name))) as file:
                rows = file.read_row_group(group).to_pylist()
            self._groups[part, group] = rows
            if len(self._groups) > _GROUPS_KEPT:
                self._groups.popitem(last=False)
        return rows[row]

    def winners(self) -> Iterator[pa.Table]:
        """The rows that count, a part at a time."""
        index = self.index()
        wanted = pa.array(sorted(index.places), pa.int64())
        for number, name in enumerate(self.names):
            begin = bisect_left(index_of := _Places(wanted), number << 32)
            end = bisect_left(index_of, (number + 1) << 32)
            if begin < end:
                rows = pc.subtract(wanted[begin:end], pa.scalar(number << 32, pa.int64()))
                yield self._read(name, None).take(rows)

    def results(self) -> Iterator[ItemResult]:
        """Every item's result."""
        for table in self.winners():
            for batch in table.to_batches(max_chunksize=_ROWS_A_GROUP):
                for row in batch.to_pylist():
                    yield from_struct(row["key"], row["result"])

    def merge(self, *, prune: bool = False, now: Callable[[], float] = time.time) -> Merged:
        """Writes the rows that count into large parts, and the manifest of what they replace.

        Args:
            prune: take away what a manifest of a day ago or more has replaced.
            now: seconds since 1970.

        Raises:
            OutputError: another merge has been finished meanwhile; nothing is changed.
        """
        sources, folder = list(self.names), f"merged/{uuid.uuid4().hex}"
        written: list[str] = []
        waiting: list[pa.Table] = []
        rows = total = 0

        def store() -> None:
            nonlocal rows, total
            name = f"{folder}/{len(written):06}.parquet"
            self.store.put(name, _parquet(pa.concat_tables(waiting)))
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
        replaces = sorted({*self.manifest["replaces"], *sources})
        old = self.manifest
        made = {"parts": written, "replaces": replaces, "at": now()}
        name = f"manifests/{self.number + 1:08}.json"
        if not self.store.put(name, orjson.dumps(made), new=True):
            for each in written:
                self.store.remove(each)
            raise OutputError(
                "another merge has been finished meanwhile",
                cure="Nothing is lost; run it again if there is more to merge.",
                subject=self.store.address,
            )
        removed = 0
        if prune and old["at"] and now() - old["at"] >= _PRUNE_AFTER_S:
            for each in old["replaces"]:
                self.store.remove(each)
                removed += 1
        self.refresh()
        return Merged(total, len(sources), len(written), removed)

    def _read(self, name: str, columns: Sequence[str] | None) -> pa.Table:
        data = self.store.read(name)
        try:
            return pq.read_table(pa.BufferReader(data), columns=columns)
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


@dataclass(frozen=True, slots=True)
class _Places:
    places: Any

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, number: int) -> int:
        return int(self.places[number].as_py())


@dataclass(slots=True)
class _Billed:
    requests: int = 0
    tokens: int = 0
    money: Money | None = None


class PartsLedger:
    """One writer's hold on a folder of parts, as a ``Ledger``.

    Args:
        address: of the folder, a path or such as ``s3://bucket/out/``.
        every_s: None: each result is stored before it is handed on, with what waits meanwhile. Seconds: parts
            are stored so often, and a kill loses what was not stored.
        options: for the store.
        outage_seconds: how long nothing may be stored before the run stops; None: for ever.
        clock, now: monotonic seconds, and seconds since 1970.

    Raises:
        ConfigurationError: an extra is not installed.
        OutputError, ConnectionFailedError: nothing can be stored there.
    """

    def __init__(
        self,
        address: str,
        *,
        every_s: float | None = None,
        options: Mapping[str, Any] | None = None,
        outage_seconds: float | None = 3600.0,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._store = open_store(address, options)
        self._store.prove()
        self._every_s = every_s
        self._outage_seconds = outage_seconds
        self._clock, self._now = clock, now
        self.parts = Parts(self._store)
        self._index = self.parts.index()
        stamp = datetime.fromtimestamp(now(), UTC).strftime("%Y%m%dT%H%M%S")
        self.writer = f"{stamp}-{uuid.uuid4().int % 10**8:08}"
        self._job = ""
        self._number = 0
        self._condition = threading.Condition()
        self._waiting: list[dict[str, Any]] = []
        self._stored = self._recorded = 0
        self._fresh: dict[bytes, int] = {}
        self._unstored: dict[bytes, dict[str, Any]] = {}
        self._billed: dict[Key, _Billed] = {}
        self._lost: tuple[float, VisionPipeError] | None = None
        self._closed = False
        self._writer = threading.Thread(target=self._write_all, name="parts", daemon=True)
        self._writer.start()

    def begin(self, recipe: Recipe) -> int:
        """As ``Ledger.begin``."""
        self._job = recipe.job
        return 0

    def recorded(self, source: str, question: str) -> Recorded | None:
        """What became of ``source`` when it was last asked ``question``."""
        wanted = id_of(source, question)
        with self._condition:
            row = self._unstored.get(wanted)
            if row is None:
                place = self._fresh.get(wanted)
                place = self._index.place(wanted) if place is None else place
                if place is None:
                    return None
                row = self.parts.row(place)
            run = 1 if row["run"] == self.writer else 0
        return Recorded(from_struct(row["key"], row["result"]), row["content"], run, row["job"])

    def known_content(self, source: str, location: str, stat: Stat) -> str | None:
        """None: files are read anew."""
        return None

    def note_source(self, source: str, location: str, stat: Stat, content: str) -> None:
        """Nothing is remembered of files."""

    def adopt(self, source: str, question: str, job: str) -> None:
        """Rows are never changed."""

    def sending(self, key: Key, tokens: int | None, cost: Money | None) -> None:
        """Waits while nothing can be stored.

        Raises:
            ConnectionFailedError: for too long; of scope "job".
        """
        with self._condition:
            while self._lost is not None:
                since, error = self._lost
                if self._outage_seconds is not None and self._clock() - since >= self._outage_seconds:
                    raise ConnectionFailedError(
                        f"nothing can be stored since {self._clock() - since:.0f} s ({error.reason})",
                        cure="Run again when the store is back.",
                        subject=self._store.address,
                        scope="job",
                    )
                self._condition.wait(1.0)

    def record(self, key: Key, result: ItemResult | None, sent: Sequence[Sent] = ()) -> None:
        """As ``Ledger.record``."""
        with self._condition:
            billed = self._billed.setdefault(key, _Billed())
            for each in sent:
                if each.billable:
                    billed.requests += 1
                    billed.tokens += each.tokens or 0
                    if each.cost is not None:
                        billed.money = each.cost if billed.money is None else billed.money + each.cost
            if result is None:
                return
            self._billed.pop(key, None)
        if result.failure is not None:
            known = self.recorded(key.source, key.question)
            if known is not None and known.good and known.content == key.content:
                result = kept_good(known.result, result.failure)
        row = self._row(key, result, billed)
        with self._condition:
            self._waiting.append(row)
            self._unstored[row["id"]] = row
            self._recorded += 1
            number = self._recorded
            self._condition.notify_all()
            while self._every_s is None and self._stored < number:
                self._condition.wait()

    def standing(self, result: ItemResult) -> ItemResult:
        """As ``Ledger.standing``."""
        return result

    def spent(self, *, job: str | None = None, run: int | None = None) -> Spent:
        """What a job has used, as far as the parts say that were there at the start."""
        return self.parts.spent(job)

    def end(self, ending: str) -> None:
        """Stores the rest, and lets go."""
        self.close()

    def close(self) -> None:
        """Stores the rest, and lets go. May be called again."""
        with self._condition:
            self._closed = True
            self._condition.notify_all()
        self._writer.join()

    def _row(self, key: Key, result: ItemResult, billed: _Billed) -> dict[str, Any]:
        passing = result.failure is not None and result.failure.retryable
        return {
            "id": id_of(key.source, key.question),
            "key": key.source.encode("utf-8", "replace").decode(),
            "question": key.question,
            "content": key.content,
            "final": not passing,
            "at": datetime.fromtimestamp(self._now(), UTC),
            "job": self._job,
            "run": self.writer,
            "requests": billed.requests,
            "tokens": billed.tokens,
            "cost": billed.money and billed.money.amount.quantize(Decimal("1e-18")),
            "currency": billed.money and billed.money.currency,
            "result": to_struct(result),
        }

    def _write_all(self) -> None:
        """One part under way at a time; all that waits goes with the next."""
        pause = GROUP_S if self._every_s is None else self._every_s
        next_at = self._clock()
        while True:
            with self._condition:
                while not self._closed and (
                    not self._waiting or (self._clock() < next_at and len(self._waiting) < 1_000)
                ):
                    self._condition.wait(max(0.0, next_at - self._clock()) if self._waiting else None)
                if not self._waiting:
                    return
                rows, self._waiting = self._waiting, []
                closing = self._closed
            name = f"parts/{self.writer}/{self._number:06}.parquet"
            try:
                self._store.put(name, _parquet(pa.Table.from_pylist(rows, SCHEMA)))
            except VisionPipeError as error:
                with self._condition:
                    self._waiting[:0] = rows
                    self._lost = self._lost or (self._clock(), error)
                    since = self._lost[0]
                    out = self._outage_seconds
                    if closing and out is not None and self._clock() - since >= out:
                        return
                    self._condition.wait(0.2)
                continue
            next_at = self._clock() + pause
            with self._condition:
                self._lost = None
                self._number += 1
                part = len(self.parts.names)
                self.parts.names.append(name)
                for number, row in enumerate(rows):
                    self._fresh[row["id"]] = (part << 32) + number
                    self._unstored.pop(row["id"], None)
                self._stored += len(rows)
                if len(self._fresh) >= _FOLD_AFTER:
                    self._fold()
                self._condition.notify_all()

    def _fold(self) -> None:
        """What this run stored goes to the rest of the index, so that memory holds 24 bytes of a row."""
        old, new = self._index, self._fresh
        ids = pa.concat_arrays(
            [
                pa.Array.from_buffers(pa.binary(16), len(old), [None, pa.py_buffer(old.ids)]),
                pa.array(list(new), pa.binary(16)),
            ]
        )
        places = pa.concat_arrays(
            [
                pa.Array.from_buffers(pa.int64(), len(old), [None, pa.py_buffer(old.places)]),
                pa.array(list(new.values()), pa.int64()),
            ]
        )
        later = pa.array([False] * len(old) + [True] * len(new))
        table = pa.table({"id": ids, "final": later, "at": later, "place": places})
        self._index = _Index.of(table)
        self._fresh = {}


def _parquet(table: pa.Table) -> bytes:
    out = io.BytesIO()
    pq.write_table(table, out, compression="zstd", row_group_size=_ROWS_A_GROUP)
    return out.getvalue()
