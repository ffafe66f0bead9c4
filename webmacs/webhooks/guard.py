"""Which addresses a webhook may connect to. Asked for each connection, after all names have become addresses."""

from __future__ import annotations

import errno
import socket
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final

from aiohttp import AddrInfoType

Network = IPv4Network | IPv6Network

# The IANA registries of special-purpose addresses, and what they do not list: multicast and site-local. A table of our
# own, as `ipaddress` changes its mind from one version to the next, and of some of these it says `is_global`.
_KINDS: Final = (
    ("unspecified", ("0.0.0.0/8", "::/128")),
    ("loopback", ("127.0.0.0/8", "::1/128")),
    ("private", ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7")),
    ("link-local", ("169.254.0.0/16", "fe80::/10")),
    ("shared", ("100.64.0.0/10",)),
    ("site-local", ("fec0::/10",)),
    ("multicast", ("224.0.0.0/4", "ff00::/8")),
    ("broadcast", ("255.255.255.255/32",)),
    ("IPv4-mapped", ("::ffff:0:0/96",)),
    ("IPv4-compatible", ("::/96",)),
    ("NAT64", ("64:ff9b::/96", "64:ff9b:1::/48")),
    ("6to4", ("2002::/16", "192.88.99.0/24")),
    ("Teredo", ("2001::/32",)),
    ("documentation", ("192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24", "2001:db8::/32", "3fff::/20")),
    ("benchmarking", ("198.18.0.0/15", "2001:2::/48")),
    ("reserved", ("192.0.0.0/24", "240.0.0.0/4", "2001::/23")),
)
_TABLE: Final = tuple((kind, ip_network(text)) for kind, texts in _KINDS for text in texts)
# All of IPv6 that is given out to networks; the rest is reserved, whatever it may become one day.
_GLOBAL_UNICAST: Final = IPv6Network("2000::/3")


class AddressGuard:
    """Refuses every address that is not on the open Internet, except those in the networks that are allowed.

    An address that embeds an IPv4 address is judged as it stands: `::ffff:192.168.7.1` is the host 192.168.7.1 itself,
    so allowing that allows it; NAT64, 6to4 and Teredo lead through a gateway of whoever runs it, and must be allowed
    as the IPv6 networks that they are.
    """

    def __init__(self, allowed: Sequence[Network]) -> None:
        self._allowed = tuple(allowed)

    def refusal(self, address: str) -> str | None:
        """Why this address may not be connected to, for a person to read; None when it may."""
        try:
            parsed = ip_address(address)
        except ValueError:  # a name, or a spelling like 127.1: whoever connected to it would look it up once more
            return f"{address} is not an IP address"
        if self._is_allowed(parsed):
            return None
        kind = _kind(parsed)
        return kind and f"{address} is not a public address ({kind}), and in no network of webhooks.allowed_networks"

    def socket_factory(self, addr_info: AddrInfoType) -> socket.socket:
        """A socket for this address, for `aiohttp.TCPConnector`, which asks here for each connection, literal or not.

        Raises:
            OSError: the address is refused; the socket has not been made.

        """
        family, kind, protocol, _name, target = addr_info
        refused = self.refusal(str(target[0]))
        if refused is not None:
            raise OSError(errno.EACCES, refused)
        return socket.socket(family, kind, protocol)

    def _is_allowed(self, address: IPv4Address | IPv6Address) -> bool:
        same_host = address.ipv4_mapped if isinstance(address, IPv6Address) else None
        return any(address in network or (same_host is not None and same_host in network) for network in self._allowed)


def _kind(address: IPv4Address | IPv6Address) -> str | None:
    """What an address is when it is not global unicast."""
    for kind, network in _TABLE:
        if address in network:
            return kind
    if isinstance(address, IPv6Address) and address not in _GLOBAL_UNICAST:
        return "reserved"
    return None
