"""The seam to whoever answers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from visionpipe.media import Media
from visionpipe.reply import Reply


class Asker(Protocol):
    """Asks a model about media; called from several threads at once where ``concurrency`` is over 1."""

    def __call__(self, prompt: str, media: Sequence[Media], /) -> Reply: ...
