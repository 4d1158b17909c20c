"""What the pipeline needs of whoever answers; it knows no HTTP and no images, only these values.

An answerer raises RateLimitError at once and leaves the waiting to the limiter; failures on the
service's side (5xx, broken connections) it tries again itself. It is called from many threads at once.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any, Literal, Protocol, TypeAlias, runtime_checkable

from visionpipe.reply import Reply
from visionpipe.sources.find import Source
from visionpipe.values import JSON, Adjustment, Money, Note


@dataclass(frozen=True, slots=True)
class PreparedItem:
    """One item ready to be sent.

    Attributes:
        request: the answerer's own; the pipeline only hands it back.
        tokens: estimated, of prompt and answer together; None where nobody knows.
        cost: estimated.
        size: bytes to send.
        adjustments: what was changed, ahead of the answer.
        sha256: of the bytes that a link led to, where they were fetched.
        may_repeat: its answer may have to be asked for once more, with a request of its own.
        on_repeat: to be called by the answerer with the first reply before it asks once more; where it says
            False, there is no room for a second request and the first answer's error is the end.
        prefix: what tells requests that begin alike, where one of several servers should have them all.
        server: which of several is to be asked, by its place; None: any.
    """

    request: Any
    tokens: int | None = None
    cost: Money | None = None
    size: int = 0
    adjustments: tuple[Adjustment, ...] = ()
    sha256: str | None = None
    may_repeat: bool = False
    on_repeat: Callable[[Reply], bool] | None = None
    prefix: bytes | None = None
    server: int | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """A reply, and the structured data in it where a schema was asked for."""

    reply: Reply
    data: JSON = None


class Answerer(Protocol):
    """Prepares items and has them answered."""

    def prepare(self, source: Source, prompt: str) -> PreparedItem:
        """Reads, checks and repairs what ``source`` names; sends nothing. Raises VisionPipeError."""
        ...

    def answer(self, prepared: PreparedItem, seconds: float | None) -> Answer:
        """Sends and waits, for at most ``seconds`` in all (None: no limit of the job's).

        Raises:
            RateLimitError: at once.
            VisionPipeError: every other one when it is final; ReplyTimeoutError when the time is up.
        """
        ...


AnswerOnLoop: TypeAlias = Callable[[PreparedItem, "float | None"], Awaitable[Answer]]
"""``Answerer.answer``, awaited."""


@runtime_checkable
class LoopAnswerer(Answerer, Protocol):
    """One that may be asked on an event loop."""

    def on_loop(self) -> AbstractAsyncContextManager[AnswerOnLoop | None]:
        """Opens what answers on the running loop, to be closed on it; None where nothing does."""
        ...


Action: TypeAlias = Literal["keep", "reask", "fail"]


@dataclass(frozen=True, slots=True)
class Judgement:
    """What to think of an answer, and what to do about it."""

    notes: tuple[Note, ...] = ()
    action: Action = "keep"


Judge: TypeAlias = Callable[[Answer, bool], Judgement]
"""Called with an answer and whether it is the second one; "reask" is heard once an item."""

Render: TypeAlias = Callable[[Source], str]
"""The prompt for one item. Raises VisionPipeError where a field is missing."""

Skip: TypeAlias = Callable[[Source], "str | None"]
"""Why not to ask about an item at all (``"sidecar present"``); None: ask."""
