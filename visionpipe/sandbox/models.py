"""The models that exist here: the registry's, the ones named at the start, and the fine-tuned.

Limits come from the record alone, so the sandbox and the client agree on every model.
"""

from __future__ import annotations

from collections.abc import Iterable

from visionpipe.registry.lookup import Registry
from visionpipe.registry.records import ModelRecord
from visionpipe.sandbox.replies import Refusal

TEXT_MODELS = ("glm-4-flash", "glm-4-air", "glm-4-plus")
"""Text models of the service, which take what no vision model does: retrieval, web search and tuning (the FAQ
names glm-4-flash first). ``GET /models`` lists text models only (2026)."""


class ModelList:
    """Finds a model's record by id.

    Args:
        registry: the catalog, with the user's overlay.
        extra: further ids that exist, on the limits the registry has for unknown ones.
    """

    def __init__(self, registry: Registry, extra: Iterable[str]) -> None:
        self._registry = registry
        self._extra = frozenset(extra)
        self._tuned: dict[str, str] = {}

    @property
    def default(self) -> str:
        """The model that answers where a request names none (agents)."""
        return next(e.default_model for e in self._registry.endpoints() if e.default_model)

    def find(self, name: str) -> ModelRecord:
        """The record of a model; Refusal 1211 where it does not exist."""
        tuned_on = self._tuned.get(name)
        if tuned_on is not None:
            return self._registry.model(tuned_on)
        record = self._registry.model(name)
        if name in TEXT_MODELS and record.state in ("generic", "unknown"):
            return record.model_copy(
                update={
                    "id": name,
                    "images": None,
                    "video": None,
                    "files": None,
                    "tools": ("function", "retrieval", "web_search"),
                    "structured_output": True,
                }
            )
        if name not in self._extra and record.state in ("generic", "unknown"):
            raise Refusal("1211", name)
        return record

    def ids(self) -> list[str]:
        """Every id that exists."""
        known = [record.id for record in self._registry.models() if record.state != "generic"]
        return [*dict.fromkeys([*known, *TEXT_MODELS]), *sorted(self._extra), *self._tuned]

    def text_ids(self) -> list[str]:
        """The text models, and those named at the start or tuned."""
        return [*TEXT_MODELS, *sorted(self._extra), *self._tuned]

    def refuses_batches(self, name: str) -> bool:
        """Whether a model exists, and no batch file may ask it."""
        try:
            record = self.find(name)
        except Refusal:
            return False  # told line by line
        return not record.batches and record.state != "generic" and name not in (*self._extra, *TEXT_MODELS)

    def in_batches(self) -> list[str]:
        """The models that batch files may ask."""
        return [
            record.id for record in self._registry.models() if record.batches and record.state != "generic"
        ]

    def add_tuned(self, name: str, base: str) -> None:
        """Let a fine-tuned model exist, on its base model's limits."""
        self._tuned[name] = base
