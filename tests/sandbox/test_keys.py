"""Who may call: the raw key, the JWT made from it, and nothing else."""

from __future__ import annotations

import hashlib

import jwt
import pytest

from visionpipe.errors import ConfigurationError
from visionpipe.sandbox.accounts import KeyRing
from visionpipe.sandbox.replies import Refusal

NOW = 1_700_000_000.0
RING = KeyRing(["key-id.secret", "other.word"], lambda: NOW)


def token(**changes: object) -> str:
    payload = {"api_key": "key-id", "exp": int(NOW * 1000) + 1000, "timestamp": int(NOW * 1000)}
    headers = {"alg": "HS256", "sign_type": "SIGN"}
    return jwt.encode({**payload, **changes}, "secret", algorithm="HS256", headers=headers)


def identify(value: str) -> str:
    return RING.identify({b"authorization": value.encode()})


def refused(value: str) -> str:
    with pytest.raises(Refusal) as caught:
        identify(value)
    return caught.value.code


@pytest.mark.filterwarnings("ignore:The HMAC key is")  # the secret of this test is short
def test_raw_key_and_its_token_are_the_same_caller() -> None:
    assert identify("Bearer key-id.secret") == identify(f"Bearer {token()}")
    assert identify("Bearer other.word") != identify("Bearer key-id.secret")


def test_the_identity_is_a_hash_and_not_the_key() -> None:
    assert identify("Bearer key-id.secret") == hashlib.sha256(b"key-id").hexdigest()[:12]


def test_the_word_bearer_may_be_left_out() -> None:
    assert identify("key-id.secret") == identify("bearer key-id.secret")


def test_no_header_is_1001() -> None:
    with pytest.raises(Refusal) as caught:
        RING.identify({})
    assert (caught.value.code, caught.value.status) == ("1001", 401)


@pytest.mark.parametrize("key", ["key-id.wrong", "stranger.secret", "key-id", "key-id.", "a.b.c.d"])
def test_an_unknown_key_is_401(key: str) -> None:
    assert refused(f"Bearer {key}") == "401"


@pytest.mark.filterwarnings("ignore:The HMAC key is")  # the secret of this test is short
def test_tokens_that_do_not_hold() -> None:
    assert refused(f"Bearer {token(exp=int(NOW * 1000))}") == "1003"
    assert refused(f"Bearer {token(api_key='stranger')}") == "401"
    assert refused(f"Bearer {token(exp='soon')}") == "1000"
    assert refused(f"Bearer {token()[:-4]}AAAA") == "1000"
    plain = jwt.encode({"api_key": "key-id"}, "secret", algorithm="HS256")
    assert refused(f"Bearer {plain}") == "1000"
    assert refused("Bearer !!.??.!!") == "1000"
    assert refused("Bearer W10.W10.W10") == "1000"
    assert refused("Basic key-id.secret") == "1000"


@pytest.mark.parametrize("key", ["", "no-dot", ".secret", "id.", "a.b.c"])
def test_a_key_ring_takes_only_the_form_of_the_service(key: str) -> None:
    with pytest.raises(ConfigurationError, match=r"id\.secret"):
        KeyRing([key], lambda: NOW)
