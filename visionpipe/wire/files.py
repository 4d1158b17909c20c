"""Files kept at the service: uploaded for a purpose, listed, read back (a batch's only), deleted.

Purposes and sizes: docs.bigmodel.cn, file and batch pages, 2026. "MB" is read as 1,000,000 bytes, the
stricter of the two readings. A file's bytes never pass through memory as a whole.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from visionpipe.errors import MediaLimitError
from visionpipe.media import Content
from visionpipe.wire.answers import Page, needed, number_of, paged, read_object, read_page, segment, text_of
from visionpipe.wire.http import Body, FilePiece

FILES_PATH = "/files"
MB = 1_000_000

LARGEST: Mapping[str, int] = {
    "batch": 100 * MB,
    "fine-tune": 100 * MB,
    "code-interpreter": 20 * MB,
    "agent": 20 * MB,
}
"""Most bytes by purpose, where a page states it; fine-tune: an older page, HTTP 435 beyond."""

SUFFIXES: Mapping[str, tuple[str, ...]] = {"batch": (".jsonl",)}
"""How a file's name must end, by purpose."""


@dataclass(frozen=True, slots=True)
class FileRecord:
    """One file at the service. ``size`` in bytes, ``created_at`` in seconds since 1970."""

    id: str
    filename: str
    size: int | None = None
    purpose: str | None = None
    created_at: int | None = None


def file_path(file_id: str) -> str:
    """Where a file is."""
    return f"{FILES_PATH}/{segment(file_id)}"


def content_path(file_id: str) -> str:
    """Where a batch file's content is."""
    return f"{file_path(file_id)}/content"


def list_path(*, purpose: str | None, after: str | None, limit: int | None) -> str:
    """Where a page of the list is."""
    return paged(FILES_PATH, purpose=purpose, after=after, limit=limit)


def check_upload(filename: str, size: int, purpose: str) -> None:
    """Hold a file against what is known of its purpose; an unknown purpose passes.

    Raises:
        MediaLimitError: too large (code "bytes"), or a name of another kind (code "format").
    """
    most = LARGEST.get(purpose)
    if most is not None and size > most:
        raise MediaLimitError(
            f"{size:,} bytes, and a file for {purpose} may have {most:,}",
            cure="Split it into several files.",
            subject=filename,
            code="bytes",
        )
    suffixes = SUFFIXES.get(purpose, ())
    if suffixes and not filename.lower().endswith(suffixes):
        raise MediaLimitError(
            f"the name of a file for {purpose} ends in {' or '.join(suffixes)}",
            cure="Rename it, if it is of that kind.",
            subject=filename,
            code="format",
        )


def encode_form(
    fields: Mapping[str, str],
    name: str,
    files: Mapping[str, Content],
    *,
    boundary: str | None = None,
    media_types: Mapping[str, str] | None = None,
) -> Body:
    """A multipart form of text fields and files, as pieces.

    Args:
        fields: by name.
        name: of the form's file field, repeated for each file.
        files: contents by file name.
        boundary: default a random one of 128 bits.
        media_types: of files by their names; default application/octet-stream.
    """
    mark = boundary or uuid.uuid4().hex
    opening = f"--{mark}\r\nContent-Disposition: form-data; name="
    pieces: list[bytes | FilePiece] = []
    plain = "".join(f'{opening}"{_quoted(key)}"\r\n\r\n{value}\r\n' for key, value in fields.items())
    for filename, content in files.items():
        media_type = (media_types or {}).get(filename, "application/octet-stream")
        head = f'{opening}"{_quoted(name)}"; filename="{_quoted(filename)}"\r\n'
        lines = f"{plain}{head}Content-Type: {media_type}\r\n\r\n"
        # A name that is no UTF-8 has halves of surrogate pairs, which are written out.
        pieces += [lines.encode("utf-8", "backslashreplace"), FilePiece(content)]
        plain = "\r\n"
    pieces.append(f"{plain}--{mark}--\r\n".encode())
    return Body(tuple(pieces), f"multipart/form-data; boundary={mark}")


def _quoted(text: str) -> str:
    """As browsers write names in forms (WHATWG HTML, multipart form data)."""
    return text.replace('"', "%22").replace("\r", "%0D").replace("\n", "%0A")


def read_file(body: bytes) -> FileRecord:
    """The file that was uploaded. Raises UnreadableAnswerError."""
    return file_of(read_object(body, "a file"))


def read_files(body: bytes) -> Page[FileRecord]:
    """A page of the list. Raises UnreadableAnswerError."""
    return read_page(body, "the files", file_of, lambda file: file.id)


def file_of(answer: Mapping[str, Any]) -> FileRecord:
    """One file's record. Raises UnreadableAnswerError where it has no id."""
    return FileRecord(
        id=needed(answer, "id", "a file"),
        filename=text_of(answer, "filename") or "",
        size=number_of(answer, "bytes"),
        purpose=text_of(answer, "purpose"),
        created_at=number_of(answer, "created_at"),
    )
