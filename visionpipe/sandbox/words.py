"""How many tokens a text has, estimated: 1.5 Chinese characters or 4 others a token (docs.bigmodel.cn)."""

from __future__ import annotations


def text_tokens(text: str) -> int:
    """Estimated tokens of a text; 0 only for an empty one."""
    narrow = len(text) if text.isascii() else sum(map(str.isascii, text))
    return -(-(narrow * 3 + (len(text) - narrow) * 8) // 12)
