"""Bodies: exact bytes, exact length, files that changed."""

from __future__ import annotations

import base64
import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from visionpipe.errors import UnreadableSourceError
from visionpipe.media import Content, FileContent, MemoryContent
from visionpipe.wire.http import SMALL, STEP, Base64Piece, Body, FilePiece, check_files, chunks_of


def probed(path: Path) -> FileContent:
    found = path.stat()
    return FileContent(str(path), found.st_size, found.st_mtime_ns)


SIZES = [0, 1, 2, 3, SMALL - 1, SMALL, STEP - 1, STEP, STEP + 1, 2 * STEP + 2]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("on_disk", [True, False])
def test_pieces_arrive_in_order_and_whole(tmp_path: Path, size: int, on_disk: bool) -> None:
    data = os.urandom(size)
    content: Content = MemoryContent(data)
    if on_disk:
        (tmp_path / "a").write_bytes(data)
        content = probed(tmp_path / "a")
    body = Body((b'{"url":"', Base64Piece(content), b'"}', FilePiece(content), b"end"))
    check_files(body)
    sent = b"".join(chunks_of(body))
    assert sent == b'{"url":"' + base64.b64encode(data) + b'"}' + data + b"end"
    assert len(sent) == body.size
    assert b"".join(chunks_of(body)) == sent  # a second attempt starts from the front


@settings(max_examples=60)
@given(
    st.lists(
        st.one_of(
            st.binary(max_size=40_000), st.binary(max_size=40).map(lambda b: Base64Piece(MemoryContent(b)))
        )
    )
)
def test_length_is_always_the_announced_one(pieces: list[bytes | Base64Piece]) -> None:
    body = Body(tuple(pieces))
    chunks = list(chunks_of(body))
    assert sum(map(len, chunks)) == body.size
    assert all(chunks), "an empty chunk would end a chunked body"


def test_small_pieces_travel_together() -> None:
    body = Body((b"a" * 100, Base64Piece(MemoryContent(b"b" * 60_000)), b"c" * 100))
    assert len(list(chunks_of(body))) == 3
    assert len(list(chunks_of(Body((b"a", b"b", b"c"))))) == 1


def test_a_changed_file_is_found_before_anything_is_sent(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(b"1234")
    body = Body((Base64Piece(probed(path)),))
    path.write_bytes(b"12345")
    with pytest.raises(UnreadableSourceError) as caught:
        check_files(body)
    assert caught.value.code == "changed"
    assert caught.value.subject == str(path)
    with pytest.raises(UnreadableSourceError):
        list(chunks_of(body))


def test_a_vanished_file_says_so(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(b"1234")
    body = Body((FilePiece(probed(path)),))
    path.unlink()
    for act in (check_files, lambda b: list(chunks_of(b))):
        with pytest.raises(UnreadableSourceError) as caught:
            act(body)
        assert caught.value.code == "vanished"


@pytest.mark.parametrize("change", ["cut", "touched", "grown"])
def test_a_change_while_reading_never_ends_in_a_complete_body(tmp_path: Path, change: str) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(b"x" * (3 * STEP))
    body = Body((FilePiece(probed(path)),))
    chunks = chunks_of(body)
    sent = len(next(chunks))
    if change == "cut":
        os.truncate(path, STEP + 10)
    elif change == "grown":
        path.write_bytes(b"x" * (4 * STEP))
    else:
        os.utime(path, ns=(1, 1))
    with pytest.raises(UnreadableSourceError) as caught:
        for chunk in chunks:
            sent += len(chunk)
    assert caught.value.code == "changed"
    assert sent < body.size


def test_bodies_read_in_turns_do_not_mix(tmp_path: Path) -> None:
    bodies = []
    for letter in b"abcd":
        path = tmp_path / str(letter)
        path.write_bytes(bytes([letter]) * (3 * STEP + 5))
        bodies.append(Body((FilePiece(probed(path)), Base64Piece(probed(path)))))
    turns = [list(chunks) for chunks in zip(*map(chunks_of, bodies), strict=True)]
    for number, letter in enumerate(b"abcd"):
        data = bytes([letter]) * (3 * STEP + 5)
        assert b"".join(turn[number] for turn in turns) == data + base64.b64encode(data)
