"""An asker that answers at once and remembers what it was asked."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from decimal import Decimal

from visionpipe.media import Media
from visionpipe.reply import Reply
from visionpipe.values import Money, Usage


class Answers:
    """Answers "words N" to the N-th call, or what ``say`` makes of the prompt and the media."""

    def __init__(
        self, say: Callable[[str, Sequence[Media]], str] | None = None, *, local: bool = False
    ) -> None:
        self.calls: list[tuple[str, tuple[Media, ...]]] = []
        self._say = say
        self._local = local
        self._lock = threading.Lock()

    def __call__(self, prompt: str, media: Sequence[Media], /) -> Reply:
        with self._lock:
            self.calls.append((prompt, tuple(media)))
            number = len(self.calls)
        text = self._say(prompt, media) if self._say else f"words {number}"
        cost = Money(Decimal("0.01"), "CNY")
        return Reply(text, "a-model", Usage(10, 2), None if self._local else cost, local=self._local)
