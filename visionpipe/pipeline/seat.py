"""Who answers a job, and the recipe that its answers depend on.

The rule: what the recipe says is what is sent, a preset's own wishes and the client's defaults included.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from visionpipe.client.client import Client
from visionpipe.client.options import CallOptions, merged, preset_options
from visionpipe.pipeline.answerer import Answerer
from visionpipe.pipeline.client_answerer import ClientAnswerer
from visionpipe.pipeline.prompting import Prompt, prompt_text
from visionpipe.pipeline.recipe import Recipe
from visionpipe.prompts.presets import Language, Preset
from visionpipe.stages.extraction import Schema


class Seat:
    """Who answers, under which recipe."""

    def __init__(
        self,
        answerer: Answerer,
        recipe: Recipe,
        lang: Language,
        concurrency: int,
        close: Callable[[], None],
    ) -> None:
        self.answerer = answerer
        self.recipe = recipe
        self.lang: Language = lang
        self.concurrency = concurrency
        self.close = close

    @classmethod
    def given(
        cls,
        answerer: Answerer,
        prompt: Prompt,
        model: str | None,
        options: CallOptions,
        lang: Language | None,
    ) -> Seat:
        language = lang or "en"
        recipe = Recipe(model or "", prompt_text(prompt, language), _parameters(options))
        return cls(answerer, recipe, language, 4, lambda: None)

    @classmethod
    def of_client(
        cls,
        prompt: Prompt,
        client: Client | None,
        model: str | None,
        options: CallOptions,
        schema: Schema[Any] | None,
        lang: Language | None,
    ) -> Seat:
        asks = client if client is not None else Client(model, lang=lang)
        settings = asks.settings
        chosen = merged(asks.defaults, options)
        asked = settings.model_named(chosen.get("model"))
        if isinstance(prompt, Preset):
            chosen = merged(preset_options(prompt, asked), chosen)
        language = lang or settings.lang
        recipe = Recipe(
            asked.id,
            prompt_text(prompt, language),
            _parameters(chosen),
            schema.json_schema if schema is not None else None,
        )
        close = asks.close if client is None else lambda: None
        return cls(ClientAnswerer(asks, chosen, schema), recipe, language, asked.concurrency, close)


def _parameters(options: CallOptions) -> dict[str, Any]:
    return {name: value for name, value in options.items() if name != "model"}
