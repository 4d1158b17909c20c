"""The service's files as effect generators: upload, list, delete, save."""

from __future__ import annotations

import os
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from visionpipe.client.calls import Calls
from visionpipe.client.service.surfaces import require
from visionpipe.files import open_regular
from visionpipe.media import FileContent
from visionpipe.stages.exchange import Effect
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
class FileCalls:
    """Makes the generators."""

    calls: Calls

    def upload(
        self, path: str | os.PathLike[str], purpose: str, name: str | None
    ) -> Generator[Effect, Any, FileRecord]:
        """Send a file from disk, streamed."""
        require(self.calls.settings, "files")
        content = file_content(path)
        filename = name or Path(path).name
        check_upload(filename, content.size, purpose)
        body = encode_form({"purpose": purpose}, "file", {filename: content})

        def make(_: str) -> HttpRequest:
            return HttpRequest("POST", FILES_PATH, body, timeouts=self.calls.timeouts)

        return self.calls.service(make, lambda response, _: read_file(response.body))

    def page(
        self, purpose: str | None, after: str | None, limit: int | None
    ) -> Generator[Effect, Any, Page[FileRecord]]:
        """One page of the list."""
        require(self.calls.settings, "files")
        address = list_path(purpose=purpose, after=after, limit=limit)
        return self.calls.service(
            lambda _: HttpRequest("GET", address, timeouts=self.calls.timeouts),
            lambda response, _: read_files(response.body),
        )

    def delete(self, file_id: str) -> Generator[Effect, Any, None]:
        """Delete one."""
        require(self.calls.settings, "files")
        return self.calls.service(
            lambda _: HttpRequest("DELETE", file_path(file_id), timeouts=self.calls.timeouts),
            lambda response, _: None,
        )

    def save(self, file_id: str, path: str | os.PathLike[str]) -> Generator[Effect, Any, None]:
        """Write a batch file's content to ``path``."""
        require(self.calls.settings, "files")
        return self.calls.saved(
            lambda _: HttpRequest("GET", content_path(file_id), timeouts=self.calls.timeouts),
            os.fspath(path),
        )


def file_content(path: str | os.PathLike[str]) -> FileContent:
    """A file on disk as it is now. Raises UnreadableSourceError."""
    name = os.fspath(path)
    descriptor, state = open_regular(name, name)
    os.close(descriptor)
    return FileContent(str(Path(name).absolute()), state.st_size, state.st_mtime_ns)
