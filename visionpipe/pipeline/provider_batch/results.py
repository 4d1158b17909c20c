"""The ends that items of a batch come to: from a line's answer to results and journal entries.

The rule: the first who waits for a line is billed for it, whoever else waits shares its answer. Nobody is
asked a second time within a batch, so a judge is asked as for a second answer.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from visionpipe.client.service.batch_calls import BatchAnswer
from visionpipe.errors import AnswerError, ServerError, UnreadableAnswerError, VisionPipeError
from visionpipe.loaders.sources import Source
from visionpipe.pipeline.answerer import Answer, Judge, Prepared
from visionpipe.pipeline.asking import not_good_enough
from visionpipe.pipeline.items import Item, done, failed, shared
from visionpipe.pipeline.journal import Sent
from visionpipe.pipeline.provider_batch.shelf import ShelvedFile, ShelvedLine
from visionpipe.reply import Reply
from visionpipe.results import ItemResult
from visionpipe.stages.extraction import MisfitError, Schema
from visionpipe.values import JSON
from visionpipe.wire.batches import BatchRecord, BatchStatus


def end_of(
    line: ShelvedLine, answer: BatchAnswer, now: float, judge: Judge | None, schema: Schema[Any] | None
) -> tuple[ItemResult, Sent]:
    """How the first who waits for a line ends, and what the journal keeps of its request.

    Args:
        line: the item.
        answer: the line's.
        now: seconds since 1970.
    """
    item = _item(line)
    item.sends = 1
    try:
        if answer.error is not None:
            raise answer.error
        assert answer.reply is not None, "an answer is a reply or an error"
        reply = replace(answer.reply, adjustments=line.adjustments)
        item.billed(reply.usage, reply.cost)
        taken = Answer(reply, _data(reply, schema) if schema is not None else None)
        if judge is not None:
            judgement = judge(taken, True)
            item.notes = judgement.notes
            if judgement.action == "fail":
                raise not_good_enough(judgement, taken)
        return done(item, taken, now), _sent(reply, None, now - line.begun)
    except VisionPipeError as error:
        partial = error.reply if isinstance(error, AnswerError) else None
        if partial is not None and item.usage is None:
            item.billed(partial.usage, partial.cost)
        billed = answer.reply or partial
        return failed(item, error, now), _sent(billed, error.code, now - line.begun, error.request_id)


def _data(reply: Reply, schema: Schema[Any]) -> JSON:
    try:
        _, data = schema.read(reply.text)
    except MisfitError as misfit:
        raise UnreadableAnswerError(
            f"the answer does not fit the schema: {misfit}",
            cure="Run again with failures retried, simplify the schema, or use another model.",
            code="schema",
            request_id=reply.request_id,
            retryable=True,
            reply=reply,
        ) from misfit
    found: JSON = data
    return found


def share_of(line: ShelvedLine, original: ItemResult, now: float) -> ItemResult:
    """How another one who waits for the same line ends."""
    return shared(_item(line), original, now)


def no_answer(line: ShelvedLine, batch: BatchRecord, now: float) -> ItemResult:
    """How an item ends whose line the batch has not answered."""
    told = f": {batch.errors[0]}" if batch.errors else ""
    again = "Run again with failures retried."
    reason, cure, code = {
        BatchStatus.FAILED: (f"the service refused the whole batch file{told}", again, "batch_failed"),
        BatchStatus.EXPIRED: ("the batch expired before this line was answered", again, "batch_expired"),
        BatchStatus.CANCELLED: ("the batch was cancelled before this line", again, "batch_cancelled"),
    }.get(batch.status, ("the batch ended without an answer to this line", again, "batch_line_missing"))
    return failed(_item(line), ServerError(reason, cure=cure, subject=batch.id, code=code), now)


def lost(line: ShelvedLine, file: ShelvedFile, now: float) -> ItemResult:
    """How an item ends whose batch the service no longer knows."""
    error = ServerError(
        "the service no longer knows the batch (it keeps one for 30 days)",
        cure="Run again with failures retried; what it answered may have been billed.",
        subject=file.batch_id or file.name,
        code="batch_lost",
    )
    return failed(_item(line), error, now)


def _item(line: ShelvedLine) -> Item:
    prepared = Prepared(None, adjustments=line.adjustments)
    source = Source(line.key.source, "")
    return Item(source, line.key, line.key.content or "", "", line.begun, prepared)


def _sent(
    reply: Reply | None, failed_with: str | None, seconds: float, request_id: str | None = None
) -> Sent:
    if reply is None:
        return Sent(seconds, request_id, failed_with, billable=False)
    tokens = reply.usage.total_tokens if reply.usage else None
    return Sent(seconds, reply.request_id or None, failed_with, True, tokens, reply.cost)
