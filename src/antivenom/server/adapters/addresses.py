"""Which network addresses outbound requests may reach.

Only globally routable unicast addresses, unless the administrator names others. An address inside an IPv6 one (mapped,
6to4, Teredo, NAT64) counts as itself: a gateway would take us there.
Source: RFC 6890 registries as in `ipaddress`; RFC 6052 and RFC 8215 (NAT64); RFC 3056 (6to4); RFC 4380 (Teredo).
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
_NAT64_LOCAL = ipaddress.IPv6Network("64:ff9b:1::/48")
_IPV4_COMPATIBLE = ipaddress.IPv6Network("::/96")


def parse_address(text: str) -> Address | None:
    """The address that a host part spells, with or without brackets and scope; None for a name."""
    try:
        return ipaddress.ip_address(text.strip("[]").partition("%")[0])
    except ValueError:
        return None


def embedded_addresses(address: Address) -> list[Address]:
    """The address itself and every IPv4 address that it carries."""
    found: list[Address] = [address]
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped:
            found.append(address.ipv4_mapped)
        if address.sixtofour:
            found.append(address.sixtofour)
        if address.teredo:
            found.extend(address.teredo)
        if address in _NAT64 or (address in _IPV4_COMPATIBLE and int(address) > 1):
            found.append(ipaddress.IPv4Address(int(address) & 0xFFFFFFFF))
    return found


def is_public(address: Address) -> bool:
    """Whether an address is somewhere on the internet and nowhere near this machine."""
    if address in _NAT64_LOCAL:
        return False
    carried = embedded_addresses(address)
    if len(carried) > 1:
        carried = carried[1:]
    return all(_is_global_unicast(a) for a in carried)


def _is_global_unicast(address: Address) -> bool:
    if isinstance(address, ipaddress.IPv6Address) and address.is_site_local:  # RFC 3879; Python calls it global
        return False
    return address.is_global and not (
        address.is_multicast
        or address.is_reserved
        or address.is_unspecified
        or address.is_loopback
        or address.is_link_local
    )


class AllowList:
    """ANTIVENOM_OUTBOUND_ALLOW: host names (`*.` for all below), `host:port`, addresses and CIDRs."""

    def __init__(self, entries: Iterable[str]) -> None:
        self._networks: list[ipaddress.IPv4Network | ipaddress.IPv6Network] = []
        self._hosts: set[tuple[str, int | None]] = set()
        for entry in entries:
            try:
                self._networks.append(ipaddress.ip_network(entry, strict=False))
            except ValueError:
                self._hosts.add(_split_port(entry))

    def has_host(self, host: str, port: int) -> bool:
        """Whether the name (or literal address) is listed, for this port or for every one."""
        host = host.strip("[]").rstrip(".").lower()
        labels = host.split(".")
        names = [host, *(f"*.{'.'.join(labels[i:])}" for i in range(1, len(labels)))]
        return any((name, p) in self._hosts for name in names for p in (port, None))

    def has_address(self, address: Address) -> bool:
        """Whether the address, or one that it carries, is in a listed network."""
        return any(
            a in network
            for a in embedded_addresses(address)
            for network in self._networks
            if a.version == network.version
        )


def _split_port(entry: str) -> tuple[str, int | None]:
    if entry.startswith("["):
        host, _, port = entry[1:].partition("]")
        return host, int(port[1:]) if port else None
    host, _, port = entry.partition(":")
    return host, int(port) if port else None
