"""What a run tells while it goes on. Values only; whoever shows them is elsewhere.

The rule: events come in the thread (or on the event loop) that consumes the results, one after the other.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from visionpipe.pipeline.summary import RunSummary
from visionpipe.results import ItemResult


@dataclass(frozen=True, slots=True)
class Progress:
    """The counts at one moment. ``listed``: whether ``seen`` is all there is. ``level``: requests allowed at
    once; ``busy``: under way."""

    seen: int
    listed: bool
    done: int
    failed: int
    skipped: int
    kept: int
    level: int
    busy: int
    seconds: float

    @property
    def ended(self) -> int:
        return self.done + self.failed + self.skipped


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
    comes. ``reason``: what the last one met."""

    reason: str


@dataclass(frozen=True, slots=True)
class ServiceBack:
    """Answers come again, after ``seconds``."""

    seconds: float


@dataclass(frozen=True, slots=True)
class RunStopping:
    """No item is begun any more; ``under_way`` are still being answered."""

    reason: str
    under_way: int


@dataclass(frozen=True, slots=True)
class RunEnded:
    """Nothing more comes."""

    summary: RunSummary


Event: TypeAlias = RunStarted | ItemEnded | LevelChanged | ServiceLost | ServiceBack | RunStopping | RunEnded
