"""One item on its way through a run, and the results it may end with.

Money and tokens stand in the result of the item that was billed; a shared answer costs nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from visionpipe.errors import VisionPipeError
from visionpipe.files import sha256_of_content
from visionpipe.media import Image
from visionpipe.pipeline.answerer import Answer, PreparedItem
from visionpipe.pipeline.duplicates import Near
from visionpipe.pipeline.ledger import Key
from visionpipe.results import Failure, ItemResult, Outcome
from visionpipe.sources.find import Source
from visionpipe.stages.keys import sha256_of
from visionpipe.values import ABSTAINED, Money, Note, Usage

_CHANGED = Note("changed", "asked again: its picture is another than when it was last asked about")


@dataclass(slots=True)
class OpenItem:
    """What is known of an item that is being asked about. Handed from thread to thread, never shared.

    Attributes:
        content: the bytes' key, by which duplicates are found.
        begun: monotonic seconds at which it was taken in.
        sends, seconds_sending: so far, for the record and the item's deadline.
        usage, cost: billed so far.
        reasked: its first answer was not good enough.
        compared: its picture was compared with others.
        near: the picture it looks like, whose answer it waits for.
        number: its place in the listing, from 1, where that matters.
        moves: servers that it found away.
        claimed: it is the first of its content, and others may wait for it.
        changed: another version of it was asked about before.
    """

    source: Source
    key: Key
    content: str
    prompt: str
    begun: float
    prepared: PreparedItem | None = None
    sends: int = 0
    seconds_sending: float = 0.0
    usage: Usage | None = None
    cost: Money | None = None
    reasked: bool = False
    compared: bool = False
    near: Near | None = None
    number: int = 0
    claimed: bool = False
    changed: bool = False
    moves: int = 0
    notes: tuple[Note, ...] = field(default=())

    def billed(self, usage: Usage | None, cost: Money | None) -> None:
        """Adds one answer's usage and cost."""
        if usage is not None:
            self.usage = usage if self.usage is None else self.usage + usage
        if cost is not None:
            self.cost = cost if self.cost is None else self.cost + cost

    @property
    def sha256(self) -> str | None:
        """Of the source's bytes; None where they were never read."""
        if not self.content.startswith("url:"):
            return self.content
        if isinstance(self.source.image, Image):
            return sha256_of_content(self.source.image.content)
        return None if self.prepared is None else self.prepared.sha256

    @property
    def all_notes(self) -> tuple[Note, ...]:
        """What is worth knowing about the item and its answer."""
        return (*self.notes, _CHANGED) if self.changed else self.notes


@dataclass(frozen=True, slots=True)
class Ended:
    """An item's end on its way to whoever consumes the results. ``kept``: from an earlier run; ``content``:
    the key of its bytes, where that is at hand."""

    result: ItemResult
    kept: bool = False
    content: str | None = None


def done(item: OpenItem, answer: Answer, now: float) -> ItemResult:
    """The result of an answered item; one about which the engine abstains is left out, with its reason."""
    reply = answer.reply
    abstained = next((note.detail for note in reply.notes if note.kind == ABSTAINED), None)
    return ItemResult(
        source=item.source.name,
        outcome=Outcome.DONE if abstained is None else Outcome.SKIPPED,
        caption=reply.text if abstained is None else None,
        data=answer.data if abstained is None else None,
        reason=abstained,
        model=reply.model,
        local=reply.local,
        usage=item.usage,
        cost=item.cost,
        finish_reason=reply.finish_reason or None,
        adjustments=reply.adjustments,
        notes=(*reply.notes, *item.all_notes),
        request_id=reply.request_id or None,
        attempts=item.sends,
        sha256=item.sha256,
        seconds=now - item.begun,
    )


def failed(item: OpenItem, error: VisionPipeError, now: float) -> ItemResult:
    """The result of an item that was to be asked about, and met an error of its own."""
    return ItemResult(
        source=item.source.name,
        outcome=Outcome.FAILED,
        usage=item.usage,
        cost=item.cost,
        adjustments=item.prepared.adjustments if item.prepared is not None else (),
        notes=item.all_notes,
        request_id=error.request_id,
        attempts=item.sends,
        failure=Failure.of(error),
        sha256=item.sha256,
        seconds=now - item.begun,
    )


def refused(key: Key, error: VisionPipeError) -> ItemResult:
    """The result of an item that never came as far as a request."""
    return ItemResult(
        source=key.source,
        outcome=Outcome.FAILED,
        failure=Failure.of(error),
        sha256=sha256_of(key.content),
    )


def skipped(key: Key, reason: str, detail: str = "") -> ItemResult:
    """The result of an item that was left out."""
    notes = (Note("skipped", detail),) if detail else ()
    return ItemResult(
        source=key.source, outcome=Outcome.SKIPPED, reason=reason, notes=notes, sha256=sha256_of(key.content)
    )


def shared(item: OpenItem, original: ItemResult, now: float) -> ItemResult:
    """The result of an item that has another's answer (or its final failure)."""
    notes = original.notes
    if item.near is not None:
        notes = (*notes, Note("near_duplicate", item.near.note))
    return replace(
        original,
        source=item.source.name,
        usage=None,
        cost=None,
        notes=notes,
        attempts=0,
        sha256=item.sha256,
        duplicate_of=original.duplicate_of or original.source,
        seconds=now - item.begun,
    )
