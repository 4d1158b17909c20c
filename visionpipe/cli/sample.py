"""A random sample of a job, and what the whole would cost by what the sample did."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import sqrt
from statistics import NormalDist, fmean, stdev

from visionpipe.sources.find import Found, Source

_CONFIDENCE = 0.95


def drawn(found: Iterable[Found], count: int, seed: int | None = None) -> tuple[list[Found], int]:
    """``count`` of the sources in a listing, each as likely as the other, in the listing's order.

    Args:
        found: gone through once; no more than ``count`` of it is kept.
        count: how many.
        seed: for the same sample again; None: another each time.

    Returns:
        The sample, and how many sources there are in all.
    """
    chance = random.Random(seed)
    kept: list[tuple[int, Found]] = []
    total = 0
    for one in found:
        if not isinstance(one, Source):
            continue
        total += 1
        if len(kept) < count:
            kept.append((total, one))
        elif (place := chance.randrange(total)) < count:
            kept[place] = (total, one)
    return [one for _, one in sorted(kept, key=lambda pair: pair[0])], total


@dataclass(frozen=True, slots=True)
class Projection:
    """What all items would cost: the likeliest figure, and the bounds of its 95 % interval."""

    whole: float
    low: float
    high: float


def projected(costs: Sequence[float], total: int) -> Projection | None:
    """The cost of ``total`` items by a random sample of them; None where fewer than two were asked about.

    Student's t around the mean, with the correction for a sample that is a good part of the whole.
    """
    count = len(costs)
    if count < 2:
        return None
    mean = fmean(costs)
    apart = sqrt(max(0.0, 1 - count / total)) if total else 0.0
    margin = _student(count - 1) * stdev(costs) / sqrt(count) * apart
    return Projection(mean * total, max(0.0, mean - margin) * total, (mean + margin) * total)


def _student(freedom: int) -> float:
    """The two-sided quantile of Student's t, by its expansion around the normal one."""
    z = NormalDist().inv_cdf((1 + _CONFIDENCE) / 2)
    first = (z**3 + z) / 4
    second = (5 * z**5 + 16 * z**3 + 3 * z) / 96
    third = (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384
    return z + first / freedom + second / freedom**2 + third / freedom**3
