"""The tokens of a whole prompt, estimated: the same for the same request.

Pictures: the flat figure in the model's record; where there is none, 1030, as in the sample answer on
glm-4v-plus-0111's page. What the hosted models really count is not documented.
"""

from __future__ import annotations

from visionpipe.registry.records import ModelRecord
from visionpipe.sandbox.conversation import Conversation

PICTURE = 1030
VIDEO = 3000


def media_tokens(conversation: Conversation, record: ModelRecord) -> tuple[int, int]:
    """Estimated tokens of images and files, and of videos."""
    videos = sum(item.kind == "video" for item in conversation.media)
    others = len(conversation.media) - videos
    return others * (record.tokens.flat or PICTURE), videos * VIDEO


def prompt_tokens(conversation: Conversation, record: ModelRecord) -> int:
    """Estimated tokens of all messages."""
    return sum(media_tokens(conversation, record)) + conversation.text_tokens
