"""Applications made in the provider's console, through the older API, which its documentation marks as
deprecated.

    apps = client.agents.applications
    picture = apps.upload("1791378613740900352", "cat.jpg")[0]
    apps.invoke("1791378613740900352", "What is it?", Value(picture.id, "图片", "upload_image")).text
"""

from __future__ import annotations

import mimetypes
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, TypeVar

from visionpipe.client._async.calls import AsyncCalls
from visionpipe.client._async.stream import AsyncEventStream
from visionpipe.client.settings import Settings, beside, require
from visionpipe.errors import ParameterError, ServiceError
from visionpipe.files import found_file
from visionpipe.reply import Answered
from visionpipe.wire.answers import read_object, segment
from visionpipe.wire.applications import (
    FILE_STATE,
    INVOKE,
    UPLOAD,
    ApplicationReply,
    FileKind,
    FileReadiness,
    UploadedFile,
    Value,
    Variable,
    conversation_of,
    encode_application,
    encode_file_state,
    error_of,
    file_states_of,
    reply_of,
    uploads_of,
    variables_of,
)
from visionpipe.wire.errors import service_error
from visionpipe.wire.files import encode_form
from visionpipe.wire.http import Body, HttpRequest, HttpResponse
from visionpipe.wire.sse import EventReader

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class AsyncApplications:
    """``client.agents.applications``."""

    _calls: AsyncCalls

    async def variables(self, app_id: str) -> tuple[Variable, ...]:
        """What an application wants to be given; a value's ``key`` is a variable's name.

        Raises:
            UnsupportedError: the endpoint has no applications.
        """
        path = f"/v2/application/{segment(app_id)}/variables"
        return await self._call("GET", path, None, variables_of)

    async def conversation(self, app_id: str) -> str:
        """Begin a conversation; its id."""
        path = f"/v2/application/{segment(app_id)}/conversation"
        return await self._call("POST", path, Body((b"{}",)), conversation_of)

    async def upload(
        self,
        app_id: str,
        *paths: str | os.PathLike[str],
        kind: FileKind = FileKind.IMAGE,
        unit_id: str | None = None,
        conversation_id: str | None = None,
    ) -> tuple[UploadedFile, ...]:
        """Send files that the application shall be shown, streamed from disk.

        Args:
            kind: what they are.
            unit_id: the id of the variable they are for, in applications of the text kind.
            conversation_id: where they belong, in applications of the conversation kind.

        Returns:
            One entry a file, those taken first; ``problem`` says why one was not.
        """
        files = {Path(path).name: found_file(path) for path in paths}
        if len(files) != len(paths) or not files:
            raise ParameterError(
                "two files have one name" if files else "there is no file",
                cure="Upload them one after the other." if files else "Give one or more.",
                subject="paths",
            )
        fields = {"app_id": app_id, "file_type": str(int(kind))}
        if unit_id is not None:
            fields["upload_unit_id"] = unit_id
        if conversation_id is not None:
            fields["conversation_id"] = conversation_id
        types = mimetypes.MimeTypes()
        media_types = {name: types.guess_type(name)[0] or "application/octet-stream" for name in files}
        body = encode_form(fields, "files", files, media_types=media_types)
        return await self._call("POST", UPLOAD, body, uploads_of)

    async def file_states(self, app_id: str, file_ids: Sequence[str]) -> dict[str, FileReadiness]:
        """How far the service is with uploaded files."""
        return await self._call("POST", FILE_STATE, encode_file_state(app_id, file_ids), file_states_of)

    async def invoke(
        self, app_id: str, *values: Value | str, conversation_id: str | None = None
    ) -> ApplicationReply:
        """Ask an application.

        Args:
            values: texts, and values for its variables.
            conversation_id: to go on with an earlier conversation.

        Raises:
            ServiceError: the application or the service failed.
        """
        body = encode_application(app_id, _values(values), conversation_id=conversation_id, stream=False)
        return await self._call("POST", INVOKE, body, reply_of)

    async def stream(
        self, app_id: str, *values: Value | str, conversation_id: str | None = None
    ) -> AsyncEventStream[ApplicationReply]:
        """As ``invoke``, giving the text piece by piece; ``.reply`` at the end."""
        calls = self._calls
        body = encode_application(app_id, _values(values), conversation_id=conversation_id, stream=True)
        address = _address(calls.settings, INVOKE)

        def read(stream: Any, answered: Answered) -> AsyncEventStream[ApplicationReply]:
            reader = EventReader[ApplicationReply](
                read=reply_of,
                refusal=lambda event: _refusal(calls.settings, event, answered.request_id),
                whole=lambda text, last: replace(reply_of(last), text=text),
            )
            return AsyncEventStream(stream, reader)

        return await calls.opened(lambda _: HttpRequest("POST", address, body, timeouts=calls.timeouts), read)

    async def _call(
        self,
        method: Literal["GET", "POST"],
        path: str,
        body: Body | None,
        read_answer: Callable[[Mapping[str, Any]], T],
    ) -> T:
        calls = self._calls
        address = _address(calls.settings, path)

        def read(response: HttpResponse, answered: Answered) -> T:
            answer = read_object(response.body, "an application")
            refusal = _refusal(calls.settings, answer, answered.request_id)
            if refusal is not None:
                raise refusal
            return read_answer(answer)

        return await calls.service(
            lambda _: HttpRequest(method, address, body, timeouts=calls.timeouts), read
        )


def _address(settings: Settings, path: str) -> str:
    require(settings, "applications_url")
    return beside(settings, settings.endpoint.applications_url or "").rstrip("/") + path


def _refusal(settings: Settings, answer: Mapping[str, Any], request_id: str) -> ServiceError | None:
    error = error_of(answer)
    if error is None:
        return None
    return service_error(
        *error, status=None, endpoint=settings.endpoint, request_id=request_id, key=settings.api_key
    )


def _values(values: Sequence[Value | str]) -> tuple[Value, ...]:
    return tuple(Value(value) if isinstance(value, str) else value for value in values)
