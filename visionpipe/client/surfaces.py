"""Which of the service's calls an endpoint and a model have, asked before a request is spent.

The registry's records decide; the error names who has what is missing here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, TypeAlias
from urllib.parse import urlsplit

from visionpipe.client.settings import Settings
from visionpipe.errors import UnsupportedError
from visionpipe.registry.records import ModelRecord

if TYPE_CHECKING:
    from visionpipe.client._sync.client import Client
    from visionpipe.client.preparation import Prepared
    from visionpipe.wire.tokenizer import TokenCount

Surface: TypeAlias = Literal[
    "tasks", "batches", "files", "tokenizer", "fine_tuning", "agents_url", "applications_url"
]
_NAMES: dict[Surface, str] = {
    "tasks": "asynchronous tasks",
    "batches": "batch files",
    "files": "file storage",
    "tokenizer": "token counting",
    "fine_tuning": "fine-tuning",
    "agents_url": "agents",
    "applications_url": "applications",
}


def require(settings: Settings, surface: Surface) -> None:
    """Raise UnsupportedError where the client's endpoint does not have ``surface``."""
    endpoint = settings.endpoint
    if getattr(endpoint, surface):
        return
    able = [other.id for other in settings.registry.endpoints() if getattr(other, surface)]
    known = f"Use an endpoint that has it: {', '.join(able)}." if able else "No known endpoint has it."
    raise UnsupportedError(f"there are no {_NAMES[surface]} here", cure=known, subject=endpoint.title)


def require_model(
    settings: Settings, model: ModelRecord, field: Literal["tasks", "batches", "counts_tokens"]
) -> None:
    """Raise UnsupportedError where a known model's record says that it has no such call."""
    if getattr(model, field) or model.state in ("unknown", "generic"):
        return
    what = {"tasks": "asynchronous tasks", "batches": "batch files", "counts_tokens": "token counting"}[field]
    able = [
        other.id
        for other in settings.registry.models()
        if getattr(other, field)
        and other.state in (("current", "legacy") if field == "batches" else ("current",))
        and settings.endpoint.id in other.endpoints
    ]
    known = f"Choose another model: {', '.join(able)}." if able else "Call it without."
    raise UnsupportedError(f"this model has no {what}", cure=known, subject=model.id)


def beside(settings: Settings, url: str) -> str:
    """A record's whole ``url``, moved to the host of the client's base URL where that is another one (a
    gateway or a sandbox), since the key goes to no other host."""
    base, own = urlsplit(settings.endpoint.base_url), urlsplit(url)
    return own._replace(scheme=base.scheme, netloc=base.netloc).geturl()


def can_count(client: Client, model: ModelRecord) -> bool:
    """Whether the client's endpoint counts tokens for ``model``, and there is a key for it."""
    settings = client.settings
    return settings.endpoint.tokenizer and model.counts_tokens and settings.api_key is not None


def exact_count(client: Client, prepared: Prepared) -> TokenCount | None:
    """The service's own count of a prepared question, for a check with a key at hand.

    The question is sent, pictures and all, to be counted.

    Returns:
        None where the endpoint or the model has no counting; the estimate then stands.
    """
    if not can_count(client, prepared.model):
        return None
    return client.count_prepared(prepared)
