"""Who is at the other end of a connection: the client itself, also when proxies that we trust stand between.

Libraries that do this take any proxy's word, or want to know how many proxies there are and refuse all who come by
another way. We believe those in `server.trusted_proxies`, and nobody else, as nginx does (`real_ip_recursive on`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Final

from aiohttp import web
from multidict import CIMultiDict

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

FORWARDED_FOR: Final = "X-Forwarded-For"
REAL_IP: Final = "X-Real-IP"
IPV6_BITS: Final = 64  # of an address that say whose it is; the rest each machine chooses, and changes, by itself


class Proxies:
    """Those whose word about where a request comes from is believed."""

    def __init__(self, trusted: Sequence[Network]) -> None:
        self._trusted = trusted

    def client(self, request: web.BaseRequest) -> str:
        """Who asks, as limits count clients: an IPv4 address, or the /64 of an IPv6 address."""
        address = self._address(request)
        return "" if address is None else counted_as(address)

    def address(self, request: web.BaseRequest) -> str:
        """Who asks, as the log names clients: the whole address."""
        return str(self._address(request) or "nowhere")

    def counted(self, peer: str) -> str | None:
        """As what connections of that peer are counted; None for a proxy, whose connections are many people's."""
        address = _parse(peer)
        if address is None:
            return ""
        return None if self._is_proxy(address) else counted_as(address)

    def _address(self, request: web.BaseRequest) -> Address | None:
        peer = _parse(request.remote or "")
        if peer is None or not self._is_proxy(peer):
            return peer
        headers = CIMultiDict(request.headers)  # what could not be parsed has a plain dict, and nothing in it
        forwarded = headers.getall(FORWARDED_FOR, None)
        return self._behind(peer, headers.getall(REAL_IP, ()) if forwarded is None else forwarded)

    def _behind(self, peer: Address, said: Iterable[str]) -> Address:
        """The first address from the right that is no proxy of ours. What is no address ends the search: whatever is
        left of it, nobody whom we trust has written there.
        """
        nearest = peer
        for text in _from_the_right(list(said)):
            address = _parse(text)
            if address is None:
                break
            nearest = address
            if not self._is_proxy(address):
                break
        return nearest

    def _is_proxy(self, address: Address) -> bool:
        return any(address in network for network in self._trusted)


def counted_as(address: Address) -> str:
    """An IPv4 address, or the /64 of an IPv6 address."""
    if isinstance(address, IPv4Address):
        return str(address)
    host_bits = address.max_prefixlen - IPV6_BITS
    return f"{IPv6Address(int(address) >> host_bits << host_bits)}/{IPV6_BITS}"


def _from_the_right(lines: Sequence[str]) -> Iterator[str]:
    """The entries of a header that may stand there several times, the last first; no more than are asked for."""
    for line in reversed(lines):
        rest, separator = line, ","
        while separator:
            rest, separator, entry = rest.rpartition(",")
            yield entry.strip()


def _parse(text: str) -> Address | None:
    try:
        address = ip_address(text)
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address
