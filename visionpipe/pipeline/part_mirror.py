"""A directory of parts as a journal of its own on this machine, for what looks at items in many orders: the
review page, and outputs that ask for every answer of an item. Needs the extra ``parquet``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from visionpipe.errors import JournalError, OutputError, UnreadableSourceError
from visionpipe.files.stores import Store
from visionpipe.pipeline.part_edits import PartEdits, recipes, schema_text
from visionpipe.pipeline.parts import Parts
from visionpipe.pipeline.reading import INSERT, dumped, result_row
from visionpipe.pipeline.rows import from_struct
from visionpipe.pipeline.tables import JOURNAL
from visionpipe.stages.keys import PREPARATION
from visionpipe.store.database import Database, Statement

_AT_ONCE = 1_000
_COLUMNS = ["key", "question", "content", "at", "job", "result"]
_NEWER = "excluded.recorded >= results.recorded"
_PUT = (
    f"{INSERT} WHERE CASE WHEN excluded.content IS NOT results.content THEN {_NEWER} "
    f"WHEN excluded.retryable <> results.retryable THEN excluded.retryable = 0 ELSE {_NEWER} END"
)
"""Of rows about one item and question a final one counts, then the newest; of several versions the newest."""


class PartMirror:
    """The results and edits of a directory of parts in a journal.

    Args:
        store: the directory.
        path: the journal, which is made.
        who: whose the edits are that are written through it.
        tell: told how many parts of how many have been read.

    Raises:
        JournalError: no results are stored there.
        OutputError, ConnectionFailedError: a part cannot be read.
    """

    def __init__(
        self,
        store: Store,
        path: Path,
        who: str,
        tell: Callable[[int, int], object] = lambda read, total: None,
    ) -> None:
        self.path = path
        self._store = store
        self._parts = Parts(store)
        if not self._parts.names:
            raise JournalError(
                "no results are stored there",
                cure="Check the address; a run makes it with -o DIRECTORY/.",
                subject=store.address,
                code="missing",
            )
        self._seen: set[str] = set()
        self.edits = PartEdits(store, path, who)
        with closing(Database(path, JOURNAL)) as database:
            self._take(database, tell)
        self.edits.refresh()

    def refresh(self) -> bool:
        """Takes in what others have stored since; returns whether there was anything."""
        self._parts.refresh()
        taken = bool(set(self._parts.names) - self._seen)
        if taken:
            with self.edits.opened() as database:
                self._take(database, lambda read, total: None)
        return self.edits.refresh() or taken

    @property
    def begun(self) -> float:
        """When the first result was stored, in seconds since 1970."""
        with closing(Database(self.path, JOURNAL, read_only=True)) as database:
            row = database.one("SELECT min(recorded) AS at FROM results")
        return 0.0 if row is None or row["at"] is None else float(row["at"])

    def _take(self, database: Database, tell: Callable[[int, int], object]) -> None:
        fresh = [name for name in self._parts.names if name not in self._seen]
        for number, name in enumerate(fresh, 1):
            try:
                for some in self._read(name):
                    database.write(*some)
            except UnreadableSourceError:
                # It was merged and taken away since it was listed; its rows are in another part.
                continue
            self._seen.add(name)
            tell(number, len(fresh))
        known = recipes(self._store)
        jobs = database.all(
            "SELECT job, max(model) AS model, max(recorded) AS last FROM results GROUP BY job"
        )
        found = sorted(jobs, key=lambda row: float(row["last"]))
        statements: list[Statement] = [("DELETE FROM jobs", ()), ("DELETE FROM runs", ())]
        for run, row in enumerate(found, 1):
            recipe = known.get(row["job"])
            statements += [
                (
                    "INSERT INTO jobs VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                    (
                        row["job"],
                        row["model"] or "" if recipe is None else recipe.model,
                        "" if recipe is None else recipe.template,
                        dumped({} if recipe is None else dict(recipe.parameters)),
                        None if recipe is None else schema_text(recipe),
                        *(PREPARATION, run, run),
                    ),
                ),
                ("INSERT INTO runs VALUES (?, ?, 0, ?, NULL, NULL)", (run, row["job"], row["last"])),
            ]
        database.write(*statements)

    def _read(self, name: str) -> Iterator[list[Statement]]:
        data = self._store.read(name)
        try:
            file = pq.ParquetFile(pa.BufferReader(data))
            for batch in file.iter_batches(_AT_ONCE, columns=_COLUMNS):
                yield [(_PUT, _row(row)) for row in batch.to_pylist()]
        except (pa.ArrowException, OSError) as error:
            raise OutputError(
                f"this part cannot be read ({error})",
                cure="Take it away: what it held is asked again.",
                subject=f"{self._store.address.rstrip('/')}/{name}",
            ) from error


def _row(row: dict[str, Any]) -> tuple[Any, ...]:
    values = result_row(
        from_struct(row["key"], row["result"]),
        question=row["question"],
        job=row["job"],
        run=0,
        recorded=row["at"].timestamp(),
        content=row["content"],
    )
    return (*values, PREPARATION)
