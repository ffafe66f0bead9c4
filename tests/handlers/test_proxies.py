"""Whose word about where a request comes from is believed, and what is made of it."""

from __future__ import annotations

from ipaddress import ip_network

import pytest
from aiohttp.test_utils import make_mocked_request
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict

from webmacs.handlers.proxies import Proxies

NGINX = "10.0.0.1"
PROXIES = Proxies([ip_network("10.0.0.0/8"), ip_network("fd00::/8"), ip_network("127.0.0.1")])


def client(peer: str, *headers: tuple[str, str], proxies: Proxies = PROXIES) -> str:
    request = make_mocked_request("GET", "/", headers=CIMultiDict(headers))
    return proxies.client(request.clone(remote=peer))


def forwarded(*values: str) -> list[tuple[str, str]]:
    return [("X-Forwarded-For", value) for value in values]


def test_without_a_proxy_the_peer_is_the_client() -> None:
    assert client("192.0.2.7") == "192.0.2.7"
    assert client(NGINX) == NGINX


@pytest.mark.promise("S9")
@pytest.mark.parametrize("header", ["X-Forwarded-For", "X-Real-IP", "Forwarded"])
def test_one_who_is_no_proxy_of_ours_is_not_believed(header: str) -> None:
    assert client("192.0.2.7", (header, "198.51.100.1")) == "192.0.2.7"
    assert client(NGINX, (header, "198.51.100.1"), proxies=Proxies([])) == NGINX


@pytest.mark.promise("S9")
@pytest.mark.parametrize(
    ("values", "found"),
    [
        (["198.51.100.1"], "198.51.100.1"),
        (["203.0.113.9, 198.51.100.1"], "198.51.100.1"),  # the client has said the first
        (["198.51.100.1, 10.1.1.1, 10.2.2.2"], "198.51.100.1"),
        (["203.0.113.9", "198.51.100.1"], "198.51.100.1"),
        (["203.0.113.9, 198.51.100.1", "10.1.1.1"], "198.51.100.1"),
        (["  198.51.100.1  ,\t10.1.1.1 "], "198.51.100.1"),
        (["10.3.3.3, 10.2.2.2"], "10.3.3.3"),  # all are ours: whoever is farthest asks by itself
        (["198.51.100.1, nonsense, 10.1.1.1"], "10.1.1.1"),  # what is left of it nobody of ours has written
        (["198.51.100.1, , 10.1.1.1"], "10.1.1.1"),
        (["198.51.100.1,"], NGINX),
        (["nonsense"], NGINX),
        ([""], NGINX),
        (["198.51.100.1:4711"], NGINX),
        (["unknown, 198.51.100.1"], "198.51.100.1"),
        (["::ffff:198.51.100.1"], "198.51.100.1"),
        (["198.51.100.1, ::ffff:10.1.1.1"], "198.51.100.1"),
        (["198.51.100.1, fd00::7"], "198.51.100.1"),
        (["2001:db8:1:2:3:4:5:6"], "2001:db8:1:2::/64"),
        (["010.0.0.1"], NGINX),  # octal to some, decimal to others
    ],
)
def test_the_client_is_the_first_from_the_right_who_is_no_proxy_of_ours(values: list[str], found: str) -> None:
    assert client(NGINX, *forwarded(*values)) == found


def test_the_other_header_counts_only_without_the_first() -> None:
    real = ("X-Real-IP", "198.51.100.1")
    assert client(NGINX, real) == "198.51.100.1"
    assert client(NGINX, real, *forwarded("198.51.100.2")) == "198.51.100.2"
    assert client(NGINX, real, *forwarded("nonsense")) == NGINX
    assert client(NGINX, ("X-Real-IP", "nonsense")) == NGINX


@pytest.mark.parametrize("address", ["2001:db8::1", "2001:db8::ffff:ffff:ffff:ffff", "2001:db8::1%eth0"])
def test_addresses_of_one_network_of_ipv6_are_one_client(address: str) -> None:
    assert client(address) == "2001:db8::/64"


def test_networks_of_ipv6_are_told_apart() -> None:
    assert client("2001:db8:0:1::1") == "2001:db8:0:1::/64"


def test_a_mapped_address_is_the_one_it_stands_for() -> None:
    assert client("::ffff:192.0.2.7") == "192.0.2.7"
    assert client("::ffff:10.0.0.1", *forwarded("198.51.100.1")) == "198.51.100.1"


@pytest.mark.parametrize("peer", ["", "nonsense"])
def test_a_peer_without_an_address_is_one_client(peer: str) -> None:
    assert client(peer, *forwarded("198.51.100.1")) == ""


@pytest.mark.promise("S9")
@given(st.lists(st.text(alphabet=",. :%/fF0179ax\u0660\u00b2", max_size=40), max_size=3))
def test_whatever_is_said_somebody_is_counted(values: list[str]) -> None:
    assert client(NGINX, *forwarded(*values))
