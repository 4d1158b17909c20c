"""An answerer of the tests' own: no network, no images, everything scripted and counted."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from visionpipe.errors import BadImageError, RejectedRequestError, ServerError
from visionpipe.pipeline.answerer import Answer, PreparedItem
from visionpipe.reply import Reply
from visionpipe.sources.find import Source
from visionpipe.values import Adjustment, Money, Usage


class Scripted:
    """Answers ``a picture of NAME``.

    Args:
        script: called with the source's name and the number of its request (from 1) before each answer; may
            raise, or give another text.
        tokens, cost: of every answer, as estimated and as billed.
    """

    def __init__(
        self,
        script: Callable[[str, int], str | None] = lambda name, number: None,
        *,
        tokens: int | None = 110,
        cost: Money | None = None,
    ) -> None:
        self._script = script
        self._tokens = tokens
        self._cost = cost
        self._lock = threading.Lock()
        self.prepared: Counter[str] = Counter()
        self.asked: Counter[str] = Counter()
        self.seconds: list[float | None] = []
        self.at_once = self.most_at_once = 0

    def prepare(self, source: Source, prompt: str) -> PreparedItem:
        with self._lock:
            self.prepared[source.name] += 1
        path = Path(source.location)
        if path.exists() and path.read_bytes().startswith(b"broken"):
            raise BadImageError("it is broken", cure="Mend it.", subject=source.name)
        adjusted = (Adjustment("resized", source.name, "2x2 -> 1x1"),) if "large" in source.name else ()
        return PreparedItem((source.name, prompt), self._tokens, self._cost, size=100, adjustments=adjusted)

    def answer(self, prepared: PreparedItem, seconds: float | None) -> Answer:
        name, _ = prepared.request
        with self._lock:
            self.asked[name] += 1
            number = self.asked[name]
            self.seconds.append(seconds)
            self.at_once += 1
            self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            text = self._script(name, number) or f"a picture of {name}"
        finally:
            with self._lock:
                self.at_once -= 1
        usage = None if self._tokens is None else Usage(self._tokens - 10, 10)
        reply = Reply(text, "m", usage=usage, cost=self._cost, request_id=f"{name}-{number}")
        return Answer(reply)


def folder_of(path: Path, **contents: str) -> Path:
    """A folder with a file a keyword: ``a="x"`` is ``a.jpg`` with the JPEG mark and ``x``."""
    path.mkdir(parents=True, exist_ok=True)
    for name, content in contents.items():
        (path / f"{name}.jpg").write_bytes(content.encode())
    return path


def numbered(path: Path, count: int) -> Path:
    """A folder of ``count`` different files."""
    return folder_of(path, **{f"i{number:04}": f"content {number}" for number in range(count)})


def refused() -> RejectedRequestError:
    return RejectedRequestError("the form was refused", cure="Look.", code="1210")


def broken() -> ServerError:
    return ServerError("it failed", cure="Later.", code="1234")
