"""JSON as a list of byte pieces, with media spliced in between instead of copied through strings.

The rule: joining the encoded pieces gives exactly the JSON document that the value describes; base64 text
stands in it as its own piece and is produced only while it is sent.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from visionpipe.errors import ParameterError
from visionpipe.media import Content
from visionpipe.wire.http import Base64Piece, Body, Piece

_MARK = b"\0"
"""Where base64 goes. JSON escapes this byte in any text, so it stands nowhere else."""


@dataclass(frozen=True, slots=True)
class Base64Text:
    """A JSON string that is ``prefix`` (plain ASCII without quotes) followed by ``content`` in base64."""

    content: Content
    prefix: str = ""


def encode_body(value: Any) -> Body:
    """Encode a JSON value that may hold :class:`Base64Text` leaves.

    Raises:
        ParameterError: a text in it has half a surrogate pair (a file's name that is no UTF-8, say).
    """
    contents: list[Content] = []

    def encode(leaf: Any) -> Any:
        if isinstance(leaf, Base64Text):
            contents.append(leaf.content)
            return orjson.Fragment(b'"' + leaf.prefix.encode("ascii") + _MARK + b'"')
        if isinstance(leaf, Mapping):
            return dict(leaf)
        raise TypeError(f"{type(leaf).__name__} is no JSON value")

    try:
        whole = orjson.dumps(value, default=encode, option=orjson.OPT_PASSTHROUGH_DATACLASS)
    except orjson.JSONEncodeError as error:
        if "surrogates" not in str(error):
            raise
        raise ParameterError(
            "a text of the request is no whole Unicode text: it holds half a surrogate pair",
            cure='Clean it with text.encode("utf-8", "backslashreplace").decode().',
            subject="prompt",
            code="surrogates",
        ) from error
    plain = whole.split(_MARK)
    pieces: list[Piece] = [plain[0]]
    for content, text in zip(contents, plain[1:], strict=True):
        pieces += (Base64Piece(content), text)
    return Body(tuple(pieces))
