"""What an answer depends on, as keys: the same content asked the same question is never asked twice.

The rule: a key changes when, and only when, another answer could come of it. ``content`` names the bytes,
``question`` everything else: model, prompt as rendered for the item, parameters, schema, and the version of
the library's own preparation. Where the answer is served from is no part of it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

PREPARATION = 1
"""Raised whenever the same file and settings come to be sent as other bytes."""


def digest(value: Any) -> str:
    """32 hexadecimal digits of the SHA-256 of ``value`` as canonical JSON."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, default=str)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]


@dataclass(frozen=True, slots=True)
class Recipe:
    """What all items of a job share.

    Attributes:
        model: the model asked.
        template: the prompt before an item's fields are put in.
        parameters: everything else that steers the answer, as JSON.
        schema: the JSON schema asked for, None for plain text.
        preparation: version of how images are made ready.
    """

    model: str
    template: str
    parameters: Mapping[str, Any] = field(default_factory=dict)
    schema: Mapping[str, Any] | None = None
    preparation: int = PREPARATION

    def question(self, prompt: str) -> str:
        """The key of ``prompt`` (rendered) under this recipe."""
        return digest([self.model, prompt, dict(self.parameters), self.schema, self.preparation])

    @property
    def job(self) -> str:
        """The key of the recipe itself: results of one job belong together in an export."""
        return digest(
            ["job", self.model, self.template, dict(self.parameters), self.schema, self.preparation]
        )
