"""Which moments of a clip to look at: plans as values, and the arithmetic from a plan to its times.

Pure, and at least one moment always, however short the clip or small the budget of pictures.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import TypeAlias

from visionpipe.errors import ContextLimitError, ParameterError


@dataclass(frozen=True, slots=True)
class Even:
    """``count`` pictures, each in the middle of its own share of the clip."""

    count: int = 8


@dataclass(frozen=True, slots=True)
class Every:
    """A picture at 0 and then every ``seconds``."""

    seconds: float = 1.0


@dataclass(frozen=True, slots=True)
class At:
    """The pictures that a viewer sees at ``seconds``, counted from the first picture."""

    seconds: tuple[float | Fraction, ...]


@dataclass(frozen=True, slots=True)
class PerScene:
    """``count`` pictures of each scene, evenly spread in it."""

    count: int = 1


@dataclass(frozen=True, slots=True)
class KeyFrames:
    """Key frames only: quick, and off from an even spread by up to one group of pictures. ``count``: at
    most so many, evenly chosen; None: all of them."""

    count: int | None = None


MOST_TIMES = 100_000
"""More moments of one clip than this are a mistake, or a damaged header's duration."""

Sampling: TypeAlias = Even | Every | At | PerScene | KeyFrames


def sample_times(
    sampling: Sampling, duration: Fraction, scenes: Sequence[tuple[Fraction, Fraction]] = ()
) -> tuple[Fraction, ...]:
    """The plan's moments in seconds from the first picture, ascending and distinct.

    Args:
        sampling: the plan; for KeyFrames the times are those that its ``count`` are chosen by.
        duration: the clip's, in seconds; may be 0 for a clip of one picture.
        scenes: (start, end) in seconds; needed by PerScene only.

    Raises:
        ParameterError: a count under 1, a step of 0 or less, or a time outside the clip.
    """
    match sampling:
        case Even(count):
            return spread(_counted(count), Fraction(0), duration)
        case KeyFrames(count):
            return spread(_counted(count if count is not None else 1), Fraction(0), duration)
        case Every(seconds):
            if not (seconds > 0 and math.isfinite(seconds)):
                raise ParameterError(
                    f"{seconds} is no step between pictures",
                    cure="Give a number of seconds over 0.",
                    subject="every",
                )
            step = Fraction(str(seconds))
            if duration / step > MOST_TIMES:
                raise ParameterError(
                    f"a picture every {seconds} s of {float(duration):.0f} s is more than {MOST_TIMES:,}",
                    cure="Give a longer step.",
                    subject="every",
                )
            return tuple(step * i for i in range(max(1, math.ceil(duration / step))))
        case At(seconds):
            return _given(seconds, duration)
        case PerScene(count):
            parts = scenes or [(Fraction(0), duration)]
            return tuple(
                sorted({t for start, end in parts for t in spread(_counted(count), start, end)}),
            )


def spread(count: int, start: Fraction, end: Fraction) -> tuple[Fraction, ...]:
    """``count`` moments, each in the middle of its own share of [start, end)."""
    share = (end - start) / count
    return tuple(sorted({start + share * (2 * i + 1) / 2 for i in range(count)}))


def fit_count(
    duration: Fraction,
    *,
    max_images: int | None,
    tokens_per_image: int | None = None,
    token_budget: int | None = None,
    per_second: float = 1.0,
    at_most: int = 32,
) -> int:
    """How many pictures of a clip to send: one for each ``1 / per_second`` seconds, so far as the model's
    image count and its token budget reach.

    Args:
        duration: the clip's, in seconds.
        max_images: pictures the model takes in one request; None: not known.
        tokens_per_image: the estimate for one picture; None: not known.
        token_budget: tokens that all the pictures together may use; None: not known.
        per_second: the density wished for.
        at_most: never more than this.

    Raises:
        ContextLimitError: not even one picture fits the token budget.
    """
    count = max(1, min(at_most, math.ceil(duration * Fraction(str(per_second)))))
    if max_images is not None:
        count = min(count, max(1, max_images))
    if tokens_per_image and token_budget is not None:
        if tokens_per_image > token_budget:
            raise ContextLimitError(
                f"one picture costs about {tokens_per_image} tokens and {token_budget} are left",
                cure="Ask for smaller pictures (max_side) or use a model with a larger context.",
            )
        count = min(count, token_budget // tokens_per_image)
    return count


def _counted(count: int) -> int:
    if count < 1:
        raise ParameterError(
            f"{count} is no number of pictures", cure="Ask for one or more.", subject="frames"
        )
    return count


def _given(seconds: tuple[float | Fraction, ...], duration: Fraction) -> tuple[Fraction, ...]:
    if not seconds:
        raise ParameterError("no time is given", cure="Name at least one.", subject="at")
    for moment in seconds:
        if not math.isfinite(moment) or moment < 0 or Fraction(moment) > duration:
            raise ParameterError(
                f"{float(moment)} s is not in the clip, which lasts {float(duration):.3f} s",
                cure="Give times between 0 and its duration.",
                subject="at",
            )
    return tuple(sorted({Fraction(str(moment)) for moment in seconds}))
