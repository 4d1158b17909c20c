"""Let the model call Python functions about what it sees. Or let it search the web, with a text model.

python samples/tools.py samples/coffee.png
python samples/tools.py --search TEXT-MODEL "Who makes the best espresso?"
"""

import sys
from typing import Annotated

from pydantic import Field

import visionpipe as vp


def price_of(drink: Annotated[str, Field(description="in English, singular")], currency: str = "EUR") -> dict:
    """Look the price of a drink up."""
    prices = {"espresso": 2.2, "tea": 2.8}
    return {"drink": drink, "price": prices.get(drink.lower()), "currency": currency}


with vp.Client() as client:
    if sys.argv[1:2] == ["--search"]:
        model, question = sys.argv[2:]
        reply = client.ask(question, model=model, tools=[vp.WebSearch(count=3)])
        print(reply)
        for source in reply.sources:
            print(f"- {source.title}: {source.link}")
    else:
        images = sys.argv[1:] or ["samples/coffee.png"]
        limits = vp.ToolLimits(rounds=4, seconds=120)
        reply = client.run_tools("What does this drink cost?", *images, tools=[price_of], limits=limits)
        for result in reply.tool_results:
            print(f"{result.name}({result.arguments}) -> {result.output}")
        print(reply)
        print(f"({len(reply.attempts)} requests, {reply.usage})")
