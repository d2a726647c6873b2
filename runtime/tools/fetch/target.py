"""Whether an address may be asked for: parsed once, and held against the agent's list of hosts. Pure."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Collection
from dataclasses import dataclass

import httpx2

PORTS = frozenset({80, 443})
MAX_URL = 4096
_UNWANTED = re.compile(r"[\x00-\x20\x7f-\xa0\\\u2028\u2029]")
"""Control characters, spaces and backslashes: parsers disagree about them, and guards have been led astray so."""
_LABEL = re.compile(r"[a-z0-9_-]{1,63}")


class FetchRefused(Exception):
    """The page was not fetched, or not used; ``code`` is stable, ``words`` are for the model."""

    def __init__(self, code: str, words: str) -> None:
        super().__init__(code, words)
        self.code = code
        self.words = words


@dataclass(frozen=True, slots=True)
class Target:
    """An address that may be asked for, in the only parse there is."""

    url: httpx2.URL
    host: str
    """In ASCII and lower case, without the dot of the root."""
    port: int

    @property
    def literal(self) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
        """The host, when it is an address itself."""
        try:
            return ipaddress.ip_address(self.host)
        except ValueError:
            return None


def target_of(
    text: str, hosts: Collection[str], ports: Collection[int] = PORTS, base: httpx2.URL | None = None
) -> Target:
    """The target ``text`` names; ``base`` is where a redirect came from.

    Raises :class:`FetchRefused` (``invalid_url``, ``host_not_allowed``).
    """
    if len(text) > MAX_URL or _UNWANTED.search(text):
        raise FetchRefused("invalid_url", "the address is too long, or holds spaces, control characters or backslashes")
    try:
        url = httpx2.URL(text) if base is None else base.join(text)
    except httpx2.InvalidURL as error:
        raise FetchRefused("invalid_url", f"the address cannot be read: {error}") from error
    if url.scheme not in ("http", "https"):
        raise FetchRefused("invalid_url", "only http and https can be fetched")
    if url.userinfo:
        raise FetchRefused("invalid_url", "an address with a user name or password is not fetched")
    port = url.port if url.port is not None else 443 if url.scheme == "https" else 80
    if port not in ports:
        raise FetchRefused("invalid_url", f"port {port} is not fetched; only {' and '.join(map(str, sorted(ports)))}")
    host = url.raw_host.decode("ascii").lower().removesuffix(".")
    target = Target(url.copy_with(fragment=None), host, port)
    if "%" in host or (target.literal is None and not _is_name(host)):
        raise FetchRefused("invalid_url", "the address names no host")
    if not listed(host, hosts):
        known = ", ".join(sorted(hosts)) or "none"
        raise FetchRefused("host_not_allowed", f"{host} is not among the hosts that may be fetched from: {known}")
    return target


def _is_name(host: str) -> bool:
    return len(host) <= 253 and all(map(_LABEL.fullmatch, host.split(".")))


def listed(host: str, hosts: Collection[str]) -> bool:
    """Whether ``hosts`` names ``host``: itself, as ``*.example.org`` for what stands below, or with ``*`` for all."""
    above = {"*." + host.split(".", n)[n] for n in range(1, host.count(".") + 1)}
    return not {"*", host}.isdisjoint(hosts) or not above.isdisjoint(hosts)
