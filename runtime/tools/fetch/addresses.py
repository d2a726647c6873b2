"""Whether an IP address belongs to the public internet. Pure.

``ipaddress`` of Python 3.11 calls several ranges global that lead back inside (JOURNAL.md 4.6), so they are named here;
newer Pythons agree with most of them.
"""

from __future__ import annotations

import ipaddress

IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address

_IPV6_PUBLIC = ipaddress.IPv6Network("2000::/3")
"""All that is given out; outside of it stand NAT64, IPv4-compatible, site-local, unique local and multicast addresses."""

_DENIED = tuple(
    ipaddress.ip_network(network)
    for network in (
        "64:ff9b::/96",  # NAT64: any IPv4 address
        "64:ff9b:1::/48",  # local NAT64
        "2002::/16",  # 6to4: any IPv4 address
        "2001::/32",  # Teredo
        "fec0::/10",  # site-local, deprecated
        "3fff::/20",  # documentation
        "192.0.0.0/24",  # IETF protocols, DS-Lite among them
        "192.88.99.0/24",  # 6to4 relays
        "100.64.0.0/10",  # carriers' NAT, and clouds' own services
    )
)


def is_public(address: IPAddress) -> bool:
    """Whether ``address`` is a machine of the public internet that a tool may talk to."""
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return is_public(address.ipv4_mapped)
        if address not in _IPV6_PUBLIC:
            return False
    if any(address in network for network in _DENIED if network.version == address.version):
        return False
    return address.is_global and not address.is_multicast
