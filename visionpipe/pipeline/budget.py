"""Caps on what a job may use: requests, tokens, money.

An amount is reserved before a request is sent and settled when it has ended, so that the cap holds, as far
as the estimates do, however many are under way. A cap belongs to the job: what earlier runs spent counts.
Refused requests (429) cost nothing.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal

from visionpipe.errors import ConfigurationError, ParameterError
from visionpipe.pipeline.reading import Spent
from visionpipe.values import Money


@dataclass(frozen=True, slots=True)
class Caps:
    """The most a job may use; None: no cap.

    Attributes:
        requests: answers, and requests that may have been billed without one (a timeout, a kill).
        tokens: of prompts and answers together.
        money: in one currency; items in another are refused.
    """

    requests: int | None = None
    tokens: int | None = None
    money: Money | None = None

    def __post_init__(self) -> None:
        for name, value in (("requests", self.requests), ("tokens", self.tokens)):
            if value is not None and value < 1:
                raise ParameterError(
                    f"{value} is no cap", cure="Give 1 or more.", subject=f"budget {name}", scope="job"
                )
        if self.money is not None and self.money.amount <= 0:
            raise ParameterError(
                f"{self.money} is no cap", cure="Give more than 0.", subject="budget money", scope="job"
            )

    def check_price(self, cost: Money | None) -> None:
        """Raises ConfigurationError where a cap is in money, and the price is not in its currency."""
        if self.money is None or (cost is not None and cost.currency == self.money.currency):
            return
        found = "no price is known" if cost is None else f"the price is in {cost.currency}"
        raise ConfigurationError(
            f"the budget is in {self.money.currency}, and for this model {found}",
            cure="Give the budget in tokens or requests, or add a price to your catalog.",
            subject="budget",
        )

    def in_the_way(self, spent: Amount, largest: Amount) -> str | None:
        """Which cap has no room for one more request of the ``largest`` size seen; None: each has."""
        ahead = spent + Amount(1, largest.tokens, largest.money)
        if self.requests is not None and ahead.requests > self.requests:
            return f"{spent.requests} of {self.requests} requests"
        if self.tokens is not None and ahead.tokens > self.tokens:
            return f"{spent.tokens} of {self.tokens} tokens"
        if self.money is not None and ahead.money > self.money.amount:
            return f"{Money(spent.money, self.money.currency)} of {self.money}"
        return None

    def used(self, spent: Spent) -> Amount:
        """What of ``spent`` counts against the caps: of money only what is in their currency."""
        currency = self.money.currency if self.money is not None else None
        money = sum((m.amount for m in spent.money if m.currency == currency), Decimal(0))
        return Amount(spent.requests, spent.tokens, money)


@dataclass(frozen=True, slots=True)
class Amount:
    """What one request uses, or all of them; ``money`` in the caps' currency."""

    requests: int = 1
    tokens: int = 0
    money: Decimal = Decimal(0)

    def __add__(self, other: Amount) -> Amount:
        return Amount(self.requests + other.requests, self.tokens + other.tokens, self.money + other.money)

    def __sub__(self, other: Amount) -> Amount:
        return Amount(self.requests - other.requests, self.tokens - other.tokens, self.money - other.money)


NOTHING = Amount(0)


class Budget:
    """Reserves and settles, from any number of threads.

    Args:
        caps: the most.
        spent: what earlier runs of the job have used.
    """

    def __init__(self, caps: Caps, spent: Amount = NOTHING) -> None:
        self._caps = caps
        self._spent = spent
        self._reserved = NOTHING
        self._under_way = 0
        self._largest = NOTHING
        self._condition = threading.Condition()

    def reserve(
        self,
        tokens: int | None,
        cost: Money | None,
        stopped: Callable[[], bool] = lambda: False,
        *,
        wait: bool = True,
    ) -> Amount | None:
        """Sets aside what a request is estimated to use; waits while others' settlements may still make room.

        Args:
            tokens: estimated; None where nobody knows: then the largest seen so far is taken, and before
                the first is known one request goes alone.
            cost: estimated.
            stopped: ends the waiting (call ``wake``).
            wait: False: None as well where it would have to wait.

        Returns:
            What was set aside, for ``settle``; None when the cap is reached or ``stopped``.

        Raises:
            ConfigurationError: a cap in money, and no price in its currency.
        """
        found = self._reserve(tokens, cost, stopped, spare=False, wait=wait)
        return None if found is None else found[0]

    def reserve_spare(
        self,
        tokens: int | None,
        cost: Money | None,
        stopped: Callable[[], bool] = lambda: False,
        *,
        wait: bool = True,
    ) -> tuple[Amount, Amount | None] | None:
        """As ``reserve``, for an answer that may have to be asked for again.

        Returns:
            What was set aside for the request and for the second one, each to be settled or released; without
            the second where only one has room, and nothing under way can still make more. None as there.
        """
        return self._reserve(tokens, cost, stopped, spare=True, wait=wait)

    def _reserve(
        self, tokens: int | None, cost: Money | None, stopped: Callable[[], bool], *, spare: bool, wait: bool
    ) -> tuple[Amount, Amount | None] | None:
        self._caps.check_price(cost)
        with self._condition:
            while not stopped():
                amount = self._assumed(tokens, cost)
                # A second question repeats the first one and its answer, so it may use twice as much.
                second = Amount(1, 2 * amount.tokens, 2 * amount.money) if spare else None
                for more in (second, None) if spare and not self._under_way else (second,):
                    total = amount + (more or NOTHING)
                    if self._fits(self._spent + self._reserved + total):
                        self._reserved += total
                        self._under_way += 1 if more is None else 2
                        return amount, more
                if not self._under_way or not wait:
                    return None
                self._condition.wait()
            return None

    def settle(self, reserved: Amount, tokens: int | None, cost: Money | None, requests: int = 1) -> None:
        """The request was, or may have been, billed; where a figure is None the estimate holds."""
        used = Amount(
            requests=requests,
            tokens=reserved.tokens if tokens is None else tokens,
            money=reserved.money if cost is None else cost.amount,
        )
        with self._condition:
            self._spent += used
            self._largest = Amount(
                1, max(self._largest.tokens, used.tokens), max(self._largest.money, used.money)
            )
            self._give_back(reserved)

    def release(self, reserved: Amount) -> None:
        """The request was not billed."""
        with self._condition:
            self._give_back(reserved)

    def wake(self) -> None:
        """Has waiting threads check their ``stopped`` again."""
        with self._condition:
            self._condition.notify_all()

    @property
    def spent(self) -> Amount:
        with self._condition:
            return self._spent

    @property
    def amounts(self) -> tuple[Amount, Amount]:
        """What is spent, and what is reserved for requests under way."""
        with self._condition:
            return self._spent, self._reserved

    def reached(self) -> str | None:
        """Which cap stands in the way of one more request of the largest size seen; None: none does."""
        with self._condition:
            return self._caps.in_the_way(self._spent, self._largest)

    def _assumed(self, tokens: int | None, cost: Money | None) -> Amount:
        if tokens is None and self._caps.tokens is not None:
            # Before anything is known the whole rest is reserved, so that one request goes alone and tells.
            rest = self._caps.tokens - self._spent.tokens - self._reserved.tokens
            tokens = self._largest.tokens or max(rest, 1)
        return Amount(1, tokens or 0, cost.amount if cost is not None else Decimal(0))

    def _fits(self, total: Amount) -> bool:
        caps = self._caps
        return (
            (caps.requests is None or total.requests <= caps.requests)
            and (caps.tokens is None or total.tokens <= caps.tokens)
            and (caps.money is None or total.money <= caps.money.amount)
        )

    def _give_back(self, reserved: Amount) -> None:
        self._reserved -= reserved
        self._under_way -= 1
        self._condition.notify_all()
