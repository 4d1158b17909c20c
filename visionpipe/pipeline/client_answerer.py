"""The answerer that is a client: what the pipeline asks, a ``Client`` sends."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

from visionpipe.client import Client
from visionpipe.client.options import CallOptions, MediaSources
from visionpipe.client.preparation import Prepared as Question
from visionpipe.client.servers import prefix_of
from visionpipe.client.settings import exact_count
from visionpipe.media import Image
from visionpipe.pipeline.answerer import Answer, AnswerOnLoop, PreparedItem
from visionpipe.registry.estimates import Estimate, estimate, estimate_cost
from visionpipe.reply import Reply
from visionpipe.sources.find import Source
from visionpipe.stages.extraction import Schema
from visionpipe.values import JSON

if TYPE_CHECKING:
    from visionpipe.client import AsyncClient

# Dozens of images are under way at once, so all but small ones stay on disk until they are sent. A client's
# cache of answers is left alone: a job has its journal, which knows what is to be asked again.
_IN_MEMORY_BYTES = 64 * 1024


class ClientAnswerer:
    """Prepares and sends through ``client``.

    Args:
        client: safe to use from several threads at once.
        options: for every call, see ``CallOptions``.
        schema: of the structured data asked for; None for plain text.
    """

    def __init__(self, client: Client, options: CallOptions, schema: Schema[Any] | None = None) -> None:
        self._client = client
        self._options = options
        self._schema = schema

    def prepare(self, source: Source, prompt: str) -> PreparedItem:
        """Reads, checks and repairs the item's image."""
        prepared = self._preparing(prompt, [source.seen or source.picture])
        images = [part for part in prepared.media if isinstance(part, Image)]
        estimate = self._estimate(prepared)
        sticky = self._client.settings.sticky and self._client.settings.pool
        return PreparedItem(
            request=prepared,
            tokens=estimate.prompt_tokens + estimate.output_tokens if estimate.complete else None,
            cost=estimate.cost,
            size=sum([-(-image.size // 3) * 4 for image in images]),
            adjustments=prepared.adjustments,
            sha256=images[0].fetched_sha256 if images else None,
            may_repeat=self._schema is not None,
            prefix=prefix_of(prepared.requests[0]) if sticky else None,
        )

    @cached_property
    def _preparing(self) -> Callable[[str, Sequence[MediaSources]], Question]:
        options: CallOptions = {**self._options, "in_memory_bytes": _IN_MEMORY_BYTES, "cache": "off"}
        return self._client.preparing(**options)

    def answer(self, prepared: PreparedItem, seconds: float | None) -> Answer:
        """Sends; 5xx and broken connections are tried again in here, 429 is not."""
        if self._schema is None:
            reply = self._client.send(
                prepared.request, retry_rate_limits=False, seconds=seconds, server=prepared.server
            )
            return Answer(reply)
        found = self._client.send_extraction(
            prepared.request,
            self._schema,
            retry_rate_limits=False,
            seconds=seconds,
            on_repeat=prepared.on_repeat,
            server=prepared.server,
        )
        return read_answer(found.reply, found.data, self._schema)

    @asynccontextmanager
    async def on_loop(self) -> AsyncIterator[AnswerOnLoop | None]:
        """As ``LoopAnswerer.on_loop``."""
        from visionpipe.client.twin import asyncio_twin

        twin = asyncio_twin(self._client)
        if twin is None:
            yield None
            return
        async with twin:
            yield partial(self._answer_by, twin)

    async def _answer_by(self, twin: AsyncClient, prepared: PreparedItem, seconds: float | None) -> Answer:
        """As ``answer``, by the client's twin."""
        if self._schema is None:
            reply = await twin.send(
                prepared.request, retry_rate_limits=False, seconds=seconds, server=prepared.server
            )
            return Answer(reply)
        found = await twin.send_extraction(
            prepared.request,
            self._schema,
            retry_rate_limits=False,
            seconds=seconds,
            on_repeat=prepared.on_repeat,
            server=prepared.server,
        )
        return read_answer(found.reply, found.data, self._schema)

    def _estimate(self, prepared: Question) -> Estimate:
        """What the question takes, the words of the schema with it."""
        if self._schema is None:
            return prepared.estimate
        asked = prepared.extracting(self._schema, self._client.settings.lang)
        return estimate(asked.single("extraction"), asked.model)

    def counting(self) -> CountingAnswerer:
        """The same, asking the service for the tokens of what it prepares."""
        return CountingAnswerer(self._client, self._options, self._schema)


def read_answer(reply: Reply, data: JSON, schema: Schema[Any]) -> Answer:
    """A reply with the data in it, shown by the schema's words."""
    return Answer(replace(reply, text=schema.words(data, reply.text)), data)


class CountingAnswerer(ClientAnswerer):
    """For a plan with exact figures: each prepared question is sent, pictures and all, to be counted where
    the endpoint and the model can count; elsewhere the estimate stands."""

    def prepare(self, source: Source, prompt: str) -> PreparedItem:
        """As ``ClientAnswerer.prepare``, and counts."""
        prepared = super().prepare(source, prompt)
        asked = prepared.request
        counted = exact_count(self._client, asked)
        if counted is None:
            return prepared
        output = asked.estimate.output_tokens
        cost = estimate_cost(counted.total_tokens, output, asked.model.prices)
        return replace(prepared, tokens=counted.total_tokens + output, cost=cost)
