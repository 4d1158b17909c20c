"""The older application API as effect generators."""

from __future__ import annotations

import mimetypes
import os
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, TypeVar

from visionpipe.client.calls import Calls
from visionpipe.client.event_reader import EventReader
from visionpipe.client.service.file_calls import file_content
from visionpipe.client.service.surfaces import beside, require
from visionpipe.errors import ParameterError, ServiceError
from visionpipe.stages.exchange import Answered, Effect
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

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class ApplicationCalls:
    """Makes the generators."""

    calls: Calls

    def variables(self, app_id: str) -> Generator[Effect, Any, tuple[Variable, ...]]:
        """What an application wants to be given."""
        return self._call("GET", f"/v2/application/{segment(app_id)}/variables", None, variables_of)

    def conversation(self, app_id: str) -> Generator[Effect, Any, str]:
        """Begin a conversation."""
        path = f"/v2/application/{segment(app_id)}/conversation"
        return self._call("POST", path, Body((b"{}",)), conversation_of)

    def upload(
        self,
        app_id: str,
        paths: Sequence[str | os.PathLike[str]],
        kind: FileKind,
        unit_id: str | None,
        conversation_id: str | None,
    ) -> Generator[Effect, Any, tuple[UploadedFile, ...]]:
        """Send files from disk, streamed."""
        files = {Path(path).name: file_content(path) for path in paths}
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
        return self._call("POST", UPLOAD, body, uploads_of)

    def file_states(
        self, app_id: str, file_ids: Sequence[str]
    ) -> Generator[Effect, Any, dict[str, FileReadiness]]:
        """How far uploaded files are."""
        return self._call("POST", FILE_STATE, encode_file_state(app_id, file_ids), file_states_of)

    def invoke(
        self, app_id: str, values: Sequence[Value], conversation_id: str | None
    ) -> Generator[Effect, Any, ApplicationReply]:
        """Ask and read the whole answer."""
        body = encode_application(app_id, values, conversation_id=conversation_id, stream=False)
        return self._call("POST", INVOKE, body, reply_of)

    def stream(
        self, app_id: str, values: Sequence[Value], conversation_id: str | None
    ) -> Generator[Effect, Any, tuple[Any, EventReader[ApplicationReply]]]:
        """Ask and open the answer as a stream."""
        body = encode_application(app_id, values, conversation_id=conversation_id, stream=True)
        address = self._address(INVOKE)

        def read(stream: Any, answered: Answered) -> tuple[Any, EventReader[ApplicationReply]]:
            reader = EventReader[ApplicationReply](
                read=reply_of,
                refusal=lambda event: self._refusal(event, answered.request_id),
                whole=lambda text, last: replace(reply_of(last), text=text),
            )
            return stream, reader

        return self.calls.opened(
            lambda _: HttpRequest("POST", address, body, timeouts=self.calls.timeouts), read
        )

    def _call(
        self,
        method: Literal["GET", "POST"],
        path: str,
        body: Body | None,
        read_answer: Callable[[Mapping[str, Any]], T],
    ) -> Generator[Effect, Any, T]:
        address = self._address(path)

        def read(response: HttpResponse, answered: Answered) -> T:
            answer = read_object(response.body, "an application")
            refusal = self._refusal(answer, answered.request_id)
            if refusal is not None:
                raise refusal
            return read_answer(answer)

        return self.calls.service(
            lambda _: HttpRequest(method, address, body, timeouts=self.calls.timeouts), read
        )

    def _address(self, path: str) -> str:
        settings = self.calls.settings
        require(settings, "applications_url")
        return beside(settings, settings.endpoint.applications_url or "").rstrip("/") + path

    def _refusal(self, answer: Mapping[str, Any], request_id: str) -> ServiceError | None:
        error = error_of(answer)
        if error is None:
            return None
        endpoint = self.calls.settings.endpoint
        key = self.calls.settings.api_key
        return service_error(*error, status=None, endpoint=endpoint, request_id=request_id, key=key)
