"""One call from request to answer as a generator without I/O, so that the synchronous and the asyncio
client drive the same code.

The generator yields effects (send this, open a stream, save it, call a function, sleep) and is sent their
results, or has their errors thrown in. Every attempt carries a new request_id: the service answers 1231
to a used one.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias, TypeVar

from visionpipe.errors import ServiceError, VisionPipeError
from visionpipe.reply import Attempt
from visionpipe.stages.retry import RetryPolicy
from visionpipe.wire.http import HttpRequest, HttpResponse


@dataclass(frozen=True, slots=True)
class Send:
    """Send and read the whole answer; the result is an HttpResponse."""

    request: HttpRequest


@dataclass(frozen=True, slots=True)
class Open:
    """Send and open the answer as a stream; the result is a stream, or an HttpResponse outside 2xx."""

    request: HttpRequest


@dataclass(frozen=True, slots=True)
class Save:
    """Send and write the answer's body to a file as it arrives; the result is an HttpResponse, with an empty
    body where it was written. ``path`` holds the whole body or is as it was before."""

    request: HttpRequest
    path: str


@dataclass(frozen=True, slots=True)
class Sleep:
    """Wait; the result is None."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Invoke:
    """Call a function of the caller's; the result is an :class:`Invoked`."""

    function: Callable[..., Any]
    arguments: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Invoked:
    """What the caller's function returned, or raised."""

    value: Any = None
    exception: Exception | None = None


Sending: TypeAlias = Send | Open | Save
Effect: TypeAlias = Sending | Sleep | Invoke
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Answered:
    """Where and when an answer was had: what a reply says of its way."""

    request_id: str
    attempts: tuple[Attempt, ...]


def new_request_id() -> str:
    """A fresh id of 35 characters (the service takes 6 to 64)."""
    return f"vp-{uuid.uuid4().hex}"


def exchange(
    make: Callable[[str], Sending],
    read: Callable[[Any, Answered], T],
    read_refusal: Callable[[HttpResponse, str], ServiceError],
    *,
    policy: RetryPolicy,
    clock: Callable[[], float],
    request_id: Callable[[], str] = new_request_id,
) -> Generator[Effect, Any, T]:
    """Try until there is an answer or no sense in trying.

    Args:
        make: a request id -> the effect that sends it (Send, Open or Save).
        read: the effect's result -> the value to return; may raise an AnswerError.
        read_refusal: a response outside 2xx and its request id -> the error it stands for.
        policy: when to try again.
        clock: monotonic seconds.
        request_id: gives a new id per attempt.

    Raises:
        VisionPipeError: the last attempt's error, with ``request_id`` and ``attempts`` set.
    """
    attempts: list[Attempt] = []
    began = clock()
    while True:
        this_id, sent = request_id(), clock()
        effect = make(this_id)
        try:
            result = yield effect
            if isinstance(result, HttpResponse) and not 200 <= result.status < 300:
                raise read_refusal(result, this_id)
            answered = Answered(this_id, (*attempts, Attempt(this_id, clock() - sent)))
            return read(result, answered)
        except VisionPipeError as error:
            now = clock()
            attempts.append(Attempt(this_id, now - sent, failed_with=error.code))
            error.request_id = error.request_id or this_id
            error.attempts = len(attempts)
            billable = effect.request.method == "POST"
            wait = policy.next_wait(error, attempt=len(attempts), elapsed_s=now - began, billable=billable)
            if wait is None:
                raise
        yield Sleep(wait)
