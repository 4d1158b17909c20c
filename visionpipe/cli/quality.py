"""What to do about poor answers, as ``--quality`` takes it: KIND=ACTION, as often as needed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated, get_args

import typer

from visionpipe.stages.quality_policy import KINDS, STANDARD, Action, QualityPolicy

_ACTIONS: dict[str, Action] = {name: name for name in get_args(Action)}


def _standing(action: str) -> str:
    return ", ".join(kind for kind in KINDS if STANDARD.action(kind) == action)


Quality = Annotated[
    list[str] | None,
    typer.Option(
        metavar="KIND=ACTION",
        help="What to do about a kind of poor answer: keep it with a note, reask once, or fail the item. By "
        f"default {_standing('reask')} are asked again, and {_standing('keep')} kept. Several may be given.",
    ),
]


def quality_policy(given: Sequence[str] | None) -> QualityPolicy:
    """The standard policy with what was given changed.

    Raises:
        ParameterError: not KIND=ACTION, or no such kind or action.
    """
    policy = STANDARD
    for entry in given or ():
        kind, _, action = entry.partition("=")
        if kind not in KINDS or action not in _ACTIONS:
            from visionpipe.errors import ParameterError

            raise ParameterError(
                f"{entry!r} does not say what to do about which answers",
                cure=f"Give KIND=ACTION: one of {', '.join(KINDS)}, and {' or '.join(_ACTIONS)}.",
                subject="--quality",
            )
        policy = replace(policy, **{kind: _ACTIONS[action]})
    return policy
