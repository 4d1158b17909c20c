"""Keys: how they are sent, and that they are seen nowhere."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json

import pytest

from visionpipe.errors import ConfigurationError
from visionpipe.transport.auth import TOKEN_KEPT_S, TOKEN_TTL_S, ApiKey, Auth, NoAuth, SignedToken

KEY = "0123456789abcdef.SECRETsecret42"


def test_the_key_is_sent_as_it_is() -> None:
    assert ApiKey(KEY).header() == f"Bearer {KEY}"
    assert ApiKey(f"  {KEY}\r\n").header() == f"Bearer {KEY}"
    anonymous: Auth = NoAuth()
    assert anonymous.header() is None


@pytest.mark.parametrize("auth", [ApiKey(KEY), SignedToken(KEY), NoAuth()])
def test_no_repr_shows_it(auth: ApiKey | SignedToken | NoAuth) -> None:
    auth.header()
    shown = f"{auth!r} {auth} {auth:}"
    assert "SECRET" not in shown
    assert "0123" not in shown


@pytest.mark.parametrize(
    ("key", "word"),
    [
        ("", "empty"),
        (" \n", "empty"),
        ("abc def", "white space"),
        ("abc\ndef", "white space"),
        ("abc\u00a0def", "white space"),
        ("schlüssel", "ASCII"),
        ('"abc"', "quotation"),
        ("'abc'", "quotation"),
        ("abc\x00def", "control"),
    ],
)
@pytest.mark.parametrize("kind", [ApiKey, SignedToken])
def test_what_cannot_be_a_key_is_refused(kind: type[ApiKey], key: str, word: str) -> None:
    with pytest.raises(ConfigurationError, match=word) as caught:
        kind(key)
    assert caught.value.scope == "job"
    assert not key.strip() or key not in str(caught.value)


@pytest.mark.parametrize("key", ["nodot", ".secret", "id."])
def test_a_signed_token_needs_both_halves(key: str) -> None:
    with pytest.raises(ConfigurationError, match=r"id\.secret"):
        SignedToken(key)


def decoded(segment: str) -> dict[str, object]:
    padded = segment + "=" * (-len(segment) % 4)
    value = json.loads(base64.urlsafe_b64decode(padded))
    assert isinstance(value, dict)
    return value


def test_a_signed_token_is_what_the_service_expects() -> None:
    token = SignedToken(KEY, clock=lambda: 1_700_000_000.25).header().removeprefix("Bearer ")
    head, payload, signature = token.split(".")
    assert decoded(head) == {"alg": "HS256", "sign_type": "SIGN"}
    assert decoded(payload) == {
        "api_key": "0123456789abcdef",
        "timestamp": 1_700_000_000_250,
        "exp": 1_700_000_000_250 + TOKEN_TTL_S * 1000,
    }
    mac = hmac.new(b"SECRETsecret42", f"{head}.{payload}".encode(), hashlib.sha256).digest()
    assert signature == base64.urlsafe_b64encode(mac).rstrip(b"=").decode()
    assert "SECRET" not in token


def test_a_signed_token_is_kept_until_shortly_before_its_end() -> None:
    now = [1_000.0]
    auth = SignedToken(KEY, clock=lambda: now[0])
    first = auth.header()
    now[0] += TOKEN_KEPT_S - 0.1
    assert auth.header() == first
    now[0] += 0.1
    second = auth.header()
    assert second != first
    now[0] = 500.0  # the machine's clock was set back: a token from the future is of no use
    assert auth.header() not in (first, second)
