"""What an operator sees of a call: each try in the log and to a callback, and spans and metrics where the
program uses OpenTelemetry.

Names are those of OpenTelemetry's semantic conventions for generative AI (as of 1.41), those of its own begin
with ``visionpipe.``. Only its API is used, and only where the program has loaded it, so that nothing is paid
without; the SDK and where spans go are the program's.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from visionpipe.client.settings import Settings
from visionpipe.errors import AnswerError, ServiceError, VisionPipeError
from visionpipe.logs import logger, tell
from visionpipe.media import Image, LinkedImage, LinkedVideo, Video
from visionpipe.reply import Reply
from visionpipe.request import Request

if TYPE_CHECKING:
    from opentelemetry.metrics import Counter, Histogram
    from opentelemetry.trace import Span, Tracer

_LOG = logger("client")
_SCOPE = "visionpipe"


@dataclass(frozen=True, slots=True)
class AttemptMade:
    """One try at a request has ended.

    Attributes:
        endpoint, model: which was asked; the model is None for calls that ask none, such as file uploads.
        request_id: the id that this try carried.
        number: from 1.
        seconds: from sending to the whole answer (of a stream: to its beginning).
        error: what it ended with; None: answered.
        wait: seconds until the next try; None: there is none.
        server: the base URL it went to, where there are several.
    """

    endpoint: str
    model: str | None
    request_id: str
    number: int
    seconds: float
    error: VisionPipeError | None = None
    wait: float | None = None
    server: str | None = None


@dataclass(frozen=True, slots=True)
class _Instruments:
    tracer: Tracer
    duration: Histogram
    tokens: Histogram
    attempts: Counter
    images: Counter
    cost: Counter
    gate_wait: Histogram


@lru_cache(maxsize=1)
def _made() -> _Instruments:
    from opentelemetry import metrics, trace

    meter = metrics.get_meter(_SCOPE)
    return _Instruments(
        trace.get_tracer(_SCOPE),
        meter.create_histogram("gen_ai.client.operation.duration", "s", "Calls, with their tries and waits"),
        meter.create_histogram("gen_ai.client.token.usage", "{token}", "Tokens as billed"),
        meter.create_counter("visionpipe.client.attempts", "{attempt}", "Tries at chat requests"),
        meter.create_counter("visionpipe.client.images", "{image}", "Images sent in answered calls"),
        meter.create_counter("visionpipe.client.cost", "{currency}", "Cost of answers, by currency"),
        meter.create_histogram("visionpipe.gate.wait", "s", "Waits of a job's items for their turn to send"),
    )


def instruments() -> _Instruments | None:
    """OpenTelemetry's, where the program has loaded it."""
    return _made() if "opentelemetry.trace" in sys.modules else None


def gate_waited(seconds: float) -> None:
    """An item of a job has waited for the limits and the budget before it was sent."""
    found = instruments()
    if found is not None:
        found.gate_wait.record(seconds)


class Observed:
    """One call, from before its first try until its answer has been read, or it has failed.

    Args:
        settings: of the client.
        request: what is asked; None where it is no question to a model.
        on_attempt: told of every try.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        settings: Settings,
        request: Request | None,
        on_attempt: Callable[[AttemptMade], object] | None,
        clock: Callable[[], float],
    ) -> None:
        self._endpoint = settings.endpoint
        self._request = request
        self._on_attempt = on_attempt
        self._clock = clock
        self._began = clock()
        self._number = 0
        self._server: str | None = None
        self._otel = instruments() if request is not None else None
        self._span: Span | None = None
        self._try: Span | None = None
        if self._otel is not None and request is not None:
            self._labels: dict[str, Any] = {
                "gen_ai.operation.name": "chat",
                "gen_ai.provider.name": self._endpoint.id,
                "gen_ai.request.model": request.model,
                **_server(self._endpoint.base_url),
            }
            self._images = _count(request, Image | LinkedImage)
            self._span = self._start(f"chat {request.model}", {**self._labels, **self._asked(request)}, None)

    def begin(self, method: str, server: str | None = None) -> None:
        """A try is sent; to ``server``, where there are several."""
        self._number += 1
        self._server = server
        if self._span is not None:
            again = {"http.request.resend_count": self._number - 1} if self._number > 1 else {}
            at = _server(server or self._endpoint.base_url)
            attributes = {"http.request.method": method, **at, **again}
            self._try = self._start(method, attributes, self._span)

    def ended(
        self, request_id: str, seconds: float, error: VisionPipeError | None, wait: float | None
    ) -> None:
        """A try has ended."""
        model = self._request.model if self._request is not None else None
        tell(
            _LOG,
            logging.DEBUG,
            "attempt",
            endpoint=self._endpoint.id,
            server=self._server,
            model=model,
            request_id=request_id,
            number=self._number,
            seconds=round(seconds, 3),
            error=error.code if error is not None else None,
            status=error.status if isinstance(error, ServiceError) else None,
            wait=None if wait is None else round(wait, 3),
        )
        if self._otel is not None and self._try is not None:
            failed = {"error.type": error.code} if error is not None else {}
            self._otel.attempts.add(1, {**self._labels, **failed})
            self._try.set_attribute("visionpipe.request_id", request_id)
            if isinstance(error, ServiceError) and error.status is not None:
                self._try.set_attribute("http.response.status_code", error.status)
            if wait is not None:
                self._try.set_attribute("visionpipe.wait", wait)
            _close(self._try, error)
            self._try = None
        if self._on_attempt is not None:
            self._on_attempt(
                AttemptMade(
                    self._endpoint.id, model, request_id, self._number, seconds, error, wait, self._server
                )
            )

    def close(self, reply: Reply | None, error: BaseException | None = None) -> None:
        """The call is over; only the first time counts."""
        span, self._span = self._span, None
        if self._otel is None or span is None:
            return
        if self._try is not None:
            _close(self._try, error)
        reply = error.reply if reply is None and isinstance(error, AnswerError) else reply
        labels = self._labels
        if reply is not None:
            labels = {**labels, "gen_ai.response.model": reply.model}
            span.set_attributes(_answered(reply))
            if error is None:
                self._otel.images.add(self._images, labels)
            if reply.usage is not None:
                counts = {"input": reply.usage.prompt_tokens, "output": reply.usage.completion_tokens}
                for kind, count in counts.items():
                    self._otel.tokens.record(count, {**labels, "gen_ai.token.type": kind})
            if reply.cost is not None:
                currency = {"visionpipe.cost.currency": reply.cost.currency}
                self._otel.cost.add(float(reply.cost.amount), {**labels, **currency})
        failed = {} if error is None else {"error.type": _type_of(error)}
        self._otel.duration.record(self._clock() - self._began, {**labels, **failed})
        span.set_attribute("visionpipe.attempts", self._number)
        _close(span, error)

    def _start(self, name: str, attributes: dict[str, Any], parent: Span | None) -> Span:
        from opentelemetry.trace import SpanKind, set_span_in_context

        assert self._otel is not None
        context = None if parent is None else set_span_in_context(parent)
        return self._otel.tracer.start_span(name, context, SpanKind.CLIENT, attributes)

    def _asked(self, request: Request) -> dict[str, Any]:
        given = request.parameters
        settings = {
            "gen_ai.request.max_tokens": given.max_tokens,
            "gen_ai.request.temperature": given.temperature,
            "gen_ai.request.top_p": given.top_p,
        }
        return {
            "visionpipe.images": self._images,
            "visionpipe.clips": _count(request, Video | LinkedVideo),
            **{name: value for name, value in settings.items() if value is not None},
        }


def _count(request: Request, kinds: Any) -> int:
    return sum(isinstance(part, kinds) for message in request.messages for part in message.parts)


def _answered(reply: Reply) -> dict[str, Any]:
    found: dict[str, Any] = {"gen_ai.response.model": reply.model}
    answer_id = reply.raw.get("id")
    if isinstance(answer_id, str):
        found["gen_ai.response.id"] = answer_id
    if reply.finish_reason:
        found["gen_ai.response.finish_reasons"] = (reply.finish_reason,)
    if reply.usage is not None:
        found["gen_ai.usage.input_tokens"] = reply.usage.prompt_tokens
        found["gen_ai.usage.output_tokens"] = reply.usage.completion_tokens
    if reply.cost is not None:
        found["visionpipe.cost"] = float(reply.cost.amount)
        found["visionpipe.cost.currency"] = reply.cost.currency
    return found


def _server(url: str) -> dict[str, Any]:
    parts = urlsplit(url)
    found = {"server.address": parts.hostname, "server.port": parts.port}
    return {name: value for name, value in found.items() if value}


def _type_of(error: BaseException) -> str:
    return error.code if isinstance(error, VisionPipeError) else type(error).__name__


def _close(span: Span, error: BaseException | None) -> None:
    from opentelemetry.trace import StatusCode

    if error is not None:
        # The code alone: a message may quote what was sent.
        span.set_attribute("error.type", _type_of(error))
        span.set_status(StatusCode.ERROR, _type_of(error))
    span.end()
