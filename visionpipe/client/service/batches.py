"""Batches as the caller holds them: many questions in a file, answered within a day at a lower price.

    paths = client.batches.write({"cat-0001": client.prepare("What?", "cat.jpg")}.items(), "work/")
    batch = client.batches.create(client.files.upload(paths[0]).id)
    client.batches.wait(batch)
    for answer in client.batches.read(client.batches.download(batch.id, "work/")): ...

A folder of images is better given to :class:`visionpipe.pipeline.batch.job.ProviderBatch`, which
keeps a journal and goes on after a break.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from visionpipe.client.drive import AsyncRun, Run
from visionpipe.client.preparation import Prepared
from visionpipe.client.service.batch_calls import BatchAnswer, BatchCalls
from visionpipe.client.service.batch_file import BatchFile, lines_of
from visionpipe.client.service.file_calls import FileCalls
from visionpipe.errors import UnreadableAnswerError
from visionpipe.wire.answers import Page
from visionpipe.wire.batches import BatchLimits, BatchRecord, Splitter
from visionpipe.wire.http import Body


@dataclass(frozen=True, slots=True)
class _Lines:
    """What needs no connection."""

    _calls: BatchCalls
    _files: FileCalls

    def write(
        self,
        requests: Iterable[tuple[str, Prepared]],
        folder: str | os.PathLike[str],
        *,
        limits: BatchLimits | None = None,
        name: str = "batch",
    ) -> list[Path]:
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
            UnsupportedError: a prepared question of several requests.
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
                files[number].add(line)
        return [file.path for file in files]

    def line(self, custom_id: str, prepared: Prepared) -> Body:
        """One request as a line, with its size known; for a :class:`BatchFile` of your own.

        Raises:
            UnsupportedError: a prepared question of several requests.
        """
        return self._calls.line(custom_id, prepared.single("line of a batch file"))

    def read(self, paths: Iterable[Path], model: str | None = None) -> Iterator[BatchAnswer]:
        """The answers in downloaded files, in constant memory.

        Args:
            paths: from :meth:`download`.
            model: that was asked, for the cost; default the client's.

        Returns:
            Replies and errors in the files' order. A line that does not say whose it is gives an error with
            an empty ``custom_id``.
        """
        for path in paths:
            for line in lines_of(path):
                try:
                    yield self._calls.answer(line, model)
                except UnreadableAnswerError as error:
                    yield BatchAnswer("", error=error)


@dataclass(frozen=True, slots=True)
class Batches(_Lines):
    """``client.batches``."""

    _run: Run

    def create(
        self, input_file_id: str, metadata: Mapping[str, str] | None = None, *, delete_input: bool = True
    ) -> BatchRecord:
        """Make a batch of an uploaded file.

        Args:
            input_file_id: of a file with the purpose "batch".
            metadata: at most 16 words of your own, given back with the batch.
            delete_input: whether the service deletes the input afterwards.

        Raises:
            UnsupportedError: the endpoint takes no batches.
        """
        return self._run(self._calls.create(input_file_id, metadata, delete_input))

    def get(self, batch_id: str) -> BatchRecord:
        """A batch as it stands."""
        return self._run(self._calls.get(batch_id))

    def list(self, *, after: str | None = None, limit: int | None = None) -> Page[BatchRecord]:
        """One page of the batches, the newest first; pass its ``after`` on for the next one."""
        return self._run(self._calls.page(after, limit))

    def cancel(self, batch_id: str) -> BatchRecord:
        """Ask the service to stop; lines already answered are still given out."""
        return self._run(self._calls.cancel(batch_id))

    def wait(self, batch: BatchRecord | str, deadline: float | None = None) -> BatchRecord:
        """The batch once it has ended: completed, failed, expired or cancelled.

        Args:
            batch: or its id.
            deadline: seconds from now; None waits as long as it takes.

        Raises:
            ReplyTimeoutError: the deadline passed (code "batch_in_progress"); the batch goes on.
        """
        return self._run(self._calls.wait(batch, deadline))

    def download(self, batch_id: str, folder: str | os.PathLike[str]) -> tuple[Path, ...]:
        """Save the output and error files that there are; give the paths to :meth:`read`."""
        paths = []
        for file_id, path in _results(self.get(batch_id), folder):
            self._run(self._files.save(file_id, path))
            paths.append(path)
        return tuple(paths)


@dataclass(frozen=True, slots=True)
class AsyncBatches(_Lines):
    """As :class:`Batches`, awaited; ``write`` and ``read`` need no connection and are not."""

    _run: AsyncRun

    async def create(
        self, input_file_id: str, metadata: Mapping[str, str] | None = None, *, delete_input: bool = True
    ) -> BatchRecord:
        """As :meth:`Batches.create`."""
        return await self._run(self._calls.create(input_file_id, metadata, delete_input))

    async def get(self, batch_id: str) -> BatchRecord:
        """As :meth:`Batches.get`."""
        return await self._run(self._calls.get(batch_id))

    async def list(self, *, after: str | None = None, limit: int | None = None) -> Page[BatchRecord]:
        """As :meth:`Batches.list`."""
        return await self._run(self._calls.page(after, limit))

    async def cancel(self, batch_id: str) -> BatchRecord:
        """As :meth:`Batches.cancel`."""
        return await self._run(self._calls.cancel(batch_id))

    async def wait(self, batch: BatchRecord | str, deadline: float | None = None) -> BatchRecord:
        """As :meth:`Batches.wait`."""
        return await self._run(self._calls.wait(batch, deadline))

    async def download(self, batch_id: str, folder: str | os.PathLike[str]) -> tuple[Path, ...]:
        """As :meth:`Batches.download`."""
        paths = []
        for file_id, path in _results(await self.get(batch_id), folder):
            await self._run(self._files.save(file_id, path))
            paths.append(path)
        return tuple(paths)


def _results(batch: BatchRecord, folder: str | os.PathLike[str]) -> Iterator[tuple[str, Path]]:
    place = Path(folder)
    place.mkdir(parents=True, exist_ok=True)
    for kind, file_id in (("output", batch.output_file_id), ("error", batch.error_file_id)):
        if file_id is not None:
            yield file_id, place / f"{batch.id}-{kind}.jsonl"
