"""Files at the service.

file = client.files.upload("lines.jsonl", "batch")
client.files.save(file.id, "copy.jsonl")
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from visionpipe.client._async.calls import AsyncCalls
from visionpipe.client.settings import require
from visionpipe.files import found_file
from visionpipe.wire.answers import Page
from visionpipe.wire.files import (
    FILES_PATH,
    FileRecord,
    check_upload,
    content_path,
    encode_form,
    file_path,
    list_path,
    read_file,
    read_files,
)
from visionpipe.wire.http import HttpRequest


@dataclass(frozen=True, slots=True)
class AsyncFiles:
    """``client.files``."""

    _calls: AsyncCalls

    async def upload(
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
        calls = self._calls
        require(calls.settings, "files")
        content = found_file(path)
        filename = name or Path(path).name
        check_upload(filename, content.size, purpose)
        body = encode_form({"purpose": purpose}, "file", {filename: content})
        return await calls.service(
            lambda _: HttpRequest("POST", FILES_PATH, body, timeouts=calls.timeouts),
            lambda response, _: read_file(response.body),
        )

    async def list(
        self, purpose: str | None = None, *, after: str | None = None, limit: int | None = None
    ) -> Page[FileRecord]:
        """One page of the files, the newest first; pass its ``after`` on for the next one."""
        calls = self._calls
        require(calls.settings, "files")
        address = list_path(purpose=purpose, after=after, limit=limit)
        return await calls.service(
            lambda _: HttpRequest("GET", address, timeouts=calls.timeouts),
            lambda response, _: read_files(response.body),
        )

    async def delete(self, file_id: str) -> None:
        """Delete a file for good."""
        calls = self._calls
        require(calls.settings, "files")
        await calls.service(
            lambda _: HttpRequest("DELETE", file_path(file_id), timeouts=calls.timeouts),
            lambda response, _: None,
        )

    async def save(self, file_id: str, path: str | os.PathLike[str]) -> None:
        """Write a file's content to ``path``, whole or not at all, in constant memory. The service gives
        back a batch's files only.

        Raises:
            RejectedRequestError: not a batch's file, or there is none with this id.
            OutputError: it cannot be written.
        """
        calls = self._calls
        require(calls.settings, "files")
        await calls.saved(
            lambda _: HttpRequest("GET", content_path(file_id), timeouts=calls.timeouts), os.fspath(path)
        )
