"""Exact token counts, where the endpoint and the model have them."""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING, Any

from visionpipe.client.calls import Calls
from visionpipe.client.preparation import Prepared
from visionpipe.client.service.surfaces import require, require_model
from visionpipe.registry.records import ModelRecord
from visionpipe.request import Request
from visionpipe.stages.exchange import Effect
from visionpipe.wire.http import HttpRequest
from visionpipe.wire.tokenizer import TOKENIZER_PATH, TokenCount, encode_count, read_count

if TYPE_CHECKING:
    from visionpipe.client.client import Client


def count_call(calls: Calls, prepared: Prepared) -> Generator[Effect, Any, TokenCount]:
    """Have a prepared question counted; the sum where it is several requests.

    Raises:
        UnsupportedError: the endpoint or the model has no counting; the cure names what has.
    """
    require(calls.settings, "tokenizer")
    require_model(calls.settings, prepared.model, "counts_tokens")
    counted = TokenCount(0, 0, 0, 0)
    for request in prepared.requests:
        counted += yield from _one(calls, request)
    return counted


def exact_count(client: Client, prepared: Prepared) -> TokenCount | None:
    """The service's own count of a prepared question, for a check with a key at hand.

    The question is sent, pictures and all, to be counted.

    Returns:
        None where the endpoint or the model has no counting; the estimate then stands.
    """
    if not can_count(client, prepared.model):
        return None
    return client.count_prepared(prepared)


def can_count(client: Client, model: ModelRecord) -> bool:
    """Whether the client's endpoint counts tokens for ``model``, and there is a key for it."""
    settings = client.settings
    return settings.endpoint.tokenizer and model.counts_tokens and settings.api_key is not None


def _one(calls: Calls, request: Request) -> Generator[Effect, Any, TokenCount]:
    body = encode_count(request, calls.settings.endpoint)
    return calls.service(
        lambda _: HttpRequest("POST", TOKENIZER_PATH, body, timeouts=calls.timeouts),
        lambda response, _: read_count(response.body),
    )
