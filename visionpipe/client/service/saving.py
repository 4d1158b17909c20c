"""An answer's body into a file as it arrives, in constant memory.

The file appears under its name when it is whole, never before; what broke off leaves nothing.
"""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from visionpipe.client.refused import read_refusal, read_refusal_async
from visionpipe.errors import OutputError
from visionpipe.transport.sender import AsyncByteStream, ByteStream
from visionpipe.wire.http import HttpResponse


def save(stream: ByteStream, path: str) -> HttpResponse:
    """Write ``stream`` to ``path`` and close it; an answer outside 2xx is read and given back instead.

    Raises:
        OutputError: the file cannot be written.
        VisionPipeError: as reading the stream raises.
    """
    try:
        if not 200 <= stream.status < 300:
            return read_refusal(stream)
        with _whole(path) as file:
            for chunk in stream:
                file.write(chunk)
        return HttpResponse(stream.status, stream.headers, b"")
    finally:
        stream.close()


async def save_async(stream: AsyncByteStream, path: str) -> HttpResponse:
    """As :func:`save`; the writing is done in a worker thread."""
    try:
        if not 200 <= stream.status < 300:
            return await read_refusal_async(stream)
        with _whole(path) as file:
            async for chunk in stream:
                await asyncio.to_thread(file.write, chunk)
        return HttpResponse(stream.status, stream.headers, b"")
    finally:
        await stream.close()


@contextmanager
def _whole(path: str) -> Iterator[BinaryIO]:
    target = Path(path)
    part = target.with_name(f"{target.name}.part")
    try:
        try:
            with part.open("wb") as file:
                yield file
            part.replace(target)
        except OSError as error:
            raise OutputError(
                f"the file cannot be written: {(error.strerror or str(error)).lower()}",
                cure="Make space on the disk, or choose another folder; then run again.",
                subject=path,
                code="disk_full" if error.errno in (errno.ENOSPC, errno.EDQUOT) else None,
            ) from error
    finally:
        part.unlink(missing_ok=True)
