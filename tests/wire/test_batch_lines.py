"""Batch files: what a line is, how lines are divided, and how results are read."""

from __future__ import annotations

import itertools
import json

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from visionpipe.errors import MediaLimitError, UnreadableAnswerError
from visionpipe.media import Image, MemoryContent, Text
from visionpipe.registry.lookup import Registry
from visionpipe.registry.records import BATCH_LINES
from visionpipe.request import Message, Parameters, Request
from visionpipe.wire.batches import (
    MOST_BYTES,
    BatchLimits,
    BatchStatus,
    Splitter,
    custom_id,
    encode_line,
    read_batch,
    read_line,
)
from visionpipe.wire.http import chunks_of

ENDPOINT = Registry.load().endpoint("bigmodel")
LINES = st.lists(st.tuples(st.sampled_from(["a", "b", "c"]), st.integers(1, 50)), max_size=60)


def request(data: bytes) -> Request:
    image = Image("x.png", MemoryContent(data), "png", 8, 8)
    return Request(
        "glm-4v-plus", (Message("user", (image, Text("What\nis\u2028it?"))),), Parameters(max_tokens=9)
    )


@given(st.binary(max_size=400))
def test_a_line_is_one_line_and_its_size_is_known(data: bytes) -> None:
    line = encode_line("vp-000001", request(data), ENDPOINT)
    text = b"".join(chunks_of(line))
    assert len(text) == line.size
    assert text.endswith(b"\n")
    assert text.count(b"\n") == 1
    entry = orjson.loads(text)
    assert {key: entry[key] for key in ("custom_id", "method", "url")} == {
        "custom_id": "vp-000001",
        "method": "POST",
        "url": "/v4/chat/completions",
    }
    assert set(entry["body"]) == {"model", "messages", "max_tokens"}


@given(LINES, st.integers(1, 9), st.integers(50, 120))
def test_every_line_has_a_place_within_the_limits(
    lines: list[tuple[str, int]], most_lines: int, most_bytes: int
) -> None:
    splitter = Splitter(BatchLimits(most_lines, most_bytes))
    files: list[list[tuple[str, int]]] = []
    for model, size in lines:
        number = splitter.place(model, size)
        assert number <= len(files), "files are numbered without a gap"
        if number == len(files):
            files.append([])
        files[number].append((model, size))
    for file in files:
        assert len({model for model, _ in file}) == 1
        assert len(file) <= most_lines
        assert sum(size for _, size in file) <= most_bytes
    for model in "abc":
        own = [file for file in files if file[0][0] == model]
        assert [line for file in own for line in file] == [line for line in lines if line[0] == model]
        for file, following in itertools.pairwise(own):
            full = len(file) == most_lines
            assert full or sum(size for _, size in file) + following[0][1] > most_bytes


def test_the_services_limits() -> None:
    assert (BATCH_LINES, MOST_BYTES) == (50_000, 100_000_000)
    splitter = Splitter()
    assert [splitter.place("m", 10) for _ in range(BATCH_LINES + 1)][-2:] == [0, 1]
    assert [Splitter().place("m", MOST_BYTES)] == [0]
    with pytest.raises(MediaLimitError, match="100,000,000"):
        splitter.place("m", MOST_BYTES + 1)


def test_ids_are_stable_and_long_enough() -> None:
    one, other = custom_id("ab", "c"), custom_id("a", "bc")
    assert one == custom_id("ab", "c") != other
    assert len(one) == 35


def test_results_are_read() -> None:
    line = read_line(b'{"response":{"status_code":200,"body":{"id":"1"}},"custom_id":"vp-1","id":"b"}')
    assert (line.custom_id, line.status, line.body) == ("vp-1", 200, b'{"id":"1"}')
    refused = read_line(
        b'{"custom_id":"vp-2","response":{"status_code":400,"body":{"error":{"code":"1301"}}}}'
    )
    assert (refused.status, refused.body) == (400, b'{"error":{"code":"1301"}}')
    bare = read_line(b'{"custom_id":"vp-3","response":null,"error":{"code":"1234","message":"no"}}')
    assert (bare.status, bare.body) == (400, b'{"error":{"code":"1234","message":"no"}}')


ANSWER = b'{"choices":[{"message":{"content":"A cat."},"finish_reason":"stop"}]}'
LINE = b'{"custom_id":"vp-1","response":{"status_code":200,"body":' + ANSWER + b"}}"


@pytest.mark.parametrize(
    ("line", "text", "odd"),
    [
        (LINE, "A cat.", ""),
        (b"\xef\xbb\xbf" + LINE, "A cat.", "byte order mark"),
        (LINE.replace(b"cat", b"c\xfft"), "A c\ufffdt.", "it is not all UTF-8"),
        (LINE.replace(b'"choices"', b'"n":NaN,"m":%d,"choices"' % 10**40), "A cat.", "NaN is no number"),
        (LINE.replace(b"cat", b"c\tt"), "A c\tt.", "what JSON has to escape"),
        (LINE.replace(ANSWER, orjson.dumps(ANSWER.decode())), "A cat.", ""),
    ],
)
def test_a_damaged_line_is_read_as_well_as_it_can_be(line: bytes, text: str, odd: str) -> None:
    found = read_line(line)
    assert (found.custom_id, found.status) == ("vp-1", 200)
    assert json.loads(found.body)["choices"][0]["message"]["content"] == text
    assert odd in "".join(found.oddities) and bool(found.oddities) == bool(odd)


@given(st.integers(LINE.index(ANSWER) + 1, len(LINE) - 1))
def test_a_line_that_was_cut_off_gives_what_there_is_of_its_answer(end: int) -> None:
    found = read_line(LINE[:end])
    assert (found.custom_id, found.body) == ("vp-1", LINE[LINE.index(ANSWER) : end])


@given(st.integers(2, LINE.index(ANSWER)))
def test_a_line_that_was_cut_off_before_its_answer_says_so(end: int) -> None:
    with pytest.raises(UnreadableAnswerError, match=f"cut off after {end} bytes"):
        read_line(LINE[:end])


@given(st.binary(max_size=60))
def test_other_bytes_are_refused(line: bytes) -> None:
    with pytest.raises(UnreadableAnswerError):
        read_line(line)


@pytest.mark.parametrize("entry", [{}, {"custom_id": "vp-1"}, {"custom_id": "vp-1", "response": {"body": 3}}])
def test_a_line_without_an_answer_is_refused(entry: dict[str, object]) -> None:
    with pytest.raises(UnreadableAnswerError):
        read_line(orjson.dumps(entry))


def test_a_batch_is_read_with_its_counts_in_either_form() -> None:
    batch = read_batch(
        b'{"id":"batch_1","status":"completed","output_file_id":"f2","error_file_id":null,'
        b'"request_counts":{"total":3,"completed":2,"failed":1},"metadata":{"a":"b"}}'
    )
    assert (batch.status, batch.done, batch.output_file_id, batch.error_file_id) == (
        BatchStatus.COMPLETED,
        True,
        "f2",
        None,
    )
    assert (batch.total, batch.completed, batch.failed, batch.metadata) == (3, 2, 1, {"a": "b"})
    assert read_batch(b'{"id":"b","status":"in_progress","request_counts":7}').total == 7
    assert not read_batch(b'{"id":"b","status":"queued"}').done
    failed = read_batch(
        b'{"id":"b","status":"failed","errors":{"data":[{"line":3,"message":"no JSON"},{"code":"1210"}]}}'
    )
    assert failed.errors == ("line 3: no JSON", "1210")
