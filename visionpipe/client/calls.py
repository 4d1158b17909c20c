"""The calls a client can make, as effect generators: what is said over the wire, decided once for the
synchronous and the asyncio client."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from tenacity import stop_before_delay

from visionpipe.client.settings import Settings
from visionpipe.errors import ServiceError
from visionpipe.registry.records import ModelRecord
from visionpipe.reply import Reply
from visionpipe.request import Request
from visionpipe.stages.exchange import Answered, Effect, Open, Save, Send, Sending, exchange, new_request_id
from visionpipe.stages.retry import RetryPolicy
from visionpipe.wire.chat import CHAT_PATH, encode_chat
from visionpipe.wire.errors import read_error
from visionpipe.wire.http import HttpRequest, HttpResponse, Timeouts
from visionpipe.wire.reply import ReadingContext, read_reply
from visionpipe.wire.stream import StreamReader

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Calls:
    """Makes the generators for one endpoint.

    Attributes:
        settings: endpoint, model and registry.
        policy: when to try again.
        timeouts: seconds.
        clock: monotonic seconds.
        request_id: gives a new id per attempt.
    """

    settings: Settings
    policy: RetryPolicy = field(default_factory=RetryPolicy)
    timeouts: Timeouts = field(default_factory=Timeouts)
    clock: Callable[[], float] = time.monotonic
    request_id: Callable[[], str] = new_request_id

    def bounded(self, *, retry_rate_limits: bool, seconds: float | None) -> Calls:
        """The same calls for a job that has a limiter of its own, or a deadline for each item."""
        calls = self
        if not retry_rate_limits:
            calls = replace(calls, policy=replace(calls.policy, rate_limits=False))
        return calls if seconds is None else calls.within(seconds)

    def within(self, seconds: float) -> Calls:
        """The same calls with less patience: no answer is awaited, and no further try begun, beyond
        ``seconds``."""
        timeouts = replace(self.timeouts, total=min(self.timeouts.total, max(seconds, 0.001)))
        policy = replace(self.policy, stop=self.policy.stop | stop_before_delay(seconds))
        return replace(self, timeouts=timeouts, policy=policy)

    def whole(self, request: Request, model: ModelRecord) -> Generator[Effect, Any, Reply]:
        """Ask and read the whole answer."""
        context = self._context(request, model)

        def read(response: HttpResponse, answered: Answered) -> Reply:
            return read_reply(response.body, context, answered)

        return self._exchange(lambda id_: Send(self._http(request, id_, stream=False)), read)

    def streamed(
        self, request: Request, model: ModelRecord
    ) -> Generator[Effect, Any, tuple[Any, StreamReader]]:
        """Ask and open the answer as a stream; what is returned reads it."""
        context = self._context(request, model)

        def read(stream: Any, answered: Answered) -> tuple[Any, StreamReader]:
            return stream, StreamReader(context, answered)

        return self._exchange(lambda id_: Open(self._http(request, id_, stream=True)), read)

    def service(
        self,
        make: Callable[[str], HttpRequest],
        read: Callable[[HttpResponse, Answered], T],
        *,
        policy: RetryPolicy | None = None,
    ) -> Generator[Effect, Any, T]:
        """Any other call of the service: ``make`` gives the request for a request id, ``read`` its value."""
        return exchange(
            lambda id_: Send(make(id_)),
            read,
            self._refusal,
            policy=policy or self.policy,
            clock=self.clock,
            request_id=self.request_id,
        )

    def saved(self, make: Callable[[str], HttpRequest], path: str) -> Generator[Effect, Any, None]:
        """Any call whose answer goes into a file, whole or not at all; begun anew where it breaks off."""
        return self._exchange(lambda id_: Save(make(id_), path), lambda response, answered: None)

    def opened(
        self, make: Callable[[str], HttpRequest], read: Callable[[Any, Answered], T]
    ) -> Generator[Effect, Any, T]:
        """Any call whose answer is a stream of events; ``read`` is given the stream."""
        return self._exchange(lambda id_: Open(make(id_)), read)

    def _exchange(
        self, make: Callable[[str], Sending], read: Callable[[Any, Answered], T]
    ) -> Generator[Effect, Any, T]:
        return exchange(
            make,
            read,
            self._refusal,
            policy=self.policy,
            clock=self.clock,
            request_id=self.request_id,
        )

    def _http(self, request: Request, request_id: str, *, stream: bool) -> HttpRequest:
        body = encode_chat(request, self.settings.endpoint, request_id=request_id, stream=stream)
        return HttpRequest("POST", CHAT_PATH, body, timeouts=self.timeouts)

    def _refusal(self, response: HttpResponse, request_id: str) -> ServiceError:
        settings = self.settings
        return read_error(
            response,
            settings.endpoint,
            request_id=request_id,
            key=settings.api_key,
            model=settings.model.id,
        )

    def _context(self, request: Request, model: ModelRecord) -> ReadingContext:
        return ReadingContext(request, model, self.settings.endpoint, self.settings.api_key)
