"""One writer's hold on a directory of parts: group commit, and what it looks up of what others stored.

A result counts, and is handed on, when its part is stored; with a folder on a disk that outlasts the writer,
when it is there.
"""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa

from visionpipe.errors import ConnectionFailedError, VisionPipeError
from visionpipe.files.stores import open_store
from visionpipe.pipeline.contents import Stat
from visionpipe.pipeline.ledger import Key, Sent
from visionpipe.pipeline.outbox import Outbox
from visionpipe.pipeline.part_edits import PartReviews, note_recipe
from visionpipe.pipeline.part_index import PartIndex
from visionpipe.pipeline.parts import (
    SCHEMA,
    Parts,
    Row,
    asked_of,
    id_of,
    key_text,
    newest,
    number_of,
    parquet_of,
    stamp_of,
)
from visionpipe.pipeline.reading import Recorded, Spent, kept_good
from visionpipe.pipeline.rows import from_struct, to_struct
from visionpipe.results import ItemResult
from visionpipe.stages.keys import Recipe
from visionpipe.values import Money

GROUP_S = 0.25
"""The least time between two parts, so that what waits meanwhile goes in one."""

_ROWS_A_PART = 1_000
_FOLD_AFTER = 20_000


@dataclass(slots=True)
class _Billed:
    requests: int = 0
    tokens: int = 0
    money: Money | None = None


@dataclass(frozen=True, slots=True)
class _Waiting:
    """A row that is not stored yet, and its number among those of this writer."""

    number: int
    row: dict[str, Any]


class PartsLedger:
    """One writer's hold on a folder of parts, as a ``Ledger``.

    Args:
        address: of the folder, a path or such as ``s3://bucket/out/``.
        every_s: None: each result is stored before it is handed on, with what waits meanwhile. Seconds: parts
            are stored so often, and a kill loses what was not stored.
        state: a folder on a disk that outlasts this writer: each result is there before it is handed on, and
            what a killed writer left there is stored first. Writers of one machine may share it.
        options: for the store.
        outage_seconds: how long nothing may be stored before the run stops; None: for ever.
        clock, now: monotonic seconds, and seconds since 1970.

    Raises:
        ConfigurationError: an extra is not installed.
        OutputError, ConnectionFailedError: nothing can be stored there.
        JournalError: nothing can be written to ``state``.
    """

    def __init__(
        self,
        address: str,
        *,
        every_s: float | None = None,
        state: str | Path | None = None,
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
        self.writer = f"{stamp_of(now())}-{uuid.uuid4().int % 10**8:08}"
        self._outbox = None if state is None else Outbox(Path(state), address, self.writer, SCHEMA)
        if self._outbox is not None:
            for name, rows in self._outbox.left(f"parts/{self.writer}/left-"):
                self._store.put(name, parquet_of(pa.Table.from_pylist(rows, SCHEMA)))
        self.parts = Parts(self._store)
        self._indices = [self.parts.index()]
        self._job = ""
        self._reviews: PartReviews | None = None
        self._number = 0
        self._reading = threading.Lock()
        self._condition = threading.Condition()
        self._waiting: list[_Waiting] = []
        self._recorded = 0
        self._pending: set[int] = set()
        self._fresh: dict[int, list[int]] = {}
        self._unstored: dict[bytes, list[dict[str, Any]]] = {}
        self._billed: dict[Key, _Billed] = {}
        self._lost: tuple[float, VisionPipeError] | None = None
        self._closed = False
        self._writer = threading.Thread(target=self._write_all, name="parts", daemon=True)
        self._writer.start()

    def begin(self, recipe: Recipe) -> int:
        """As ``Ledger.begin``."""
        self._job = recipe.job
        note_recipe(self._store, recipe)
        self._reviews = PartReviews(self._store)
        return 0

    def recorded(self, source: str, question: str, content: str | None = None) -> Recorded | None:
        """As ``Ledger.recorded``."""
        half, key = asked_of(source, question), key_text(source)
        wanted = number_of(half)
        with self._condition:
            rows: list[Row] = list(self._unstored.get(half, ()))
            numbers = list(self._fresh.get(wanted, ()))
            indices = list(self._indices)
        for index in indices:
            numbers += index.rows(wanted)
        if numbers:
            with self._reading:
                rows += [self.parts.row(number) for number in numbers]
        row = newest(
            row
            for row in rows
            if row["id"][:8] == half and row["key"] == key and content in (None, row["content"])
        )
        if row is None:
            return None
        run = 1 if row["run"] == self.writer else 0
        return Recorded(from_struct(row["key"], row["result"]), row["content"], run, row["job"])

    def known_content(self, source: str, location: str, stat: Stat) -> str | None:
        """None: files are read anew."""
        return None

    def note_source(self, source: str, location: str, stat: Stat, content: str) -> None:
        """Nothing is remembered of files."""

    def adopt(self, source: str, question: str, job: str) -> None:
        """Rows are never changed."""

    def sending(self, key: Key, tokens: int | None, cost: Money | None, *, wait: bool = True) -> int:
        """Waits while nothing can be stored.

        Raises:
            ConnectionFailedError: for too long; of scope "job".
            JournalError: the disk of its own has no room for an answer.
        """
        if self._outbox is not None:
            self._outbox.check_room()
        with self._condition:
            while self._lost is not None:
                self._check_outage()
                self._condition.wait(1.0)
        return 0

    def record(
        self, key: Key, result: ItemResult | None, sent: Sequence[Sent] = (), *, wait: bool = True
    ) -> int:
        """As ``Ledger.record``; waits whether it is told to or not.

        Raises:
            ConnectionFailedError: it could not be stored for too long; of scope "job".
        """
        with self._condition:
            billed = self._billed.setdefault(key, _Billed())
            for each in sent:
                if each.billable:
                    billed.requests += 1
                    billed.tokens += each.tokens or 0
                    if each.cost is not None:
                        billed.money = each.cost if billed.money is None else billed.money + each.cost
            if result is None:
                return 0
            self._billed.pop(key, None)
        if result.failure is not None and key.content is not None:
            known = self.recorded(key.source, key.question, key.content)
            if known is not None and known.good:
                result = kept_good(known.result, result.failure)
        row = self._row(key, result, billed)
        with self._condition:
            self._recorded += 1
            number = self._recorded
        if self._outbox is not None:
            self._outbox.add(number, row)
        with self._condition:
            self._waiting.append(_Waiting(number, row))
            self._unstored.setdefault(row["id"][:8], []).append(row)
            self._pending.add(number)
            self._condition.notify_all()
            while self._every_s is None and self._outbox is None and number in self._pending:
                self._check_outage()
                self._condition.wait(1.0)
        return 0

    def store(self, ticket: int) -> None:
        """All that was recorded is stored."""

    def standing(self, result: ItemResult, content: str | None = None) -> ItemResult:
        """As ``Ledger.standing``; by the edits that were there when the run began."""
        if self._reviews is None:
            return result
        return self._reviews.standing(result, self._job, content or result.sha256)

    def spent(self, *, job: str | None = None, run: int | None = None) -> Spent:
        """What a job has used, as far as the parts say that were there at the start."""
        return self.parts.spent(job)

    def end(self, ending: str) -> None:
        """Stores the rest, and lets go."""
        self.close()

    def close(self) -> None:
        """Stores the rest, and lets go. May be called again.

        Raises:
            ConnectionFailedError: the rest could not be stored for too long; with a disk of its own it is
                there, and stored by the next writer.
        """
        with self._condition:
            if self._closed:
                return
            self._closed = True
            self._condition.notify_all()
        self._writer.join()
        if self._outbox is not None:
            self._outbox.close()
        if self._waiting:
            kept = "" if self._outbox is None else "; they are kept in its state folder"
            raise ConnectionFailedError(
                f"{len(self._waiting)} results could not be stored{kept}",
                cure="Run again when the store is back.",
                subject=self._store.address,
                scope="job",
            )

    def _check_outage(self) -> None:
        if self._lost is None or self._outage_seconds is None:
            return
        since, error = self._lost
        if self._clock() - since >= self._outage_seconds:
            raise ConnectionFailedError(
                f"nothing can be stored since {self._clock() - since:.0f} s ({error.reason})",
                cure="Run again when the store is back.",
                subject=self._store.address,
                scope="job",
            )

    def _row(self, key: Key, result: ItemResult, billed: _Billed) -> dict[str, Any]:
        passing = result.failure is not None and result.failure.retryable
        return {
            "id": id_of(key.source, key.question, key.content),
            "key": key_text(key.source),
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
                    not self._waiting or (self._clock() < next_at and len(self._waiting) < _ROWS_A_PART)
                ):
                    self._condition.wait(max(0.0, next_at - self._clock()) if self._waiting else None)
                if not self._waiting:
                    return
                going = list(self._waiting)
            name = f"parts/{self.writer}/{self._number:06}.parquet"
            try:
                self._put(name, going)
            except VisionPipeError as error:
                with self._condition:
                    self._lost = self._lost or (self._clock(), error)
                    if self._closed and self._gives_up(self._lost[0]):
                        return
                    self._condition.notify_all()
                    self._condition.wait(0.2)
                continue
            next_at = self._clock() + pause
            with self._condition:
                self._lost = None
                self._number += 1
                self._taken_in(name, going)
                self._condition.notify_all()

    def _put(self, name: str, going: Sequence[_Waiting]) -> None:
        if self._outbox is not None:
            self._outbox.sending([each.number for each in going], name)
        self._store.put(name, parquet_of(pa.Table.from_pylist([each.row for each in going], SCHEMA)))
        if self._outbox is not None:
            self._outbox.sent(name)

    def _gives_up(self, since: float) -> bool:
        """Whether a writer that is to end leaves off: at once where its rows lie on a disk of its own."""
        if self._outbox is not None:
            return True
        return self._outage_seconds is not None and self._clock() - since >= self._outage_seconds

    def _taken_in(self, name: str, going: Sequence[_Waiting]) -> None:
        """What is stored can be looked up, and no longer waits."""
        del self._waiting[: len(going)]
        first = self.parts.add(name, len(going))
        for number, each in enumerate(going):
            half = each.row["id"][:8]
            self._fresh.setdefault(number_of(half), []).append(first + number)
            held = [row for row in self._unstored.pop(half) if row is not each.row]
            if held:
                self._unstored[half] = held
            self._pending.discard(each.number)
        if len(self._fresh) >= _FOLD_AFTER:
            # Each index is at least twice as long as the next, so there are few, and each row moves seldom.
            found = PartIndex.of_numbered(self._fresh)
            while len(self._indices) > 1 and len(self._indices[-1]) < 2 * len(found):
                found = self._indices.pop().joined(found)
            self._indices.append(found)
            self._fresh = {}
