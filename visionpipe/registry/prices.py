"""From tokens to money, by the catalog's prices.

The rule: an amount is given only where one price holds for certain. Cached input is charged at the full
price here: the documentation says "usually half" and gives no figure a model, so the bill may be lower.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import TYPE_CHECKING

from visionpipe.values import Money

if TYPE_CHECKING:
    from visionpipe.registry.records import Price

_MILLION = Decimal(1_000_000)


def price_for(prompt_tokens: int, prices: Sequence[Price]) -> Price | None:
    """The price whose tier a prompt of ``prompt_tokens`` falls in; None beyond the last tier, or where
    services with different currencies are mixed (look the model up with its endpoint)."""
    if len({price.currency for price in prices}) > 1:
        return None
    fitting = [
        price
        for price in prices
        if price.up_to_prompt_tokens is None or prompt_tokens <= price.up_to_prompt_tokens
    ]
    return min(fitting, key=lambda price: price.up_to_prompt_tokens or float("inf"), default=None)


def estimate_cost(prompt_tokens: int, completion_tokens: int, prices: Sequence[Price]) -> Money | None:
    """What a call costs.

    Args:
        prompt_tokens: all input, images included; it chooses the tier.
        completion_tokens: all output, thinking included.
        prices: a model's, for one endpoint.

    Returns:
        The amount in the price's currency; None where no price is known.
    """
    price = price_for(prompt_tokens, prices)
    if price is None:
        return None
    amount = (prompt_tokens * price.input + completion_tokens * price.output) / _MILLION
    return Money(amount, price.currency)
