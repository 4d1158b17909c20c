"""Who is calling: the raw key ``id.secret``, or the JWT made from it.

The JWT: HS256, JOSE header with ``sign_type`` "SIGN", payload ``api_key`` (the id), ``exp`` and
``timestamp`` in milliseconds. The rule: the key itself is never kept or logged, only a hash of its id.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import orjson
import pybase64

from visionpipe.errors import ConfigurationError
from visionpipe.sandbox.refusals import Refusal


class KeyRing:
    """The keys that open this sandbox.

    Args:
        keys: each ``id.secret``.
        clock: seconds since the epoch.

    Raises:
        ConfigurationError: a key has another form.
    """

    def __init__(self, keys: Iterable[str], clock: Callable[[], float]) -> None:
        self._secrets: dict[str, str] = {}
        self._clock = clock
        for key in keys:
            key_id, dot, secret = key.partition(".")
            if not (dot and key_id and secret) or "." in secret:
                raise ConfigurationError(
                    "a key has the form id.secret",
                    subject="key",
                    cure="Give one dot, with text on both sides.",
                )
            self._secrets[key_id] = secret

    def identify(self, headers: Mapping[bytes, bytes]) -> str:
        """A short hash of the caller's key id; Refusal 1000, 1001, 1003 or 401."""
        value = headers.get(b"authorization")
        if value is None:
            raise Refusal("1001")
        scheme, _, token = value.decode("latin-1").strip().partition(" ")
        if not token:  # the service also takes the token without "Bearer"
            scheme, token = "bearer", scheme
        if scheme.lower() != "bearer":
            raise Refusal("1000", "the scheme is not Bearer")
        key_id = self._jwt(token.strip()) if token.count(".") == 2 else self._raw(token.strip())
        return hashlib.sha256(key_id.encode()).hexdigest()[:12]

    def _raw(self, token: str) -> str:
        key_id, _, secret = token.partition(".")
        known = self._secrets.get(key_id)
        if known is None or not hmac.compare_digest(known.encode(), secret.encode()):
            raise Refusal("401")
        return key_id

    def _jwt(self, token: str) -> str:
        signed, _, signature = token.rpartition(".")
        header_part, _, payload_part = signed.partition(".")
        header, payload = _segment(header_part), _segment(payload_part)
        if header.get("alg") != "HS256" or header.get("sign_type") != "SIGN":
            raise Refusal("1000", "the token's header is not HS256 with sign_type SIGN")
        key_id, expires, made = (payload.get(name) for name in ("api_key", "exp", "timestamp"))
        if not isinstance(key_id, str) or not isinstance(expires, int) or not isinstance(made, int):
            raise Refusal("1000", "the token's payload lacks api_key, exp or timestamp")
        secret = self._secrets.get(key_id)
        if secret is None:
            raise Refusal("401")
        expected = hmac.digest(secret.encode(), signed.encode("latin-1"), "sha256")
        if not hmac.compare_digest(expected, _unpadded(signature)):
            raise Refusal("1000", "the token's signature is wrong")
        if expires <= self._clock() * 1000:
            raise Refusal("1003")
        return key_id


def _unpadded(part: str) -> bytes:
    try:
        return pybase64.b64decode(part + "=" * (-len(part) % 4), altchars=b"-_", validate=True)
    except ValueError:
        raise Refusal("1000", "the token is not base64url") from None


def _segment(part: str) -> dict[str, Any]:
    try:
        value = orjson.loads(_unpadded(part))
    except orjson.JSONDecodeError:
        raise Refusal("1000", "the token is not JSON") from None
    if not isinstance(value, dict):
        raise Refusal("1000", "the token is not a JSON object")
    return value
