"""Which network addresses outbound requests may reach.

Only globally routable unicast addresses, unless the administrator names others. An address inside an IPv6 one (mapped,
6to4, Teredo, NAT64) counts as itself: a gateway would take us there.
Source: the IANA special-purpose address registries (RFC 6890), read 2026-11-28; RFC 6052 and RFC 8215 (NAT64); RFC 3056
(6to4); RFC 4380 (Teredo).
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
_NAT64_LOCAL = ipaddress.IPv6Network("64:ff9b:1::/48")
_IPV4_COMPATIBLE = ipaddress.IPv6Network("::/96")

# `ipaddress` knows some of these, depending on its release; a registry entry that the registry itself calls globally
# reachable is listed too where it is a relay or an anycast service (nobody mirrors a channel from one).
_SPECIAL = tuple(
    ipaddress.ip_network(text)
    for text in (
        "0.0.0.0/8",  # this network (RFC 791)
        "10.0.0.0/8",  # private (RFC 1918)
        "100.64.0.0/10",  # shared address space (RFC 6598)
        "127.0.0.0/8",  # loopback (RFC 1122)
        "168.63.129.16/32",  # a cloud's host agent, reachable from its guests only
        "169.254.0.0/16",  # link local, and every cloud's metadata (RFC 3927)
        "172.16.0.0/12",  # private (RFC 1918)
        "192.0.0.0/24",  # IETF protocol assignments, and one cloud's metadata (RFC 6890)
        "192.0.2.0/24",  # documentation (RFC 5737)
        "192.31.196.0/24",  # AS112 (RFC 7535)
        "192.52.193.0/24",  # AMT relays (RFC 7450)
        "192.88.99.0/24",  # 6to4 relays, deprecated (RFC 7526)
        "192.168.0.0/16",  # private (RFC 1918)
        "192.175.48.0/24",  # AS112 (RFC 7534)
        "198.18.0.0/15",  # benchmarking (RFC 2544)
        "198.51.100.0/24",  # documentation (RFC 5737)
        "203.0.113.0/24",  # documentation (RFC 5737)
        "224.0.0.0/4",  # multicast (RFC 5771)
        "240.0.0.0/4",  # reserved, and limited broadcast (RFC 1112)
        "::/128",  # unspecified (RFC 4291)
        "::1/128",  # loopback (RFC 4291)
        "100::/64",  # discard (RFC 6666)
        "100:0:0:1::/64",  # dummy prefix (RFC 9780)
        "2001:1::/32",  # port control, TURN, DNS-SD anycast (RFC 7723, 8155, 9665)
        "2001:2::/48",  # benchmarking (RFC 5180)
        "2001:3::/32",  # AMT (RFC 7450)
        "2001:4:112::/48",  # AS112 (RFC 7535)
        "2001:10::/28",  # ORCHID, deprecated (RFC 4843)
        "2001:20::/28",  # ORCHIDv2 (RFC 7343)
        "2001:30::/28",  # drone remote ids (RFC 9374)
        "2001:db8::/32",  # documentation (RFC 3849)
        "2620:4f:8000::/48",  # AS112 (RFC 7534)
        "3fff::/20",  # documentation (RFC 9637)
        "5f00::/16",  # segment routing (RFC 9602)
        "fc00::/7",  # unique local, and one cloud's metadata (RFC 4193)
        "fe80::/10",  # link local (RFC 4291)
        "fec0::/10",  # site local, deprecated (RFC 3879)
        "ff00::/8",  # multicast (RFC 4291)
    )
)


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
    if any(address in network for network in _SPECIAL if network.version == address.version):
        return False
    return address.is_global and not (address.is_multicast or address.is_reserved)


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
        """Whether the address, or one embedded in it, is in a listed network."""
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
