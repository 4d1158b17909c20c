"""Several journals of one job made into one: parts of a folder that were run apart, or a journal that was
copied and gone on with in two places.

Of the ends that an item has come to in several, the answer wins, and of two answers the later one. Runs and
requests are all kept, each once, so the job has spent what its parts have, and so is what people made of the
answers. The parts stay as they are.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from visionpipe.errors import JournalError
from visionpipe.pipeline.reading import COLUMNS, JournalView
from visionpipe.pipeline.tables import JOURNAL
from visionpipe.store.database import Database
from visionpipe.store.lock import holder

_ATTEMPT = "source, question, at, seconds, request_id, failed_with, billable, refused, tokens, cost, currency"
_RESULT = [name for name in (*COLUMNS.split(", "), "preparation") if name != "run"]
_SET = ", ".join(
    f"{name} = excluded.{name}" for name in ("run", *_RESULT) if name not in ("source", "question")
)
_LATER = (
    "(excluded.outcome = 'done') > (results.outcome = 'done') OR "
    "((excluded.outcome = 'done') = (results.outcome = 'done') AND excluded.recorded > results.recorded)"
)
_STEP = "at, who, kind, source, shape, content, field"
_KEPT = ", ".join(
    f"{field} = iif(excluded.at > reviews.at, ifnull(excluded.{field}, reviews.{field}), "
    f"ifnull(reviews.{field}, excluded.{field}))"
    for field in ("caption", "data", "verdict")
)
"""The later one's, and what only the other has: nobody's words are lost."""
_TAKE_PART = f"""
INSERT OR IGNORE INTO attempts (run, job, {_ATTEMPT})
  SELECT new, job, {_ATTEMPT} FROM part.attempts JOIN run_of ON run = old
  EXCEPT SELECT run, job, {_ATTEMPT} FROM attempts;
INSERT INTO attempts (run, job, {_ATTEMPT})
  SELECT new, job, source, question, at, 0, NULL, 'killed', 1, 0, tokens, cost, currency
    FROM part.sent JOIN run_of ON sent.run = old JOIN part.runs ON runs.run = old
  EXCEPT SELECT run, job, {_ATTEMPT} FROM attempts;
INSERT INTO results (run, {", ".join(_RESULT)})
  SELECT new, {", ".join(_RESULT)} FROM part.results JOIN run_of ON run = old WHERE true ORDER BY result
  ON CONFLICT (source, question) DO UPDATE SET {_SET} WHERE {_LATER};
INSERT INTO sources SELECT * FROM part.sources WHERE true
  ON CONFLICT (source) DO UPDATE SET location = excluded.location, size = excluded.size,
    modified_ns = excluded.modified_ns, content = excluded.content
  WHERE excluded.modified_ns > sources.modified_ns;
INSERT OR IGNORE INTO looks SELECT * FROM part.looks;
INSERT OR IGNORE INTO features (content, source, version, first, vector)
  SELECT content, source, version, first, vector FROM part.features ORDER BY id;
DELETE FROM action_of;
INSERT INTO action_of
  SELECT mine.action, ifnull(max(other.action), mine.action + (SELECT ifnull(max(action), 0) FROM edits))
    FROM part.edits AS mine LEFT JOIN edits AS other USING ({_STEP}) GROUP BY mine.action;
INSERT INTO edits (action, {_STEP}, before, after, undoes)
  SELECT done.new, {_STEP}, before, after, undone.new FROM part.edits AS mine
    JOIN action_of AS done ON action = done.old LEFT JOIN action_of AS undone ON undoes = undone.old
    WHERE ({_STEP}) NOT IN (SELECT {_STEP} FROM edits) ORDER BY edit;
INSERT INTO reviews SELECT * FROM part.reviews WHERE true ON CONFLICT (source, shape, content) DO UPDATE SET
  {_KEPT},
  who = iif(excluded.at > reviews.at, excluded.who, reviews.who), at = max(excluded.at, reviews.at);
"""
_STRANGERS = """
SELECT mine.source FROM part.sources AS mine JOIN sources AS other USING (source)
WHERE mine.content <> other.content AND mine.location <> other.location LIMIT 4
"""
"""Names that stand for different pictures."""


@dataclass(frozen=True, slots=True)
class Merged:
    """What a merged journal holds of its job: items by outcome, and how many stood in several parts."""

    outcomes: dict[str, int]
    shared: int


def merge_journals(parts: Sequence[Path], target: Path) -> Merged:
    """Make one journal of several, for a job that goes on with it and for exports.

    Args:
        parts: journals of one job, which stay as they are.
        target: the new file.

    Raises:
        JournalError: a part is missing, in use, damaged, waits for batch files or is of another job; one name
            stands for different pictures; or the target is there already.
    """
    if os.path.lexists(target):
        raise JournalError(
            "this file is there already", cure="Name a new one.", subject=str(target), code="exists"
        )
    _check_one_job(parts)
    home = target.absolute().parent
    try:
        folder = tempfile.TemporaryDirectory(prefix="visionpipe-", dir=home)
    except OSError as error:
        raise JournalError(
            f"nothing can be written here ({error.strerror})",
            cure="Choose another folder.",
            subject=str(home),
        ) from error
    with folder as name:
        new = Path(name) / "new"
        copies = [_copied(part, Path(name), number) for number, part in enumerate(parts)]
        Database(new, replace(JOURNAL, exclusive=False)).close()
        with _translated(target), closing(sqlite3.connect(new, isolation_level=None)) as connection:
            shared = _filled(connection, parts, copies, home)
            job = connection.execute("SELECT job FROM runs ORDER BY run DESC LIMIT 1").fetchone()
            found = connection.execute(
                "SELECT outcome, count(*) FROM results WHERE job = ? GROUP BY outcome ORDER BY outcome", job
            )
            outcomes = {str(outcome): int(count) for outcome, count in found}
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        new.replace(target)
    return Merged(outcomes, shared)


def _check_one_job(parts: Sequence[Path]) -> None:
    jobs: dict[str, tuple[Path, str]] = {}
    for part in parts:
        if not part.exists():
            raise JournalError("there is no such journal", cure="Check the path.", subject=str(part))
        run = holder(part)
        if run is not None:
            raise JournalError(
                f"a run is using it ({run})",
                cure="Wait for it to end, or stop it.",
                subject=str(part),
                code="locked",
            )
        with closing(JournalView.open(part)) as view:
            job = view.last_job()
            jobs.setdefault(job, (part, " ".join((view.template(job) or "").split())[:60]))
            waiting = "SELECT count(*) AS n FROM batch_lines WHERE ended = 0"
            row = view.database.one(waiting) if view.database.has_table("batch_lines") else None
            if row is not None and row["n"]:
                raise JournalError(
                    f"{row['n']} of its items are in batch files that the service has not answered",
                    cure="Run its job to the end first.",
                    subject=str(part),
                    code="waiting",
                )
    if len(jobs) > 1:
        told = "; ".join(f"{part} asks {prompt!r}" for part, prompt in jobs.values())
        raise JournalError(
            f"these are journals of different jobs: {told}",
            cure="Merge those whose prompt, model and options are the same.",
            subject=str(parts[0]),
            code="other_job",
        )


def _copied(part: Path, folder: Path, number: int) -> Path:
    """A copy in today's version."""
    real, copy = Path(os.path.realpath(part)), folder / f"part{number}"
    with _translated(part):
        for end in ("", "-wal"):
            if real.with_name(real.name + end).exists():
                shutil.copyfile(real.with_name(real.name + end), copy.with_name(copy.name + end))
        Database(copy, replace(JOURNAL, exclusive=False)).close()
    return copy


def _filled(connection: sqlite3.Connection, parts: Sequence[Path], copies: Sequence[Path], home: Path) -> int:
    """Put every part in; returns how many ends stood in several."""
    new_runs = _put_in_runs(connection, copies)
    connection.execute("CREATE TEMP TABLE run_of (old INTEGER PRIMARY KEY, new INTEGER NOT NULL)")
    connection.execute("CREATE TEMP TABLE action_of (old INTEGER PRIMARY KEY, new INTEGER NOT NULL)")
    shared = 0
    for number, (part, copy) in enumerate(zip(parts, copies, strict=True)):
        connection.execute("ATTACH ? AS part", (str(copy),))
        connection.execute("BEGIN")
        strangers = [str(source) for (source,) in connection.execute(_STRANGERS)]
        if strangers:
            raise JournalError(
                f"{', '.join(strangers)} names different pictures in these journals",
                cure="Merge jobs over one folder; a run over the folder above theirs tells them apart.",
                subject=str(part),
                code="other_pictures",
            )
        connection.execute("DELETE FROM run_of")
        rows = [(old, new) for (place, old), new in new_runs.items() if place == number]
        connection.executemany("INSERT INTO run_of VALUES (?, ?)", rows)
        both = "SELECT count(*) FROM part.results JOIN results USING (source, question)"
        shared += int(connection.execute(both).fetchone()[0])
        for statement in _TAKE_PART.split(";\n"):
            connection.execute(statement)
        _put_in_written(connection, Path(os.path.realpath(part)).parent, Path(os.path.realpath(home)))
        connection.execute("COMMIT")
        connection.execute("DETACH part")
    return shared


def _put_in_runs(connection: sqlite3.Connection, copies: Sequence[Path]) -> dict[tuple[int, int], int]:
    """Runs and jobs of all parts in the order in which they began, each once; returns each run's number by
    its part and its number there."""
    runs: dict[tuple[float, str, int], list[tuple[int, int]]] = {}
    endings: dict[tuple[float, str, int], tuple[float | None, str | None]] = {}
    jobs: dict[str, tuple[object, ...]] = {}
    for number, copy in enumerate(copies):
        with closing(sqlite3.connect(copy)) as part:
            for run, job, pid, started, ended, ending in part.execute("SELECT * FROM runs"):
                runs.setdefault((started, job, pid), []).append((number, run))
                if ended is not None or (started, job, pid) not in endings:
                    endings[(started, job, pid)] = (ended, ending)
            for job, *recipe in part.execute(
                "SELECT job, model, template, parameters, schema, preparation FROM jobs ORDER BY preparation"
            ):
                jobs[job] = tuple(recipe)
    numbers: dict[tuple[int, int], int] = {}
    spans: dict[str, tuple[int, int]] = {}
    for new, run in enumerate(sorted(runs), 1):
        started, job, pid = run
        connection.execute(
            "INSERT INTO runs VALUES (?, ?, ?, ?, ?, ?)", (new, job, pid, started, *endings[run])
        )
        numbers |= dict.fromkeys(runs[run], new)
        spans[job] = (spans.get(job, (new, new))[0], new)
    for job, recipe in jobs.items():
        row = (job, *recipe, *spans.get(job, (0, 0)))
        connection.execute("INSERT INTO jobs VALUES (?, ?, ?, ?, ?, ?, ?, ?)", row)
    return numbers


def _put_in_written(connection: sqlite3.Connection, old: Path, new: Path) -> None:
    """The files that a part's outputs wrote, whose places are told from the journal's own folder."""
    for place, *row in connection.execute("SELECT * FROM part.written").fetchall():
        whole = old / os.fsdecode(place)
        moved = os.fsencode(whole.relative_to(new) if whole.is_relative_to(new) else whole)
        connection.execute(
            "INSERT INTO written VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (place) DO UPDATE SET size = "
            "excluded.size, modified_ns = excluded.modified_ns, digest = excluded.digest, around = "
            "excluded.around, jobs = excluded.jobs WHERE excluded.modified_ns > written.modified_ns",
            (moved, *row),
        )


@contextmanager
def _translated(path: Path) -> Iterator[None]:
    try:
        yield
    except (sqlite3.Error, OSError) as error:
        raise JournalError(
            f"it cannot be merged: {error}",
            cure="Check the disk, and each part with `visionpipe journal check`.",
            subject=str(path),
            code="unwritable" if isinstance(error, OSError) else "damaged",
        ) from error
