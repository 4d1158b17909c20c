"""What came back, as a frozen value, and several of them as one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from visionpipe.request import ToolCall
from visionpipe.values import JSON, Adjustment, Money, Note, Usage, notebook_html


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try at sending: the id it carried, its seconds, the code it failed with (None: answered), and of
    several servers the base URL of the one it went to."""

    request_id: str
    seconds: float
    failed_with: str | None = None
    server: str | None = None


@dataclass(frozen=True, slots=True)
class Answered:
    """Where and when an answer was had: what a reply says of its way."""

    request_id: str
    attempts: tuple[Attempt, ...]


@dataclass(frozen=True, slots=True)
class Source:
    """A page that a web search found. A field that the service left out is empty."""

    title: str
    link: str
    content: str = ""
    media: str = ""
    refer: str = ""
    publish_date: str = ""

    def to_json(self) -> dict[str, JSON]:
        return {
            "title": self.title,
            "link": self.link,
            "content": self.content,
            "media": self.media,
            "refer": self.refer,
            "publish_date": self.publish_date,
        }


@dataclass(frozen=True, slots=True)
class ToolResult:
    """One function that the model asked for: ``arguments`` as it wrote them, ``output`` what it was told.

    ``error`` says why there is no result (broken arguments, no such function, or what the function raised),
    ``exception`` is what it raised.
    """

    name: str
    arguments: str
    output: str
    error: str | None = None
    exception: Exception | None = field(default=None, repr=False, compare=False)

    def to_json(self) -> dict[str, JSON]:
        return {"name": self.name, "arguments": self.arguments, "output": self.output, "error": self.error}


@dataclass(frozen=True, slots=True)
class CachedAnswer:
    """An answer that was had before, and cost nothing now.

    Attributes:
        answered_at: when it was given (UTC).
        usage, cost: what it took then.
    """

    answered_at: datetime
    usage: Usage | None = None
    cost: Money | None = None

    def __str__(self) -> str:
        then = f"answered on {self.answered_at:%Y-%m-%d %H:%M} UTC"
        took = [f"{self.usage.total_tokens} tokens"] if self.usage else []
        if self.cost is not None:
            took.append(str(self.cost))
        return f"{then}, for {' and '.join(took)} then" if took else then

    def to_json(self) -> dict[str, JSON]:
        return {
            "answered_at": self.answered_at.isoformat(timespec="seconds"),
            "usage": self.usage.to_json() if self.usage else None,
            "cost": self.cost.to_json() if self.cost else None,
        }


@dataclass(frozen=True, slots=True)
class Reply:
    """A model's answer, with everything that happened on the way to it.

    Attributes:
        text: the answer, with think and box markup taken out (a note says so).
        model: the model id the service reports.
        usage: tokens as the service counted them; None where it did not say.
        cost: from usage and the registry's prices; None where either is unknown.
        request_id: the id of the attempt that was answered.
        finish_reason: stop, length, tool_calls, or what else the service says.
        reasoning: the model's thinking, apart from the answer; empty where there is none.
        tool_calls: functions the model asks for.
        tool_results: functions that were run on the way to this answer, in order.
        sources: pages that a web search found.
        adjustments: what was changed between what was given and what was sent.
        notes: what is worth knowing about the answer.
        attempts: every try, the last one answered.
        local: True where the embedded engine answered and nothing left the machine.
        raw: the answer's JSON as it came (of a stream: its last chunk).
        cached: set where the answer came from the client's cache, and ``usage`` and ``cost`` are zero: what
            they were when it was given.
        images: names of the images that the question was about; those given by path are their paths.
    """

    text: str
    model: str
    usage: Usage | None = None
    cost: Money | None = None
    request_id: str = ""
    finish_reason: str = ""
    reasoning: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    adjustments: tuple[Adjustment, ...] = ()
    notes: tuple[Note, ...] = ()
    attempts: tuple[Attempt, ...] = ()
    local: bool = False
    raw: Mapping[str, JSON] = field(default_factory=dict, repr=False)
    tool_results: tuple[ToolResult, ...] = ()
    sources: tuple[Source, ...] = ()
    cached: CachedAnswer | None = None
    images: tuple[str, ...] = ()

    def __str__(self) -> str:
        return self.text

    def _repr_html_(self) -> str:
        by = "local analysis, nothing left the machine" if self.local else self.model
        tokens = f"{self.usage.total_tokens} tokens" if self.usage else None
        facts = (by, self.cost, tokens, f"{len(self.attempts)} tries" if len(self.attempts) > 1 else None)
        return notebook_html(self.text, facts, (*self.notes, *self.adjustments), pictures=self.images)

    def to_json(self) -> dict[str, JSON]:
        """The reply as one JSON object, without ``raw``."""
        return {
            "text": self.text,
            "model": self.model,
            "local": self.local,
            "request_id": self.request_id,
            "finish_reason": self.finish_reason,
            "reasoning": self.reasoning,
            "usage": self.usage.to_json() if self.usage else None,
            "cost": self.cost.to_json() if self.cost else None,
            "adjustments": [a.to_json() for a in self.adjustments],
            "notes": [n.to_json() for n in self.notes],
            "attempts": len(self.attempts),
            "tool_calls": [
                {"id": call.id, "name": call.name, "arguments": call.arguments} for call in self.tool_calls
            ],
            "tool_results": [result.to_json() for result in self.tool_results],
            "sources": [source.to_json() for source in self.sources],
            "cached": self.cached.to_json() if self.cached else None,
        }


def merge_replies(replies: Sequence[Reply]) -> Reply:
    """Join the texts in order; usage and cost are summed, adjustments, notes and attempts kept in order.

    Usage (or cost) is None where any portion's is, since a part would look like the whole. ``raw`` is
    the last portion's, and ``cached`` is set where all of them were.
    """
    first, *others = replies
    if not others:
        return first
    usage, cost = first.usage, first.cost
    for reply in others:
        usage = usage + reply.usage if usage and reply.usage else None
        cost = cost + reply.cost if cost and reply.cost else None
    adjustments: list[Adjustment] = []
    for reply in replies:
        adjustments.extend(a for a in reply.adjustments if a not in adjustments)
    return replace(
        replies[-1],
        cached=_all_cached([reply.cached for reply in replies]),
        text="\n\n".join(reply.text for reply in replies),
        reasoning="\n\n".join(reply.reasoning for reply in replies if reply.reasoning),
        usage=usage,
        cost=cost,
        adjustments=tuple(adjustments),
        notes=tuple(note for reply in replies for note in reply.notes),
        attempts=tuple(attempt for reply in replies for attempt in reply.attempts),
    )


def _all_cached(answers: Sequence[CachedAnswer | None]) -> CachedAnswer | None:
    """Several answers as one, as old as the oldest; None where one of them was asked for."""
    found = [answer for answer in answers if answer is not None]
    if len(found) < len(answers):
        return None
    whole = found[0]
    for one in found[1:]:
        whole = CachedAnswer(
            min(whole.answered_at, one.answered_at),
            whole.usage + one.usage if whole.usage and one.usage else None,
            whole.cost + one.cost if whole.cost and one.cost else None,
        )
    return whole
