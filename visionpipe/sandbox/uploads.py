"""Multipart forms: the fields and files of an upload."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass

from starlette.datastructures import Headers, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser

from visionpipe.sandbox.exchange import Exchange
from visionpipe.sandbox.refusals import Refusal


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
