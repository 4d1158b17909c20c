"""What a run reports while it goes on, and its summary.

Items seen are done, failed, skipped or not started, and nothing else. Events come in the thread (or on the
event loop) that consumes the results, one after the other.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from visionpipe.logs import logger, shown_source, tell
from visionpipe.results import Failure, ItemResult, Outcome
from visionpipe.values import JSON, Money, Usage

_LOG = logger("pipeline")
_MOST_REASONS = 100
_OTHER = "other reasons"
_EVERYWHERE = {"local"}


STOP_S = 20.0
"""Seconds that a run told to end waits for what is under way: schedulers kill after thirty."""

STOP_WORDS = {
    "budget": "the next request would go over the budget",
    "deadline": "the job's time is up",
    "stopped": "interrupted",
    "aborted": "interrupted at once, without waiting for what was under way",
    "output": "an output could not be written",
    "error": "an error that every further item would meet",
    "waiting": "the service is still at work",
}
"""What each reason to stop means, in words."""


@dataclass(frozen=True, slots=True)
class RunSummary:
    """One run, counted.

    Attributes:
        seen: items that the listing gave.
        done, failed, skipped: how they ended; ``kept`` of the done and failed were recorded by earlier runs.
        not_started: items without an end, because the run stopped before; the same command takes them up.
        duplicates: done by sharing another item's answer.
        failures: failed items by error code.
        skips: skipped items by reason.
        notes: notes on the answers by kind, "local" excepted, which is on all of them.
        requests: answered in this run, or maybe billed; ``refusals`` were 429s.
        usage, cost: of this run's answers, as billed; one amount a currency.
        seconds: from start to end.
        stopped: None when the listing was worked off, else why not: "budget", "deadline", "stopped",
            "aborted", "output", or "error".
        error: what stopped it, where that was an error.
        maybe_billed_twice: requests that were under way when an earlier run was killed.
        unreadable: results in a damaged journal that could not be read; their items count as new.
    """

    seen: int = 0
    done: int = 0
    failed: int = 0
    skipped: int = 0
    kept: int = 0
    not_started: int = 0
    duplicates: int = 0
    failures: Mapping[str, int] = field(default_factory=dict)
    skips: Mapping[str, int] = field(default_factory=dict)
    notes: Mapping[str, int] = field(default_factory=dict)
    requests: int = 0
    refusals: int = 0
    usage: Usage = field(default_factory=Usage)
    cost: tuple[Money, ...] = ()
    seconds: float = 0.0
    stopped: str | None = None
    error: Failure | None = None
    maybe_billed_twice: int = 0
    unreadable: int = 0

    @property
    def complete(self) -> bool:
        """Whether every item came to an end."""
        return self.stopped is None and self.not_started == 0

    @property
    def ok(self) -> bool:
        """Whether every item came to an end, and none failed."""
        return self.complete and self.failed == 0

    def to_json(self) -> dict[str, JSON]:
        return {
            "seen": self.seen,
            "done": self.done,
            "failed": self.failed,
            "skipped": self.skipped,
            "kept": self.kept,
            "not_started": self.not_started,
            "duplicates": self.duplicates,
            "failures": dict(self.failures),
            "skips": dict(self.skips),
            "notes": dict(self.notes),
            "requests": self.requests,
            "refusals": self.refusals,
            "usage": self.usage.to_json(),
            "cost": [money.to_json() for money in self.cost],
            "seconds": round(self.seconds, 3),
            "stopped": self.stopped,
            "error": self.error.to_json() if self.error else None,
            "maybe_billed_twice": self.maybe_billed_twice,
            "unreadable": self.unreadable,
        }

    def lines(self) -> list[str]:
        """The summary in words, most telling line first."""
        parts = [f"{self.seen} {'item' if self.seen == 1 else 'items'}", f"{self.done} done"]
        for count, word in (
            (self.failed, "failed"),
            (self.skipped, "skipped"),
            (self.not_started, "not started"),
        ):
            if count:
                parts.append(f"{count} {word}")
        head = f"{parts[0]}: {', '.join(parts[1:])}, in {self.seconds:.1f} s"
        lines = [head]
        if self.kept:
            lines.append(f"kept from earlier runs: {self.kept}")
        if self.duplicates:
            lines.append(f"answered by a duplicate: {self.duplicates}")
        lines += [f"failed, {code}: {count}" for code, count in sorted(self.failures.items())]
        lines += [f"skipped, {reason}: {count}" for reason, count in sorted(self.skips.items())]
        lines += [f"noted, {kind}: {count}" for kind, count in sorted(self.notes.items())]
        if self.requests:
            money = ", ".join(map(str, self.cost)) or "cost not known"
            tokens = f"{self.usage.prompt_tokens} in, {self.usage.completion_tokens} out"
            lines.append(f"requests: {self.requests}, tokens: {tokens}, {money}")
        else:
            lines.append("requests: 0, nothing to pay")
        if self.refusals:
            lines.append(f"refused for now (429) and sent again: {self.refusals}")
        if self.maybe_billed_twice:
            lines.append(
                f"under way when an earlier run was killed, maybe billed twice: {self.maybe_billed_twice}"
            )
        if self.unreadable:
            lines.append(f"could not be read in the journal, and asked again: {self.unreadable}")
        if self.error is not None:
            lines.append(f"stopped: {self.error.reason}. {self.error.cure}")
        elif self.stopped is not None:
            why = STOP_WORDS.get(self.stopped, self.stopped)
            lines.append(f"stopped: {why}; the same command goes on from here")
        return lines


class Tally:
    """Counts ends as they come; one thread at a time."""

    def __init__(self) -> None:
        self.done = self.failed = self.skipped = self.kept = self.duplicates = 0
        self.usage = Usage()
        self._failures: Counter[str] = Counter()
        self._skips: Counter[str] = Counter()
        self._notes: Counter[str] = Counter()

    @property
    def ended(self) -> int:
        return self.done + self.failed + self.skipped

    def count(self, result: ItemResult, *, kept: bool) -> None:
        """One item's end."""
        self.kept += kept
        if result.notes and result.outcome is not Outcome.SKIPPED:
            self._notes.update({note.kind for note in result.notes} - _EVERYWHERE)
        if result.usage is not None and not kept:
            self.usage += result.usage
        if result.outcome is Outcome.DONE:
            self.done += 1
            self.duplicates += result.duplicate_of is not None
        elif result.outcome is Outcome.FAILED:
            self.failed += 1
            self._failures[result.failure.code if result.failure else "unknown"] += 1
        else:
            self.skipped += 1
            reason = result.reason or "no reason given"
            known = reason in self._skips or len(self._skips) < _MOST_REASONS
            self._skips[reason if known else _OTHER] += 1

    @property
    def failures(self) -> dict[str, int]:
        return dict(self._failures)

    @property
    def skips(self) -> dict[str, int]:
        return dict(self._skips)

    @property
    def notes(self) -> dict[str, int]:
        return dict(self._notes)


@dataclass(frozen=True, slots=True)
class Progress:
    """The counts at one moment.

    Attributes:
        seen: items taken in so far; ``listed``: whether that is all there is.
        done, failed, skipped: of those that have ended; ``kept`` of them were recorded by earlier runs.
        level: requests allowed at once; ``busy``: under way.
        seconds: since the run began.
        total: items in all; None while they are being counted.
        asked: items that were asked about in this run, and have ended.
        rate: of those, a second; None before the first.
        left: seconds until the rest has been asked about at that rate; None where that cannot be told yet.
    """

    seen: int
    listed: bool
    done: int
    failed: int
    skipped: int
    kept: int
    level: int
    busy: int
    seconds: float
    total: int | None = None
    asked: int = 0
    rate: float | None = None
    left: float | None = None

    @property
    def ended(self) -> int:
        return self.done + self.failed + self.skipped

    def to_json(self) -> dict[str, JSON]:
        return {
            "seconds": round(self.seconds, 1),
            "total": self.total,
            "ended": self.ended,
            "done": self.done,
            "failed": self.failed,
            "skipped": self.skipped,
            "kept": self.kept,
            "asked": self.asked,
            "under_way": self.busy,
            "at_once": self.level,
            "rate": None if self.rate is None else round(self.rate, 3),
            "seconds_left": None if self.left is None else round(self.left, 1),
        }


@dataclass(frozen=True, slots=True)
class RunStarted:
    """``maybe_billed_twice``: requests under way when an earlier run was killed."""

    run: int
    maybe_billed_twice: int


@dataclass(frozen=True, slots=True)
class ItemEnded:
    """An item came to its end; ``kept``: in an earlier run."""

    result: ItemResult
    kept: bool
    progress: Progress


@dataclass(frozen=True, slots=True)
class LevelChanged:
    """The limiter allows another number of requests at once; ``refused``: because of a 429."""

    level: int
    refused: bool
    pause_s: float


@dataclass(frozen=True, slots=True)
class ServiceLost:
    """The service is out of reach: no item fails by it, and one after the other is tried until an answer
    comes. ``reason``: what the last one met. ``server``: the base URL of the one that is, of several; the
    others go on."""

    reason: str
    server: str | None = None


@dataclass(frozen=True, slots=True)
class ServiceBack:
    """Answers come again, after ``seconds``; of ``server`` where there are several."""

    seconds: float
    server: str | None = None


@dataclass(frozen=True, slots=True)
class RunStopping:
    """No item is begun any more; ``under_way`` are still being answered."""

    reason: str
    under_way: int


@dataclass(frozen=True, slots=True)
class BatchEvent:
    """A file has come a step further: written, uploaded, created, a service's word, collected, or lost.

    ``lines`` are in the file, ``trouble`` is what a question after it met and will be asked again.
    """

    file: str
    state: str
    lines: int
    batch_id: str | None = None
    trouble: str | None = None


@dataclass(frozen=True, slots=True)
class RunEnded:
    """Nothing more comes."""

    summary: RunSummary


Event: TypeAlias = RunStarted | ItemEnded | LevelChanged | ServiceLost | ServiceBack | RunStopping | RunEnded


def is_logged() -> bool:
    """Whether events are wanted by the log."""
    return _LOG.isEnabledFor(logging.INFO)


def report(event: Event | BatchEvent, on_event: Callable[[Any], object] | None) -> None:
    """Tells the log, in one line, and whoever listens."""
    if is_logged():
        name, fields = _fields(event)
        tell(_LOG, logging.INFO, name, **fields)
    if on_event is not None:
        on_event(event)


def _fields(event: Event | BatchEvent) -> tuple[str, dict[str, JSON]]:
    match event:
        case RunStarted():
            return "run_started", {"run": event.run, "maybe_billed_twice": event.maybe_billed_twice}
        case ItemEnded():
            result, progress = event.result, event.progress
            return "item_ended", {
                "source": shown_source(result.source),
                "outcome": result.outcome.value,
                "kept": event.kept,
                "error": result.failure.code if result.failure else None,
                "reason": result.reason,
                "model": result.model,
                "seconds": round(result.seconds, 3),
                "attempts": result.attempts,
                "tokens": result.usage.total_tokens if result.usage else None,
                "cost": str(result.cost) if result.cost else None,
                "ended": progress.ended,
                "total": progress.total,
            }
        case LevelChanged():
            return "level_changed", {
                "at_once": event.level,
                "refused": event.refused,
                "pause": round(event.pause_s, 3),
            }
        case ServiceLost():
            return "service_lost", {"reason": event.reason, "server": event.server}
        case ServiceBack():
            return "service_back", {"seconds": round(event.seconds, 3), "server": event.server}
        case RunStopping():
            return "run_stopping", {"reason": event.reason, "under_way": event.under_way}
        case BatchEvent():
            return "batch", {
                "file": event.file,
                "state": event.state,
                "lines": event.lines,
                "batch_id": event.batch_id,
                "trouble": event.trouble,
            }
        case RunEnded():
            return "run_ended", event.summary.to_json()
