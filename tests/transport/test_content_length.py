"""A file's size by a HEAD request, under the same guards as a download."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from visionpipe.errors import FetchError
from visionpipe.transport.fetch import content_length


class _Files(BaseHTTPRequestHandler):
    seen: list[tuple[str, str]]

    def do_HEAD(self) -> None:
        self.seen.append((self.command, self.path))
        match self.path:
            case "/clip.mp4":
                self.send_response(200)
                self.send_header("Content-Length", "209715200")
            case "/moved.mp4":
                self.send_response(302)
                self.send_header("Location", "/clip.mp4")
            case "/chunked.mp4":
                self.send_response(200)
            case _:
                self.send_response(405)
                self.send_header("Content-Length", "17")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Nothing on stderr."""


@pytest.fixture
def served() -> Iterator[tuple[str, list[tuple[str, str]]]]:
    seen: list[tuple[str, str]] = []
    handler = type("Files", (_Files,), {"seen": seen})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}", seen
        server.shutdown()
        thread.join()


def test_the_size_is_what_the_server_states(served: tuple[str, list[tuple[str, str]]]) -> None:
    url, seen = served
    names = ("clip", "moved", "chunked", "refused")
    sizes = [content_length(f"{url}/{name}.mp4", timeout_s=5, allow_private=True) for name in names]
    assert sizes == [209_715_200, 209_715_200, None, None]
    assert {method for method, _ in seen} == {"HEAD"}


def test_private_addresses_are_refused_before_any_request(served: tuple[str, list[tuple[str, str]]]) -> None:
    url, seen = served
    with pytest.raises(FetchError) as caught:
        content_length(f"{url}/clip.mp4", timeout_s=5)
    assert caught.value.code == "refused_address"
    assert seen == []
