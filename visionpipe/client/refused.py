"""A refusal read from a stream: its status with as much of its words as there is.

The status alone says what happened, so a body that breaks off, drips or is far too long for an
error's words never hides it.
"""

from __future__ import annotations

from visionpipe.errors import AnswerError
from visionpipe.transport.sender import AsyncByteStream, ByteStream
from visionpipe.wire.http import HttpResponse

MAX_WORDS = 1024 * 1024
"""Bytes of a refusal's body that are read."""


def read_refusal(stream: ByteStream) -> HttpResponse:
    """The response outside 2xx that ``stream`` is; closes it."""
    body = bytearray()
    try:
        for chunk in stream:
            body += chunk
            if len(body) >= MAX_WORDS:
                break
    except AnswerError:
        pass  # what came is what there is; the status counts
    finally:
        stream.close()
    return HttpResponse(stream.status, stream.headers, bytes(body))


async def read_refusal_async(stream: AsyncByteStream) -> HttpResponse:
    """As :func:`read_refusal`, awaited."""
    body = bytearray()
    try:
        async for chunk in stream:
            body += chunk
            if len(body) >= MAX_WORDS:
                break
    except AnswerError:
        pass  # what came is what there is; the status counts
    finally:
        await stream.close()
    return HttpResponse(stream.status, stream.headers, bytes(body))
