"""Requests or tokens a minute, evenly spaced.

The rule: spacing, no bursts. After a request of ``amount`` the next one waits ``60 * amount / per_minute``
seconds, so that no minute, wherever it begins, holds more than the rate (of tokens: more than the rate and
one request). An estimate is put right when the true amount is known.
"""

from __future__ import annotations


class Pace:
    """When the next request may be sent under a rate a minute. Not thread-safe; the limiter locks.

    Args:
        per_minute: requests or tokens, more than 0.
    """

    def __init__(self, per_minute: float) -> None:
        if per_minute <= 0:
            raise ValueError("a rate a minute must be more than 0")
        self._seconds_each = 60.0 / per_minute
        self._free_at = float("-inf")

    def wait(self, now: float) -> float:
        """Seconds from ``now`` until the next request may be sent."""
        return max(0.0, self._free_at - now)

    def take(self, now: float, amount: float) -> None:
        """A request of ``amount`` is being sent at ``now``."""
        self._free_at = max(now, self._free_at) + amount * self._seconds_each

    def correct(self, difference: float) -> None:
        """The last known amount was wrong by ``difference`` (true less assumed)."""
        self._free_at += difference * self._seconds_each
