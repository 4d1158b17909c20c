"""The key is shown nowhere: not in logs at their loudest, errors, their causes, or reprs."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Callable, Iterator

import pytest

from tests.loopback import Answer, Loopback
from tests.transport.faces import KINDS, Kind, sending
from visionpipe.errors import VisionPipeError
from visionpipe.transport.auth import ApiKey, Auth, SignedToken
from visionpipe.wire.http import Body, HttpRequest, Timeouts
from visionpipe.wire.secrets import redact

KEY = "f00dfeed.S3cretS3cretS3cret"


class Listener(logging.Handler):
    """Keeps every record's text, arguments rendered."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(f"{record.name} {record.getMessage()} {record.__dict__}")


@pytest.fixture
def listener() -> Iterator[Listener]:
    handler = Listener()
    root = logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    yield handler
    root.setLevel(level)
    root.removeHandler(handler)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("way", ["direct", "proxy"])
@pytest.mark.parametrize("auth", [ApiKey, SignedToken])
def test_the_key_is_shown_nowhere(
    kind: Kind, loopback: Loopback, listener: Listener, way: str, auth: Callable[[str], Auth]
) -> None:
    shown: list[str] = []
    keys = auth(KEY)
    proxy = f"http://user:pr0xyS3cret@{loopback.host}" if way == "proxy" else None
    url = "http://service.example/v1" if proxy else loopback.url
    cases = [
        Answer(),
        Answer(status=401, body=b"bad key"),
        Answer(reset="before"),
        Answer(reset="head"),
        Answer(reset="middle", body=b"x" * 100),
        Answer(raw=b"HTTP/1.1 banana\r\n\r\n", close=True),
    ]
    with sending(kind, url, auth=keys, proxy=proxy) as sender:
        shown += [repr(sender), str(sender), repr(vars(sender))]
        for case in cases:
            loopback.script(case)
            request = HttpRequest(
                "POST", "/chat/completions", Body((b"{}",)), timeouts=Timeouts(first_byte=5)
            )
            try:
                shown.append(repr(sender.send(request)))
            except VisionPipeError as error:
                shown.append("".join(traceback.format_exception(error)))
        with pytest.raises(VisionPipeError) as caught:
            sender.send(HttpRequest("GET", f"https://elsewhere.example/?key={KEY}"))
        shown.append("".join(traceback.format_exception(caught.value)))
    assert len(loopback.requests) == len(cases)
    sent = loopback.requests[0].headers["authorization"]
    assert sent.startswith("Bearer ")
    secrets = {KEY, "S3cretS3cretS3cret", sent, sent.removeprefix("Bearer "), "pr0xyS3cret", *keys.secrets()}
    text = "\n".join(shown + listener.lines)
    assert way == "direct" or "httpcore" in text, "the listener hears the loudest logs there are"
    for secret in secrets:
        assert secret not in text


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("Authorization: Bearer abc.def-123_x", "Authorization: Bearer ***"),
        ("bearer eyJhbGciOi.J9.abc failed", "bearer *** failed"),
        ("https://me:pass@host/v1", "https://***@host/v1"),
        ("https://h/v1?api_key=12345&a=b", "https://h/v1?api_key=***&a=b"),
        ("https://h/v1?a=b&token=12345", "https://h/v1?a=b&token=***"),
        ("key k-1 and k-12 told", "key *** and *** told"),
        ("the bearer of bad news", "the bearer of bad news"),
        ("nothing to hide", "nothing to hide"),
    ],
)
def test_redaction(text: str, clean: str) -> None:
    assert redact(text, ("k-1", "k-12", "")) == clean
