"""Costs follow the tier of the prompt, and stay unknown where no price is certain."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from visionpipe.registry.estimates import estimate_cost, price_for
from visionpipe.registry.lookup import Registry
from visionpipe.registry.records import Price
from visionpipe.values import Money

LOW = Price(input=Decimal(1), output=Decimal(3), up_to_prompt_tokens=32_768)
HIGH = Price(input=Decimal(2), output=Decimal(6), up_to_prompt_tokens=131_072)


@pytest.mark.parametrize(
    ("prompt", "amount"),
    [(0, "0.003"), (32_768, "0.035768"), (32_769, "0.071538"), (131_072, "0.268144")],
)
def test_the_prompt_chooses_the_tier(prompt: int, amount: str) -> None:
    for prices in ((LOW, HIGH), (HIGH, LOW)):
        assert estimate_cost(prompt, 1000, prices) == Money(Decimal(amount), "CNY")


def test_beyond_the_last_tier_nothing_is_known() -> None:
    assert estimate_cost(131_073, 1, (LOW, HIGH)) is None


def test_a_price_without_a_tier_holds_for_any_length() -> None:
    price = Price(input=Decimal("0.8"), output=Decimal("2.8"))
    assert price_for(10**7, (price,)) is price
    assert price_for(10, (price, LOW)) is LOW


def test_no_price_is_no_cost_and_a_free_one_is_zero() -> None:
    assert estimate_cost(1000, 1000, ()) is None
    free = Price(input=Decimal(0), output=Decimal(0))
    assert estimate_cost(1000, 1000, (free,)) == Money(Decimal(0), "CNY")


def test_prices_of_several_currencies_give_no_cost() -> None:
    dollars = Price(input=Decimal(1), output=Decimal(1), currency="USD")
    assert estimate_cost(1, 1, (LOW, dollars)) is None


def test_a_model_costs_what_its_endpoint_charges() -> None:
    registry = Registry.load()
    at_bigmodel = registry.model("glm-4.6v", "bigmodel")
    assert estimate_cost(10_000, 1000, at_bigmodel.prices) == Money(Decimal("0.013"), "CNY")
    turbo = registry.model("glm-5v-turbo", "zai")
    assert estimate_cost(1_000_000, 0, turbo.prices) == Money(Decimal("1.2"), "USD")
    assert registry.model("gpt-5.4", "azure").prices == ()
    assert registry.model("glm-4.6v", "ollama").prices == ()


@given(st.integers(0, 131_072), st.integers(0, 131_072))
def test_more_output_never_costs_less(prompt: int, output: int) -> None:
    less, more = (estimate_cost(prompt, count, (LOW, HIGH)) for count in (output, output + 1))
    assert less is not None
    assert more is not None
    assert less.amount < more.amount


def test_input_from_the_cache_has_its_own_price() -> None:
    price = Price(input=Decimal(2), output=Decimal(7), cached=Decimal("0.5"))
    assert estimate_cost(1000, 0, (price,), cached_tokens=400) == Money(Decimal("0.0014"), "CNY")
    # More from the cache than there was input is no reason to pay less than nothing.
    assert estimate_cost(1000, 0, (price,), cached_tokens=5000) == Money(Decimal("0.0005"), "CNY")
    assert estimate_cost(1000, 0, (LOW,), cached_tokens=1000) == Money(Decimal("0.001"), "CNY")
