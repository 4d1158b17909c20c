"""A clip told in spans: times from the container, words from the model.

Values only; what is written to JSON can be read back to the same value.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Literal, TypeAlias

from visionpipe.results import Failure
from visionpipe.values import JSON, Adjustment, Money, Note, Timecode, Usage, notebook_html

SeenBy: TypeAlias = Literal["frames", "sheet", "video"]


@dataclass(frozen=True, slots=True)
class Span:
    """One stretch of the clip and what is said of it.

    Attributes:
        index: from 0.
        scene: the scene it lies in, from 0.
        start, end: [start, end), counted from the clip's first picture.
        text: the model's words; empty where it failed.
        seen_by: what the model was shown: frames, a contact sheet of them, or the video itself.
        frames: the moments of the frames it was shown.
        failure: why there are no words; None where there are.
        notes: what is worth knowing, such as that the model named times of its own and they were snapped.
    """

    index: int
    scene: int
    start: Timecode
    end: Timecode
    text: str
    seen_by: SeenBy = "frames"
    frames: tuple[Timecode, ...] = ()
    model: str = ""
    local: bool = False
    usage: Usage | None = None
    cost: Money | None = None
    failure: Failure | None = None
    adjustments: tuple[Adjustment, ...] = ()
    notes: tuple[Note, ...] = ()

    def to_json(self) -> dict[str, JSON]:
        return {
            "index": self.index,
            "scene": self.scene,
            "start": self.start.to_json(),
            "end": self.end.to_json(),
            "text": self.text,
            "seen_by": self.seen_by,
            "frames": [f.to_json() for f in self.frames],
            "model": self.model,
            "local": self.local,
            "usage": self.usage.to_json() if self.usage else None,
            "cost": self.cost.to_json() if self.cost else None,
            "failure": self.failure.to_json() if self.failure else None,
            "adjustments": [a.to_json() for a in self.adjustments],
            "notes": [n.to_json() for n in self.notes],
        }

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> Span:
        """The inverse of ``to_json``; raises KeyError or TypeError on a record of another shape."""
        failure = record["failure"]
        return cls(
            index=record["index"],
            scene=record["scene"],
            start=Timecode.from_json(record["start"]),
            end=Timecode.from_json(record["end"]),
            text=record["text"],
            seen_by=record["seen_by"],
            frames=tuple(Timecode.from_json(f) for f in record["frames"]),
            model=record["model"],
            local=record["local"],
            usage=_usage(record["usage"]),
            cost=_money(record["cost"]),
            failure=Failure(**failure) if failure else None,
            adjustments=tuple(Adjustment(**a) for a in record["adjustments"]),
            notes=tuple(Note(**n) for n in record["notes"]),
        )


@dataclass(frozen=True, slots=True)
class Timeline:
    """A whole clip: its spans in order, covering it from 0 to ``duration``, and a summary of them all.

    ``usage`` and ``cost`` are of all requests together; cost is None where one of them is not known.
    ``local``: the embedded engine's words, nothing left the machine.
    """

    clip: str
    duration: Timecode
    spans: tuple[Span, ...]
    summary: str = ""
    model: str = ""
    local: bool = False
    usage: Usage | None = None
    cost: Money | None = None
    adjustments: tuple[Adjustment, ...] = ()
    notes: tuple[Note, ...] = ()

    @property
    def failed(self) -> tuple[Span, ...]:
        return tuple(span for span in self.spans if span.failure is not None)

    def _repr_html_(self) -> str:
        by = "local analysis, nothing left the machine" if self.local else self.model
        rows = [
            (span.start, span.end, f"failed: {span.failure.reason}" if span.failure else span.text)
            for span in self.spans
        ]
        facts = (self.clip, self.duration, by, self.cost)
        return notebook_html(
            self.summary, facts, (*self.notes, *self.adjustments), rows=rows, pictures=(self.clip,)
        )

    def to_json(self) -> dict[str, JSON]:
        return {
            "clip": self.clip,
            "duration": self.duration.to_json(),
            "summary": self.summary,
            "model": self.model,
            "local": self.local,
            "usage": self.usage.to_json() if self.usage else None,
            "cost": self.cost.to_json() if self.cost else None,
            "adjustments": [a.to_json() for a in self.adjustments],
            "notes": [n.to_json() for n in self.notes],
            "spans": [s.to_json() for s in self.spans],
        }

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> Timeline:
        """The inverse of ``to_json``; raises KeyError or TypeError on a record of another shape."""
        return cls(
            clip=record["clip"],
            duration=Timecode.from_json(record["duration"]),
            spans=tuple(Span.from_json(s) for s in record["spans"]),
            summary=record["summary"],
            model=record["model"],
            local=record["local"],
            usage=_usage(record["usage"]),
            cost=_money(record["cost"]),
            adjustments=tuple(Adjustment(**a) for a in record["adjustments"]),
            notes=tuple(Note(**n) for n in record["notes"]),
        )


def _usage(record: Mapping[str, Any] | None) -> Usage | None:
    return Usage(**{k: v for k, v in record.items() if k != "total_tokens"}) if record else None


def _money(record: Mapping[str, Any] | None) -> Money | None:
    return Money(Decimal(record["amount"]), record["currency"]) if record else None
