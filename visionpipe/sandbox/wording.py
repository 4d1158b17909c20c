"""The texts the sandbox makes itself: reports of what arrived, and how an answer is cut to its bounds."""

from __future__ import annotations

from collections.abc import Sequence

import orjson

from visionpipe.sandbox.conversation import Conversation
from visionpipe.sandbox.received import Received
from visionpipe.sandbox.tokens import text_tokens


def saw_sentence(conversation: Conversation) -> str:
    """``I see 1 image: jpeg 640x480, 81234 bytes, sha256 9f86....``, or that nothing was shown."""
    media = conversation.media
    if not media:
        return "I see no picture; you wrote: " + conversation.prompt
    kind = media[0].kind
    noun = kind if len(media) == 1 else f"{kind}s"
    return f"I see {len(media)} {noun}: {'; '.join(_one(item) for item in media)}."


def _one(item: Received) -> str:
    if not item.sha256:
        return f"{item.format or 'a link'} {item.link}"
    size = f" {item.width}x{item.height}" if item.width else ""
    return f"{item.format}{size}, {item.size} bytes, sha256 {item.sha256}"


def saw_json(conversation: Conversation) -> str:
    """What arrived as one JSON object: ``prompt`` and ``media``, each with the keys of the log's media."""
    report = {"prompt": conversation.prompt, "media": [item.to_json() for item in conversation.media]}
    return orjson.dumps(report).decode()


def cut(text: str, stop: Sequence[str], max_tokens: int | None) -> tuple[str, str]:
    """The text up to the first stop text and within ``max_tokens``, and the finish_reason."""
    ends = [place for place in (text.find(end) for end in stop) if place >= 0]
    if ends:
        text = text[: min(ends)]
    if max_tokens is None or text_tokens(text) <= max_tokens:
        return text, "stop"
    low, high = 0, len(text)
    while low < high:  # the longest beginning that fits
        middle = (low + high + 1) // 2
        low, high = (middle, high) if text_tokens(text[:middle]) <= max_tokens else (low, middle - 1)
    return text[:low], "length"
