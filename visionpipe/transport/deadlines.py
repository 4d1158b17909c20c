"""How long one wait on a connection may take, and what it means when nothing came.

A wait ends at its own limit or at the deadline of the whole exchange, whichever is first, so that
a server which sends a byte now and then keeps nobody waiting for ever.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import httpx

from visionpipe.transport.errors import TimeUpError

LONGEST_S = 1_000_000.0
"""Eleven days stand for ever: systems count a wait in milliseconds of 31 bits."""


def wait_limit(
    timeouts: Mapping[str, float],
    name: str,
    clock: Callable[[], float],
    otherwise: Callable[[str], httpx.TimeoutException],
) -> tuple[float, httpx.TimeoutException]:
    """Seconds to wait now, and the error to raise where they pass in vain.

    Args:
        timeouts: seconds by name; ``deadline``, where there is one, is a moment of ``clock``.
        name: which of them limits this wait.
        clock: seconds, monotonic.
        otherwise: makes the error of that limit.

    Raises:
        TimeUpError: the deadline has passed.
    """
    seconds = min(timeouts[name], LONGEST_S)
    left = timeouts.get("deadline", math.inf) - clock()
    if left <= 0:
        raise TimeUpError("the time is up")
    if left < seconds:
        return left, TimeUpError("the time is up")
    return seconds, otherwise(f"nothing happened for {seconds:g} s")
