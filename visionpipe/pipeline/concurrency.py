"""How many requests may be under way at once: the control law alone, without clock, threads or I/O.

A service states its limit nowhere; it only refuses (429 with 1302, 1305 and their kin). The law finds the
limit by additive increase and multiplicative decrease, and remembers what it has learnt:

* ``good``: the highest level at which a whole round of requests went through. A refusal above it leads back
  to it; a refusal at it is a decrease to three quarters.
* ``top``: the level to return to quickly, and then to keep. Only after ``PROBE_AFTER`` answers there is one
  more tried, so that at rest about one request in ``PROBE_AFTER`` meets a refusal. Where the try goes well
  the next steps grow (1, 1, 2, 3, 5, ...), so that a limit that was raised is followed within seconds.

The rule: one decrease a congestion event. Every change of level begins a new epoch; a refusal of a request
that was sent before the last decrease says nothing new, and an answer confirms a level only if its request
was sent at that level while the level was in full use.
"""

from __future__ import annotations

PROBE_AFTER = 120
"""Answers at a level believed to be the limit before one more is tried: under 1 % of requests refused."""

DECREASE = 0.75
FIRST_PAUSE_S = 0.2
LONGEST_PAUSE_S = 30.0


class ConcurrencyLaw:
    """The level (requests allowed at once) as answers and refusals come in.

    Args:
        ceiling: the highest level ever allowed, at least 1.
        start: the level to begin with, 1 to ``ceiling``.
    """

    def __init__(self, ceiling: int, start: int = 4) -> None:
        if ceiling < 1:
            raise ValueError("ceiling must be at least 1")
        self.ceiling = ceiling
        self.level = max(1, min(start, ceiling))
        self.epoch = 0
        self._good = 0
        self._top: int | None = None
        self._steps = (0, 1)
        self._answers = 0
        self._in_full_use = False
        self._decreased_in = 0
        self._refused_in_a_row = 0
        self._since_refusal = 0

    def on_answer(self, epoch: int, busy: int) -> bool:
        """An answer came; a request counts as answered even where the answer is an error other than 429.

        Args:
            epoch: :attr:`epoch` when the request was sent.
            busy: requests under way just before, this one included.

        Returns:
            Whether the level changed.
        """
        self._refused_in_a_row = 0
        self._since_refusal += 1
        if epoch != self.epoch:
            return False
        self._answers += 1
        self._in_full_use = self._in_full_use or busy >= self.level
        if self._answers < self._needed():
            return False
        if not self._in_full_use:
            self._answers = 0
            return False
        return self._increase()

    def on_refusal(self, epoch: int) -> float:
        """A request was refused as one too many.

        Args:
            epoch: :attr:`epoch` when the request was sent.

        Returns:
            Seconds in which nothing should be sent. 0.0 as a rule, because after a decrease the requests
            under way have to drain anyway; growing while nothing at all gets through.
        """
        if epoch < self._decreased_in:
            return 0.0
        lone = self._since_refusal >= PROBE_AFTER // 2
        if 0 < self._good < self.level:
            self._top = self.level - 1
            target = self._good
        else:
            # A level that was good for long deserves a second try before it is given up, and in a row of
            # refusals only the first says anything about where the limit may be.
            if self._good or self._top is None:
                self._top = self.level if lone else max(1, self.level - 1)
            target = max(1, min(self.level - 1, int(self.level * DECREASE)))
            self._good = 0
        self._since_refusal = 0
        self._refused_in_a_row += 1
        self._move_to(target)
        self._decreased_in = self.epoch
        self._steps = (0, 1)
        if self._refused_in_a_row < 2:
            return 0.0
        return min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2.0 ** min(self._refused_in_a_row - 2, 16))

    def _needed(self) -> int:
        """Answers in this epoch before the level may rise."""
        if self._top is not None and self.level == self._top:
            return max(PROBE_AFTER, self.level)
        return self.level

    def _increase(self) -> bool:
        self._good = self.level
        if self.level >= self.ceiling:
            self._answers, self._in_full_use = 0, False
            return False
        if self._top is None:
            step = self.level
        elif self.level < self._top:
            step = max(1, min(self.level, (self._top - self.level) // 2))
        else:
            step = self._steps[1]
            self._steps = (step, sum(self._steps))
        self._move_to(min(self.ceiling, self.level + step))
        return True

    def _move_to(self, level: int) -> None:
        self.level = level
        self.epoch += 1
        self._answers, self._in_full_use = 0, False
