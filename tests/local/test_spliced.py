"""A spliced body reads as the joined one, whatever stands where."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pybase64
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from visionpipe.errors import UnreadableSourceError
from visionpipe.local.spliced import SMALL, SplicedJson, read_json
from visionpipe.media import FileContent, MemoryContent
from visionpipe.wire.http import Base64Piece, Body, FilePiece, Piece

LARGE = os.urandom(3 * SMALL)
media = st.sampled_from([b"", b"a", b"abcdef", LARGE[: SMALL + 1], LARGE[: SMALL + 2], LARGE])


def piece(data: bytes) -> Base64Piece:
    return Base64Piece(MemoryContent(data))


def resolved(read: SplicedJson, value: Any) -> Any:
    """The value with every mark put back."""
    if isinstance(value, str):
        return read.text(value)
    if isinstance(value, list):
        return [resolved(read, item) for item in value]
    if isinstance(value, dict):
        return {read.text(key): resolved(read, item) for key, item in value.items()}
    return value


def joined(body: Body) -> bytes:
    out = b""
    for part in body.pieces:
        if isinstance(part, bytes):
            out += part
        else:
            assert isinstance(part.content, MemoryContent)
            out += (
                pybase64.b64encode(part.content.data) if isinstance(part, Base64Piece) else part.content.data
            )
    return out


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["", "data:image/png;base64,", "plain ", "\\\\", '\\"', "é", "\\u00e9"]),
            st.lists(media, max_size=3),
            st.sampled_from(["", "=", " tail", "\\n"]),
        ),
        max_size=4,
    )
)
@settings(max_examples=200, deadline=None)
def test_it_reads_as_the_joined_body(strings: list[tuple[str, list[bytes], str]]) -> None:
    pieces: list[Piece] = [b'{"model": "m", "list": [']
    for number, (head, inner, tail) in enumerate(strings):
        pieces.append((', "' if number else '"').encode() + head.encode())
        pieces.extend(piece(data) for data in inner)
        pieces.append(tail.encode() + b'"')
    pieces.append(b"]}")
    body = Body(tuple(pieces))
    read = read_json(body)
    assert resolved(read, read.value) == json.loads(joined(body))


def test_media_are_taken_as_they_are() -> None:
    read = read_json(Body((b'["', piece(LARGE), b'", "data:image/jpeg;base64,', piece(LARGE), b'"]')))
    bare, uri = read.value
    assert read.base64(bare) is LARGE
    assert read.base64(uri) is LARGE


def test_an_escape_may_end_inside_the_base64() -> None:
    # "\" + "n..." is a line feed; "\u00" + "41" is half of an escape that the piece completes.
    for head, data in (
        (b'["\\', pybase64.b64decode("nABC") + LARGE),
        (b'["\\u00', pybase64.b64decode("41AB") + LARGE),
    ):
        body = Body((head, piece(data), b'"]'))
        read = read_json(body)
        assert resolved(read, read.value) == json.loads(joined(body))


def test_base64_may_be_a_number() -> None:
    digits = pybase64.b64decode("1234" * SMALL)
    body = Body((b"[", piece(digits[:30]), b', "', piece(digits), b'"]'))
    read = read_json(body)
    assert resolved(read, read.value) == json.loads(joined(body))


def test_large_digits_outside_a_string_are_written_out() -> None:
    data = pybase64.b64decode("1234" * 350)
    body = Body((b"[", piece(data), b"]"))
    assert read_json(body).value == json.loads(joined(body))


def test_plain_base64_and_data_uris_are_decoded() -> None:
    read = SplicedJson(None, {})
    assert read.base64("YWJj") == b"abc"
    assert read.base64("data:image/png;base64,YWJj") == b"abc"


@pytest.mark.parametrize("text", ["not base64!", "data:image/png,abc", "YWJ"])
def test_what_is_no_base64_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        SplicedJson(None, {}).base64(text)


def test_what_is_no_json_is_refused() -> None:
    with pytest.raises(ValueError, match=r".+"):
        read_json(Body((b'{"a": "', piece(LARGE))))


def test_files_are_read_and_a_changed_one_is_told(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(LARGE)
    content = FileContent(str(path), len(LARGE), path.stat().st_mtime_ns)
    assert read_json(Body((b'["', Base64Piece(content), b'"]'))).value[0]
    text = tmp_path / "a.json"
    text.write_bytes(b"[1]")
    whole = FilePiece(FileContent(str(text), 3, text.stat().st_mtime_ns))
    assert read_json(Body((whole,))).value == [1]
    path.write_bytes(LARGE + b"more")
    with pytest.raises(UnreadableSourceError, match="changed"):
        read_json(Body((b'["', Base64Piece(content), b'"]')))
    path.unlink()
    with pytest.raises(UnreadableSourceError, match="is gone"):
        read_json(Body((b'["', Base64Piece(content), b'"]')))
