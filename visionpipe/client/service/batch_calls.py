"""Batches as effect generators, and their results read as the replies that single calls would have given."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from tenacity import stop_after_attempt

from visionpipe.client.calls import Calls
from visionpipe.client.service.surfaces import require
from visionpipe.errors import ReplyTimeoutError, VisionPipeError
from visionpipe.reply import Reply
from visionpipe.request import Request
from visionpipe.stages.exchange import Answered, Effect
from visionpipe.stages.polling import LONG, Look, Looked, PollPolicy, poll
from visionpipe.values import Adjustment, Money
from visionpipe.wire.answers import Page
from visionpipe.wire.batches import (
    BATCHES_PATH,
    BatchRecord,
    batch_path,
    cancel_path,
    encode_batch,
    encode_line,
    list_path,
    read_batch,
    read_batches,
    read_line,
)
from visionpipe.wire.errors import read_error, retry_after
from visionpipe.wire.http import Body, HttpRequest, HttpResponse
from visionpipe.wire.reply import ReadingContext, read_reply


@dataclass(frozen=True, slots=True)
class BatchAnswer:
    """What became of one line: a reply, or the error in its place."""

    custom_id: str
    reply: Reply | None = None
    error: VisionPipeError | None = None


@dataclass(frozen=True, slots=True)
class BatchCalls:
    """Makes the generators.

    Attributes:
        calls: of the client.
        policy: how long to wait between two questions.
    """

    calls: Calls
    policy: PollPolicy = LONG

    def check(self) -> None:
        """Raise UnsupportedError where the endpoint takes no batches."""
        require(self.calls.settings, "batches")

    def line(self, custom_id: str, request: Request) -> Body:
        """A request as a line of a batch file."""
        return encode_line(custom_id, request, self.calls.settings.endpoint)

    def create(
        self, input_file_id: str, metadata: Mapping[str, str] | None, delete_input: bool
    ) -> Generator[Effect, Any, BatchRecord]:
        """Make a batch of an uploaded file.

        Sent once only: an answer that is lost on its way would otherwise make, and bill, a second batch.
        """
        self.check()
        body = encode_batch(input_file_id, metadata, delete_input=delete_input)
        once = replace(self.calls.policy, stop=stop_after_attempt(1))
        try:
            return (
                yield from self.calls.service(
                    lambda _: HttpRequest("POST", BATCHES_PATH, body, timeouts=self.calls.timeouts),
                    lambda response, _: read_batch(response.body),
                    policy=once,
                )
            )
        except VisionPipeError as error:
            if error.retryable:
                error.add_note("The batch may have been made; look for it in client.batches.list().")
            raise

    def state(self, batch_id: str) -> Look[BatchRecord]:
        """Ask once how a batch stands."""
        self.check()

        def read(response: HttpResponse, _: Answered) -> Looked[BatchRecord]:
            batch = read_batch(response.body)
            return Looked(batch, batch.done, retry_after(response))

        return self.calls.service(
            lambda _: HttpRequest("GET", batch_path(batch_id), timeouts=self.calls.timeouts), read
        )

    def get(self, batch_id: str) -> Generator[Effect, Any, BatchRecord]:
        """A batch as it stands."""
        looked = yield from self.state(batch_id)
        return looked.value

    def page(self, after: str | None, limit: int | None) -> Generator[Effect, Any, Page[BatchRecord]]:
        """One page of the list."""
        self.check()
        address = list_path(after=after, limit=limit)
        return self.calls.service(
            lambda _: HttpRequest("GET", address, timeouts=self.calls.timeouts),
            lambda response, _: read_batches(response.body),
        )

    def cancel(self, batch_id: str) -> Generator[Effect, Any, BatchRecord]:
        """Ask the service to stop."""
        self.check()
        return self.calls.service(
            lambda _: HttpRequest("POST", cancel_path(batch_id), timeouts=self.calls.timeouts),
            lambda response, _: read_batch(response.body),
        )

    def wait(self, batch: BatchRecord | str, deadline: float | None) -> Generator[Effect, Any, BatchRecord]:
        """Ask until the batch has ended, one way or another."""
        self.check()
        batch_id = batch if isinstance(batch, str) else batch.id
        return poll(
            lambda: self.state(batch_id),
            policy=self.policy,
            clock=self.calls.clock,
            deadline=deadline,
            late=lambda: _late(batch_id),
        )

    def answer(
        self, line: bytes, model_id: str | None = None, adjustments: tuple[Adjustment, ...] = ()
    ) -> BatchAnswer:
        """One line of an output or error file.

        Args:
            line: as it stands in the file.
            model_id: that was asked; default the client's.
            adjustments: what was changed before it was asked.

        Raises:
            UnreadableAnswerError: the line does not say whose it is.
        """
        settings = self.calls.settings
        result = read_line(line)
        if not 200 <= result.status < 300:
            response = HttpResponse(result.status, {}, result.body)
            refused = read_error(
                response, settings.endpoint, request_id=result.custom_id, key=settings.api_key
            )
            return BatchAnswer(result.custom_id, error=refused)
        model = settings.registry.model(model_id or settings.model.id, settings.endpoint.id)
        request = Request(model=model.id, messages=(), adjustments=adjustments)
        context = ReadingContext(request, model, settings.endpoint, settings.api_key)
        try:
            reply = read_reply(result.body, context, Answered(result.custom_id, ()))
        except VisionPipeError as error:
            return BatchAnswer(result.custom_id, error=error)
        return BatchAnswer(result.custom_id, replace(reply, cost=self._at_batch_price(reply.cost)))

    def _at_batch_price(self, cost: Money | None) -> Money | None:
        factor = self.calls.settings.endpoint.batch_price_factor
        if cost is None or factor is None:
            return cost
        return Money(cost.amount * factor, cost.currency)


def _late(batch_id: str) -> ReplyTimeoutError:
    return ReplyTimeoutError(
        "the batch has not ended in the time given; the service goes on with it",
        cure=f"Wait for it again: client.batches.wait({batch_id!r}), in this or any other process.",
        subject=f"batch {batch_id}",
        code="batch_in_progress",
    )
