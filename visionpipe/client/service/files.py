"""Files at the service, as the caller holds them.

file = client.files.upload("lines.jsonl", "batch")
client.files.save(file.id, "copy.jsonl")
"""

from __future__ import annotations

import os
from dataclasses import dataclass

from visionpipe.client.drive import AsyncRun, Run
from visionpipe.client.service.file_calls import FileCalls
from visionpipe.wire.answers import Page
from visionpipe.wire.files import FileRecord


@dataclass(frozen=True, slots=True)
class Files:
    """``client.files``."""

    _calls: FileCalls
    _run: Run

    def upload(
        self, path: str | os.PathLike[str], purpose: str = "batch", *, name: str | None = None
    ) -> FileRecord:
        """Send a file, streamed from disk in constant memory.

        Args:
            path: of the file.
            purpose: "batch" (.jsonl, at most 100 MB), "agent" and "code-interpreter" (at most 20 MB),
                "fine-tune", or another one that the service knows.
            name: what to call it there; default its own name.

        Raises:
            UnsupportedError: the endpoint keeps no files.
            MediaLimitError: larger than its purpose allows.
            UnreadableSourceError: it cannot be read, or changed while it was sent.
        """
        return self._run(self._calls.upload(path, purpose, name))

    def list(
        self, purpose: str | None = None, *, after: str | None = None, limit: int | None = None
    ) -> Page[FileRecord]:
        """One page of the files, the newest first; pass its ``after`` on for the next one."""
        return self._run(self._calls.page(purpose, after, limit))

    def delete(self, file_id: str) -> None:
        """Delete a file for good."""
        self._run(self._calls.delete(file_id))

    def save(self, file_id: str, path: str | os.PathLike[str]) -> None:
        """Write a file's content to ``path``, whole or not at all, in constant memory. The service gives
        back a batch's files only.

        Raises:
            RejectedRequestError: not a batch's file, or there is none with this id.
            OutputError: it cannot be written.
        """
        self._run(self._calls.save(file_id, path))


@dataclass(frozen=True, slots=True)
class AsyncFiles:
    """As :class:`Files`, awaited."""

    _calls: FileCalls
    _run: AsyncRun

    async def upload(
        self, path: str | os.PathLike[str], purpose: str = "batch", *, name: str | None = None
    ) -> FileRecord:
        """As :meth:`Files.upload`."""
        return await self._run(self._calls.upload(path, purpose, name))

    async def list(
        self, purpose: str | None = None, *, after: str | None = None, limit: int | None = None
    ) -> Page[FileRecord]:
        """As :meth:`Files.list`."""
        return await self._run(self._calls.page(purpose, after, limit))

    async def delete(self, file_id: str) -> None:
        """As :meth:`Files.delete`."""
        await self._run(self._calls.delete(file_id))

    async def save(self, file_id: str, path: str | os.PathLike[str]) -> None:
        """As :meth:`Files.save`."""
        await self._run(self._calls.save(file_id, path))
