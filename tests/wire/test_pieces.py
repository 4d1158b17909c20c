"""A body in pieces is the JSON document it describes, and its length is known beforehand."""

from __future__ import annotations

import base64
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from visionpipe.errors import ParameterError
from visionpipe.media import MemoryContent
from visionpipe.wire.http import Base64Text, Body, encode_body


def joined(body: Body) -> bytes:
    """The body as it goes out, encoded with the standard library."""
    out = b""
    for piece in body.pieces:
        if isinstance(piece, bytes):
            out += piece
        else:
            assert isinstance(piece.content, MemoryContent)
            out += base64.b64encode(piece.content.data)
    return out


class Media:
    """A stand-in leaf, so that the same value can be built with and without pieces."""

    def __init__(self, data: bytes, prefix: str) -> None:
        self.data, self.prefix = data, prefix


leaves = (
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.text(st.characters(exclude_categories=["Cs"]))
    | st.builds(Media, st.binary(max_size=200), st.sampled_from(["", "data:image/png;base64,"]))
)
values = st.recursive(
    leaves, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text('ab"é', max_size=3), inner)
)


def as_pieces(value: Any) -> Any:
    match value:
        case Media():
            return Base64Text(MemoryContent(value.data), value.prefix)
        case list():
            return [as_pieces(item) for item in value]
        case dict():
            return {key: as_pieces(item) for key, item in value.items()}
    return value


def as_text(value: Any) -> Any:
    match value:
        case Media():
            return value.prefix + base64.b64encode(value.data).decode()
        case list():
            return [as_text(item) for item in value]
        case dict():
            return {key: as_text(item) for key, item in value.items()}
    return value


@given(values)
def test_pieces_join_to_the_document(value: Any) -> None:
    body = encode_body(as_pieces(value))
    out = joined(body)
    assert orjson.loads(out) == as_text(value)
    assert body.size == len(out)


def test_media_is_never_copied_into_the_plain_pieces() -> None:
    data = b"\xff\xd8" + bytes(5000)
    body = encode_body({"url": Base64Text(MemoryContent(data))})
    assert sum(len(p) for p in body.pieces if isinstance(p, bytes)) < 20


def test_half_a_surrogate_pair_is_refused_with_its_cure() -> None:
    with pytest.raises(ParameterError, match="surrogate") as caught:
        encode_body({"text": "IMG_\udcff.jpg"})
    assert caught.value.code == "surrogates"


def test_what_is_no_json_value_is_still_a_callers_mistake() -> None:
    with pytest.raises(TypeError, match="set"):
        encode_body({"text": {1, 2}})
