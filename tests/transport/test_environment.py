"""What the environment says of proxies and certificates."""

from __future__ import annotations

import os
import subprocess
import sys

import httpx
import pytest

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
        "try: HttpSender('https://api.example/v1')\n"
        "except ConfigurationError as error: print(error)"
    )
    run = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, variable: "/nowhere/ca.pem"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert f"{variable} names /nowhere/ca.pem, which is not there" in run.stdout, run.stderr
