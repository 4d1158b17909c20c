"""A paid answer whose head or connection is not as HTTP wants it: what can be read is read, with a note."""

from __future__ import annotations

import orjson
import pytest

from tests.client.faces import KEY, Face, setup_for
from tests.loopback import Answer, Loopback
from visionpipe.errors import InterruptedAnswerError, UnreadableAnswerError

DOCUMENT = {
    "id": "1",
    "model": "glm-4.6v",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "A cat."}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 5, "completion_tokens": 3},
}
BODY = orjson.dumps(DOCUMENT)
LENGTH = b"Content-Length: %d" % len(BODY)
CHUNK = b"%x\r\n" % len(BODY) + BODY + b"\r\n"
FRAME = b'data: {"choices":[{"index":0,"delta":{"content":"A cat."},"finish_reason":"stop"}]}\n\n'


def raw(*headers: bytes, body: bytes = BODY) -> Answer:
    return Answer(raw=b"\r\n".join((b"HTTP/1.1 200 OK", *headers)) + b"\r\n\r\n" + body, close=True)


@pytest.mark.parametrize(
    ("answer", "noted"),
    [
        (raw(b"Content-Length: %d" % (len(BODY) + 50)), "it is whole, though the answer broke off"),
        (raw(b"Content-Length: %d" % (len(BODY) - 20)), "20 bytes longer than its Content-Length"),
        (raw(b"Content-Length: many"), "its Content-Length is 'many'"),
        (raw(b"Content-Length: -5"), "its Content-Length is '-5'"),
        (raw(b"content-length: 10", LENGTH), "its Content-Length is '10 and "),
        (raw(b"Transfer-Encoding: chunked", body=CHUNK), "it is whole, though the answer broke off"),
        (raw(b"Transfer-Encoding: chunked", body=CHUNK + b"zz\r\n"), "it is whole, though"),
        (raw(b"no header at all", LENGTH), "1 lines of its head are no headers"),
        (raw(b"X-Trace : 1", LENGTH), "1 lines of its head are no headers"),
        (raw(b"X-Trace: " + b"a" * 150_000, LENGTH), "its head has 150,"),
        (raw(b"X-Trace: a\0b", LENGTH), "1 lines of its head are no headers"),
        (raw(b"Transfer-Encoding: identity", LENGTH), "1 lines of its head are no headers"),
        (raw(b"Content-Length: " + b"9" * 30), "its Content-Length is '999"),
        (raw(body=BODY + b"<!-- served in 3 ms -->"), "23 characters behind its end were left out"),
        (raw(body=BODY + b"\n" + BODY), "characters behind its end were left out"),
        (raw(LENGTH, body=BODY.replace(b"cat", b"c\xfft")), "it is not all UTF-8"),
        (raw(b"Content-Length: 99", body=BODY[:99]), "it is cut off behind the answer's text"),
    ],
    ids=lambda value: value[:30] if isinstance(value, str) else "",
)
def test_what_can_be_read_is_read_with_a_note(
    face: Face, loopback: Loopback, answer: Answer, noted: str
) -> None:
    loopback.script(answer)
    reply = face.ask("What?", setup=setup_for(loopback))
    assert reply.text in ("A cat.", "A c\N{REPLACEMENT CHARACTER}t.")
    assert [note.kind for note in reply.notes].count("damaged") == 1
    assert noted in next(note.detail for note in reply.notes if note.kind == "damaged")
    assert len(loopback.requests) == 1


def test_interim_answers_before_an_odd_one_are_passed_over(face: Face, loopback: Loopback) -> None:
    odd = raw(b"Content-Length: many").raw
    assert odd is not None
    loopback.script(Answer(raw=b"HTTP/1.1 103 Early Hints\r\nLink: <a>\r\n\r\n" + odd, close=True))
    assert face.ask("What?", setup=setup_for(loopback)).text == "A cat."


def test_a_stream_with_an_odd_head_is_read_with_a_note(face: Face, loopback: Loopback) -> None:
    head = (b"Content-Type: text/event-stream", b"Content-Length: many")
    loopback.script(raw(*head, body=FRAME + b"data: [DONE]\n\n"))
    pieces, reply = face.stream("What?", setup=setup_for(loopback))
    assert "".join(pieces) == reply.text == "A cat."
    assert "its Content-Length is 'many'" in next(n.detail for n in reply.notes if n.kind == "damaged")


def test_an_answer_cut_off_in_its_text_keeps_what_came(face: Face, loopback: Loopback) -> None:
    end = BODY.index(b"cat.") + 2
    loopback.script(raw(b"Content-Length: %d" % end, body=BODY[:end]))
    with pytest.raises(InterruptedAnswerError, match="cut off after 4 characters") as caught:
        face.ask("What?", setup=setup_for(loopback))
    assert caught.value.reply is not None and caught.value.reply.text == "A ca"
    assert len(loopback.requests) == 1, "the service may have billed it"


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "the answer is empty"),
        (b"<html>Sign in</html>", "it begins with '<html>Sign in"),
        (b"{oops", "it begins with '{oops'"),
        (f"key {KEY}".encode(), "it begins with 'key \\*\\*\\*'"),
    ],
)
def test_what_is_no_answer_says_what_came(face: Face, loopback: Loopback, body: bytes, said: str) -> None:
    loopback.script(raw(b"Content-Length: %d" % len(body), body=body))
    with pytest.raises(UnreadableAnswerError, match=said):
        face.ask("What?", setup=setup_for(loopback))
