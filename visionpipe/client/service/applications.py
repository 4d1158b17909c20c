"""Applications made in the provider's console, through the older API, which its documentation marks as
deprecated.

    apps = client.agents.applications
    picture = apps.upload("1791378613740900352", "cat.jpg")[0]
    apps.invoke("1791378613740900352", "What is it?", Value(picture.id, "图片", "upload_image")).text
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

from visionpipe.client._async.stream import AsyncEventStream
from visionpipe.client._sync.stream import EventStream
from visionpipe.client.drive import AsyncRun, Run
from visionpipe.client.service.application_calls import ApplicationCalls
from visionpipe.wire.applications import (
    ApplicationReply,
    FileKind,
    FileReadiness,
    UploadedFile,
    Value,
    Variable,
)


@dataclass(frozen=True, slots=True)
class Applications:
    """``client.agents.applications``."""

    _calls: ApplicationCalls
    _run: Run

    def variables(self, app_id: str) -> tuple[Variable, ...]:
        """What an application wants to be given; a value's ``key`` is a variable's name.

        Raises:
            UnsupportedError: the endpoint has no applications.
        """
        return self._run(self._calls.variables(app_id))

    def conversation(self, app_id: str) -> str:
        """Begin a conversation; its id."""
        return self._run(self._calls.conversation(app_id))

    def upload(
        self,
        app_id: str,
        *paths: str | os.PathLike[str],
        kind: FileKind = FileKind.IMAGE,
        unit_id: str | None = None,
        conversation_id: str | None = None,
    ) -> tuple[UploadedFile, ...]:
        """Send files that the application shall be shown.

        Args:
            kind: what they are.
            unit_id: the id of the variable they are for, in applications of the text kind.
            conversation_id: where they belong, in applications of the conversation kind.

        Returns:
            One entry a file, those taken first; ``problem`` says why one was not.
        """
        return self._run(self._calls.upload(app_id, paths, kind, unit_id, conversation_id))

    def file_states(self, app_id: str, file_ids: Sequence[str]) -> dict[str, FileReadiness]:
        """How far the service is with uploaded files."""
        return self._run(self._calls.file_states(app_id, file_ids))

    def invoke(
        self, app_id: str, *values: Value | str, conversation_id: str | None = None
    ) -> ApplicationReply:
        """Ask an application.

        Args:
            values: texts, and values for its variables.
            conversation_id: to go on with an earlier conversation.

        Raises:
            ServiceError: the application or the service failed.
        """
        return self._run(self._calls.invoke(app_id, _values(values), conversation_id))

    def stream(
        self, app_id: str, *values: Value | str, conversation_id: str | None = None
    ) -> EventStream[ApplicationReply]:
        """As :meth:`invoke`, giving the text piece by piece; ``.reply`` at the end."""
        return EventStream(*self._run(self._calls.stream(app_id, _values(values), conversation_id)))


@dataclass(frozen=True, slots=True)
class AsyncApplications:
    """As :class:`Applications`, awaited."""

    _calls: ApplicationCalls
    _run: AsyncRun

    async def variables(self, app_id: str) -> tuple[Variable, ...]:
        """As :meth:`Applications.variables`."""
        return await self._run(self._calls.variables(app_id))

    async def conversation(self, app_id: str) -> str:
        """As :meth:`Applications.conversation`."""
        return await self._run(self._calls.conversation(app_id))

    async def upload(
        self,
        app_id: str,
        *paths: str | os.PathLike[str],
        kind: FileKind = FileKind.IMAGE,
        unit_id: str | None = None,
        conversation_id: str | None = None,
    ) -> tuple[UploadedFile, ...]:
        """As :meth:`Applications.upload`."""
        return await self._run(self._calls.upload(app_id, paths, kind, unit_id, conversation_id))

    async def file_states(self, app_id: str, file_ids: Sequence[str]) -> dict[str, FileReadiness]:
        """As :meth:`Applications.file_states`."""
        return await self._run(self._calls.file_states(app_id, file_ids))

    async def invoke(
        self, app_id: str, *values: Value | str, conversation_id: str | None = None
    ) -> ApplicationReply:
        """As :meth:`Applications.invoke`."""
        return await self._run(self._calls.invoke(app_id, _values(values), conversation_id))

    async def stream(
        self, app_id: str, *values: Value | str, conversation_id: str | None = None
    ) -> AsyncEventStream[ApplicationReply]:
        """As :meth:`Applications.stream`."""
        return AsyncEventStream(
            *await self._run(self._calls.stream(app_id, _values(values), conversation_id))
        )


def _values(values: Sequence[Value | str]) -> tuple[Value, ...]:
    return tuple(Value(value) if isinstance(value, str) else value for value in values)
