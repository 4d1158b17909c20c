"""How a job stands, read from its journal by somebody else while it may be under way.

The journal is read as any reader reads it, and its lock is looked at, never taken: a run is not disturbed.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from visionpipe.errors import JournalError
from visionpipe.pipeline.reading import JournalView, Spent
from visionpipe.store.lock import holder
from visionpipe.values import JSON

LATELY_S = 300.0
"""The rate is that of the last five minutes, since a run's first minutes say little of its pace."""

_SHOWN = 100
"""Characters of a prompt that are shown."""


@dataclass(frozen=True, slots=True)
class JobState:
    """One job of a journal: its items by outcome, and what it has used in all its runs."""

    model: str
    prompt: str
    ends: Mapping[str, int]
    spent: Spent

    def to_json(self) -> dict[str, JSON]:
        return {
            "model": self.model,
            "prompt": self.prompt,
            **{outcome: self.ends.get(outcome, 0) for outcome in ("done", "failed", "skipped")},
            "requests": self.spent.requests,
            "refusals": self.spent.refusals,
            "tokens": self.spent.tokens,
            "cost": [money.to_json() for money in self.spent.money],
        }

    def lines(self) -> list[str]:
        """The same in words."""
        ends = ", ".join(f"{count} {outcome}" for outcome, count in sorted(self.ends.items()))
        money = ", ".join(map(str, self.spent.money)) or "cost not known"
        return [
            f"{self.model}: {ends or 'nothing yet'}",
            f"  prompt: {self.prompt[:_SHOWN]}",
            f"  requests: {self.spent.requests}, tokens: {self.spent.tokens}, {money}",
        ]


@dataclass(frozen=True, slots=True)
class JournalStatus:
    """A journal at one moment.

    Attributes:
        held_by: the run that holds it now, as it says of itself; None: no run does.
        run: the number of the latest run, 0 before the first.
        ending: how that run ended; None where it has not, or was killed.
        seconds: since that run began, until now or its end; None before the first.
        under_way: requests sent and not answered yet; without a run that holds it they were lost by a kill.
        rate: results a second in the last five minutes of the run; None where there were none.
        last_result_s: seconds since the last result came; None before the first.
        jobs: those of the journal, the one run last at the end.
    """

    held_by: str | None
    run: int
    ending: str | None
    seconds: float | None
    under_way: int
    rate: float | None
    last_result_s: float | None
    jobs: tuple[JobState, ...]

    @property
    def state(self) -> str:
        """In one word: new, running, killed, or how the latest run ended."""
        if self.held_by is not None:
            return "running"
        return "new" if not self.run else self.ending or "killed"

    def to_json(self) -> dict[str, JSON]:
        return {
            "state": self.state,
            "held_by": self.held_by,
            "run": self.run,
            "ending": self.ending,
            "seconds": _rounded(self.seconds),
            "under_way": self.under_way,
            "rate": _rounded(self.rate),
            "last_result_seconds_ago": _rounded(self.last_result_s),
            "jobs": [job.to_json() for job in self.jobs],
        }

    def lines(self) -> list[str]:
        """The same in words."""
        lines = [line for job in self.jobs for line in job.lines()]
        if self.state == "running":
            lines.append(f"run {self.run} is under way ({self.held_by}), {self.under_way} being answered")
        elif self.state == "killed":
            lines.append(f"run {self.run} was killed; the same command goes on from here")
        elif self.run:
            lines.append(f"run {self.run} has ended: {self.ending}")
        else:
            lines.append("no run yet")
        if self.last_result_s is not None:
            rate = "" if self.rate is None else f", {self.rate:.3g} a second lately"
            lines.append(f"last result {ago(self.last_result_s)} ago{rate}")
        return lines


def read_status(path: str | os.PathLike[str], now: float) -> JournalStatus:
    """How the journal at ``path`` stands.

    Args:
        now: seconds since 1970.

    Raises:
        JournalError: there is none, or it cannot be read.
    """
    file = Path(path)
    if not file.exists():
        raise JournalError(
            "there is no such journal",
            cure="Give the .journal file beside a job's first output.",
            subject=str(file),
            code="missing",
        )
    held_by = holder(file)
    with closing(JournalView.open(file)) as view:
        jobs = tuple(
            JobState(model, prompt, counts, view.spent(job=job)) for job, model, prompt, counts in view.jobs()
        )
        database = view.database
        latest = database.one("SELECT run, started, ended, ending FROM runs ORDER BY run DESC LIMIT 1")
        run = 0 if latest is None else latest["run"]
        begun = None if latest is None else latest["started"]
        last = _single(view, "SELECT max(recorded) FROM results WHERE run = ?", run)
        until = now if latest is None or held_by is not None else latest["ended"] or last or begun
        since = None if begun is None or until is None else max(begun, until - LATELY_S)
        lately = _single(view, "SELECT count(*) FROM results WHERE run = ? AND recorded >= ?", run, since)
        newest = _single(view, "SELECT max(recorded) FROM results")
        under_way = _single(view, "SELECT count(*) FROM sent")
    span = None if since is None or until is None else until - since
    return JournalStatus(
        held_by,
        run,
        None if latest is None else latest["ending"],
        None if begun is None or until is None else max(0.0, until - begun),
        int(under_way or 0),
        lately / span if lately and span else None,
        None if newest is None else max(0.0, now - newest),
        jobs,
    )


def _single(view: JournalView, query: str, *values: object) -> float | None:
    row = view.database.one(query, values)
    found = None if row is None else row[0]
    return found if isinstance(found, int | float) else None


def ago(seconds: float) -> str:
    """A time that has passed, in words."""
    for size, word in ((86400, "days"), (3600, "hours"), (60, "minutes")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {word}"
    return f"{seconds:.0f} seconds"


def _rounded(number: float | None) -> float | None:
    return None if number is None else round(number, 3)
