"""Fetches a file from a URL that somebody else wrote.

The name is resolved here, all its addresses are vetted, and the connection goes to a vetted one
(so that a name cannot change its mind in between), while the certificate is checked against the name; each
redirect begins anew; bytes and seconds are limited; nothing is decoded; no key is sent.

It blocks; from asyncio, run it in a thread.
"""

from __future__ import annotations

import functools
import socket
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from visionpipe.errors import FetchError
from visionpipe.files import whole_file
from visionpipe.sources.addresses import FetchedFile, Resolver, check_url, resolve, vet
from visionpipe.transport.direct_sync import Dial, SocketTransport
from visionpipe.transport.httpx_library import httpx
from visionpipe.transport.messages import Answer, RawRequest
from visionpipe.transport.requests import trusting
from visionpipe.wire.secrets import redact

T = TypeVar("T")

MAX_REDIRECTS = 5

_HEADERS = (
    (b"accept", b"*/*"),
    (b"accept-encoding", b"identity"),
    (b"connection", b"close"),
    (b"user-agent", b"visionpipe"),
)
_REDIRECTS = frozenset((301, 302, 303, 307, 308))
_LATER = frozenset((408, 425, 429, 500, 502, 503, 504))


def fetch_bytes(
    url: str,
    *,
    max_bytes: int,
    timeout_s: float,
    allow_private: bool = False,
    resolver: Resolver = resolve,
    ssl_context: ssl.SSLContext | None = None,
    dial: Dial = socket.create_connection,
    clock: Callable[[], float] = time.monotonic,
) -> FetchedFile:
    """The file at ``url``.

    Args:
        url: http or https, without credentials.
        max_bytes: the longest file taken.
        timeout_s: seconds for all of it, redirects included.
        allow_private: whether addresses that are not on the public internet may be connected to.
        resolver: names to addresses.
        ssl_context: for https; by default one that trusts the public authorities.
        dial: makes a connection to a vetted (address, port).
        clock: seconds, monotonic.

    Raises:
        FetchError: with ``code`` refused_address, too_large, timeout, status or network.
    """
    way = _Way(allow_private, resolver, ssl_context, dial, clock)
    return _followed(
        "GET", url, timeout_s, way, lambda answer, shown, here: _read(answer, shown, here, max_bytes)
    )


def fetch_file(
    url: str,
    target: Path,
    *,
    max_bytes: int,
    timeout_s: float,
    allow_private: bool = False,
    resolver: Resolver = resolve,
    ssl_context: ssl.SSLContext | None = None,
    dial: Dial = socket.create_connection,
    clock: Callable[[], float] = time.monotonic,
) -> None:
    """Writes the file at ``url`` to ``target``, piece by piece; nothing is left of it where it fails.

    Args and errors are those of ``fetch_bytes``.
    """
    way = _Way(allow_private, resolver, ssl_context, dial, clock)
    with whole_file(target) as draft, draft.open("wb") as file:
        _followed(
            "GET",
            url,
            timeout_s,
            way,
            lambda answer, shown, _: _take(answer, shown, max_bytes, file.write),
        )


def content_length(
    url: str,
    *,
    timeout_s: float,
    allow_private: bool = False,
    resolver: Resolver = resolve,
    ssl_context: ssl.SSLContext | None = None,
    dial: Dial = socket.create_connection,
    clock: Callable[[], float] = time.monotonic,
) -> int | None:
    """The size in bytes of the file at ``url``, by a HEAD request; None where its server does not say.

    Args and errors are those of ``fetch_bytes``; a server that refuses HEAD has not said.
    """

    def stated(answer: Answer, shown: str, here: httpx.URL) -> int | None:
        length = answer.headers.get("content-length", "")
        return int(length) if answer.status == 200 and length.isdigit() else None

    way = _Way(allow_private, resolver, ssl_context, dial, clock)
    return _followed("HEAD", url, timeout_s, way, stated)


@dataclass(frozen=True, slots=True)
class _Way:
    """How a request gets out; the fields are the arguments of the public functions."""

    allow_private: bool
    resolver: Resolver
    ssl_context: ssl.SSLContext | None
    dial: Dial
    clock: Callable[[], float]


def _followed(
    method: str, url: str, timeout_s: float, way: _Way, read: Callable[[Answer, str, httpx.URL], T]
) -> T:
    """What ``read`` makes of the answer at the end of the redirects."""
    deadline = way.clock() + timeout_s
    here = _parse(url, redact(url))
    for _ in range(MAX_REDIRECTS + 1):
        shown = redact(str(here))
        answer = _ask(method, here, shown, deadline, way)
        try:
            if answer.status not in _REDIRECTS:
                return read(answer, shown, here)
            location = answer.headers.get("location", "")
        finally:
            answer.close()
        if not location:
            raise FetchError(
                f"the server answers {answer.status} without saying where to",
                cure="Check the URL.",
                subject=shown,
                code="status",
            )
        here = _parse(location, shown, base=here)
    raise FetchError(
        f"more than {MAX_REDIRECTS} redirects", cure="Check the URL.", subject=redact(url), code="status"
    )


def _parse(url: str, shown: str, base: httpx.URL | None = None) -> httpx.URL:
    try:
        parsed = httpx.URL(url) if base is None else base.join(url)
        # Decoded only now, and an A-label may be none (xn--).
        parsed.host.encode()
    except (httpx.InvalidURL, ValueError) as error:
        raise FetchError(
            "this is not a URL", cure="Check the URL.", subject=shown, code="refused_address"
        ) from error
    return parsed.copy_with(fragment=None)


def _ask(method: str, url: httpx.URL, shown: str, deadline: float, way: _Way) -> Answer:
    """One answer, from the first vetted address that takes the connection."""
    check_url(shown, scheme=url.scheme, host=url.host, credentials=bool(url.userinfo))
    host = url.raw_host.decode("ascii").strip("[]")
    port = url.port or (443 if url.scheme == "https" else 80)
    try:
        addresses = way.resolver(host, port)
    except (OSError, UnicodeError) as error:
        raise _network(shown, "the host's name could not be resolved") from error
    if not addresses:
        raise _network(shown, "the host's name has no address")
    vet(shown, addresses, allow_private=way.allow_private)
    ssl_context = way.ssl_context
    if url.scheme == "https" and ssl_context is None:
        ssl_context = _authorities()
    failure: httpx.HTTPError | None = None
    for address in addresses:
        left = deadline - way.clock()
        if left <= 0:
            break
        transport = SocketTransport(
            url, ssl_context=ssl_context, keep=0, clock=way.clock, address=address, dial=way.dial
        )
        timeouts = {"connect": left, "write": left, "read": left, "deadline": deadline}
        headers = ((b"host", url.netloc), *_HEADERS)
        try:
            return transport.send(RawRequest(method, url.raw_path, headers, (), timeouts))
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            failure = error
            continue
        except httpx.HTTPError as error:
            raise _failed(shown, error) from error
    raise _failed(shown, failure or httpx.ConnectTimeout("no time is left")) from failure


def _read(answer: Answer, shown: str, url: httpx.URL, max_bytes: int) -> FetchedFile:
    parts: list[bytes] = []
    _take(answer, shown, max_bytes, parts.append)
    return FetchedFile(b"".join(parts), str(url), answer.headers.get("content-type", ""))


def _take(answer: Answer, shown: str, max_bytes: int, take: Callable[[bytes], object]) -> None:
    """Gives the answer's bytes to ``take`` as they come."""
    status = answer.status
    if status != 200:
        raise FetchError(
            f"the server answers {status}",
            cure="Try again in a moment."
            if status in _LATER
            else "Check the URL, and that it needs no login.",
            subject=shown,
            code="status",
            retryable=status in _LATER,
        )
    stated = answer.headers.get("content-length", "")
    if stated.isdigit() and int(stated) > max_bytes:
        raise _too_large(shown, max_bytes)
    size = 0
    try:
        for part in answer.pieces:
            size += len(part)
            if size > max_bytes:
                raise _too_large(shown, max_bytes)
            take(part)
    except httpx.HTTPError as error:
        raise _failed(shown, error) from error


_authorities = functools.cache(trusting)
"""One context for all fetches."""


def _failed(shown: str, error: httpx.HTTPError) -> FetchError:
    if isinstance(error, httpx.TimeoutException):
        return FetchError(
            "the file did not come in time",
            cure="Allow more time, or download it first.",
            subject=shown,
            code="timeout",
            retryable=True,
        )
    return _network(shown, f"the connection failed ({redact(str(error)) or type(error).__name__})")


def _network(shown: str, reason: str) -> FetchError:
    return FetchError(
        reason,
        cure="Check the URL and the network, or try again in a moment.",
        subject=shown,
        code="network",
        retryable=True,
    )


def _too_large(shown: str, max_bytes: int) -> FetchError:
    return FetchError(
        f"the file is larger than {max_bytes} bytes",
        cure="Allow larger files, or download it and make it smaller.",
        subject=shown,
        code="too_large",
    )
