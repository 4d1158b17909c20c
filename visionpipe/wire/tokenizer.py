"""Counting a request's tokens without asking the model.

Shape: docs.bigmodel.cn, tokenizer OpenAPI, read 2026-04-23: the chat body's model, messages and tools.
"""

from __future__ import annotations

from dataclasses import dataclass

from visionpipe.registry.records import EndpointRecord
from visionpipe.request import Request
from visionpipe.values import JSON
from visionpipe.wire.answers import number_of, read_object, table_of, unreadable
from visionpipe.wire.chat import chat_fields
from visionpipe.wire.http import Body, encode_body

TOKENIZER_PATH = "/tokenizer"
_FIELDS = ("model", "messages", "tools")


@dataclass(frozen=True, slots=True)
class TokenCount:
    """Tokens of a prompt as the service counts them; ``total_tokens`` is all that counts as input."""

    prompt_tokens: int
    image_tokens: int
    video_tokens: int
    total_tokens: int

    def __add__(self, other: TokenCount) -> TokenCount:
        return TokenCount(
            self.prompt_tokens + other.prompt_tokens,
            self.image_tokens + other.image_tokens,
            self.video_tokens + other.video_tokens,
            self.total_tokens + other.total_tokens,
        )

    def to_json(self) -> dict[str, JSON]:
        return {
            "prompt_tokens": self.prompt_tokens,
            "image_tokens": self.image_tokens,
            "video_tokens": self.video_tokens,
            "total_tokens": self.total_tokens,
        }


def encode_count(request: Request, endpoint: EndpointRecord) -> Body:
    """What is sent to have ``request`` counted."""
    fields = chat_fields(request, endpoint)
    return encode_body({name: fields[name] for name in _FIELDS if name in fields})


def read_count(body: bytes) -> TokenCount:
    """The count. Raises UnreadableAnswerError where there is none."""
    what = "a token count"
    usage = table_of(read_object(body, what), "usage")
    total = number_of(usage, "total_tokens")
    prompt = number_of(usage, "prompt_tokens")
    if total is None and prompt is None:
        raise unreadable(what, "it has no usage")
    image, video = number_of(usage, "image_tokens") or 0, number_of(usage, "video_tokens") or 0
    if total is None:
        total = (prompt or 0) + image + video
    return TokenCount(prompt if prompt is not None else total - image - video, image, video, total)
