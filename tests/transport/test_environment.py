"""What the environment says of proxies and certificates."""

from __future__ import annotations

import os
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import orjson
import pytest
import trustme

from tests.loopback import Answer, Loopback, serving
from visionpipe.transport.requests import proxy_for


@pytest.mark.parametrize(
    ("url", "exceptions", "direct"),
    [
        ("http://10.1.2.3/v1", "10.0.0.0/8", True),
        ("http://11.1.2.3/v1", "10.0.0.0/8", False),
        ("http://[fd00::7]/v1", "[fd00::7]", True),
        ("http://[fd00::7]/v1", "fd00::/8", True),
        ("http://[fd00::7]:8080/v1", "[fd00::7]:8080", True),
        ("http://[fd00::7]:8080/v1", "[fd00::7]:80", False),
        ("https://a.b.example/v1", "x, .example", True),
        ("https://example/v1", ".example", True),
        ("https://anexample/v1", "example", False),
        ("https://api.example/v1", "api.example:443", True),
        ("https://api.example/v1", "api.example:80", False),
        ("https://api.example/v1", "*", True),
        ("https://api.example/v1", "10.0.0.0/8, ,:,[", False),
    ],
)
def test_no_proxy_names_networks_names_and_ports(url: str, exceptions: str, direct: bool) -> None:
    named = {"http": "http://proxy:1", "https": "http://proxy:1", "no": exceptions}
    found = proxy_for(httpx.URL(url), proxies=lambda: named, bypass=lambda host: False)
    assert found == (None if direct else "http://proxy:1")


@pytest.mark.parametrize("variable", ["SSL_CERT_FILE", "SSL_CERT_DIR"])
def test_authorities_that_are_not_there_are_named(variable: str) -> None:
    program = (
        "from visionpipe.transport._sync.http_sender import HttpSender\n"
        "from visionpipe.errors import ConfigurationError\n"
        "from functools import partial\n"
        "from visionpipe.transport.fetch import fetch_bytes\n"
        "fetch = partial(fetch_bytes, max_bytes=9, timeout_s=9, allow_private=True)\n"
        "for way in (HttpSender, fetch):\n"
        "    try: way('https://127.0.0.1:9/v1')\n"
        "    except ConfigurationError as error: print(error)"
    )
    run = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, variable: "/nowhere/ca.pem"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert run.stdout.count(f"{variable} names /nowhere/ca.pem, which is not there") == 2, run.stderr


def test_a_file_that_holds_no_authority_is_named(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("no certificate", "utf-8")
    done = asked("https://localhost:9/v1", SSL_CERT_FILE=str(tmp_path / "ca.pem"))
    assert "ConfigurationError" in done.stderr and "ca.pem" in done.stderr and "PEM" in done.stderr


ANSWER = Answer(
    body=orjson.dumps(
        {"model": "m", "choices": [{"message": {"content": "A cat."}, "finish_reason": "stop"}]}
    )
)
ASKING = """
import asyncio, sys
import visionpipe as vp

url = sys.argv[1]
with vp.Client("m", base_url=url, api_key="k") as client:
    print(client.ask("What?").text, end=" ")
    with client.stream("What?") as stream:
        print("".join(stream), end=" ")


async def main() -> None:
    async with vp.AsyncClient("m", base_url=url, api_key="k") as client:
        print((await client.ask("What?")).text, end="")


asyncio.run(main())
"""


FETCHING = """
import sys
from visionpipe.transport.fetch import fetch_bytes

print(len(fetch_bytes(sys.argv[1], max_bytes=9999, timeout_s=60, allow_private=True).data))
"""


def asked(url: str, program: str = ASKING, **variables: str) -> subprocess.CompletedProcess[str]:
    """What both clients print, or a fetch does, in an environment of their own."""
    other = ("_proxy", "ssl_cert_file", "ssl_cert_dir")
    quiet = {k: v for k, v in os.environ.items() if not k.lower().endswith(other)}
    command = [sys.executable, "-W", "error", "-c", program, url]
    env = quiet | variables
    return subprocess.run(command, env=env, capture_output=True, text=True, timeout=120, check=False)


def answered() -> Iterator[Answer]:
    frame = b'data: {"choices":[{"index":0,"delta":{"content":"A cat."},"finish_reason":"stop"}]}\n\n'
    yield ANSWER
    yield Answer(body=[frame, b"data: [DONE]\n\n"], headers={"Content-Type": "text/event-stream"})
    yield ANSWER


@pytest.mark.parametrize("variable", ["SSL_CERT_FILE", "SSL_CERT_DIR"])
def test_a_private_authority_of_the_environment_is_trusted(tmp_path: Path, variable: str) -> None:
    authority = trustme.CA()
    certificate = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(certificate)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    named = certificate
    if variable == "SSL_CERT_DIR":
        subprocess.run(["openssl", "rehash", str(tmp_path)], check=True, capture_output=True)
        named = tmp_path
    with serving(*answered(), ssl_context=context) as server:
        done = asked(server.url, **{variable: str(named)})
        assert done.stdout == "A cat. A cat. A cat.", done.stderr
        server.script(ANSWER)
        fetched = asked(server.url, FETCHING, **{variable: str(named)})
        assert isinstance(ANSWER.body, bytes)
        assert fetched.stdout.strip() == str(len(ANSWER.body)), fetched.stderr
        for program in (ASKING, FETCHING):
            server.script(*answered())
            refused = asked(server.url, program)
            assert "certificate" in refused.stderr and refused.returncode == 1


class Socks:
    """A SOCKS5 server that takes every name to one port of this machine, and remembers what it was asked."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"socks5://127.0.0.1:{self._listener.getsockname()[1]}"
        self.asked: list[tuple[str, int]] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with client, client.makefile("rb") as incoming:
            incoming.read(incoming.read(2)[1])
            client.sendall(b"\x05\x00")
            assert incoming.read(4) == b"\x05\x01\x00\x03", "a name, which this server looks up"
            name = incoming.read(incoming.read(1)[0]).decode()
            self.asked.append((name, int.from_bytes(incoming.read(2), "big")))
            with socket.create_connection(("127.0.0.1", self._port)) as target:
                client.sendall(b"\x05\x00\x00\x01\x7f\x00\x00\x01\x00\x00")
                back = threading.Thread(target=_carry, args=(target, client), daemon=True)
                back.start()
                while data := incoming.read1():
                    target.sendall(data)
                target.shutdown(socket.SHUT_WR)
                back.join()


def _carry(source: socket.socket, to: socket.socket) -> None:
    try:
        while data := source.recv(65536):
            to.sendall(data)
    except OSError:
        return  # one side has hung up


def test_a_socks_proxy_of_the_environment_carries_every_call(loopback: Loopback) -> None:
    loopback.script(*answered())
    proxy = Socks(loopback.port)
    try:
        done = asked("http://model.example:8080/v1", ALL_PROXY=proxy.url)
        assert done.stdout == "A cat. A cat. A cat.", done.stderr
        assert set(proxy.asked) == {("model.example", 8080)}
        assert [seen.path for seen in loopback.requests] == ["/v1/chat/completions"] * 3
    finally:
        proxy.close()
