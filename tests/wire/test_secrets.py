"""A key is masked in every form in which a server may quote it, and nothing else is."""

from __future__ import annotations

import base64
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from visionpipe import errors
from visionpipe.registry.records import EndpointRecord
from visionpipe.wire.errors import read_error
from visionpipe.wire.http import HttpResponse
from visionpipe.wire.secrets import MASK, masked

KEY = "0123456789abcdef0123456789abcdef.AbCdEfGh12345678"
SECRET = "AbCdEfGh12345678"

FORMS = {
    "as it is": KEY,
    "the secret half": SECRET,
    "other case": KEY.upper(),
    "the secret half in other case": SECRET.lower(),
    "percent-encoded": "".join(f"%{byte:02X}" for byte in KEY.encode()),
    "its dot percent-encoded": KEY.replace(".", "%2e"),
    "escaped for JSON": "".join(f"\\u{ord(character):04x}" for character in SECRET),
    "base64": base64.b64encode(KEY.encode()).decode(),
    "base64 of the secret half": base64.b64encode(SECRET.encode()).decode(),
    "base64 for links": base64.urlsafe_b64encode(b"\xff\xfe" + SECRET.encode()).decode(),
    "base64 of a header": base64.b64encode(f"user:{KEY}".encode()).decode(),
    "base64 behind one letter": base64.b64encode(f"u{SECRET}.".encode()).decode(),
}


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_every_form_of_a_key(form: str) -> None:
    shown = masked(f"the key ({form}) is not known", [KEY])
    assert MASK in shown
    assert shown.startswith("the key (") and shown.endswith(") is not known")
    assert SECRET.lower() not in shown.lower()
    assert base64.b64encode(SECRET.encode()).decode()[3:-4] not in shown


@given(
    st.text("abcdefXYZ0189+/-_.~", min_size=12, max_size=60),
    st.binary(max_size=4),
    st.binary(max_size=4),
)
def test_no_key_survives_in_base64_or_percent(key: str, before: bytes, behind: bytes) -> None:
    quoted = base64.b64encode(before + key.encode() + behind).decode()
    left = masked(f"<{quoted}> {quote(key, safe='')} {key.swapcase()}", [key])
    assert quoted not in left
    assert key.lower() not in left.lower()
    assert quote(key, safe="").lower() not in left.lower()


@pytest.mark.parametrize(
    ("key", "text", "shown"),
    [
        ("x", "the index of max is x", "the index of max is ***"),
        ("abc", "abcdef abc-d abc", "abcdef abc-d ***"),
        ("ollama", "pull it with ollama, not ollamas", "pull it with ***, not ollamas"),
        ("", "nothing to hide", "nothing to hide"),
        ("  ", "a  b", "a  b"),
        ("id.key", "the key keyed", "the *** keyed"),
    ],
)
def test_a_short_key_is_masked_only_where_it_stands_alone(key: str, text: str, shown: str) -> None:
    assert masked(text, [key]) == shown


def test_codes_are_read_before_masking() -> None:
    endpoint = EndpointRecord(id="g", title="G", base_url="https://g", unknown_model="u", dialect="glm")
    body = b'{"error":{"code":"1113","message":"1113 of 1113: no balance"}}'
    error = read_error(HttpResponse(429, {}, body), endpoint, request_id="x", key="1113")
    assert type(error) is errors.AccountError
    assert (error.code, error.service_message) == ("1113", "*** of ***: no balance")


def test_a_code_that_is_the_key_is_masked() -> None:
    endpoint = EndpointRecord(id="g", title="G", base_url="https://g", unknown_model="u")
    body = f'{{"error":{{"code":"{KEY}","message":"no {KEY}"}}}}'.encode()
    error = read_error(HttpResponse(400, {}, body), endpoint, request_id="x", key=KEY)
    assert (error.code, error.service_message) == (MASK, f"no {MASK}")


def test_a_key_is_short_below_twelve_characters() -> None:
    assert masked("abcdefghijkX", ["abcdefghijk"]) == "abcdefghijkX"
    assert masked("abcdefghijklX", ["abcdefghijkl"]) == "***X"


@pytest.mark.parametrize("before", ["", "a", "ab", "abc"])
def test_what_stands_around_a_key_in_base64_is_left(before: str) -> None:
    text = base64.b64encode(f"{before}sk-0123456789abcdef and more of it".encode()).decode()
    shown = masked(f"<{text}>", ["sk-0123456789abcdef"])
    assert "***" in shown
    assert shown.startswith("<") and shown.endswith(text[-12:] + ">")
    assert base64.b64decode(text)[: len(before)] == before.encode()
    assert len(shown) >= len(text) - len(base64.b64encode(b"sk-0123456789abcdef")) - 4
