"""The models that exist here: the registry's, the ones named at the start, and the fine-tuned.

Limits come from the record alone, so the sandbox and the client agree on every model.
"""

from __future__ import annotations

from collections.abc import Iterable

from visionpipe.registry.lookup import Registry
from visionpipe.registry.records import ModelRecord
from visionpipe.sandbox.replies import Refusal


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
        if name not in self._extra and record.state in ("generic", "unknown"):
            raise Refusal("1211", name)
        return record

    def ids(self) -> list[str]:
        """Every id that exists."""
        known = [record.id for record in self._registry.models() if record.state != "generic"]
        return [*known, *sorted(self._extra), *self._tuned]

    def add_tuned(self, name: str, base: str) -> None:
        """Let a fine-tuned model exist, on its base model's limits."""
        self._tuned[name] = base
