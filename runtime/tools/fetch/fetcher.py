"""Fetches one page: each hop checked, resolved, checked again, and connected to exactly the address that was checked.

A name may resolve to another address a moment later, so nothing here resolves twice: the request goes to the address, and
the name stands in ``Host`` and in TLS. Each hop has a client of its own: no cookie, no credential and no connection goes
from one to the next.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import ssl
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass

import httpx2

from runtime import __version__
from runtime.tools.fetch.addresses import IPAddress, is_public
from runtime.tools.fetch.body import ACCEPT_ENCODING, MAX_BYTES, read_body
from runtime.tools.fetch.target import PORTS, FetchRefused, Target, target_of
from runtime.tools.fetch.text import ACCEPT, check_type

MAX_REDIRECTS = 3
DEADLINE_S = 15.0
"""From the first look-up to the last byte, redirects and all: a timeout for each read does not bound a drip."""
_CONNECT_S = 5.0
_REDIRECTS = frozenset({301, 302, 303, 307, 308})

Resolver = Callable[[str, int], Awaitable[Sequence[IPAddress]]]
"""All addresses of a name. Raises ``OSError`` when there are none."""


@dataclass(frozen=True, slots=True)
class Fetched:
    """A page as it came, and where it came from in the end."""

    url: str
    content_type: str
    body: bytes


async def resolve(host: str, port: int) -> Sequence[IPAddress]:
    """All addresses the system's resolver has for ``host``."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [ipaddress.ip_address(str(address[0]).partition("%")[0]) for *_, address in found]


class Fetcher:
    """Fetches pages. The arguments are those of production; tests give their own resolver, check, ports and certificates."""

    def __init__(
        self,
        *,
        resolver: Resolver = resolve,
        allowed: Callable[[IPAddress], bool] = is_public,
        ports: Collection[int] = PORTS,
        tls: ssl.SSLContext | None = None,
        deadline_s: float = DEADLINE_S,
        max_bytes: int = MAX_BYTES,
    ) -> None:
        self._resolver = resolver
        self._allowed = allowed
        self._ports = ports
        self._tls = tls
        self._deadline_s = deadline_s
        self._max_bytes = max_bytes

    async def fetch(self, url: str, hosts: Collection[str]) -> Fetched:
        """The page at ``url``, if ``hosts`` names its host and that of every redirect. Raises :class:`FetchRefused`."""
        try:
            async with asyncio.timeout(self._deadline_s):
                return await self._follow(target_of(url, hosts, self._ports), hosts)
        except TimeoutError as error:
            raise FetchRefused("too_slow", f"the page was not there within {self._deadline_s:g} s") from error

    async def _follow(self, target: Target, hosts: Collection[str]) -> Fetched:
        for _ in range(MAX_REDIRECTS + 1):
            came = await self._hop(target)
            if isinstance(came, Fetched):
                return came
            target = target_of(came, hosts, self._ports, target.url)
        raise FetchRefused("too_many_redirects", f"the page is more than {MAX_REDIRECTS} redirects away")

    async def _hop(self, target: Target) -> Fetched | str:
        """One request: the page, or where it has moved."""
        failure: Exception | None = None
        for address in await self._addresses(target):
            try:
                return await self._ask(target, address)
            except (httpx2.ConnectError, httpx2.ConnectTimeout) as error:
                failure = error
            except httpx2.HTTPError as error:
                raise FetchRefused("broken", f"{target.host} did not speak HTTP: {_said(error)}") from error
        if _is_tls(failure):
            raise FetchRefused("tls_failed", f"{target.host} could not prove who it is: {_said(failure)}") from failure
        raise FetchRefused("unreachable", f"{target.host} cannot be reached: {_said(failure)}") from failure

    async def _addresses(self, target: Target) -> Sequence[IPAddress]:
        """Every address of the host, all of them allowed: one that is not makes the whole name suspect."""
        literal = target.literal
        try:
            found = [literal] if literal is not None else await self._resolver(target.host, target.port)
        except (OSError, UnicodeError) as error:
            raise FetchRefused("name_not_found", f"no address of {target.host} is known") from error
        if not found:
            raise FetchRefused("name_not_found", f"no address of {target.host} is known")
        if not all(map(self._allowed, found)):
            raise FetchRefused("address_not_allowed", f"{target.host} is not on the public internet")
        return tuple(dict.fromkeys(found))

    async def _ask(self, target: Target, address: IPAddress) -> Fetched | str:
        async with (
            httpx2.AsyncClient(
                trust_env=False,  # a proxy of the environment would resolve the name once more
                follow_redirects=False,
                verify=self._trusted(),
                timeout=httpx2.Timeout(self._deadline_s, connect=min(_CONNECT_S, self._deadline_s)),
            ) as client,
            client.stream(
                "GET",
                target.url.copy_with(host=str(address)),
                headers={
                    "Host": target.url.netloc.decode("ascii"),
                    "User-Agent": f"headrace/{__version__}",
                    "Accept": ACCEPT,
                    "Accept-Encoding": ACCEPT_ENCODING,
                },
                extensions={"sni_hostname": target.host},
            ) as response,
        ):
            return await self._answer(target, response)

    def _trusted(self) -> ssl.SSLContext:
        """The authorities there are, read once: it takes 20 ms."""
        if self._tls is None:
            self._tls = httpx2.create_ssl_context(trust_env=False)
        return self._tls

    async def _answer(self, target: Target, response: httpx2.Response) -> Fetched | str:
        if response.status_code in _REDIRECTS and "location" in response.headers:
            return str(response.headers["location"])
        if response.status_code != 200:
            raise FetchRefused(f"http_{response.status_code}", f"{target.host} answered {response.status_code}")
        content_type = response.headers.get("content-type", "")
        check_type(content_type)
        return Fetched(str(target.url), content_type, await read_body(response, self._max_bytes))


def _is_tls(error: BaseException | None) -> bool:
    while error is not None:
        if isinstance(error, ssl.SSLError):
            return True
        error = error.__cause__ or error.__context__
    return False


def _said(error: BaseException | None) -> str:
    return (str(error) or type(error).__name__)[:200]
