"""Tokens as the sandbox counts them: an estimate, the same for the same request.

Texts: 1.5 Chinese characters or 4 others a token (docs.bigmodel.cn). Pictures: by the formula in the model's
record; where there is none or only a link, 1030, as in the sample answer on glm-4v-plus-0111's page. What the
hosted models really count is not documented.
"""

from __future__ import annotations

from collections.abc import Iterable

from visionpipe.errors import MediaLimitError
from visionpipe.registry.estimates import image_tokens
from visionpipe.registry.records import ModelRecord
from visionpipe.sandbox.received import Received

PICTURE = 1030
VIDEO = 3000


def text_tokens(text: str) -> int:
    """Estimated tokens of a text; 0 only for an empty one."""
    narrow = len(text) if text.isascii() else sum(map(str.isascii, text))
    return -(-(narrow * 3 + (len(text) - narrow) * 8) // 12)


def media_tokens(media: Iterable[Received], record: ModelRecord) -> tuple[int, int]:
    """Estimated tokens of images and files, and of videos."""
    pictures = videos = 0
    for item in media:
        if item.kind == "video":
            videos += VIDEO
        else:
            pictures += _picture(item, record)
    return pictures, videos


def _picture(item: Received, record: ModelRecord) -> int:
    if not item.width:
        return PICTURE
    try:
        return image_tokens(item.width, item.height, record.tokens) or PICTURE
    except MediaLimitError:  # a ribbon that the published processor refuses; the hosted models do not say
        return PICTURE
