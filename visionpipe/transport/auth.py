"""Who is asking: the key's way into a request, and the only one.

A key is checked before anything is sent, is added to a request here and nowhere else, and is
in no repr.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import threading
import time
from collections.abc import Callable
from typing import Protocol

from visionpipe.errors import ConfigurationError

TOKEN_TTL_S = 210.0
"""How long a signed token is valid. Source: the official Python SDK's ``_jwt_token.py``."""

TOKEN_KEPT_S = 180.0
"""How long a signed token is used again. Source: the same."""


class Auth(Protocol):
    """What a sender asks for the header that carries the key; ``name`` is that header's, in lower case."""

    @property
    def name(self) -> str: ...

    def header(self) -> str | None:
        """The header's value, or None to send none."""

    def secrets(self) -> tuple[str, ...]:
        """Strings that must never be shown."""


class NoAuth:
    """For servers that ask for no key, such as a local one."""

    name = "authorization"

    def header(self) -> None:
        return None

    def secrets(self) -> tuple[str, ...]:
        return ()

    def __repr__(self) -> str:
        return "NoAuth()"


class ApiKey:
    """Sends the key itself: ``Authorization: Bearer <key>``, or in a header of its own.

    Args:
        key: the API key. White space around it (a newline from a file) is stripped.
        name: the header, in lower case; in any but Authorization the key stands alone.

    Raises:
        ConfigurationError: the key cannot be one; the message says why, without showing it.
    """

    def __init__(self, key: str, name: str = "authorization") -> None:
        self._key = checked_key(key)
        self.name = name

    def header(self) -> str:
        return f"Bearer {self._key}" if self.name == "authorization" else self._key

    def secrets(self) -> tuple[str, ...]:
        return (self._key,)

    def __repr__(self) -> str:
        return "ApiKey(***)"


class SignedToken:
    """Sends a short-lived token signed with a GLM key of the form ``id.secret``.

    The token is a JWT (HS256, times in milliseconds, ``sign_type`` in its header), made anew every
    ``TOKEN_KEPT_S`` seconds; the secret never leaves the machine.

    Args:
        key: the API key, ``id.secret``.
        clock: seconds since the epoch.

    Raises:
        ConfigurationError: the key is not of that form.
    """

    name = "authorization"

    def __init__(self, key: str, *, clock: Callable[[], float] = time.time) -> None:
        self._key = checked_key(key)
        self._id, dot, self._secret = self._key.partition(".")
        if not (self._id and dot and self._secret):
            raise ConfigurationError(
                "a signed token needs a key of the form id.secret",
                cure="Copy the whole key from the console, or send it as it is with ApiKey.",
                code="bad_key",
            )
        self._clock = clock
        self._lock = threading.Lock()
        self._token = ""
        self._signed_at = float("-inf")

    def header(self) -> str:
        with self._lock:
            now = self._clock()
            if not 0 <= now - self._signed_at < TOKEN_KEPT_S:
                self._token, self._signed_at = self._sign(now), now
            return f"Bearer {self._token}"

    def secrets(self) -> tuple[str, ...]:
        return tuple(secret for secret in (self._key, self._secret, self._token) if secret)

    def _sign(self, now: float) -> str:
        milliseconds = round(now * 1000)
        payload = {
            "api_key": self._id,
            "exp": milliseconds + round(TOKEN_TTL_S * 1000),
            "timestamp": milliseconds,
        }
        signed = f"{_segment({'alg': 'HS256', 'sign_type': 'SIGN'})}.{_segment(payload)}"
        signature = hmac.new(self._secret.encode(), signed.encode(), hashlib.sha256).digest()
        return f"{signed}.{_base64url(signature)}"

    def __repr__(self) -> str:
        return "SignedToken(***)"


def checked_key(key: str) -> str:
    """The key without white space around it.

    Raises:
        ConfigurationError: empty, or with characters that no key has.
    """
    stripped = key.strip()
    if not stripped:
        raise ConfigurationError(
            "the API key is empty", cure="Set it to the key from the provider's console.", code="bad_key"
        )
    found = None
    if any(c.isspace() for c in stripped):
        found = "white space inside it"
    elif not stripped.isascii():
        found = "characters outside ASCII"
    elif any(c in "\"'`" for c in stripped):
        found = "quotation marks in it"
    elif not stripped.isprintable():
        found = "control characters in it"
    if found:
        raise ConfigurationError(
            f"the API key has {found}",
            cure="Copy it again from the provider's console, the key alone.",
            code="bad_key",
        )
    return stripped


def _segment(value: dict[str, object]) -> str:
    return _base64url(json.dumps(value, separators=(",", ":")).encode())


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")
