"""Several replies to one question, asked in portions, as one reply."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from visionpipe.reply import Reply
from visionpipe.values import Adjustment


def portions(count: int, most: int) -> list[slice]:
    """``count`` things in as few runs of at most ``most`` as possible, of nearly equal length, in order."""
    runs = -(-count // most)
    shortest, longer = divmod(count, runs)
    ends = [shortest * (n + 1) + min(n + 1, longer) for n in range(runs)]
    return [slice(begin, end) for begin, end in zip([0, *ends], ends, strict=False)]


def merge_replies(replies: Sequence[Reply]) -> Reply:
    """Join the texts in order; usage and cost are summed, adjustments, notes and attempts kept in order.

    Usage (or cost) is None where any portion's is, since a part would look like the whole. ``raw`` is
    the last portion's.
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
        text="\n\n".join(reply.text for reply in replies),
        reasoning="\n\n".join(reply.reasoning for reply in replies if reply.reasoning),
        usage=usage,
        cost=cost,
        adjustments=tuple(adjustments),
        notes=tuple(note for reply in replies for note in reply.notes),
        attempts=tuple(attempt for reply in replies for attempt in reply.attempts),
    )
