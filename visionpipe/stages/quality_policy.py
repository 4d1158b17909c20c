"""What to do about an answer that has notes: keep it, ask once more, or fail its item.

What is no answer at all (nothing, only thinking, a refusal) is never kept as one unless the policy says so.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields
from typing import Literal, TypeAlias

from visionpipe.values import Note

Action: TypeAlias = Literal["keep", "reask", "fail"]


@dataclass(frozen=True, slots=True)
class QualityPolicy:
    """What to do about each kind of note: keep the answer, ask once more, or fail the item.

    An answer asked for again and noted again is kept with its note, except one that is none (``empty``,
    ``thinking_only``, ``refusal``), which then fails.
    """

    empty: Action = "reask"
    thinking_only: Action = "reask"
    truncated: Action = "keep"
    refusal: Action = "reask"
    part_missing: Action = "reask"
    repetition: Action = "reask"
    wrong_language: Action = "keep"
    too_long: Action = "keep"
    several_lines: Action = "keep"
    leftover_markup: Action = "keep"

    def action(self, kind: str) -> Action:
        """The action for a kind of note; notes of other origin are kept."""
        return getattr(self, kind) if kind in KINDS else "keep"


KINDS: tuple[str, ...] = tuple(entry.name for entry in fields(QualityPolicy))
_NO_ANSWER = ("empty", "thinking_only", "refusal")
STANDARD = QualityPolicy()
"""What a job does where it is not told otherwise."""


def decide(notes: Iterable[Note], policy: QualityPolicy, already_reasked: bool) -> Action:
    """What the policy says of an answer with these notes. One "fail" outweighs any "reask"."""
    kinds = [note.kind for note in notes]
    actions = {policy.action(kind) for kind in kinds}
    if "fail" in actions:
        return "fail"
    if "reask" not in actions:
        return "keep"
    if not already_reasked:
        return "reask"
    unusable = [kind for kind in kinds if kind in _NO_ANSWER and policy.action(kind) == "reask"]
    return "fail" if unusable else "keep"
