"""A Request as the body of a chat call, in the form its endpoint takes.

What stands in the body is decided by the endpoint's record and the request alone; fields that were not set
are not sent, since the service checks what it is given (an explicit null is a parameter too).

The same body, less its parameters, has its tokens counted without asking the model (docs.bigmodel.cn,
tokenizer OpenAPI, read 2026-04-23).

And the same body is a task, submitted once and asked after by id; it never expires (the platform's FAQ). What
a failed task tells besides its status is documented nowhere; an ``error`` object is read where there is one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any
from urllib.parse import urlencode

from visionpipe.errors import RejectedRequestError, VisionPipeError
from visionpipe.media import Image, LinkedFile, LinkedImage, LinkedVideo, Part, Text, Video
from visionpipe.registry.dialects import dialects
from visionpipe.registry.records import EndpointRecord
from visionpipe.reply import Attempt
from visionpipe.request import Message, Request
from visionpipe.values import JSON, Adjustment
from visionpipe.wire.answers import needed, number_of, read_object, segment, table_of, text_of, unreadable
from visionpipe.wire.http import Base64Text, Body, encode_body

CHAT_PATH = "/chat/completions"


@dataclass(frozen=True, slots=True)
class ChatForm:
    """What a model's server has asked for in its refusals. ``limit_field``: the name it wants for max_tokens;
    ``without_format``: it takes no response_format."""

    limit_field: str | None = None
    without_format: bool = False


class AskedChat:
    """One chat call as it is asked: in the usual form, or in the one that its server asked for.

    Args:
        request: as it was prepared.
        endpoint: which is asked.
        forms: what was learnt so far, by model; what is learnt here is added, so that it is learnt once.
    """

    def __init__(self, request: Request, endpoint: EndpointRecord, forms: dict[str, ChatForm]) -> None:
        self._given = request
        self._forms = forms
        self._usual = endpoint
        self.endpoint = endpoint
        self.request = request
        if request.model in forms:
            self._take(forms[request.model])

    def mend(self, error: VisionPipeError) -> bool:
        """Whether ``error`` is a refusal that asks for another form; from now on it is asked so."""
        if not isinstance(error, RejectedRequestError):
            return False
        old = self._forms.get(self._given.model, ChatForm())
        form = old
        for name in dialects().asks_for(error.service_message):
            if name == "no_response_format":
                if self._given.response_format is not None:
                    form = replace(form, without_format=True)
            elif old.limit_field is None and self._given.parameters.max_tokens is not None:
                form = replace(form, limit_field=name)
        if form == old or form.limit_field == self._usual.output_limit_field:
            return False
        self._forms[self._given.model] = form
        self._take(form)
        return True

    def _take(self, form: ChatForm) -> None:
        request, endpoint, notes = self._given, self._usual, list[Adjustment]()
        if form.limit_field is not None and request.parameters.max_tokens is not None:
            notes.append(
                Adjustment("renamed", "max_tokens", f"sent as {form.limit_field}, as the server asks")
            )
            endpoint = endpoint.model_copy(update={"output_limit_field": form.limit_field})
        if form.without_format and request.response_format is not None:
            notes.append(
                Adjustment(
                    "dropped", "response_format", "the server refused it; the schema is asked for in words"
                )
            )
            request = replace(request, response_format=None)
        self.endpoint = endpoint
        self.request = replace(request, adjustments=(*request.adjustments, *notes)) if notes else request


def chat_path(endpoint: EndpointRecord) -> str:
    """Where chat calls go, below the endpoint's base URL."""
    return f"{CHAT_PATH}?{urlencode(endpoint.query)}" if endpoint.query else CHAT_PATH


def encode_chat(
    request: Request, endpoint: EndpointRecord, *, request_id: str | None = None, stream: bool = False
) -> Body:
    """Encode one chat call; ``request_id`` is sent only where the endpoint knows the field."""
    return encode_body(chat_fields(request, endpoint, request_id=request_id, stream=stream))


def chat_fields(
    request: Request, endpoint: EndpointRecord, *, request_id: str | None = None, stream: bool = False
) -> dict[str, Any]:
    """The call as a JSON value whose media are ``Base64Text`` leaves."""
    fields: dict[str, Any] = {
        "model": request.model,
        "messages": [_message(message, endpoint, request.parameters.detail) for message in request.messages],
        **_parameters(request, endpoint),
    }
    if request.tools:
        fields["tools"] = list(request.tools)
        if request.tool_choice is not None:
            fields["tool_choice"] = request.tool_choice
    if request.response_format is not None:
        fields["response_format"] = request.response_format
    if stream:
        fields["stream"] = True
        if endpoint.stream_usage_option:
            fields["stream_options"] = {"include_usage": True}
    if request_id is not None and endpoint.sends_request_id:
        fields["request_id"] = request_id
    return fields


def _parameters(request: Request, endpoint: EndpointRecord) -> dict[str, Any]:
    given, switch = request.parameters, endpoint.thinking
    switched: Mapping[str, Any] = {}
    if given.thinking is not None and switch is not None:
        switched = switch.on if given.thinking == "on" else switch.off
    fields: dict[str, Any] = {
        "temperature": given.temperature,
        "top_p": given.top_p,
        endpoint.output_limit_field: given.max_tokens,
        "do_sample": given.do_sample,
        "stop": list(given.stop) or None,
        **switched,
        "user_id" if endpoint.dialect == "glm" else "user": given.user_id,
    }
    if given.reasoning_effort is not None:
        fields["reasoning_effort"] = given.reasoning_effort
    return {name: value for name, value in fields.items() if value is not None} | dict(given.extra)


def _message(message: Message, endpoint: EndpointRecord, detail: str | None) -> dict[str, Any]:
    encoded: dict[str, Any] = {"role": message.role}
    if message.role == "user":
        # The 4V generation answers 1210 to a plain string, and every endpoint takes a list.
        encoded["content"] = [_part(part, endpoint, detail) for part in message.parts]
    else:
        # The service's schema has strings for these roles; null only beside tool calls.
        texts = [part.text for part in message.parts if isinstance(part, Text)]
        encoded["content"] = "\n".join(texts) if texts or not message.tool_calls else None
    if message.tool_calls:
        encoded["tool_calls"] = [
            {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
            for call in message.tool_calls
        ]
    if message.tool_call_id is not None:
        encoded["tool_call_id"] = message.tool_call_id
    return encoded


def _part(part: Part, endpoint: EndpointRecord, detail: str | None) -> dict[str, Any]:
    closely = {} if detail is None else {"detail": detail}
    match part:
        case Text():
            return {"type": "text", "text": part.text}
        case LinkedImage():
            return {"type": "image_url", "image_url": {"url": part.url, **closely}}
        case Image():
            return {
                "type": "image_url",
                "image_url": {"url": _inline(part, f"image/{part.format}", endpoint), **closely},
            }
        case LinkedVideo():
            return {"type": "video_url", "video_url": {"url": part.url}}
        case Video():
            kind = f"video/{part.container}"
            return {"type": "video_url", "video_url": {"url": _inline(part, kind, endpoint)}}
        case LinkedFile():
            return {"type": "file_url", "file_url": {"url": part.url}}


def _inline(part: Image | Video, media_type: str, endpoint: EndpointRecord) -> Base64Text:
    prefix = "" if endpoint.base64_form == "bare" else f"data:{media_type};base64,"
    return Base64Text(part.content, prefix, part.name)


TOKENIZER_PATH = "/tokenizer"
_FIELDS = ("model", "messages", "tools")


@dataclass(frozen=True, slots=True)
class TokenCount:
    """Tokens of a prompt as the service counts them; ``total_tokens`` is all that counts as input."""

    prompt_tokens: int
    image_tokens: int
    video_tokens: int
    total_tokens: int

    def __add__(self, other: TokenCount) -> TokenCount:
        return TokenCount(
            self.prompt_tokens + other.prompt_tokens,
            self.image_tokens + other.image_tokens,
            self.video_tokens + other.video_tokens,
            self.total_tokens + other.total_tokens,
        )

    def to_json(self) -> dict[str, JSON]:
        return {
            "prompt_tokens": self.prompt_tokens,
            "image_tokens": self.image_tokens,
            "video_tokens": self.video_tokens,
            "total_tokens": self.total_tokens,
        }


def encode_count(request: Request, endpoint: EndpointRecord) -> Body:
    """What is sent to have ``request`` counted."""
    fields = chat_fields(request, endpoint)
    return encode_body({name: fields[name] for name in _FIELDS if name in fields})


def read_count(body: bytes) -> TokenCount:
    """The count. Raises UnreadableAnswerError where there is none."""
    what = "a token count"
    usage = table_of(read_object(body, what), "usage")
    total = number_of(usage, "total_tokens")
    prompt = number_of(usage, "prompt_tokens")
    if total is None and prompt is None:
        raise unreadable(what, "it has no usage")
    image, video = number_of(usage, "image_tokens") or 0, number_of(usage, "video_tokens") or 0
    if total is None:
        total = (prompt or 0) + image + video
    return TokenCount(prompt if prompt is not None else total - image - video, image, video, total)


SUBMIT_PATH = "/async/chat/completions"


class TaskStatus(StrEnum):
    """The service's words. Any other word counts as still in progress."""

    PROCESSING = "PROCESSING"
    SUCCESS = "SUCCESS"
    FAIL = "FAIL"


@dataclass(frozen=True, slots=True)
class TaskState:
    """A task as the service last told of it. ``body`` is the whole answer, with the model's in it once the
    status is SUCCESS; ``error_code`` and ``error_message`` are empty where it gave none; ``oddities`` are of
    the exchange, each for a note."""

    id: str
    status: TaskStatus
    model: str | None
    request_id: str | None
    error_code: str = ""
    error_message: str = ""
    body: bytes = field(default=b"", repr=False)
    oddities: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class TaskRecord:
    """One task, as it was when it was last asked after.

    Attributes:
        id: what to keep: with it any process can take the task up at any time.
        model: the model asked.
        request_id: the id sent with the submission; None where it is not known.
        status: PROCESSING, SUCCESS or FAIL.
        adjustments: what was changed before it was submitted; known to the submitting process only.
        attempts: the tries at submitting it.
        images: names of its images; known to the submitting process only.
    """

    id: str
    model: str
    request_id: str | None = None
    status: TaskStatus = TaskStatus.PROCESSING
    adjustments: tuple[Adjustment, ...] = ()
    attempts: tuple[Attempt, ...] = ()
    images: tuple[str, ...] = ()

    @property
    def done(self) -> bool:
        """Whether it has come to an end, good or bad."""
        return self.status is not TaskStatus.PROCESSING


def result_path(task_id: str) -> str:
    """Where to ask after a task."""
    return f"/async-result/{segment(task_id)}"


def read_task(body: bytes, task_id: str | None = None, oddities: tuple[str, ...] = ()) -> TaskState:
    """Read what a submission or a question after a task is answered with.

    Args:
        body: of the answer.
        task_id: the id asked after; None for a submission, whose answer must tell it.
        oddities: of the exchange.

    Raises:
        UnreadableAnswerError: it is not a task's.
    """
    what = "a task" if task_id is None else f"task {task_id}"
    answer = read_object(body, what)
    identity = needed(answer, "id", what) if task_id is None else task_id
    word = needed(answer, "task_status", what).upper()
    known = {status.value: status for status in TaskStatus}
    error = table_of(answer, "error")
    return TaskState(
        id=identity,
        status=known.get(word, TaskStatus.PROCESSING),
        model=text_of(answer, "model"),
        request_id=text_of(answer, "request_id"),
        error_code=text_of(error, "code") or "",
        error_message=text_of(error, "message") or "",
        body=body,
        oddities=oddities,
    )
