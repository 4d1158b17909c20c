"""Proxies: which one, and that requests go through it."""

from __future__ import annotations

import httpx
import pytest

from tests.loopback import Answer, Loopback
from tests.transport.faces import KINDS, Kind, sending
from visionpipe.errors import ConfigurationError, ConnectionFailedError
from visionpipe.transport.requests import proxy_for, proxy_settings
from visionpipe.wire.http import Body, HttpRequest


@pytest.mark.parametrize(
    ("url", "named", "proxy"),
    [
        ("https://a.example", {}, None),
        ("https://a.example", {"http": "http://p:1"}, None),
        ("https://a.example", {"https": "http://p:1", "all": "http://q:1"}, "http://p:1"),
        ("https://a.example", {"all": "p:1"}, "http://p:1"),
        ("http://a.example", {"http": "http://p:1"}, "http://p:1"),
        ("http://b.example:8000", {"http": "http://p:1"}, None),
        ("http://localhost:8000", {"http": "http://p:1"}, None),
        ("http://127.0.0.1:11434/v1", {"all": "http://p:1"}, None),
        ("http://[::1]:8000", {"http": "http://p:1"}, None),
        ("http://192.168.1.9:8000", {"http": "http://p:1"}, "http://p:1"),
    ],
)
def test_which_proxy(url: str, named: dict[str, str], proxy: str | None) -> None:
    found = proxy_for(httpx.URL(url), proxies=lambda: named, bypass=lambda host: host == "b.example")
    assert found == proxy


@pytest.mark.parametrize("kind", KINDS)
def test_through_a_proxy(kind: Kind, loopback: Loopback) -> None:
    loopback.script(Answer(body=b"{}"))
    body = Body((bytes(1_000_000),))
    with sending(kind, "http://service.example/v1", proxy=f"http://{loopback.host}", connections=1) as sender:
        for _ in range(2):
            assert sender.send(HttpRequest("POST", "/x", body)).body == b"{}"
        assert b"".join(sender.stream(HttpRequest("GET", "/y")).chunks) == b"{}"
        loopback.script(Answer(reset="before"))
        with pytest.raises(ConnectionFailedError):
            sender.send(HttpRequest("POST", "/x", body))
    assert [s.path for s in loopback.requests[:3]] == [
        "http://service.example/v1/x",
        "http://service.example/v1/x",
        "http://service.example/v1/y",
    ]
    assert loopback.requests[0].size == 1_000_000
    assert loopback.connections == 1


@pytest.mark.parametrize("kind", KINDS)
def test_a_proxy_that_refuses_the_tunnel(kind: Kind, loopback: Loopback) -> None:
    loopback.script(Answer(status=407))
    with (
        sending(kind, "https://service.example/v1", proxy=f"http://{loopback.host}") as sender,
        pytest.raises(ConnectionFailedError, match="proxy refused"),
    ):
        sender.send(HttpRequest("GET", "/x"))
    assert loopback.requests[0].method == "CONNECT"
    assert "authorization" not in loopback.requests[0].headers


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("proxy", ["gopher://p:1", "http://p:port"])
def test_what_is_no_proxy(kind: Kind, proxy: str) -> None:
    with pytest.raises(ConfigurationError, match="proxy"), sending(kind, "http://a", proxy=proxy):
        pass


def test_a_socks_proxy_names_its_package() -> None:
    with pytest.raises(ConfigurationError, match=r"visionpipe-vlm\[socks\]"):
        proxy_settings("socks5://p:1", installed=lambda name: None)
    assert proxy_settings("socks5://p:1", installed=lambda name: name).url.port == 1
