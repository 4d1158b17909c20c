"""What a run would do, found without sending anything, for each item and in all.

An item is decided on and prepared exactly as in the run. The time is computed from a stated figure.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Literal, TypeAlias

from visionpipe.errors import VisionPipeError
from visionpipe.pipeline.answerer import Answerer
from visionpipe.pipeline.duplicates import Near
from visionpipe.pipeline.near_duplicates import Resemblance
from visionpipe.pipeline.reading import JournalView
from visionpipe.pipeline.triage import Fresh, Kept, Refused, Skipped, Triage
from visionpipe.results import Failure
from visionpipe.sources.find import Found, Source
from visionpipe.values import JSON, Adjustment, Money, notebook_html

Fate: TypeAlias = Literal["send", "keep", "duplicate", "skip", "refuse"]

_PICTURES = 8
"""Of so many of the items to send a notebook shows small copies."""

ASSUMED_SECONDS = 3.0
"""Seconds an answer is taken to need where the journal has none to go by."""

ASSUMED_AT_ONCE = 8
"""Requests at once that a service is taken to bear, where fewer are not asked for."""


@dataclass(frozen=True, slots=True)
class PlanItem:
    """One item's fate.

    Attributes:
        fate: send; keep (recorded by an earlier run); duplicate (shares another's answer); skip; refuse.
        adjustments: what would be changed before sending.
        size: bytes to send.
        tokens: estimated, of prompt and longest answer; ``cost`` likewise.
        reason: why it is skipped, or whose duplicate it is.
        failure: why it is refused.
    """

    source: str
    fate: Fate
    adjustments: tuple[Adjustment, ...] = ()
    size: int = 0
    tokens: int | None = None
    cost: Money | None = None
    reason: str | None = None
    failure: Failure | None = None

    def to_json(self) -> dict[str, JSON]:
        return {
            "path": self.source,
            "fate": self.fate,
            "adjustments": [a.to_json() for a in self.adjustments],
            "bytes": self.size,
            "tokens": self.tokens,
            "cost": self.cost.to_json() if self.cost else None,
            "reason": self.reason,
            "error": self.failure.to_json() if self.failure else None,
        }


@dataclass(slots=True)
class PlanTotals:
    """The plan in all, complete once the plan was read to its end.

    Attributes:
        fates: items by fate; ``adjusted`` of those to send are changed first.
        size: bytes to send. tokens: estimated; ``uncounted`` items have no estimate.
        cost: one amount a currency.
        concurrency: requests at once that the time is estimated with.
        seconds: items to send x ``seconds_an_answer`` / ``concurrency``.
    """

    concurrency: int
    seconds_an_answer: float
    measured: bool
    fates: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    adjusted: int = 0
    size: int = 0
    tokens: int = 0
    uncounted: int = 0
    cost: dict[str, Money] = field(default_factory=dict)

    @property
    def items(self) -> int:
        return self.fates.total()

    @property
    def seconds(self) -> float:
        return self.fates["send"] * self.seconds_an_answer / self.concurrency

    def add(self, item: PlanItem) -> None:
        self.fates[item.fate] += 1
        if item.fate in ("skip", "refuse"):
            self.reasons[item.failure.code if item.failure else item.reason or ""] += 1
        if item.fate != "send":
            return
        self.adjusted += bool(item.adjustments)
        self.size += item.size
        self.tokens += item.tokens or 0
        self.uncounted += item.tokens is None
        if item.cost is not None:
            known = self.cost.get(item.cost.currency)
            self.cost[item.cost.currency] = item.cost if known is None else known + item.cost

    def to_json(self) -> dict[str, JSON]:
        return {
            "items": self.items,
            **{fate: self.fates[fate] for fate in ("send", "keep", "duplicate", "skip", "refuse")},
            "adjusted": self.adjusted,
            "reasons": dict(self.reasons),
            "bytes": self.size,
            "tokens": self.tokens,
            "uncounted": self.uncounted,
            "cost": [money.to_json() for money in self.cost.values()],
            "seconds": round(self.seconds, 1),
            "seconds_an_answer": round(self.seconds_an_answer, 3),
            "measured": self.measured,
            "concurrency": self.concurrency,
        }


class Plan:
    """Iterate it once for the items; ``totals`` grows on the way and is whole at the end.

    Args:
        sources: the listing.
        triage: decides about each item.
        journal: where duplicates are found.
        answerer: prepares, and is never asked to send.
        totals: to be filled.
        resemblance: finds near duplicates; None where they are not asked for.
        close: called at the end.
    """

    def __init__(
        self,
        sources: Iterator[Found],
        triage: Triage,
        journal: JournalView,
        answerer: Answerer,
        totals: PlanTotals,
        resemblance: Resemblance | None,
        close: Callable[[], None],
    ) -> None:
        self.totals = totals
        self._sources = sources
        self._triage = triage
        self._journal = journal
        self._answerer = answerer
        self._resemblance = resemblance
        self._close = close
        # 16 bytes a content, so that a hundred thousand files cost a few megabytes.
        self._planned: dict[bytes, str] = {}
        self._pictures: list[str] = []

    def _repr_html_(self) -> str:
        totals = self.totals
        rows = [(fate, count) for fate, count in sorted(totals.fates.items())]
        facts = (*totals.cost.values(), f"{totals.tokens} tokens", f"about {totals.seconds:.0f} s")
        words = f"{totals.items} items" if totals.items else "Not gone through yet: iterate it."
        return notebook_html(words, facts if totals.items else (), rows=rows, pictures=self._pictures)

    def __iter__(self) -> Iterator[PlanItem]:
        try:
            for source in self._sources:
                item = self._item(source)
                self.totals.add(item)
                yield item
        finally:
            self._close()

    def _item(self, source: Found) -> PlanItem:
        decision = self._triage.decide(source)
        match decision:
            case Skipped():
                return PlanItem(source.name, "skip", reason=decision.reason)
            case Kept():
                return PlanItem(source.name, "keep", reason=decision.result.outcome.value)
            case Refused():
                return PlanItem(source.name, "refuse", failure=Failure.of(decision.error))
            case Fresh() if isinstance(source, Source):
                return self._fresh(source, decision)
        raise AssertionError("only a source can be fresh")

    def _fresh(self, source: Source, decision: Fresh) -> PlanItem:
        mark = hashlib.sha256(f"{decision.content} {decision.key.question}".encode()).digest()[:16]
        same = self._planned.get(mark)
        if same is None:
            original = self._journal.shared(
                decision.content, decision.key.question, self._triage.shared_since
            )
            same = original.source if original is not None and not self._triage.force else None
        if same is not None:
            return PlanItem(source.name, "duplicate", reason=f"same bytes as {same}")
        try:
            near = self._near(source, decision)
            if near is not None:
                return PlanItem(source.name, "duplicate", reason=near.reason)
            held = source if decision.image is None else replace(source, image=decision.image)
            prepared = self._answerer.prepare(held, decision.prompt)
        except VisionPipeError as error:
            if error.scope == "job":
                raise
            return PlanItem(source.name, "refuse", failure=Failure.of(error))
        self._planned[mark] = source.name
        if len(self._pictures) < _PICTURES:
            self._pictures.append(source.location)
        return PlanItem(
            source.name, "send", prepared.adjustments, prepared.size, prepared.tokens, prepared.cost
        )

    def _near(self, source: Source, decision: Fresh) -> Near | None:
        if self._resemblance is None:
            return None
        signature = self._resemblance.signature(decision.content, source)
        return self._resemblance.first_like(decision.content, source.name, signature)


def collisions(sources: Iterable[Found], sidecar: Callable[[str], str]) -> Iterator[tuple[str, str]]:
    """Pairs of sources whose sidecars would have one name (``a.jpg`` beside ``a.png``).

    Args:
        sources: the listing.
        sidecar: from a source's name to its sidecar's.
    """
    owners: dict[bytes, str] = {}
    for source in sources:
        if not isinstance(source, Source):
            continue
        mark = hashlib.sha256(sidecar(source.name).encode("utf-8", "surrogatepass")).digest()[:12]
        if mark in owners:
            yield owners[mark], source.name
        else:
            owners[mark] = source.name
