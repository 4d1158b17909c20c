"""How a job in a directory of parts stands, read while any number of writers are at it. Needs the extra
``parquet``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from visionpipe.errors import JournalError, OutputError
from visionpipe.files.stores import Store
from visionpipe.pipeline.part_edits import EditParts, recipes
from visionpipe.pipeline.parts import Parts
from visionpipe.pipeline.reading import Spent
from visionpipe.pipeline.status import LATELY_S, JobState, ago
from visionpipe.values import JSON, Money

_COLUMNS = ["id", "at", "final", "job", "run", "requests", "tokens", "cost", "currency", "result.outcome"]


@dataclass(frozen=True, slots=True)
class PartsStatus:
    """A directory of parts at one moment.

    Attributes:
        parts: files that count, those that were merged among them.
        edits: parts that reviewers have stored.
        writers: that have stored a result in the last five minutes.
        rate: results a second in the last five minutes; None where there were none.
        last_result_s: seconds since the last result was stored.
        jobs: those with results there, the one whose result is the newest at the end.
    """

    parts: int
    edits: int
    writers: int
    rate: float | None
    last_result_s: float
    jobs: tuple[JobState, ...]

    def to_json(self) -> dict[str, JSON]:
        return {
            "parts": self.parts,
            "edit_parts": self.edits,
            "writers": self.writers,
            "rate": None if self.rate is None else round(self.rate, 3),
            "last_result_seconds_ago": round(self.last_result_s, 3),
            "jobs": [job.to_json() for job in self.jobs],
        }

    def lines(self) -> list[str]:
        """The same in words."""
        rate = "" if self.rate is None else f", {self.rate:.3g} a second lately"
        edits = f", {self.edits} of edits" if self.edits else ""
        return [
            *(line for job in self.jobs for line in job.lines()),
            f"{self.parts} part{'s' * (self.parts != 1)}{edits}; "
            f"{self.writers} writer{'s' * (self.writers != 1)} in the last {LATELY_S / 60:.0f} minutes",
            f"last result {ago(self.last_result_s)} ago{rate}",
        ]


def read_parts_status(store: Store, now: float) -> PartsStatus:
    """How the job in a directory of parts stands.

    Args:
        store: the directory.
        now: seconds since 1970.

    Raises:
        JournalError: no results are stored there.
        OutputError, ConnectionFailedError: a part cannot be read.
    """
    parts = Parts(store)
    if not parts.names:
        raise JournalError(
            "no results are stored there",
            cure="Check the address; a run makes it with -o DIRECTORY/.",
            subject=store.address,
            code="missing",
        )
    table = pa.concat_tables([_columns(store, name) for name in parts.names])
    lately = table.filter(pc.greater_equal(table["at"], now - LATELY_S))
    known = recipes(store)
    ends = _ends(table)
    last = {row["job"]: row["at_max"] for row in _by(table, ["job"], [("at", "max")])}
    states = []
    for job in sorted(last, key=lambda job: float(last[job])):
        recipe = known.get(job)
        model, prompt = ("", "") if recipe is None else (recipe.model, recipe.template)
        spent = _spent(table.filter(pc.equal(table["job"], job)))
        states.append(JobState(model or job, prompt, ends.get(job, {}), spent))
    return PartsStatus(
        parts=len(parts.names),
        edits=len(EditParts(store).names()),
        writers=len(pc.unique(lately["run"])),
        rate=lately.num_rows / LATELY_S if lately.num_rows else None,
        last_result_s=max(0.0, now - float(pc.max(table["at"]).as_py())),
        jobs=tuple(states),
    )


def _columns(store: Store, name: str) -> pa.Table:
    data = store.read(name)
    try:
        table = pq.ParquetFile(pa.BufferReader(data)).read(columns=_COLUMNS)
    except (pa.ArrowException, OSError) as error:
        raise OutputError(
            f"this part cannot be read ({error})",
            cure="Take it away: what it held is asked again.",
            subject=f"{store.address.rstrip('/')}/{name}",
        ) from error
    milliseconds = pc.cast(pc.cast(table["at"], pa.timestamp("ms", "UTC")), pa.int64())
    outcome = pc.struct_field(table["result"], "outcome")
    whole = pc.cast(table["id"], pa.binary())
    return (
        table.drop_columns(["result", "id", "at"])
        .append_column("at", pc.divide(pc.cast(milliseconds, pa.float64()), 1000.0))
        .append_column("outcome", outcome)
        .append_column("id", whole)
        .append_column("item", pc.binary_slice(whole, 0, 8))
    )


def _ends(table: pa.Table) -> Mapping[str, Mapping[str, int]]:
    """Items by outcome, for each job: of rows with one id a final one counts, then the newest; of several
    versions of an item the newest."""
    counting = table.select(["job", "item", "id", "final", "at", "outcome"])
    counting = counting.sort_by([("final", "ascending"), ("at", "ascending")])
    counting = _last(counting, ["job", "item", "id"])
    counting = _last(counting.sort_by([("at", "ascending")]), ["job", "item"])
    found: dict[str, dict[str, int]] = {}
    for row in _by(counting, ["job", "outcome"], [("item", "count")]):
        found.setdefault(row["job"], {})[row["outcome"]] = row["item_count"]
    return found


def _last(table: pa.Table, keys: list[str]) -> pa.Table:
    found = table.group_by(keys, use_threads=False).aggregate([("at", "last"), ("outcome", "last")])
    return found.rename_columns([name.removesuffix("_last") for name in found.column_names])


def _by(table: pa.Table, keys: list[str], wanted: list[tuple[str, str]]) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = table.group_by(keys).aggregate(wanted).to_pylist()
    return rows


def _spent(table: pa.Table) -> Spent:
    money: dict[str, Decimal] = {
        row["currency"]: row["cost_sum"]
        for row in _by(table, ["currency"], [("cost", "sum")])
        if row["currency"] is not None and row["cost_sum"] is not None
    }
    requests, tokens = (pc.sum(table[name]).as_py() or 0 for name in ("requests", "tokens"))
    return Spent(requests, tokens, tuple(Money(amount, name) for name, amount in sorted(money.items())))
