"""What both HTTP senders put together before anything is sent: the address, the headers, the timeouts.

A request goes to the endpoint's own host or nowhere, because the key goes with it.
"""

from __future__ import annotations

import importlib.util
import ipaddress
import os
import re
import ssl
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from visionpipe.errors import ConfigurationError, ParameterError, missing_extra
from visionpipe.transport.auth import Auth
from visionpipe.transport.exchange import ACCEPTED
from visionpipe.transport.httpx_library import httpx
from visionpipe.transport.messages import RawRequest
from visionpipe.wire.http import HttpRequest, Timeouts, chunks_of
from visionpipe.wire.secrets import redact

MAX_ANSWER_BYTES = 64 * 1024 * 1024
"""An answer longer than this is refused rather than kept in memory."""

_EXCEPTION = re.compile(
    r"(?:\[(?P<six>[^\]]+)\]|(?P<name>[^:/\s]+|[0-9a-f:.]*:[0-9a-f:.]*:[0-9a-f:.]*))(?P<bits>/[0-9]+)?(?::(?P<port>[0-9]+))?"
)
"""An entry of NO_PROXY."""

_TARGETS = 64

_CURE = "Give it as http:// or https://, host and path, for example https://api.example.com/v1."


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where requests go. ``headers`` are the user's; ``fixed`` go with each request, theirs among them and
    the key's excepted; ``host`` has its port with it; ``targets`` are the paths of addresses seen before."""

    base: httpx.URL
    auth: Auth
    headers: Mapping[str, str]
    host: str
    fixed: Mapping[bytes, bytes]
    targets: dict[str, bytes] = field(default_factory=dict, compare=False, repr=False)

    def secrets(self) -> tuple[str, ...]:
        """Strings that must never be shown: the key's, and the values of the headers."""
        return (*self.auth.secrets(), *self.headers.values())

    def build(self, request: HttpRequest) -> RawRequest:
        """The request with its address, headers, body and timeouts.

        Raises:
            ParameterError: it is for another host (code "foreign_host"), or a header has characters outside
                ASCII.
        """
        target, body, key = self._target(request.url), request.body, self.auth.header()
        headers = dict(self.fixed)
        try:
            for name, value in request.headers.items():
                headers[name.lower().encode("ascii")] = value.encode("ascii")
            if body is not None:
                headers.setdefault(b"content-type", body.media_type.encode("ascii"))
                headers[b"content-length"] = b"%d" % body.size
            elif request.method == "GET":
                headers.pop(b"content-length", None)
            else:
                headers[b"content-length"] = b"0"
            if key is not None:
                headers[self.auth.name.encode("ascii")] = key.encode("ascii")
        except UnicodeEncodeError as error:
            raise ParameterError(
                "a header has characters outside ASCII", cure="Encode or leave out that header."
            ) from error
        chunks = chunks_of(body) if body is not None else ()
        return RawRequest(request.method, target, list(headers.items()), chunks, _timeouts(request.timeouts))

    def _target(self, address: str) -> bytes:
        if "://" not in address:
            # Parsing costs as much as reading a photo's header, and most requests go to the same address.
            target = self.targets.get(address)
            if target is None:
                if len(self.targets) >= _TARGETS:
                    self.targets.clear()
                target = self.targets[address] = _below(self.base, address)
            return target
        url = httpx.URL(address)
        if (url.scheme, url.netloc) != (self.base.scheme, self.base.netloc):
            other = redact(url.netloc.decode("ascii", "replace"))
            raise ParameterError(
                f"a request for {other} may not carry the key of another host",
                cure="Use a client with that host's base URL and key.",
                subject=self.host,
                code="foreign_host",
            )
        return url.raw_path


def _below(base: httpx.URL, address: str) -> bytes:
    path, _, query = address.partition("?")
    url = base.copy_with(path=base.path.rstrip("/") + "/" + path.lstrip("/"), query=query.encode() or None)
    return url.raw_path


def endpoint(base_url: str, auth: Auth, headers: Mapping[str, str] | None) -> Endpoint:
    """The endpoint at ``base_url``.

    Raises:
        ConfigurationError: not an http or https URL, or one with credentials, a query or a fragment in it.
    """
    shown = redact(base_url.strip(), auth.secrets())
    try:
        base = httpx.URL(base_url.strip())
    except (httpx.InvalidURL, ValueError) as error:
        raise ConfigurationError("the base URL is not a URL", cure=_CURE, subject=shown) from error
    wrong = None
    if base.scheme not in ("http", "https"):
        wrong = "the base URL does not begin with http:// or https://"
    elif not base.host:
        wrong = "the base URL has no host"
    elif base.userinfo:
        wrong = "the base URL has credentials in it"
    elif base.query or base.fragment:
        wrong = "the base URL has a query or a fragment"
    if wrong:
        raise ConfigurationError(wrong, cure=_CURE, subject=shown, code="base_url")
    for name, value in (headers or {}).items():
        if not (name.isascii() and value.isascii() and value.isprintable()):
            raise ConfigurationError(
                f"the header {name!r} has characters that headers cannot have",
                cure="Encode or leave out that header.",
                code="header",
            )
    own = dict(headers or {})
    host = base.netloc.decode("ascii")
    fixed = {
        "host": host,
        "accept": "*/*",
        "accept-encoding": ACCEPTED,
        "connection": "keep-alive",
        "user-agent": "visionpipe",
        **{name.lower(): value for name, value in own.items()},
    }
    encoded = {name.encode("ascii"): value.encode("ascii") for name, value in fixed.items()}
    return Endpoint(base, auth, own, host, encoded)


@dataclass(frozen=True, slots=True)
class Route:
    """How to get there: directly or through ``proxy`` (which always has an ``ssl_context`` with it)."""

    ssl_context: ssl.SSLContext | None
    proxy: httpx.Proxy | None


def route(
    base: httpx.URL, *, ssl_context: ssl.SSLContext | None, proxy: str | None, trust_env: bool
) -> Route:
    """The way to ``base``: one TLS context for all connections, and the proxy given or the environment's.

    Raises:
        ConfigurationError: the proxy's address, or a file of authorities, cannot be used.
    """
    if proxy is None and trust_env:
        proxy = proxy_for(base)
    if ssl_context is None and (base.scheme == "https" or proxy is not None):
        ssl_context = trusting(trust_env=trust_env)
    return Route(ssl_context, None if proxy is None else proxy_settings(proxy))


def trusting(*, trust_env: bool = True) -> ssl.SSLContext:
    """A TLS context that trusts the public authorities, or those that SSL_CERT_FILE or SSL_CERT_DIR names. It
    takes tens of milliseconds, for it reads every certificate.

    Raises:
        ConfigurationError: those are not there, or hold no certificate.
    """
    if trust_env:
        _check_authorities(os.environ)
    try:
        return httpx.create_ssl_context(trust_env=trust_env)
    except (OSError, ssl.SSLError) as error:
        raise ConfigurationError(
            f"the authorities that the environment names cannot be read ({error})",
            cure="Correct SSL_CERT_FILE: it names a file of certificates in PEM form.",
            subject=os.environ.get("SSL_CERT_FILE"),
            code="authorities",
        ) from error


def _check_authorities(environment: Mapping[str, str]) -> None:
    """Raise ConfigurationError where the environment names authorities that are not there."""
    for variable, there in (("SSL_CERT_FILE", os.path.isfile), ("SSL_CERT_DIR", os.path.isdir)):
        path = environment.get(variable)
        if path and not there(path):
            raise ConfigurationError(
                f"{variable} names {path}, which is not there",
                cure=f"Correct {variable}, or unset it to trust the public authorities.",
                subject=path,
                code="authorities",
            )


def proxy_for(
    base: httpx.URL,
    *,
    proxies: Callable[[], Mapping[str, str]] = urllib.request.getproxies,
    bypass: Callable[[str], object] = urllib.request.proxy_bypass,
) -> str | None:
    """The proxy that the environment names for this address (HTTPS_PROXY, ALL_PROXY, NO_PROXY and kin); none
    for this machine, since what is asked of a server here shall not leave it."""
    named = proxies()
    address = named.get(base.scheme) or named.get("all")
    if not address or _is_here(base.host) or bypass(base.host) or _is_excepted(base, named.get("no", "")):
        return None
    return address if "://" in address else f"http://{address}"


def _is_excepted(base: httpx.URL, exceptions: str) -> bool:
    """Whether NO_PROXY names this address: names with what is below them, addresses, networks, each with or
    without a port, IPv6 addresses with or without brackets."""
    host = base.host.lower().rstrip(".")
    port = str(base.port or (443 if base.scheme == "https" else 80))
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        address = None
    for entry in (word.strip().lower() for word in exceptions.split(",")):
        if entry == "*":
            return True
        found = _EXCEPTION.fullmatch(entry)
        if not found or (found["port"] and found["port"] != port):
            continue
        name = found["six"] or found["name"]
        if address is None:
            plain = name.removeprefix("*").strip(".")
            if plain and (host == plain or host.endswith("." + plain)):
                return True
            continue
        try:
            if address in ipaddress.ip_network(name + (found["bits"] or ""), strict=False):
                return True
        except ValueError:
            continue  # a name, which no address is below
    return False


def _is_here(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def proxy_settings(
    proxy: str, *, installed: Callable[[str], object] = importlib.util.find_spec
) -> httpx.Proxy:
    """The proxy as httpx wants it.

    Raises:
        ConfigurationError: no proxy can be at this address, or a package is missing for it.
    """
    try:
        settings = httpx.Proxy(proxy)
    except (ValueError, httpx.InvalidURL) as error:
        raise ConfigurationError(
            "the proxy's address is not a URL",
            cure="Give it as http://host:port.",
            subject=redact(proxy),
            code="proxy",
        ) from error
    if settings.url.scheme.startswith("socks") and not installed("socksio"):
        raise missing_extra("a SOCKS proxy needs socksio", "socks", subject=redact(proxy))
    return settings


def _timeouts(timeouts: Timeouts) -> dict[str, float]:
    # Transports know one read timeout; the senders set it to ``idle`` once the answer's head is there.
    return {
        "connect": timeouts.connect,
        "write": timeouts.write,
        "read": timeouts.first_byte,
        "pool": timeouts.connect,
        "idle": timeouts.idle,
        "first_token": timeouts.first_token,
    }
