"""A streamed answer, chunk by chunk, into pieces of text and at last the same Reply as a whole answer.

Whatever came before a break is kept and handed over with the error (``error.reply``); a stream
counts as complete when the service named a finish_reason or said [DONE], and what breaks behind that is a
note. A server that answers whole though it was asked to stream is read all the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import orjson

from visionpipe.errors import AnswerError, InterruptedAnswerError, UnreadableAnswerError, VisionPipeError
from visionpipe.reply import Answered, Reply
from visionpipe.request import ToolCall
from visionpipe.wire.errors import error_in, service_error
from visionpipe.wire.markup import MarkupFilter
from visionpipe.wire.reply import (
    ReadingContext,
    content_text,
    finish_reply,
    first_choice,
    read_reply,
    read_usage,
    reasoning_text,
)
from visionpipe.wire.sse import SseParser

MAX_STREAM_BYTES = 64 * 1024 * 1024
"""A stream longer than this is given up rather than kept in memory."""

_TRY_AGAIN = "Try again; what came before the break is in the error's reply."
_NO_STREAM = "Check the base URL; if the endpoint cannot stream, ask without streaming."


@dataclass(slots=True)
class _CallInProgress:
    id: str = ""
    name: str = ""
    arguments: str = ""


class StreamReader:
    """Feed it the answer's bytes as they come; it gives the text pieces, and at the end the Reply.

    Args:
        context: what was asked.
        answered: on which attempt the stream was opened.
        max_bytes: the longest stream that is read.
    """

    def __init__(
        self, context: ReadingContext, answered: Answered, *, max_bytes: int = MAX_STREAM_BYTES
    ) -> None:
        self._context = context
        self._answered = answered
        self._events = SseParser()
        self._text: list[str] = []
        self._filter = MarkupFilter()
        self._reasoning: list[str] = []
        self._refusal: list[str] = []
        self._calls: dict[int, _CallInProgress] = {}
        self._finish_reason = ""
        self._last: dict[str, Any] = {}
        self._max_bytes = max_bytes
        self._bytes = 0
        self._unframed: list[bytes] = []
        self._frames = 0
        self._choices = 0
        self._done = False

    @property
    def complete(self) -> bool:
        """Whether the service has said that this is all."""
        return self._done

    @property
    def ended(self) -> bool:
        """Whether the answer is whole, though more (its usage, [DONE]) might follow."""
        return self._done or bool(self._finish_reason)

    def feed(self, chunk: bytes) -> list[str]:
        """The text pieces that ``chunk`` completes; may be none.

        Raises:
            ServiceError: an error frame before any text.
            InterruptedAnswerError: an error frame or a broken frame after some text.
            UnreadableAnswerError: the stream is too long.
        """
        self._bytes += len(chunk)
        if self._bytes > self._max_bytes:
            raise UnreadableAnswerError(
                f"the stream is longer than {self._max_bytes} bytes",
                cure="Check that the base URL is that of a model service.",
                code="answer_too_long",
            )
        if not self._frames:
            self._unframed.append(chunk)
        return self._pieces(self._events.feed(chunk))

    def finish(self, broken: str = "") -> tuple[list[str], Reply]:
        """At the end of the bytes: the last pieces, and the reply.

        Args:
            broken: how the connection broke, where the answer had ended before; noted in the reply.

        Raises:
            InterruptedAnswerError: the stream ended before the answer did.
            AnswerError: as for a whole answer.
        """
        pieces: list[str] = []
        if not broken:
            try:
                pieces = self._pieces(self._events.finish())
            except InterruptedAnswerError as error:
                if not self.ended:
                    raise
                broken = error.reason
        if not self._frames and not self._done:
            reply = self._unstreamed()
            return [reply.text], reply
        if not self.ended:
            raise self.interrupted("the stream ended before the answer did")
        if not self._choices:
            first_choice({}, self._answered)
        held = self._filter.finish()
        return [*pieces, held] if held else pieces, self._reply(broken)

    def complete_error(self, error: VisionPipeError) -> None:
        """Tell an error that ended this stream what is known of it: the ids, and what came before."""
        error.request_id = error.request_id or self._answered.request_id
        error.attempts = error.attempts or len(self._answered.attempts)
        if isinstance(error, AnswerError) and error.reply is None:
            error.reply = self._partial()

    def _unstreamed(self) -> Reply:
        try:
            return read_reply(b"".join(self._unframed), self._context, self._answered)
        except UnreadableAnswerError as error:
            raise UnreadableAnswerError("the answer is no stream of events", cure=_NO_STREAM) from error

    def interrupted(self, reason: str, cure: str = _TRY_AGAIN) -> InterruptedAnswerError:
        """The error for a stream that breaks here, with the partial reply."""
        return InterruptedAnswerError(
            reason, cure=cure, request_id=self._answered.request_id, reply=self._partial()
        )

    def _pieces(self, payloads: list[bytes]) -> list[str]:
        pieces: list[str] = []
        for payload in payloads:
            if payload.strip() == b"[DONE]":
                self._done = True
                continue
            try:
                frame = orjson.loads(payload)
            except orjson.JSONDecodeError as cause:
                raise self.interrupted("a frame of the stream is no JSON") from cause
            if isinstance(frame, dict):
                self._frames += 1
                piece = self._take(frame)
                if piece:
                    pieces.append(piece)
        return pieces

    def _take(self, frame: dict[str, Any]) -> str:
        told = error_in(frame)
        if told is not None:
            refused = service_error(
                *told,
                status=None,
                endpoint=self._context.endpoint,
                request_id=self._answered.request_id,
                key=self._context.key,
                model=self._context.request.model,
            )
            if not any(self._text):
                raise refused
            raise InterruptedAnswerError(
                f"the service broke off its answer: {refused.reason}",
                cure=refused.cure,
                code=refused.code,
                request_id=self._answered.request_id,
                retryable=refused.retryable,
                scope=refused.scope,
                reply=self._partial(),
            ) from refused
        # Usage comes in the last frame, on some servers in one without choices.
        self._last = {**self._last, **frame}
        choices = frame.get("choices")
        if not isinstance(choices, list) or not choices or not isinstance(choices[0], dict):
            return ""
        self._choices += 1
        self._finish_reason = str(choices[0].get("finish_reason") or self._finish_reason)
        delta = choices[0].get("delta")
        if not isinstance(delta, dict):
            return ""
        self._reasoning.append(reasoning_text(delta))
        self._refusal.append(content_text(delta.get("refusal")))
        self._take_calls(delta.get("tool_calls"))
        text = content_text(delta.get("content"))
        self._text.append(text)
        return self._filter.feed(text)

    def _take_calls(self, calls: Any) -> None:
        for position, call in enumerate(calls if isinstance(calls, list) else []):
            if not isinstance(call, dict):
                continue
            index = call.get("index")
            known = self._calls.setdefault(index if isinstance(index, int) else position, _CallInProgress())
            function = call.get("function")
            known.id = str(call.get("id") or known.id)
            if isinstance(function, dict):
                known.name = str(function.get("name") or known.name)
                arguments = function.get("arguments")
                if isinstance(arguments, dict):
                    known.arguments = orjson.dumps(arguments).decode()
                elif isinstance(arguments, str):
                    known.arguments += arguments

    def _tool_calls(self) -> tuple[ToolCall, ...]:
        return tuple(ToolCall(c.id, c.name, c.arguments) for _, c in sorted(self._calls.items()))

    def _reply(self, broken: str = "") -> Reply:
        return finish_reply(
            text="".join(self._text),
            reasoning="".join(self._reasoning),
            refusal="".join(self._refusal),
            tool_calls=self._tool_calls(),
            finish_reason=self._finish_reason,
            answer=self._last,
            context=self._context,
            answered=self._answered,
            broken=broken,
        )

    def _partial(self) -> Reply:
        try:
            return self._reply()
        except AnswerError as error:
            if error.reply is not None:
                return error.reply
        return Reply(
            text="".join(self._text),
            model=self._context.model.id,
            usage=read_usage(self._last.get("usage")),
            request_id=self._answered.request_id,
            attempts=self._answered.attempts,
        )
