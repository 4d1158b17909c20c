"""A streamed answer, chunk by chunk, into pieces of text and at last the same Reply as a whole answer.

The rule: whatever came before a break is kept and handed over with the error (``error.reply``); a stream
counts as complete when the service named a finish_reason or said [DONE].
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import orjson

from visionpipe.errors import AnswerError, InterruptedAnswerError, UnreadableAnswerError
from visionpipe.reply import Reply
from visionpipe.request import ToolCall
from visionpipe.stages.exchange import Answered
from visionpipe.stages.markup_stream import MarkupFilter
from visionpipe.stages.read import ReadingContext, content_text, finish_reply, read_usage
from visionpipe.stages.read_error import service_error
from visionpipe.wire.sse import SseParser

_TRY_AGAIN = "Try again; what came before the break is in the error's reply."


@dataclass(slots=True)
class _CallInProgress:
    id: str = ""
    name: str = ""
    arguments: str = ""


class StreamReader:
    """Feed it the answer's bytes as they come; it gives the text pieces, and at the end the Reply."""

    def __init__(self, context: ReadingContext, answered: Answered) -> None:
        self._context = context
        self._answered = answered
        self._events = SseParser()
        self._text: list[str] = []
        self._filter = MarkupFilter()
        self._reasoning: list[str] = []
        self._calls: dict[int, _CallInProgress] = {}
        self._finish_reason = ""
        self._last: dict[str, Any] = {}
        self._frames = 0
        self._done = False

    @property
    def complete(self) -> bool:
        """Whether the service has said that this is all."""
        return self._done

    def feed(self, chunk: bytes) -> list[str]:
        """The text pieces that ``chunk`` completes; may be none.

        Raises:
            ServiceError: an error frame before any text.
            InterruptedAnswerError: an error frame or a broken frame after some text.
        """
        return self._pieces(self._events.feed(chunk))

    def finish(self) -> tuple[list[str], Reply]:
        """At the end of the bytes: the last pieces, and the reply.

        Raises:
            InterruptedAnswerError: the stream ended before the answer did.
            AnswerError: as for a whole answer.
        """
        pieces = self._pieces(self._events.finish())
        if not self._frames and not self._done:
            raise UnreadableAnswerError(
                "the answer is no stream of events",
                cure="Check the base URL; if the endpoint cannot stream, ask without streaming.",
                request_id=self._answered.request_id,
            )
        if not self._finish_reason and not self._done:
            raise self.interrupted("the stream ended before the answer did")
        held = self._filter.finish()
        return [*pieces, held] if held else pieces, self._reply()

    def interrupted(self, reason: str) -> InterruptedAnswerError:
        """The error for a stream that breaks here, with the partial reply."""
        return InterruptedAnswerError(
            reason, cure=_TRY_AGAIN, request_id=self._answered.request_id, reply=self._partial()
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
        error = frame.get("error")
        if isinstance(error, dict):
            refused = service_error(
                str(error.get("code", "")),
                str(error.get("message", "")),
                status=None,
                endpoint=self._context.endpoint,
                request_id=self._answered.request_id,
            )
            if not self._text:
                raise refused
            raise self.interrupted(f"the service broke off its answer: {refused.reason}") from refused
        # Usage comes in the last frame, on some servers in one without choices.
        self._last = {**self._last, **frame}
        choices = frame.get("choices")
        if not isinstance(choices, list) or not choices or not isinstance(choices[0], dict):
            return ""
        self._finish_reason = str(choices[0].get("finish_reason") or self._finish_reason)
        delta = choices[0].get("delta")
        if not isinstance(delta, dict):
            return ""
        self._reasoning.append(content_text(delta.get("reasoning_content")))
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
                else:
                    known.arguments += arguments or ""

    def _tool_calls(self) -> tuple[ToolCall, ...]:
        return tuple(ToolCall(c.id, c.name, c.arguments) for _, c in sorted(self._calls.items()))

    def _reply(self) -> Reply:
        return finish_reply(
            text="".join(self._text),
            reasoning="".join(self._reasoning),
            tool_calls=self._tool_calls(),
            finish_reason=self._finish_reason,
            answer=self._last,
            context=self._context,
            answered=self._answered,
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
