"""Fetching from URLs: what comes, what is refused, and where the connection really goes."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Sequence
from typing import Any

import pytest
import trustme

from tests.loopback import Answer, Loopback, serving
from visionpipe.errors import FetchError
from visionpipe.sources.addresses import FetchedFile, resolve
from visionpipe.transport.fetch import MAX_REDIRECTS, fetch_bytes

PUBLIC = "93.184.215.14"


class Net:
    """A resolver and a dialler: names have the addresses given here, and every road leads to loopback."""

    def __init__(self, port: int, **names: Sequence[str]) -> None:
        self.port = port
        self.names = names
        self.asked: list[str] = []
        self.dialled: list[tuple[str, int]] = []
        self.dead: set[str] = set()

    def resolve(self, host: str, port: int) -> Sequence[str]:
        self.asked.append(host)
        if host in self.names:
            return self.names[host]
        if host[0].isdigit() or ":" in host:
            return [host]
        raise socket.gaierror(-2, "Name or service not known")

    def dial(self, address: tuple[str, int], timeout: float) -> socket.socket:
        self.dialled.append(address)
        if address[0] in self.dead:
            raise ConnectionRefusedError(111, "Connection refused")
        return socket.create_connection(("127.0.0.1", self.port), timeout)


def fetch(url: str, net: Net, **options: Any) -> FetchedFile:
    settings = {"max_bytes": 1000, "timeout_s": 10.0, "resolver": net.resolve, "dial": net.dial, **options}
    return fetch_bytes(url, **settings)


def refused(url: str, net: Net, **options: Any) -> FetchError:
    with pytest.raises(FetchError) as caught:
        fetch(url, net, **options)
    return caught.value


def test_a_file_comes_as_it_is(loopback: Loopback) -> None:
    headers = {"Content-Type": "image/jpeg", "Content-Encoding": "gzip"}
    loopback.script(Answer(body=b"\xff\xd8 not gzip", headers=headers))
    net = Net(loopback.port, host=[PUBLIC])
    got = fetch("http://host:8080/a%20b.jpg?x=1#top", net)
    assert (got.data, got.content_type) == (b"\xff\xd8 not gzip", "image/jpeg")
    assert got.final_url == "http://host:8080/a%20b.jpg?x=1"
    assert net.dialled == [(PUBLIC, 8080)], "the vetted address, not the name"
    seen = loopback.requests[0]
    assert (seen.method, seen.path, seen.headers["host"]) == ("GET", "/a%20b.jpg?x=1", "host:8080")
    assert "authorization" not in seen.headers


def test_loopback_itself_only_when_allowed(loopback: Loopback) -> None:
    url = f"http://127.0.0.1:{loopback.port}/a"
    with pytest.raises(FetchError) as caught:
        fetch_bytes(url, max_bytes=10, timeout_s=10)
    assert caught.value.code == "refused_address"
    assert loopback.connections == 0
    assert fetch_bytes(url, max_bytes=10, timeout_s=10, allow_private=True).data == b"{}"
    assert "127.0.0.1" in resolve("127.0.0.1", 80)


@pytest.mark.parametrize(
    "url",
    [
        "file:///etc/passwd",
        "ftp://host/a",
        "gopher://host/a",
        "data:,x",
        "/a/b.jpg",
        "http://",
        "http:///a",
        "http://user@host/a",
        "http://user:S3cret@host/a",
        "http://127.0.0.1/a",
        "http://[::1]/a",
        "http://[::ffff:127.0.0.1]/a",
        "http://169.254.169.254/latest/meta-data",
        "http://inside/a",
        "http://mixed/a",
        "http://host:port/a",
    ],
)
def test_refused_before_any_connection(url: str, loopback: Loopback) -> None:
    net = Net(loopback.port, host=[PUBLIC], inside=["10.0.0.7"], mixed=[PUBLIC, "192.168.0.1"])
    error = refused(url, net)
    assert error.code == "refused_address"
    assert "S3cret" not in str(error)
    assert net.dialled == []


@pytest.mark.parametrize("number", ["2130706433", "0x7f.1", "0177.0.0.1", "127.1"])
def test_odd_spellings_of_loopback(number: str, loopback: Loopback) -> None:
    with pytest.raises(FetchError) as caught:
        fetch_bytes(f"http://{number}:{loopback.port}/", max_bytes=10, timeout_s=10)
    assert caught.value.code in ("refused_address", "network")
    assert loopback.connections == 0


def test_a_name_that_changes_its_mind_is_asked_once(loopback: Loopback) -> None:
    answers = iter([[PUBLIC], ["127.0.0.1"]])
    net = Net(loopback.port)
    got = fetch("http://rebind/a", net, resolver=lambda host, port: next(answers))
    assert got.data == b"{}"
    assert net.dialled == [(PUBLIC, 80)]


def test_the_next_address_is_tried_where_one_is_dead(loopback: Loopback) -> None:
    net = Net(loopback.port, host=["2606:4700:4700::1111", PUBLIC])
    net.dead = {"2606:4700:4700::1111"}
    assert fetch("http://host/a", net).data == b"{}"
    net.dead.add(PUBLIC)
    error = refused("http://host/a", net)
    assert (error.code, error.retryable) == ("network", True)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirects_are_followed_and_vetted_anew(loopback: Loopback, status: int) -> None:
    net = Net(loopback.port, host=[PUBLIC], cdn=["8.8.8.8"], inside=["10.0.0.7"])
    loopback.script(
        Answer(status=status, headers={"Location": "//cdn:81/b"}),
        Answer(status=status, headers={"Location": "../c.jpg"}),
        Answer(body=b"file"),
    )
    got = fetch("http://host/a", net)
    assert (got.data, got.final_url) == (b"file", "http://cdn:81/c.jpg")
    assert net.dialled == [(PUBLIC, 80), ("8.8.8.8", 81), ("8.8.8.8", 81)]
    for inside in ("http://inside/", "http://127.0.0.1:1/", "file:///etc/passwd", "http://u:p@cdn/"):
        loopback.script(Answer(status=status, headers={"Location": inside}))
        assert refused("http://host/a", net).code == "refused_address"
    assert len(net.dialled) == 3 + 4


def test_a_host_that_is_no_name_is_refused_as_any_bad_url(loopback: Loopback) -> None:
    net = Net(loopback.port, **{"good.example": [PUBLIC]})
    for bad in ("http://xn--/a.png", "http://xn--a-ecp.xn--/", "http://xn--99999999/", "http://a..xn--b/"):
        assert refused(bad, net).code in ("refused_address", "network")
        loopback.script(Answer(302, headers={"Location": bad}))
        assert refused("http://good.example/a.jpg", net).code in ("refused_address", "network")
    assert refused("http://xn--/a.png", net).code == "refused_address"


def test_redirects_come_to_an_end(loopback: Loopback) -> None:
    loopback.script(Answer(status=302, headers={"Location": "/again"}))
    error = refused("http://host/a", Net(loopback.port, host=[PUBLIC]))
    assert error.code == "status"
    assert "redirects" in error.reason
    assert len(loopback.requests) == MAX_REDIRECTS + 1
    loopback.script(Answer(status=302))
    assert "without saying where" in refused("http://host/a", Net(loopback.port, host=[PUBLIC])).reason


@pytest.mark.parametrize(
    ("status", "later"), [(404, False), (403, False), (204, False), (206, False), (503, True)]
)
def test_other_statuses(loopback: Loopback, status: int, later: bool) -> None:
    loopback.script(Answer(status=status, body=b""))
    error = refused("http://host/a", Net(loopback.port, host=[PUBLIC]))
    assert (error.code, error.retryable) == ("status", later)
    assert str(status) in error.reason


@pytest.mark.parametrize("body", [b"x" * 1001, [b"x" * 600, b"x" * 401]], ids=["stated", "unstated"])
def test_too_large(loopback: Loopback, body: bytes | list[bytes]) -> None:
    net = Net(loopback.port, host=[PUBLIC])
    loopback.script(Answer(body=body))
    assert refused("http://host/a", net).code == "too_large"
    loopback.script(Answer(body=b"x" * 1000))
    assert len(fetch("http://host/a", net).data) == 1000


def test_a_drip_does_not_stretch_the_time(loopback: Loopback) -> None:
    now = [0.0]
    looked = threading.Semaphore(0)

    def clock() -> float:
        now[0] += 3  # every chunk comes well before a wait of its own would end
        looked.release()
        return now[0]

    loopback.script(Answer(body=[b"x"] * 100, gate=lambda _: looked.acquire(timeout=10)))
    error = refused("http://host/a", Net(loopback.port, host=[PUBLIC]), timeout_s=10, clock=clock)
    looked.release(200)
    assert error.code == "timeout"
    assert now[0] < 30


def test_no_answer_in_time(loopback: Loopback) -> None:
    never = threading.Event()
    loopback.script(Answer(wait=never))
    error = refused("http://host/a", Net(loopback.port, host=[PUBLIC]), timeout_s=0.05)
    never.set()
    assert (error.code, error.retryable) == ("timeout", True)


@pytest.mark.parametrize("reset", ["before", "close", "head", "middle"])
def test_broken_connections(loopback: Loopback, reset: str) -> None:
    loopback.script(Answer(reset=reset, body=b"x" * 100))
    error = refused("http://host/a", Net(loopback.port, host=[PUBLIC]))
    assert (error.code, error.retryable) == ("network", True)


def test_names_that_do_not_resolve(loopback: Loopback) -> None:
    net = Net(loopback.port, empty=[])
    assert refused("http://nowhere/a", net).code == "network"
    assert refused("http://empty/a", net).code == "network"


def test_the_certificate_is_checked_against_the_name() -> None:
    authority = trustme.CA()
    server_context, trusting = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context()
    authority.issue_cert("photos.example").configure_cert(server_context)
    authority.configure_trust(trusting)
    names: list[str | None] = []
    server_context.sni_callback = lambda _socket, name, _context: names.append(name)
    with serving(Answer(body=b"file"), ssl_context=server_context) as server:
        net = Net(server.port, **{"photos.example": [PUBLIC], "other.example": [PUBLIC]})
        assert fetch("https://photos.example/a", net, ssl_context=trusting).data == b"file"
        assert net.dialled == [(PUBLIC, 443)]
        assert refused("https://other.example/a", net, ssl_context=trusting).code == "network"
        assert refused("https://photos.example/a", net).code == "network"
    assert names[:2] == ["photos.example", "other.example"]
