"""Files: uploaded for a purpose, listed, read and deleted.

Purposes and sizes: docs.bigmodel.cn, file and batch pages, 2026; an older page answers 435 beyond 100 MB.
Only a batch's files can be read back.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import orjson
from starlette.datastructures import Headers, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser

from visionpipe.sandbox.connection import Exchange
from visionpipe.sandbox.models import ModelList
from visionpipe.sandbox.replies import BytesReply, JsonReply, Refusal, Reply
from visionpipe.sandbox.service import Service
from visionpipe.sandbox.store import page


@dataclass(frozen=True, slots=True)
class Upload:
    """One file of a form."""

    filename: str
    data: bytes


async def read_form(exchange: Exchange) -> tuple[dict[str, str], list[Upload]]:
    """The form's text fields and its files; Refusal 1210 where it is no multipart form."""
    headers = Headers(raw=list(exchange.connection.headers.items()))
    if not headers.get("content-type", "").startswith("multipart/form-data"):
        raise Refusal("1210", "a multipart form is expected")

    async def stream() -> AsyncIterator[bytes]:
        yield exchange.body
        yield b""

    parser = MultiPartParser(headers, stream())  # type: ignore[arg-type]  # it asks for a generator, and only iterates
    try:
        form = await parser.parse()
    except (MultiPartException, KeyError, ValueError) as error:
        raise Refusal("1210", f"the form cannot be read ({error})") from None
    fields: dict[str, str] = {}
    uploads: list[Upload] = []
    try:
        for name, value in form.multi_items():
            if isinstance(value, UploadFile):
                uploads.append(Upload(value.filename or name, await value.read()))
            else:
                fields[name] = value
    finally:
        await form.close()
    return fields, uploads


KIND = "file"
MB = 1_000_000
PURPOSES: dict[str, tuple[int, tuple[str, ...]]] = {
    "batch": (100 * MB, (".jsonl",)),
    "code-interpreter": (20 * MB, ()),
    "agent": (20 * MB, ()),
    "user_data": (50 * MB, ()),
    "voice-clone-input": (20 * MB, ()),
    "fine-tune": (100 * MB, (".jsonl",)),
    "retrieval": (50 * MB, ()),
}
"""Most bytes, and how the name must end (empty: any)."""


async def upload(exchange: Exchange) -> Reply:
    """``POST /files``: a multipart form of ``purpose`` and ``file``."""
    fields, uploads = await read_form(exchange)
    purpose = fields.get("purpose")
    if purpose is None:
        raise Refusal("1213", "purpose")
    if purpose not in PURPOSES:
        raise Refusal("1214", f"purpose must be one of {', '.join(PURPOSES)}")
    if len(uploads) != 1:
        raise Refusal("1213", "file")
    most, suffixes = PURPOSES[purpose]
    file = uploads[0]
    if suffixes and not file.filename.lower().endswith(suffixes):
        raise Refusal("1214", f"a file for {purpose} must end in {' or '.join(suffixes)}")
    if len(file.data) > most:
        raise Refusal("1214", f"a file for {purpose} has at most {most} bytes", status=435)
    if purpose == "batch":
        _check_models(file.data, exchange.service.models)
    await exchange.admit()
    return JsonReply(add(exchange.service, file.filename, purpose, file.data))


def _check_models(data: bytes, models: ModelList) -> None:
    """Refuse a batch file that asks a model which takes none, as the service does at the upload (2026-10)."""
    for line in data.splitlines():
        try:
            entry = orjson.loads(line)
        except orjson.JSONDecodeError:
            continue  # told when the batch is made
        body = entry.get("body") if isinstance(entry, dict) else None
        name = body.get("model") if isinstance(body, dict) else None
        if isinstance(name, str) and models.refuses_batches(name):
            raise Refusal(
                "1210", f"{name} is not taken in batch files, only {', '.join(models.in_batches())}"
            )


def add(service: Service, filename: str, purpose: str, data: bytes) -> dict[str, Any]:
    """Store a file; its record."""
    record: dict[str, Any] = {
        "id": f"file_{service.new_id()}",
        "object": "file",
        "bytes": len(data),
        "created_at": int(service.clock()),
        "filename": filename,
        "purpose": purpose,
    }
    service.store.put(KIND, record)
    service.store.put_content(record["id"], data)
    return record


async def listed(exchange: Exchange) -> Reply:
    """``GET /files``, by ``purpose`` where it is given; the newest first, with ``order=asc`` the oldest."""
    await exchange.admit()
    purpose = exchange.query.get("purpose")
    rows = [row for row in exchange.service.store.all(KIND) if purpose in (None, row["purpose"])]
    if exchange.query.get("order") == "asc":
        rows.reverse()
    return JsonReply(page(rows, exchange.query))


async def retrieve(exchange: Exchange) -> Reply:
    """``GET /files/{id}``."""
    await exchange.admit()
    return JsonReply(find(exchange.service, exchange.path_values["id"]))


async def delete(exchange: Exchange) -> Reply:
    """``DELETE /files/{id}``."""
    await exchange.admit()
    record = find(exchange.service, exchange.path_values["id"])
    remove(exchange.service, record["id"])
    return JsonReply({"id": record["id"], "object": "file", "deleted": True})


async def content(exchange: Exchange) -> Reply:
    """``GET /files/{id}/content``: a batch's input, output or errors."""
    await exchange.admit()
    record = find(exchange.service, exchange.path_values["id"])
    if record["purpose"] != "batch":
        raise Refusal("1210", "only a batch's files can be read")
    return BytesReply(exchange.service.store.content(record["id"]) or b"")


def find(service: Service, identity: object) -> dict[str, Any]:
    """The file's record; Refusal 1214 where there is none."""
    record = service.store.get(KIND, identity) if isinstance(identity, str) else None
    if record is None:
        raise Refusal("1214", "there is no file with this id")
    return record


def remove(service: Service, identity: str) -> None:
    """Delete a file's record and content."""
    service.store.delete(KIND, identity)
    service.store.delete_content(identity)
