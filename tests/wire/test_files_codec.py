"""Multipart forms and file records."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.datastructures import Headers
from starlette.formparsers import MultiPartParser

from visionpipe.errors import MediaLimitError, UnreadableAnswerError
from visionpipe.files import found_file
from visionpipe.media import MemoryContent
from visionpipe.wire.files import (
    LARGEST,
    FileRecord,
    check_upload,
    encode_form,
    file_path,
    list_path,
    read_file,
    read_files,
)
from visionpipe.wire.http import chunks_of

PLAIN = st.text(st.characters(codec="utf-8", exclude_characters='"\r\n\0\\'), min_size=1, max_size=12)


@given(
    st.dictionaries(st.sampled_from(["purpose", "app_id", "file_type"]), PLAIN, max_size=3),
    st.dictionaries(PLAIN, st.binary(max_size=60), min_size=1, max_size=3),
)
def test_a_form_is_what_a_parser_reads(fields: dict[str, str], files: dict[str, bytes]) -> None:
    body = encode_form(fields, "file", {name: MemoryContent(data) for name, data in files.items()})
    sent = b"".join(chunks_of(body))
    assert len(sent) == body.size
    assert asyncio.run(parsed(sent, body.media_type)) == (
        fields,
        [("file", name, data) for name, data in files.items()],
    )


async def parsed(sent: bytes, media_type: str) -> tuple[dict[str, str], list[tuple[str, str, bytes]]]:
    async def stream() -> AsyncGenerator[bytes, None]:
        yield sent

    form = await MultiPartParser(Headers({"content-type": media_type}), stream()).parse()
    fields: dict[str, str] = {}
    files: list[tuple[str, str, bytes]] = []
    for name, value in form.multi_items():
        if isinstance(value, str):
            fields[name] = value
        else:
            files.append((name, value.filename or "", await value.read()))
    await form.close()
    return fields, files


def test_a_form_byte_for_byte(tmp_path: Path) -> None:
    path = tmp_path / "lines.jsonl"
    path.write_bytes(b'{"a":1}\n')
    body = encode_form({"purpose": "batch"}, "file", {'a "b".jsonl': found_file(path)}, boundary="XX")
    assert body.media_type == "multipart/form-data; boundary=XX"
    assert b"".join(chunks_of(body)) == (
        b'--XX\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nbatch\r\n'
        b'--XX\r\nContent-Disposition: form-data; name="file"; filename="a %22b%22.jsonl"\r\n'
        b'Content-Type: application/octet-stream\r\n\r\n{"a":1}\n\r\n--XX--\r\n'
    )


def test_a_file_is_held_to_its_purpose() -> None:
    check_upload("a.jsonl", LARGEST["batch"], "batch")
    check_upload("a.bin", 10**12, "something new")
    with pytest.raises(MediaLimitError, match="100,000,000"):
        check_upload("a.jsonl", LARGEST["batch"] + 1, "batch")
    with pytest.raises(MediaLimitError, match=r"\.jsonl") as caught:
        check_upload("a.json", 10, "batch")
    assert caught.value.code == "format"


def test_addresses() -> None:
    assert file_path("file_1/x") == "/files/file_1%2Fx"
    assert list_path(purpose=None, after=None, limit=None) == "/files"
    assert list_path(purpose="batch", after="f 1", limit=5) == "/files?purpose=batch&after=f+1&limit=5"


def test_records_and_pages() -> None:
    one = b'{"id":"f1","object":"file","bytes":12,"created_at":1,"filename":"x.jsonl","purpose":"batch"}'
    record = FileRecord("f1", "x.jsonl", 12, "batch", 1)
    assert read_file(one) == record
    page = read_files(b'{"object":"list","data":[' + one + b'],"has_more":true}')
    assert (page.items, page.after) == ((record,), "f1")
    assert read_files(b'{"data":[],"has_more":true}').after is None
    for body in (b"{}", b'{"data":[{}]}', b"nothing"):
        with pytest.raises(UnreadableAnswerError):
            read_files(body)


def test_a_file_whose_name_is_no_utf8_can_be_uploaded() -> None:
    body = encode_form({}, "file", {"\udcff.pdf": MemoryContent(b"x")})
    sent = b"".join(chunks_of(body))
    assert asyncio.run(parsed(sent, body.media_type)) == ({}, [("file", "\\udcff.pdf", b"x")])
