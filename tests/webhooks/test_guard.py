"""Which addresses a webhook may connect to: the table. (What is done about it: `test_addresses.py`.)"""

# ruff: noqa: RUF001 - digits that look like others are part of this

from __future__ import annotations

import errno
import socket
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

import pytest
from aiohttp import AddrInfoType
from hypothesis import example, given
from hypothesis import strategies as st

from webmacs.webhooks.guard import AddressGuard

REFUSED = {
    "0.0.0.0": "unspecified",
    "0.255.255.255": "unspecified",
    "::": "unspecified",
    "127.0.0.1": "loopback",
    "127.255.255.254": "loopback",
    "::1": "loopback",
    "::1%lo": "loopback",
    "10.0.0.1": "private",
    "172.16.0.1": "private",
    "172.31.255.254": "private",
    "192.168.7.1": "private",
    "fc00::1": "private",
    "fd12:3456:789a::1": "private",
    "169.254.0.1": "link-local",
    "169.254.169.254": "link-local",
    "fe80::1": "link-local",
    "fe80::1%eth0": "link-local",
    "febf::1": "link-local",
    "fec0::1": "site-local",
    "feff::1": "site-local",
    "100.64.0.1": "shared",
    "100.127.255.254": "shared",
    "224.0.0.1": "multicast",
    "239.255.255.250": "multicast",
    "ff02::1": "multicast",
    "ff0e::1": "multicast",
    "255.255.255.255": "broadcast",
    "::ffff:127.0.0.1": "IPv4-mapped",
    "::ffff:7f00:1": "IPv4-mapped",
    "::ffff:8.8.8.8": "IPv4-mapped",
    "::7f00:1": "IPv4-compatible",
    "::127.0.0.1": "IPv4-compatible",
    "64:ff9b::7f00:1": "NAT64",
    "64:ff9b::8.8.8.8": "NAT64",
    "64:ff9b:1::1": "NAT64",
    "2002:7f00:1::": "6to4",
    "2002:808:808::1": "6to4",
    "192.88.99.1": "6to4",
    "2001::1": "Teredo",
    "2001:0:4136:e378:8000:63bf:3fff:fdd2": "Teredo",
    "192.0.2.1": "documentation",
    "198.51.100.1": "documentation",
    "203.0.113.1": "documentation",
    "2001:db8::1": "documentation",
    "3fff::1": "documentation",
    "198.18.0.1": "benchmarking",
    "198.19.255.254": "benchmarking",
    "2001:2::1": "benchmarking",
    "192.0.0.1": "reserved",
    "192.0.0.8": "reserved",
    "192.0.0.170": "reserved",
    "240.0.0.1": "reserved",
    "255.255.255.254": "reserved",
    "2001:10::1": "reserved",
    "2001:20::1": "reserved",
    "100::1": "reserved",
    "5f00::1": "reserved",
    "64:ff9a::1": "reserved",
    "4000::1": "reserved",
    "::ffff:0:127.0.0.1": "reserved",
}
PUBLIC = [
    *("1.1.1.1", "8.8.8.8", "9.255.255.255", "11.0.0.0", "100.63.255.255", "100.128.0.0", "126.255.255.255"),
    *("128.0.0.0", "169.253.255.255", "169.255.0.0", "172.15.255.255", "172.32.0.0", "192.0.1.0", "192.167.255.255"),
    *("192.169.0.0", "198.17.255.255", "198.20.0.0", "223.255.255.255"),
    *("2001:200::1", "2001:4860:4860::8888", "2003::1", "2606:4700:4700::1111", "2a00:1450::1", "3ffe::1"),
]
NETWORKS = [
    *("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24"),
    *("192.0.2.0/24", "192.168.0.0/16", "198.18.0.0/15", "224.0.0.0/4", "240.0.0.0/4"),
    *("::/96", "::ffff:0:0/96", "64:ff9b::/96", "2001::/23", "2002::/16", "fc00::/7", "fe80::/10", "fec0::/10"),
]
addresses = st.one_of(
    st.ip_addresses(), st.sampled_from(NETWORKS).flatmap(lambda network: st.ip_addresses(network=network))
)
NONE_ALLOWED = AddressGuard([])


def guard(*networks: str) -> AddressGuard:
    return AddressGuard([ip_network(network) for network in networks])


@pytest.mark.promise("S4")
@pytest.mark.parametrize(("address", "kind"), REFUSED.items())
def test_what_is_not_on_the_open_internet_is_refused_with_its_kind_and_the_setting(address: str, kind: str) -> None:
    assert NONE_ALLOWED.refusal(address) == (
        f"{address} is not a public address ({kind}), and in no network of webhooks.allowed_networks"
    )


@pytest.mark.parametrize("address", PUBLIC)
def test_what_is_on_the_open_internet_is_let_through(address: str) -> None:
    assert NONE_ALLOWED.refusal(address) is None


@pytest.mark.parametrize(
    "text",
    ["localhost", "127.1", "0x7f000001", "2130706433", "127.0.0.01", "127.0.0.1.", "１２７.0.0.1", "", "fe80::1%"],
)
def test_what_is_no_address_is_refused_for_somebody_else_would_look_it_up(text: str) -> None:
    assert guard("0.0.0.0/0", "::/0").refusal(text) == f"{text} is not an IP address"


@given(addresses)
@example(IPv4Address("192.88.99.1"))
@example(IPv6Address("ff0e::1"))
def test_nothing_gets_through_of_which_this_python_knows_that_it_is_not_global(
    address: IPv4Address | IPv6Address,
) -> None:
    told = address.is_private or address.is_multicast or address.is_reserved or not address.is_global
    assert not told or NONE_ALLOWED.refusal(str(address)) is not None


@pytest.mark.promise("S4")
@given(st.ip_addresses(v=4), st.sampled_from(["::ffff:{}", "64:ff9b::{}", "::{}", "2002:{:04x}:{:04x}::1"]))
def test_no_ipv4_address_gets_through_inside_an_ipv6_address(address: IPv4Address, form: str) -> None:
    number = int(address)
    numbers = (number >> 16, number & 0xFFFF) if "04x" in form else (address,)
    assert NONE_ALLOWED.refusal(form.format(*numbers)) is not None


@given(addresses)
def test_an_allowed_network_lets_through_what_is_in_it(address: IPv4Address | IPv6Address) -> None:
    assert guard(f"{address}/{address.max_prefixlen}").refusal(str(address)) is None


@given(addresses, addresses)
def test_an_allowed_network_lets_nothing_through_beside_it(
    one: IPv4Address | IPv6Address, other: IPv4Address | IPv6Address
) -> None:
    mapped = isinstance(other, IPv6Address) and other.ipv4_mapped == one
    expected = None if other == one or mapped else NONE_ALLOWED.refusal(str(other))
    assert guard(f"{one}/{one.max_prefixlen}").refusal(str(other)) == expected


@pytest.mark.parametrize("address", ["192.168.7.1", "::ffff:192.168.7.1", "::ffff:c0a8:701"])
def test_an_allowed_ipv4_network_allows_the_mapped_form_which_is_the_same_host(address: str) -> None:
    assert guard("192.168.7.0/24").refusal(address) is None


@pytest.mark.parametrize("address", ["64:ff9b::c0a8:701", "2002:c0a8:701::1", "::c0a8:701", "192.168.8.1"])
def test_an_allowed_ipv4_network_allows_no_way_through_a_gateway(address: str) -> None:
    assert guard("192.168.7.0/24").refusal(address) is not None


@pytest.mark.parametrize(
    ("network", "address"),
    [
        ("64:ff9b::/96", "64:ff9b::c0a8:701"),
        ("2002::/16", "2002:c0a8:701::1"),
        ("2001::/32", "2001::1"),
        ("fe80::/10", "fe80::1%eth0"),
        ("::ffff:0:0/96", "::ffff:10.0.0.1"),
        ("::1/128", "::1%lo"),
    ],
)
def test_an_ipv6_network_is_allowed_as_it_stands(network: str, address: str) -> None:
    assert guard(network).refusal(address) is None


def info(address: str) -> AddrInfoType:
    family = socket.AF_INET6 if ip_address(address).version == 6 else socket.AF_INET
    target = (address, 80, 0, 0) if family == socket.AF_INET6 else (address, 80)
    return (family, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", target)


@pytest.mark.parametrize("address", ["127.0.0.1", "::1", "::ffff:127.0.0.1"])
def test_a_refused_address_is_an_error_of_the_system_and_no_socket_is_made(
    address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def make(*_arguments: object) -> socket.socket:
        raise AssertionError("a socket was made")

    monkeypatch.setattr("webmacs.webhooks.guard.socket.socket", make)
    with pytest.raises(OSError, match=r"webhooks\.allowed_networks") as refused:
        NONE_ALLOWED.socket_factory(info(address))
    assert refused.value.errno == errno.EACCES
    assert refused.value.strerror == NONE_ALLOWED.refusal(address)


@pytest.mark.parametrize("address", ["8.8.8.8", "2001:4860:4860::8888"])
def test_an_address_that_is_let_through_gets_a_socket_of_its_family(address: str) -> None:
    with NONE_ALLOWED.socket_factory(info(address)) as made:
        assert (made.family, made.type) == (info(address)[0], socket.SOCK_STREAM)
