"""How often an address has failed to authenticate of late, in a table that nobody can make grow."""

from __future__ import annotations

import ipaddress
from collections import OrderedDict
from collections.abc import Sequence
from typing import Final

from starlette.requests import Request

WINDOW_S: Final = 60.0
MOST: Final = 10_000
"""Addresses; then the one that failed longest ago is forgotten."""
IPV6_PREFIX: Final = 64
"""Whoever has one IPv6 address has all of such a network."""


class Failures:
    """Counts per address in windows of a minute."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._counts: OrderedDict[str, tuple[float, int]] = OrderedDict()

    def add(self, peer: str, now: float) -> float | None:
        """One more; when it is one too many, the seconds until it counts anew."""
        begun, count = self._counts.pop(peer, (now, 0))
        if now - begun >= WINDOW_S:
            begun, count = now, 0
        self._counts[peer] = (begun, count + 1)
        while len(self._counts) > MOST:
            self._counts.popitem(last=False)
        return None if count < self._limit else WINDOW_S - (now - begun)


class Peers:
    """From a request to the address it comes from, past the proxies in front that are trusted to say."""

    def __init__(self, trusted: Sequence[str]) -> None:
        self._trusted = [ipaddress.ip_network(network) for network in trusted]

    def of(self, request: Request) -> str:
        """The address; of IPv6 its network."""
        peer = request.client.host if request.client is not None else "unknown"
        said = ",".join(request.headers.getlist("x-forwarded-for")).split(",") if self._trusted else []
        for hop in (peer, *(hop.strip() for hop in reversed(said))):
            try:
                address = ipaddress.ip_address(hop)
            except ValueError:
                break
            peer = str(address)
            if not any(address in network for network in self._trusted):
                break
        return _network(peer)


def _network(peer: str) -> str:
    if ":" not in peer:
        return peer
    try:
        return str(ipaddress.ip_network((peer.partition("%")[0], IPV6_PREFIX), strict=False))
    except ValueError:
        return peer
