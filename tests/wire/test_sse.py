"""Server-sent events: every form that services send, however it is cut."""

from __future__ import annotations

import itertools
import json
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from visionpipe.wire.sse import SseParser


def parse(*chunks: bytes) -> list[bytes]:
    parser = SseParser()
    out = [payload for chunk in chunks for payload in parser.feed(chunk)]
    return out + parser.finish()


@pytest.mark.parametrize(
    ("stream", "payloads"),
    [
        (b"", []),
        (b'data: {"a":1}\n\ndata: [DONE]\n\n', [b'{"a":1}', b"[DONE]"]),
        (b'data:{"a":1}\r\n\r\ndata: [DONE]\r\n\r\n', [b'{"a":1}', b"[DONE]"]),
        (b'data: {"a":1}\r\rdata: {"b":1}\r\r', [b'{"a":1}', b'{"b":1}']),
        (b'\xef\xbb\xbfdata: {"a":1}\n\n', [b'{"a":1}']),
        (b": ping\n\n:\n\nevent: x\nid: 1\nretry: 5\ndata: {}\n\n", [b"{}"]),
        (b"data\n\ndata:\n\ndata: \n\n", []),
        (b"data:  two\n\n", [b" two"]),
        # no blank lines between the frames, and none at the end
        (b'data: {"a":1}\ndata: {"b":2}\ndata: [DONE]', [b'{"a":1}', b'{"b":2}', b"[DONE]"]),
        (b'data: {"a":1}\ndata: {"b', [b'{"a":1}', b'{"b']),
        (b'data: {"cut":\ndata: {"b":2}\ndata: [DONE]\n', [b'{"cut":', b'{"b":2}', b"[DONE]"]),
        (b'data: {"cut":\ndata: [DONE]\n\n', [b'{"cut":', b"[DONE]"]),
        (b"data: [DONE]\ndata: one\n", [b"[DONE]", b"one"]),
        # nor between payloads over several lines
        (b'data: {\ndata: "a":1\ndata: }\ndata: {\ndata: "b":2\ndata: }\n', [b'{\n"a":1\n}', b'{\n"b":2\n}']),
        (b'data: {\ndata: "a":1} \ndata: {\ndata: "b":2}', [b'{\n"a":1} ', b'{\n"b":2}']),
        (
            b'data: {"a": {\ndata: "b": {\ndata: }\ndata: }\ndata: }\ndata: {\n',
            [b'{"a": {\n"b": {\n}\n}\n}', b"{"],
        ),
        (b'data: {"a": 1\ndata: 2}\ndata: one\n\n', [b'{"a": 1\n2}\none']),
        (b'data: {"a": [\ndata: {}\ndata: ]}\n\n', [b'{"a": [\n{}\n]}']),
        # the name of an event holds for its payload alone
        (b'event: error\ndata: {"a":1}\n\ndata: {"b":2}\n\n', [b'{"error":{"a":1}}', b'{"b":2}']),
        (b'event: error\ndata: {"a":1}\ndata: {"b":2}\n\n', [b'{"error":{"a":1}}', b'{"b":2}']),
        (b'event: error\n\ndata: {"a":1}\n\n', [b'{"a":1}']),
        (b'data: {"a":1}\nevent: error\ndata: {"b":2}\n\n', [b'{"a":1}', b'{"error":{"b":2}}']),
        (b"event: ERROR \ndata: too many\n\n", [b'{"error":"too many"}']),
        # one payload over several lines
        (b"data: one\ndata: two\n\n", [b"one\ntwo"]),
        (b'data: {\ndata:   "a": {},\ndata:   "b": 1\ndata: }\n\n', [b'{\n  "a": {},\n  "b": 1\n}']),
        (b'data: {"a":1}\n', [b'{"a":1}']),
        (b'{"error":{"code":"1302"}}', []),
    ],
)
def test_forms(stream: bytes, payloads: list[bytes]) -> None:
    assert parse(stream) == payloads
    assert parse(*(stream[i : i + 1] for i in range(len(stream)))) == payloads


def test_an_event_comes_out_with_its_blank_line_and_not_later() -> None:
    parser = SseParser()
    assert parser.feed(b'data: {"a"') == []
    assert parser.feed(b":1}\n") == []
    assert parser.feed(b"\n") == [b'{"a":1}']
    assert parser.feed(b'data: {"b":2}\r') == []
    assert parser.feed(b"\n\r") == [b'{"b":2}']
    assert parser.finish() == []


@pytest.mark.parametrize("end", [b"", b"\n", b"\r", b"\r\n", b"\n\n", b"\r\n\r"])
@pytest.mark.parametrize("payload", [b'{"a":1}', b"[DONE]", b'{"cut":', b"one\ntwo", b'{\n"a": 1\n}'])
def test_the_end_of_a_stream_ends_its_last_event_once(payload: bytes, end: bytes) -> None:
    parser = SseParser()
    lines = b"data: " + payload.replace(b"\n", b"\ndata: ") + end
    assert parser.feed(lines) + parser.finish() == [payload]
    assert parser.finish() == []
    # Nothing of the first stream is left in the next one.
    assert parser.feed(b'\ndata: {"b":2}\n\n') == [b'{"b":2}']


def test_any_number_of_payloads_over_lines_needs_no_blank_lines() -> None:
    lines = b"".join(b'data: {\ndata: "a":%d\ndata: }\n' % number for number in range(300))
    assert parse(lines) == [b'{\n"a":%d\n}' % number for number in range(300)]


def test_other_line_separators_are_text() -> None:
    text = "one\u2028two\u2029three\u0085four\x0b\x0c\x1cfive"
    payload = json.dumps({"content": text}, ensure_ascii=False).encode()
    assert parse(b"data: " + payload + b"\n\n") == [payload]


def cut(stream: bytes, places: list[int]) -> list[bytes]:
    ends = sorted({min(p, len(stream)) for p in places} | {0, len(stream)})
    return [stream[a:b] for a, b in itertools.pairwise(ends)]


LINES = st.sampled_from(
    [
        b"data: {",
        b'data: {"a":1}',
        b"data: }",
        b'data: "b":2',
        b"data: [DONE]",
        b"data:",
        b":c",
        b"",
        b"\xef\xbb\xbf",
    ]
)
ENDS = st.sampled_from([b"\n", b"\r\n", b"\r"])
STREAMS = st.one_of(
    st.binary(max_size=200),
    st.lists(st.tuples(LINES, ENDS), max_size=20).map(lambda p: b"".join(a + b for a, b in p)),
)


@settings(max_examples=200)
@given(STREAMS, st.lists(st.integers(0, 250), max_size=20))
def test_cuts_make_no_difference(stream: bytes, places: list[int]) -> None:
    assert parse(*cut(stream, places)) == parse(stream)


VALUES = st.dictionaries(
    st.text(max_size=5),
    st.recursive(
        st.none() | st.integers() | st.text(max_size=10),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
        max_leaves=8,
    ),
    min_size=1,
    max_size=4,
)


@settings(max_examples=100)
@given(
    st.lists(VALUES, max_size=5),
    ENDS,
    st.sampled_from([None, 0, 2]),
    st.booleans(),
    st.lists(st.integers(0, 900)),
)
def test_any_objects_arrive_compact_or_over_lines(
    values: list[dict[str, object]], end: bytes, indent: int | None, blank: bool, places: list[int]
) -> None:
    stream = b""
    for value in values:
        text = json.dumps(value, indent=indent, ensure_ascii=False)
        for line in text.split("\n"):
            stream += b"data: " + line.encode("utf-8", "surrogatepass") + end
        stream += end if blank or indent is not None else b""
    got = [json.loads(p.decode("utf-8", "surrogatepass")) for p in parse(*cut(stream, places))]
    assert got == values


def test_a_long_line_in_tiny_chunks_costs_no_more_than_its_length() -> None:
    parser = SseParser()
    line = b"data: " + b"x" * 300_000
    started = time.process_time()
    for i in range(len(line)):
        parser.feed(line[i : i + 1])
    assert parser.feed(b"\n\n") == [line[6:]]
    assert time.process_time() - started < 3


@pytest.mark.parametrize("line", [b"data: }\n", b"data: xxxxxxxx\n"])
def test_an_event_that_never_ends_costs_no_more_than_its_length(line: bytes) -> None:
    parser = SseParser()
    begun = time.perf_counter()
    assert parser.feed(b'data: {"\n' + line * 40_000) == []
    # Looking at all of it at each line took 14 s.
    assert time.perf_counter() - begun < 3
    (payload,) = parser.finish()
    assert payload.count(b"\n") == 40_000
