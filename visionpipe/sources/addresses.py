"""Which addresses may be fetched from: the policy, without any fetching.

A URL that somebody wrote into a list must not reach what only this machine can reach. So every
address a name resolves to is judged, IPv4 addresses inside IPv6 ones included, and the fetcher connects to
an address judged here, not to the name.
"""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from visionpipe.errors import FetchError

Resolver: TypeAlias = Callable[[str, int], Sequence[str]]
"""Takes a host name and a port, gives IP addresses as text; raises OSError where there are none."""

_Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address

_NUMBER = re.compile("[0-9]+|0[xX][0-9a-fA-F]*")
"""What the last label of a name never is, so that a host which ends so is an address."""

_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
_REFUSED = tuple(
    ipaddress.ip_network(network)
    for network in (
        "64:ff9b:1::/48",  # NAT64 of a site's own choosing (RFC 8215)
        "::/96",  # IPv4-compatible (RFC 4291, obsolete)
        "2001::/32",  # Teredo
        "fec0::/10",  # site-local (RFC 3879, obsolete)
        "3fff::/20",  # documentation (RFC 9637)
        "5f00::/16",  # segment routing (RFC 9602)
        "100:0:0:1::/64",  # dummy prefix (RFC 9780)
        "192.88.99.0/24",  # 6to4 relays (RFC 7526, obsolete)
    )
)


@dataclass(frozen=True, slots=True)
class FetchedFile:
    """What a URL gave: the bytes as they came, the URL after redirects, the Content-Type as stated."""

    data: bytes = field(repr=False)
    final_url: str
    content_type: str = ""


def resolve(host: str, port: int) -> list[str]:
    """The system's resolver."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


def is_public(address: str) -> bool:
    """Whether an IP address is one that anybody on the internet could reach."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    inner = _inner(parsed)
    if inner is not None:
        return is_public(str(inner))
    if any(parsed in network for network in _REFUSED if network.version == parsed.version):
        return False
    return parsed.is_global and not (parsed.is_multicast or parsed.is_reserved or parsed.is_unspecified)


def check_url(shown: str, *, scheme: str, host: str, credentials: bool) -> None:
    """Raise FetchError (refused_address) for a URL that is never fetched, whatever it resolves to."""
    if scheme not in ("http", "https"):
        raise _refused(shown, "only http and https URLs are fetched", "Download the file, or give its path.")
    if credentials:
        raise _refused(
            shown,
            "a URL with a user name or password in it is not fetched",
            "Download the file, or remove them.",
        )
    if not host:
        raise _refused(shown, "the URL has no host", "Check the URL.")
    if _NUMBER.fullmatch(host.rstrip(".").rpartition(".")[2]):
        # Resolvers read 127.1, 0x7f.1 and 017700000001 each in its own way.
        try:
            ipaddress.ip_address(host)
        except ValueError as error:
            raise _refused(
                shown, "its host is no IP address as it is written", "Write it as four decimal numbers."
            ) from error


def vet(shown: str, addresses: Sequence[str], *, allow_private: bool) -> None:
    """Raise FetchError (refused_address) unless every one of the addresses may be connected to."""
    if allow_private:
        return
    for address in addresses:
        if not is_public(address):
            raise _refused(
                shown,
                f"it leads to {address}, which is not on the public internet",
                "Allow private addresses if this URL can be trusted, or download the file.",
            )


def _inner(address: _Address) -> ipaddress.IPv4Address | None:
    """The IPv4 address that an IPv6 address stands for: mapped, NAT64 or 6to4."""
    if isinstance(address, ipaddress.IPv4Address):
        return None
    if address in _NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF)
    return address.ipv4_mapped or address.sixtofour


def _refused(shown: str, reason: str, cure: str) -> FetchError:
    return FetchError(reason, cure=cure, subject=shown, code="refused_address")
