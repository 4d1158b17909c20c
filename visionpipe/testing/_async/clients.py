"""Clients for tests: one that is answered by a script, and one that records a service once and replays it."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from typing import Any

from visionpipe.client._async.client import AsyncClient
from visionpipe.testing.recording import Recording
from visionpipe.testing.script import NO_KEY, Answers, Asked, Script
from visionpipe.wire.http import AsyncByteStream, AsyncSender, HttpRequest, HttpResponse


class AsyncScriptedClient(AsyncClient):
    """A client whose answers the test gives. All else is as with a service: limits are checked, images are
    repaired, refusals are tried again (without waiting), answers are read.

    Args:
        answers: one text, a list in order, a mapping by words of the prompt or of an image's name, or a
            function of ``Asked``; each a text, data, ``Says``, ``Refuses`` or an exception to raise.
        model: of which the limits and prices are.
        base_url: the endpoint, by its name, that is spoken to.
        options: any other argument of ``AsyncClient``.

    Attributes:
        asked: every question that was sent, in order.
    """

    def __init__(
        self, answers: Answers, model: str = "glm-4.6v", *, base_url: str = "bigmodel", **options: Any
    ) -> None:
        self._script = Script(answers)
        options = {"sleep": _at_once, "api_key": NO_KEY, **options}
        super().__init__(model, base_url=base_url, sender=AsyncScriptSender(self._script), **options)

    @property
    def asked(self) -> list[Asked]:
        return self._script.asked


class AsyncRecordedClient(AsyncClient):
    """A client that asks the service once, with ``record=True``, and from then on is answered by the file.

    What is asked in a test has to be what was recorded, images by their bytes; anything else is a
    ``NotRecordedError`` that names what differs.

    Args:
        path: of the recording, a JSON file.
        model: default the recorded one, or the endpoint's own.
        record: ask the service, and write the file anew.
        base_url, api_key: as for ``AsyncClient``; neither is needed without ``record``.
        options: any other argument of ``AsyncClient``.

    Raises:
        ConfigurationError: there is no such recording.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        model: str | None = None,
        *,
        record: bool = False,
        base_url: str | None = None,
        api_key: str | None = None,
        **options: Any,
    ) -> None:
        self._recording = Recording(path, record=record)
        if not record:
            model, base_url = model or self._recording.model, base_url or self._recording.endpoint
            options = {"sleep": _at_once, "sender": AsyncReplayer(self._recording), **options}
            api_key = api_key or NO_KEY
        super().__init__(model, base_url=base_url, api_key=api_key, **options)
        if record:
            settings = self.settings
            secrets = [text for text in (settings.api_key, *settings.endpoint.headers.values()) if text]
            self._recording.begin(settings.endpoint.id, settings.model.id, secrets)
            self._sender = AsyncRecorder(self._sender, self._recording)
            self._calls = replace(self._calls, sender=self._sender)


async def _at_once(seconds: float) -> None:
    """No test waits."""


class AsyncPieces:
    """An answer's bytes that are there already."""

    oddities: tuple[str, ...] = ()

    def __init__(self, status: int, headers: Mapping[str, str], pieces: list[bytes]) -> None:
        self.status = status
        self.headers = headers
        self._pieces = pieces

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for piece in self._pieces:
            yield piece

    async def close(self) -> None:
        """There is nothing to be closed."""


class AsyncScriptSender:
    """Has a script answer."""

    def __init__(self, script: Script) -> None:
        self._script = script

    async def send(self, request: HttpRequest) -> HttpResponse:
        return self._script.whole(request)

    async def open(self, request: HttpRequest) -> AsyncByteStream:
        found = self._script.streamed(request)
        if isinstance(found, HttpResponse):
            return AsyncPieces(found.status, found.headers, [found.body])
        return AsyncPieces(200, {"content-type": "text/event-stream"}, found)

    async def close(self) -> None:
        """There is nothing to be closed."""


class AsyncReplayer:
    """Has a recording answer."""

    def __init__(self, recording: Recording) -> None:
        self._recording = recording

    async def send(self, request: HttpRequest) -> HttpResponse:
        return self._recording.answer(request)

    async def open(self, request: HttpRequest) -> AsyncByteStream:
        found = self._recording.answer(request)
        return AsyncPieces(found.status, found.headers, found.body.splitlines(keepends=True))

    async def close(self) -> None:
        """There is nothing to be closed."""


class AsyncRecorder:
    """Asks, and writes down what was answered."""

    def __init__(self, sender: AsyncSender, recording: Recording) -> None:
        self._sender = sender
        self._recording = recording

    async def send(self, request: HttpRequest) -> HttpResponse:
        found = await self._sender.send(request)
        self._recording.add(request, found.status, found.headers.get("content-type", ""), found.body)
        return found

    async def open(self, request: HttpRequest) -> AsyncByteStream:
        return AsyncRecordedStream(await self._sender.open(request), request, self._recording)

    async def close(self) -> None:
        await self._sender.close()


class AsyncRecordedStream:
    """A stream that is written down once it has come to its end."""

    def __init__(self, stream: AsyncByteStream, request: HttpRequest, recording: Recording) -> None:
        self._stream = stream
        self._request = request
        self._recording = recording
        self._pieces: list[bytes] = []
        self._whole = False
        self.status = stream.status
        self.headers = stream.headers

    @property
    def oddities(self) -> tuple[str, ...]:
        return self._stream.oddities

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for piece in self._stream:
            self._pieces.append(piece)
            yield piece
        self._whole = True

    async def close(self) -> None:
        found, self._pieces = b"".join(self._pieces), []
        if found and (self._whole or found.rstrip().endswith(b"[DONE]")):
            self._recording.add(self._request, self.status, self.headers.get("content-type", ""), found)
        await self._stream.close()
