"""What an answer depends on, as keys: the bytes that it is about, and the question asked about them.

A job's journal and a client's cache of answers both go by these. Where a job's answers are served from is no
part of its keys, so that it goes on at another endpoint; the cache adds it.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

_CONTENT = re.compile(r"[0-9a-f]{64}|url:[0-9a-f]{32}")
_LINKS = ("http://", "https://")


def is_link(location: str) -> bool:
    """Whether the source is an address that is not ours to read."""
    return location.lower().startswith(_LINKS)


def content_of_link(url: str, version: str | None = None) -> str:
    """The content key of a link: its address stands for its bytes, and what is known of their version."""
    named = url if version is None else f"{url}\0{version}"
    return "url:" + hashlib.sha256(named.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def is_content(value: object) -> bool:
    """Whether a value is a content key, and not what a damaged journal holds in its place."""
    return isinstance(value, str) and _CONTENT.fullmatch(value) is not None


def sha256_of(content: str | None) -> str | None:
    """The SHA-256 in a content key, None for a link."""
    return None if content is None or content.startswith("url:") else content


PREPARATION = 2
"""Raised whenever the same file and settings come to be sent as other bytes. It is recorded with each result,
and is no part of a key, so that a new version asks nothing again that is answered."""

_KEYED = 1
"""Stands in every key, where the version of the preparation stood as long as there was only the first."""


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
        preparation: version of how images are made ready; no part of the keys.
    """

    model: str
    template: str
    parameters: Mapping[str, Any] = field(default_factory=dict)
    schema: Mapping[str, Any] | None = None
    preparation: int = PREPARATION

    def question(self, prompt: str) -> str:
        """The key of ``prompt`` (rendered) under this recipe."""
        return digest([self.model, prompt, dict(self.parameters), self.schema, _KEYED])

    @property
    def job(self) -> str:
        """The key of the recipe itself: results of one job belong together in an export."""
        return digest(["job", self.model, self.template, dict(self.parameters), self.schema, _KEYED])
