"""Who is calling, by a raw key or a JWT made from it, and what one key may do.

The JWT: HS256, JOSE header with ``sign_type`` "SIGN", payload ``api_key`` (the id), ``exp`` and
``timestamp`` in milliseconds. The key itself is never kept or logged, only a hash of its id.

The service limits concurrency, not a rate; whoever comes beyond is refused at once with 1302 (the platform's
FAQ). A refused request never counts as in flight, and limits may change while requests are. A model server of
one's own refuses nothing: it serves so many at once, and the rest waits in the order of arrival.
How long the service remembers a request id is not documented; here it is the newest hundred thousand.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
from collections import Counter, OrderedDict, deque
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson
import pybase64

from visionpipe.errors import ConfigurationError
from visionpipe.sandbox.replies import Refusal


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


@dataclass(frozen=True, slots=True)
class Limits:
    """Most requests in flight. ``models`` overrides ``per_model`` by model id; None: no limit.

    ``serves``: of those in flight so many are answered at once, and the rest waits.
    """

    per_model: int | None = None
    total: int | None = None
    models: Mapping[str, int] = field(default_factory=dict)
    serves: int | None = None

    def to_json(self) -> dict[str, object]:
        return {
            "per_model": self.per_model,
            "total": self.total,
            "models": dict(self.models),
            "serves": self.serves,
        }


class Gate:
    """Counts who is inside. Used from one event loop, so nothing comes between looking and entering."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._served = 0
        self._waiting: deque[asyncio.Event] = deque()
        self.most_waiting = 0
        self._inside: Counter[tuple[str, str]] = Counter()
        self._per_model: Counter[str] = Counter()
        self.now = 0
        self.most = 0
        self.most_per_model: dict[str, int] = {}

    @property
    def limits(self) -> Limits:
        return self._limits

    @limits.setter
    def limits(self, limits: Limits) -> None:
        self._limits = limits
        self._call_next()

    async def serve(self, wait: Callable[[asyncio.Event], Awaitable[None]]) -> None:
        """Takes one of the places that are served at once; without one to spare ``wait`` is awaited with what
        is set when it is this request's turn."""
        turn = asyncio.Event()
        self._waiting.append(turn)
        self._call_next()
        if turn.is_set():
            return
        self.most_waiting = max(self.most_waiting, len(self._waiting))
        try:
            await wait(turn)
        except BaseException:
            if turn.is_set():
                self.finish()
            else:
                self._waiting.remove(turn)
            raise

    def finish(self) -> None:
        """Gives the place back."""
        self._served -= 1
        self._call_next()

    def _call_next(self) -> None:
        serves = self._limits.serves
        while self._waiting and (serves is None or self._served < serves):
            self._served += 1
            self._waiting.popleft().set()

    def enter(self, key: str, model: str) -> None:
        """Count one request in; Refusal 1302 where a limit is reached."""
        limits = self.limits
        allowed = limits.models.get(model, limits.per_model)
        if allowed is not None and self._inside[(key, model)] >= allowed:
            raise Refusal("1302", f"{allowed} requests to {model} are in flight")
        if limits.total is not None and self.now >= limits.total:
            raise Refusal("1302", f"{limits.total} requests are in flight")
        self._inside[(key, model)] += 1
        self._per_model[model] += 1
        self.now += 1
        self.most = max(self.most, self.now)
        self.most_per_model[model] = max(self.most_per_model.get(model, 0), self._per_model[model])

    def leave(self, key: str, model: str) -> None:
        """Count one request out."""
        self._inside[(key, model)] -= 1
        self._per_model[model] -= 1
        if not self._inside[(key, model)]:
            del self._inside[(key, model)]
        if not self._per_model[model]:
            del self._per_model[model]
        self.now -= 1

    def forget_peaks(self) -> None:
        """Start the figures for the most in flight anew."""
        self.most = self.now
        self.most_waiting = len(self._waiting)
        self.most_per_model = dict(self._per_model)


class RequestIds:
    """The ids each key has used."""

    def __init__(self, remembered: int = 100_000) -> None:
        self._used: OrderedDict[tuple[str, str], None] = OrderedDict()
        self._remembered = remembered

    def claim(self, key: str, request_id: str) -> None:
        """Take the id for this request; Refusal 1231 where it was taken before."""
        if (key, request_id) in self._used:
            raise Refusal("1231", request_id)
        self._used[(key, request_id)] = None
        if len(self._used) > self._remembered:
            self._used.popitem(last=False)

    def clear(self) -> None:
        self._used.clear()
