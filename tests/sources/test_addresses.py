"""Which addresses may be fetched from."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from visionpipe.errors import FetchError
from visionpipe.sources.addresses import check_url, is_public, vet

PUBLIC = [
    "8.8.8.8",
    "93.184.215.14",
    "2606:4700:4700::1111",
    "::ffff:8.8.8.8",
    "64:ff9b::8.8.8.8",
    "2002:808:808::1",
]
PRIVATE = [
    "127.0.0.1",
    "127.1.2.3",
    "0.0.0.0",
    "10.0.0.1",
    "172.16.0.1",
    "172.31.255.255",
    "192.168.1.1",
    "169.254.169.254",
    "100.64.0.1",
    "192.0.0.1",
    "192.0.2.1",
    "192.88.99.1",
    "198.18.0.1",
    "198.51.100.1",
    "203.0.113.1",
    "224.0.0.1",
    "239.255.255.250",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "fe80::1",
    "fe80::1%eth0",
    "fc00::1",
    "fd00:ec2::254",
    "fec0::1",
    "ff02::1",
    "2001:db8::1",
    "3fff::1",
    "3fff:fff:ffff::1",
    "5f00::1",
    "100:0:0:1::1",
    "100::1",
    "2001:0:4136:e378:8000:63bf:3fff:fdd2",
    "::127.0.0.1",
    "::ffff:127.0.0.1",
    "::ffff:169.254.169.254",
    "64:ff9b::127.0.0.1",
    "64:ff9b::10.0.0.1",
    "64:ff9b:1::8.8.8.8",
    "2002:7f00:1::1",
    "2002:a00:1::",
    "not an address",
    "",
]


@pytest.mark.parametrize("address", PUBLIC)
def test_public(address: str) -> None:
    assert is_public(address)
    vet("u", [address], allow_private=False)


@pytest.mark.parametrize("address", PRIVATE)
def test_private(address: str) -> None:
    assert not is_public(address)
    with pytest.raises(FetchError) as caught:
        vet("http://a/b.jpg", ["8.8.8.8", address], allow_private=False)
    assert caught.value.code == "refused_address"
    assert caught.value.subject == "http://a/b.jpg"
    vet("http://a/b.jpg", [address], allow_private=True)


@given(st.ip_addresses(v=4))
def test_wrapped_in_ipv6_an_address_is_judged_alike(address: ipaddress.IPv4Address) -> None:
    number = int(address)
    public = is_public(str(address))
    for wrapped in (0xFFFF << 32 | number, 0x64FF9B << 96 | number, 0x2002 << 112 | number << 80):
        assert is_public(str(ipaddress.IPv6Address(wrapped))) == public


@given(st.ip_addresses())
def test_what_the_registry_reserves_is_never_public(
    address: ipaddress.IPv4Address | ipaddress.IPv6Address,
) -> None:
    if address.is_private or address.is_loopback or address.is_link_local or address.is_multicast:
        # One that wraps an IPv4 address is judged by that one, which another test holds.
        is_wrapper = isinstance(address, ipaddress.IPv6Address) and (
            address.ipv4_mapped is not None or address.sixtofour is not None
        )
        assert is_wrapper or not is_public(str(address))


@pytest.mark.parametrize(
    ("scheme", "host", "credentials"),
    [("file", "a", False), ("ftp", "a", False), ("", "a", False), ("http", "a", True), ("https", "", False)],
)
def test_urls_that_are_never_fetched(scheme: str, host: str, credentials: bool) -> None:
    with pytest.raises(FetchError) as caught:
        check_url("shown", scheme=scheme, host=host, credentials=credentials)
    assert caught.value.code == "refused_address"
    check_url("shown", scheme="https", host="a", credentials=False)


@pytest.mark.parametrize(
    "host",
    ["127.1", "2130706433", "0x7f000001", "0x7f.0.0.1", "017700000001", "127.0.0.01", "8.8"],
)
def test_an_address_is_written_in_one_way(host: str) -> None:
    with pytest.raises(FetchError, match="no IP address as it is written"):
        check_url("URL", scheme="http", host=host, credentials=False)


@pytest.mark.parametrize("host", ["8.8.8.8", "2606:4700::1111", "7.example", "0x7f.example.", "a1"])
def test_other_hosts_are_left_to_the_resolver(host: str) -> None:
    check_url("URL", scheme="http", host=host, credentials=False)
