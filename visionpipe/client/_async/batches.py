"""Batches: many questions in a file, answered within a day at a lower price.

    paths = client.batches.write({"cat-0001": client.prepare("What?", "cat.jpg")}.items(), "work/")
    batch = client.batches.create(client.files.upload(paths[0]).id)
    client.batches.wait(batch)
    for answer in client.batches.read(client.batches.download(batch.id, "work/")): ...

A folder of images is better given to ``Pipeline`` with ``via="batch"``, which keeps a journal
and goes on after a break.
"""

from __future__ import annotations

import builtins
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path

from visionpipe.client._async.calls import AsyncCalls, poll_async
from visionpipe.client._async.files import AsyncFiles
from visionpipe.client.preparation import Prepared
from visionpipe.client.settings import Settings, require, require_model
from visionpipe.errors import ReplyTimeoutError, UnreadableAnswerError, UnsupportedError, VisionPipeError
from visionpipe.files import lines_of
from visionpipe.reply import Answered
from visionpipe.request import Request
from visionpipe.stages.retry import LONG, Looked
from visionpipe.values import Money
from visionpipe.wire.answers import Page
from visionpipe.wire.batches import (
    BATCHES_PATH,
    BatchAnswer,
    BatchFile,
    BatchLimits,
    BatchRecord,
    Splitter,
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
class AsyncBatches:
    """``client.batches``. What needs no connection (``write``, ``line``, ``read``) is never awaited."""

    _calls: AsyncCalls

    def write(
        self,
        requests: Iterable[tuple[str, Prepared]],
        folder: str | os.PathLike[str],
        *,
        limits: BatchLimits | None = None,
        name: str = "batch",
    ) -> builtins.list[Path]:
        """Write requests as batch files ``folder/name-0001.jsonl`` and on.

        Args:
            requests: unique ids of 6 characters or more, and what ``client.prepare`` gave for each.
            folder: made if it is not there.
            limits: of a file; default the service's, 50,000 lines and 100 MB. A file asks one model.
            name: what the files' names begin with.

        Returns:
            The files, each ready for ``client.files.upload``.

        Raises:
            MediaLimitError: one request alone is over the limit.
            UnsupportedError: a prepared question of several requests, or a model that is in no batch files.
            OutputError: a file cannot be written.
        """
        splitter = Splitter(limits)
        place = Path(folder)
        place.mkdir(parents=True, exist_ok=True)
        files: list[BatchFile] = []
        with ExitStack() as stack:
            for custom_id, prepared in requests:
                line = self.line(custom_id, prepared)
                number = splitter.place(prepared.model.id, line.size)
                if number == len(files):
                    path = place / f"{name}-{number + 1:04}.jsonl"
                    files.append(stack.enter_context(BatchFile(path)))
                files[number].add_line(line)
        return [file.path for file in files]

    def line(self, custom_id: str, prepared: Prepared) -> Body:
        """One request as a line, with its size known; for a ``BatchFile`` of your own.

        Raises:
            UnsupportedError: a prepared question of several requests, or a model that is in no batch files.
            ParameterError: an id of fewer than 6 characters.
        """
        request = prepared.single("line of a batch file")
        require_model(self._calls.settings, prepared.model, "batches")
        if request.headers:
            raise UnsupportedError(
                "a line of a batch file has no headers of its own",
                cure="Leave headers out.",
                subject="headers",
            )
        return encode_line(custom_id, request, self._calls.settings.endpoint)

    def read(self, paths: Iterable[Path], model: str | None = None) -> Iterator[BatchAnswer]:
        """The answers in downloaded files, in constant memory.

        Args:
            paths: from ``download``.
            model: that was asked, for the cost; default the client's.

        Returns:
            Replies and errors in the files' order. A line that does not say whose it is gives an error with
            an empty ``custom_id``.
        """
        for path in paths:
            for line in lines_of(path):
                try:
                    yield _answer(self._calls.settings, line, model)
                except UnreadableAnswerError as error:
                    yield BatchAnswer("", error=error)

    async def create(
        self, input_file_id: str, metadata: Mapping[str, str] | None = None, *, delete_input: bool = True
    ) -> BatchRecord:
        """Make a batch of an uploaded file.

        Sent once only: an answer that is lost on its way would otherwise make, and bill, a second batch.

        Args:
            input_file_id: of a file with the purpose "batch".
            metadata: at most 16 words of your own, given back with the batch.
            delete_input: whether the service deletes the input afterwards.

        Raises:
            UnsupportedError: the endpoint takes no batches.
        """
        calls = self._calls
        require(calls.settings, "batches")
        body = encode_batch(input_file_id, metadata, delete_input=delete_input)
        once = replace(calls.policy, attempts=1)
        try:
            return await calls.service(
                lambda _: HttpRequest("POST", BATCHES_PATH, body, timeouts=calls.timeouts),
                lambda response, _: read_batch(response.body),
                policy=once,
            )
        except VisionPipeError as error:
            if error.retryable:
                error.add_note("The batch may have been made; look for it in client.batches.list().")
            raise

    async def get(self, batch_id: str) -> BatchRecord:
        """A batch as it stands."""
        looked = await self._look(batch_id)
        return looked.value

    async def list(self, *, after: str | None = None, limit: int | None = None) -> Page[BatchRecord]:
        """One page of the batches, the newest first; pass its ``after`` on for the next one."""
        calls = self._calls
        require(calls.settings, "batches")
        address = list_path(after=after, limit=limit)
        return await calls.service(
            lambda _: HttpRequest("GET", address, timeouts=calls.timeouts),
            lambda response, _: read_batches(response.body),
        )

    async def cancel(self, batch_id: str) -> BatchRecord:
        """Ask the service to stop; lines already answered are still given out."""
        calls = self._calls
        require(calls.settings, "batches")
        return await calls.service(
            lambda _: HttpRequest("POST", cancel_path(batch_id), timeouts=calls.timeouts),
            lambda response, _: read_batch(response.body),
        )

    async def wait(self, batch: BatchRecord | str, deadline: float | None = None) -> BatchRecord:
        """The batch once it has ended: completed, failed, expired or cancelled.

        Args:
            batch: or its id.
            deadline: seconds from now; None waits as long as it takes.

        Raises:
            ReplyTimeoutError: the deadline passed (code "batch_in_progress"); the batch goes on.
        """
        calls = self._calls
        require(calls.settings, "batches")
        batch_id = batch if isinstance(batch, str) else batch.id
        return await poll_async(
            lambda: self._look(batch_id),
            policy=LONG,
            sleep=calls.sleep,
            clock=calls.clock,
            deadline=deadline,
            late=lambda: _late(batch_id),
        )

    async def download(self, batch_id: str, folder: str | os.PathLike[str]) -> tuple[Path, ...]:
        """Save the output and error files that there are; give the paths to ``read``."""
        files = AsyncFiles(self._calls)
        paths = []
        for file_id, path in _results(await self.get(batch_id), folder):
            await files.save(file_id, path)
            paths.append(path)
        return tuple(paths)

    async def _look(self, batch_id: str) -> Looked[BatchRecord]:
        """Ask once how a batch stands."""
        calls = self._calls
        require(calls.settings, "batches")

        def read(response: HttpResponse, _: Answered) -> Looked[BatchRecord]:
            batch = read_batch(response.body)
            return Looked(batch, batch.done, retry_after(response))

        return await calls.service(
            lambda _: HttpRequest("GET", batch_path(batch_id), timeouts=calls.timeouts), read
        )


def _answer(settings: Settings, line: bytes, model_id: str | None) -> BatchAnswer:
    """One line of an output or error file, as the reply that a single call would have given.

    Raises:
        UnreadableAnswerError: the line does not say whose it is.
    """
    result = read_line(line)
    if not 200 <= result.status < 300:
        response = HttpResponse(result.status, {}, result.body)
        refused = read_error(response, settings.endpoint, request_id=result.custom_id, key=settings.api_key)
        return BatchAnswer(result.custom_id, error=refused)
    model = settings.registry.model(model_id or settings.model.id, settings.endpoint.id)
    request = Request(model=model.id, messages=())
    context = ReadingContext(request, model, settings.endpoint, settings.api_key)
    try:
        reply = read_reply(result.body, context, Answered(result.custom_id, ()), result.oddities)
    except VisionPipeError as error:
        return BatchAnswer(result.custom_id, error=error)
    cost = _at_batch_price(reply.cost, settings.endpoint.batch_price_factor)
    return BatchAnswer(result.custom_id, replace(reply, cost=cost))


def _at_batch_price(cost: Money | None, factor: Decimal | None) -> Money | None:
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


def _results(batch: BatchRecord, folder: str | os.PathLike[str]) -> Iterator[tuple[str, Path]]:
    place = Path(folder)
    place.mkdir(parents=True, exist_ok=True)
    for kind, file_id in (("output", batch.output_file_id), ("error", batch.error_file_id)):
        if file_id is not None:
            yield file_id, place / f"{batch.id}-{kind}.jsonl"
