"""A streamed answer, chunk by chunk, into pieces of text and at last the same Reply as a whole answer.

Whatever came before a break is kept and handed over with the error (``error.reply``); a stream
counts as complete when the service named a finish_reason or said [DONE], and what breaks behind that is a
note. A server that answers whole though it was asked to stream is read all the same.

A JSON document in an answer is shown while it is being written. The work is linear in the answer's length,
however many pieces it comes in: it is shown again only where the letters that have come pay for copying what
is still open in it.
"""

from __future__ import annotations

import re
from typing import Any

from visionpipe.errors import AnswerError, InterruptedAnswerError, UnreadableAnswerError, VisionPipeError
from visionpipe.reply import Answered, Reply
from visionpipe.values import Note, Usage
from visionpipe.wire.answers import Halves, UnreadableError, mended, read_json
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
from visionpipe.wire.tolerant_json import DocumentReader, NoJSONError
from visionpipe.wire.tool_calls import CallAssembler

MAX_STREAM_BYTES = 64 * 1024 * 1024
"""A stream longer than this is given up rather than kept in memory."""

_TRY_AGAIN = "Try again; what came before the break is in the error's reply."
_NO_STREAM = "Check the base URL; if the endpoint cannot stream, ask without streaming."


class StreamReader:
    """Feed it the answer's bytes as they come; it gives the text pieces, and at the end the Reply.

    Args:
        context: what was asked.
        answered: on which attempt the stream was opened.
        max_bytes: the longest stream that is read.
    """

    def __init__(
        self,
        context: ReadingContext,
        answered: Answered,
        *,
        max_bytes: int = MAX_STREAM_BYTES,
        oddities: tuple[str, ...] = (),
    ) -> None:
        self._oddities = oddities
        self._context = context
        self._answered = answered
        self._events = SseParser()
        self._text: list[str] = []
        self._filter = MarkupFilter()
        self._reasoning: list[str] = []
        self._refusal: list[str] = []
        self._calls = CallAssembler()
        self._halves = {name: Halves() for name in ("text", "reasoning")}
        self._mended: dict[str, int] = {}
        self._skipped: list[str] = []
        self._behind_end = ""
        self._error: VisionPipeError | None = None
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
        """Whether there is nothing more to be read: the service has said that this is all, or told an error,
        which ``finish`` raises."""
        return self._done or self._error is not None

    @property
    def ended(self) -> bool:
        """Whether the answer is whole, though more (its usage, [DONE]) might follow."""
        return self._done or bool(self._finish_reason)

    def feed(self, chunk: bytes) -> list[str]:
        """The text pieces that ``chunk`` completes; may be none. Where an error comes behind some of them, it
        is kept for the next call, or for ``finish``.

        Raises:
            ServiceError: an error frame before any text.
            InterruptedAnswerError: an error frame or a broken frame after some text.
            UnreadableAnswerError: the stream is too long.
        """
        self._raise_kept()
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
        try:
            self._raise_kept()
            if not broken:
                pieces = self._pieces(self._events.finish())
                self._raise_kept()
        except InterruptedAnswerError as error:
            if not self.ended:
                raise
            broken = error.reason
        broken = broken or self._behind_end
        if not self._frames and not self._done:
            reply = self._unstreamed()
            return [reply.text], reply
        if not self.ended:
            why = f", and {'; '.join(self._skipped)}" if self._skipped else ""
            raise self.interrupted(f"the stream ended before the answer did{why}")
        if not self._choices:
            first_choice({}, self._answered)
        rest = self._halves["text"].finish()
        self._text.append(rest)
        held = self._filter.feed(rest) + self._filter.finish()
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
                frame, damage = read_json(payload)
                if damage:
                    self._mended[damage] = self._mended.get(damage, 0) + 1
                piece = self._take(frame) if isinstance(frame, dict) else ""
            except UnreadableError:
                self._pass_over(payload)
                piece = ""
            except VisionPipeError as error:
                self._error = error
            if self._error is not None:
                break
            if piece:
                pieces.append(piece)
        if not pieces:
            self._raise_kept()
        return pieces

    def _raise_kept(self) -> None:
        if self._error is not None:
            raise self._error

    def _pass_over(self, payload: bytes) -> None:
        """A frame that is no JSON is left out where it is a bare word such as ``ping``. One that was to be an
        object may have held a piece of the answer, so the answer ends there."""
        if self.ended:
            self._behind_end = "a frame of the stream is no JSON"
            return
        if payload.lstrip().startswith(b"{"):
            self._error = self.interrupted("a frame of the stream is no JSON")
            return
        shown = payload[:40].decode("utf-8", "replace")
        self._skipped.append(f"a frame of the stream is no JSON ({shown})")

    def _found(self) -> tuple[Note, ...]:
        """What was found wrong with the stream."""
        notes = [Note("damaged", f"read as well as it can be: {what}") for what in self._oddities]
        if self._skipped:
            first = self._skipped[0]
            more = f", and {len(self._skipped) - 1} more" if len(self._skipped) > 1 else ""
            notes.append(Note("frame_skipped", f"{first}, and was left out{more}"))
        for why, count in self._mended.items():
            notes.append(Note("damaged", f"frames read as well as they can be: {count} ({why})"))
        return tuple(notes)

    def _take(self, frame: dict[str, Any]) -> str:
        self._frames += 1
        told = error_in(frame)
        if told is not None:
            refused = service_error(
                *told,
                status=None,
                endpoint=self._context.endpoint,
                request_id=self._answered.request_id,
                key=self._context.key,
                model=self._context.model,
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
        choices = frame.get("choices")
        choice = choices[0] if isinstance(choices, list) and choices else None
        usage = frame.get("usage") or (choice.get("usage") if isinstance(choice, dict) else None)
        self._keep(frame, usage)
        if not isinstance(choice, dict):
            return ""
        self._choices += 1
        self._finish_reason = str(choice.get("finish_reason") or self._finish_reason)
        delta = choice.get("delta")
        if not isinstance(delta, dict):
            return ""
        self._reasoning.append(self._halves["reasoning"].feed(reasoning_text(delta)))
        self._refusal.append(content_text(delta.get("refusal")))
        self._calls.feed(delta)
        text = self._halves["text"].feed(content_text(delta.get("content")))
        self._text.append(text)
        return self._filter.feed(text)

    def _keep(self, frame: dict[str, Any], usage: Any) -> None:
        """Keep a frame's fields for the reply's ``raw``; what a later frame has not, or has as null, erases
        nothing."""
        known = self._last.get("usage")
        self._last |= {name: value for name, value in frame.items() if value is not None and name != "usage"}
        if not isinstance(usage, dict):
            return
        told = {name: value for name, value in usage.items() if value is not None}
        if isinstance(known, dict):
            # A count of nothing says nothing new.
            told = {**known, **told} if read_usage(told) != Usage() else known
        self._last["usage"] = told

    def _reply(self, broken: str = "") -> Reply:
        calls, notes = self._calls.calls()
        return finish_reply(
            text="".join(self._text),
            reasoning="".join(self._reasoning),
            refusal="".join(self._refusal),
            tool_calls=calls,
            finish_reason=self._finish_reason,
            answer=mended(self._last) if self._mended else self._last,
            context=self._context,
            answered=self._answered,
            broken=broken,
            notes=(*notes, *self._found()),
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


COPIES_A_LETTER = 64
"""How many entries of open objects and arrays may be copied for each letter that comes. A row of a list of
8,000 is shown about once; what is shorter than 250 entries, after every piece."""

_OPENER = re.compile(r"[{\[]")


class KeptReader(StreamReader):
    """In the place of a stream's reader where the reply is there already: its text is the one piece."""

    def __init__(self, reply: Reply, context: ReadingContext) -> None:
        super().__init__(context, Answered(reply.request_id, ()))
        self._kept = reply

    @property
    def complete(self) -> bool:
        """It is, from the beginning."""
        return True

    def feed(self, chunk: bytes) -> list[str]:
        """The whole text."""
        return [self._kept.text]

    def finish(self, broken: str = "") -> tuple[list[str], Reply]:
        """The reply."""
        return [], self._kept


class PartialReader:
    """Fed with an answer's text as it grows.

    ``copied``: how many entries have been copied to show documents.

    >>> reader = PartialReader()
    >>> reader.feed('Here: {"name": "Te')
    {'name': 'Te'}
    """

    def __init__(self) -> None:
        self.copied = 0
        self._letters = 0
        self._reader: DocumentReader | None = None
        self._shown: tuple[int, int] | None = None
        self._broken = False

    def feed(self, piece: str) -> Any:
        """The document so far, its last string perhaps unfinished; None where there is nothing new to show.

        Where several documents follow each other, it is the one that is being written. What is closed in a
        document is the same object in the next one, so change nothing in it. Once a document turns out to be
        broken, nothing more is shown.
        """
        self._letters += len(piece)
        found, at = None, 0
        while not self._broken:
            if self._reader is None:
                opener = _OPENER.search(piece, at)
                if opener is None:
                    break
                self._reader, self._shown, at = DocumentReader(float), None, opener.start()
            reader = self._reader
            try:
                end = reader.feed(piece, at)
            except NoJSONError:
                self._broken = reader.seen
                self._reader, at = None, max(reader.at, at + 1)
                continue
            if end < 0:
                return self._growing(reader) or found
            if reader.state != self._shown:
                found = reader.root
            self._reader, at = None, end
        return found

    def _growing(self, reader: DocumentReader) -> Any:
        state = reader.state
        if state == self._shown or state == (0, 0):
            return None
        cost = reader.cost
        if self.copied + cost > COPIES_A_LETTER * self._letters:
            return None
        self.copied += cost
        self._shown = state
        return reader.so_far()
