"""The blocking and the asynchronous sender behind one face, so that each test runs on both."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

from visionpipe.transport._async.http_sender import AsyncHttpSender
from visionpipe.transport._sync.http_sender import HttpSender
from visionpipe.wire.http import HttpRequest, HttpResponse


@dataclass
class Streamed:
    """What a stream gave."""

    status: int
    headers: dict[str, str]
    chunks: list[bytes]
    error: Exception | None


class Face(Protocol):
    def send(self, request: HttpRequest) -> HttpResponse: ...
    def stream(self, request: HttpRequest, take: int | None = None) -> Streamed: ...
    def close(self) -> None: ...
    def __repr__(self) -> str: ...


class Blocking:
    def __init__(self, base_url: str, **options: Any) -> None:
        self.sender = HttpSender(base_url, **options)

    def __repr__(self) -> str:
        return repr(self.sender)

    def send(self, request: HttpRequest) -> HttpResponse:
        return self.sender.send(request)

    def stream(self, request: HttpRequest, take: int | None = None) -> Streamed:
        stream = self.sender.open(request)
        streamed = Streamed(stream.status, dict(stream.headers), [], None)
        try:
            for chunk in stream:
                streamed.chunks.append(chunk)
                if take is not None and len(streamed.chunks) == take:
                    stream.close()
                    break
        except Exception as error:
            streamed.error = error
        return streamed

    def close(self) -> None:
        self.sender.close()


class Awaited:
    def __init__(self, base_url: str, **options: Any) -> None:
        self.runner = asyncio.Runner()
        self.sender = AsyncHttpSender(base_url, **options)

    def __repr__(self) -> str:
        return repr(self.sender)

    def send(self, request: HttpRequest) -> HttpResponse:
        return self.runner.run(self.sender.send(request))

    def stream(self, request: HttpRequest, take: int | None = None) -> Streamed:
        async def read() -> Streamed:
            stream = await self.sender.open(request)
            streamed = Streamed(stream.status, dict(stream.headers), [], None)
            try:
                async for chunk in stream:
                    streamed.chunks.append(chunk)
                    if take is not None and len(streamed.chunks) == take:
                        await stream.close()
                        break
            except Exception as error:
                streamed.error = error
            return streamed

        return self.runner.run(read())

    def close(self) -> None:
        self.runner.run(self.sender.close())
        self.runner.close()


Kind = Callable[..., Face]
KINDS: list[Kind] = [Blocking, Awaited]


@contextmanager
def sending(kind: Kind, base_url: str, **options: Any) -> Iterator[Face]:
    """A sender for the length of a with-block."""
    face = kind(base_url, **{"trust_env": False, **options})
    try:
        yield face
    finally:
        face.close()
