"""Caps hold whatever the order of reserving and settling."""

from __future__ import annotations

import threading
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from visionpipe.errors import ConfigurationError, ParameterError
from visionpipe.pipeline.budget import Amount, Budget, Caps
from visionpipe.values import Money


def cny(amount: str) -> Money:
    return Money(Decimal(amount), "CNY")


def test_requests_are_capped() -> None:
    budget = Budget(Caps(requests=2))
    for _ in range(2):
        reserved = budget.reserve(None, None)
        assert reserved is not None
        budget.settle(reserved, 10, None)
    assert budget.reserve(None, None) is None
    assert budget.reached() == "2 of 2 requests"


def test_what_earlier_runs_spent_counts() -> None:
    budget = Budget(Caps(tokens=100), Amount(3, 95, Decimal(0)))
    assert budget.reserve(10, None) is None
    assert budget.reserve(5, None) is not None


def test_a_reservation_is_settled_by_what_was_used() -> None:
    budget = Budget(Caps(tokens=100))
    reserved = budget.reserve(90, None)
    assert reserved is not None
    budget.settle(reserved, 30, None)
    assert budget.spent == Amount(1, 30, Decimal(0))
    assert budget.reserve(70, None) is not None


def test_an_estimate_holds_where_the_service_says_nothing() -> None:
    budget = Budget(Caps(tokens=100, money=cny("1")))
    reserved = budget.reserve(60, cny("0.4"))
    assert reserved is not None
    budget.settle(reserved, None, None)
    assert budget.spent == Amount(1, 60, Decimal("0.4"))
    assert budget.reserve(60, cny("0.4")) is None
    assert budget.reached() == "60 of 100 tokens"


def test_a_released_reservation_costs_nothing() -> None:
    budget = Budget(Caps(requests=1))
    reserved = budget.reserve(None, None)
    assert reserved is not None
    budget.release(reserved)
    assert budget.spent.requests == 0
    assert budget.reserve(None, None) is not None


def test_while_nothing_is_known_one_request_goes_alone() -> None:
    budget = Budget(Caps(tokens=1000))
    first = budget.reserve(None, None)
    assert first is not None
    second: list[Amount | None] = []
    waiter = threading.Thread(target=lambda: second.append(budget.reserve(None, None)))
    waiter.start()
    budget.settle(first, 40, None)
    waiter.join(10)
    assert second == [Amount(1, 40, Decimal(0))]


def test_who_waits_for_room_goes_home_when_the_run_is_over() -> None:
    budget = Budget(Caps(requests=1))
    budget.reserve(None, None)
    over = threading.Event()
    got: list[Amount | None] = []
    waiter = threading.Thread(target=lambda: got.append(budget.reserve(None, None, over.is_set)))
    waiter.start()
    over.set()
    budget.wake()
    waiter.join(10)
    assert got == [None]


@pytest.mark.parametrize("cost", [None, Money(Decimal(1), "USD")])
def test_a_cap_in_money_needs_a_price_in_its_currency(cost: Money | None) -> None:
    with pytest.raises(ConfigurationError, match="CNY"):
        Budget(Caps(money=cny("1"))).reserve(10, cost)


@pytest.mark.parametrize("caps", [{"requests": 0}, {"tokens": -1}, {"money": cny("0")}])
def test_a_cap_of_nothing_is_refused(caps: dict[str, int]) -> None:
    with pytest.raises(ParameterError, match="no cap"):
        Caps(**caps)  # type: ignore[arg-type]  # the parameters are of several types


steps = st.lists(
    st.tuples(st.sampled_from(["reserve", "settle", "release"]), st.integers(1, 50), st.floats(0, 1)),
    max_size=60,
)


@given(cap=st.integers(1, 300), steps=steps)
def test_estimates_that_hold_keep_the_cap(cap: int, steps: list[tuple[str, int, float]]) -> None:
    budget = Budget(Caps(tokens=cap))
    held: list[Amount] = []
    for step, tokens, share in steps:
        if step == "reserve":
            # A reservation that would have to wait for others is not asked for here: one thread only.
            total = budget.spent.tokens + sum(amount.tokens for amount in held) + tokens
            if total <= cap or not held:
                reserved = budget.reserve(tokens, None)
                assert (reserved is None) == (total > cap)
                held += [reserved] if reserved else []
        elif held:
            amount = held.pop()
            if step == "settle":
                budget.settle(amount, int(amount.tokens * share), None)
            else:
                budget.release(amount)
        assert budget.spent.tokens <= cap
