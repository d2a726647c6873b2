"""The issuer's public keys: a JWK Set at a configured address or in a file, read again now and then, never on a token's word.

A ``kid`` that is not known may be a new key, so it makes the set be read again, but at most once in ``AGAIN_S``, whoever asks
and however often. A set that cannot be read leaves the old one in force for ``STALE_S``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, Final

import httpx2
import jwt
import orjson

from runtime.clock import Clock
from runtime.errors import StoreUnavailable
from runtime.telemetry import logger

FRESH_S: Final = 300.0
"""How long a set is used without a look whether there is a new one: a key taken back opens nothing after that."""
AGAIN_S: Final = 30.0
"""Between two readings that unknown keys or failures ask for."""
STALE_S: Final = 6 * 3600.0
"""How long a set is used when no new one can be had."""
FETCH_S: Final = 5.0
MAX_BYTES: Final = 262_144
MAX_KEYS: Final = 100
ASYMMETRIC: Final = frozenset({"RSA", "EC", "OKP"})

_log = logger("auth")

Fetch = Callable[[], Awaitable[bytes]]
"""Reads the set's bytes. Raises ``OSError``, ``httpx2.HTTPError``, ``ValueError``."""


class IssuerKeys:
    """See the module."""

    def __init__(self, where: str, clock: Clock, fetch: Fetch | None = None) -> None:
        """``where``: the configured address or file. ``fetch`` is for tests."""
        self._where = where
        self._clock = clock
        self._fetch = fetch or _fetcher(where)
        self._keys: list[Mapping[str, Any]] = []
        self._made: dict[tuple[str | None, str], jwt.PyJWK] = {}
        self._read_at = -STALE_S
        self._tried_at = -STALE_S
        self._failure = ""
        self._reading = asyncio.Lock()

    async def key(self, kid: object, algorithm: str) -> jwt.PyJWK | None:
        """The key of that id, for that algorithm; without an id the only key. Raises ``StoreUnavailable`` without any set.

        Raises ``jwt.PyJWTError`` for a key that does not do that algorithm.
        """
        if kid is not None and not isinstance(kid, str):
            return None
        if self._clock.monotonic() - self._read_at >= FRESH_S:
            await self._read()
        found = self._find(kid, algorithm)
        if found is None:
            await self._read()
            found = self._find(kid, algorithm)
        return found

    async def count(self) -> int:
        """How many there are. Raises ``StoreUnavailable``."""
        await self._read()
        return len(self._keys)

    def _find(self, kid: str | None, algorithm: str) -> jwt.PyJWK | None:
        named = [key for key in self._keys if kid is None or key.get("kid") == kid]
        if len(named) != 1:
            return None
        if (kid, algorithm) not in self._made:
            self._made[kid, algorithm] = jwt.PyJWK(dict(named[0]), algorithm=named[0].get("alg") or algorithm)
        return self._made[kid, algorithm]

    async def _read(self) -> None:
        """Read the set, unless that was tried just now."""
        async with self._reading:
            now = self._clock.monotonic()
            if now - self._tried_at >= AGAIN_S:
                self._tried_at = now
                try:
                    self._keys = _usable(await self._fetch())
                    self._read_at, self._made = now, {}
                except (OSError, httpx2.HTTPError, ValueError) as error:
                    self._failure = repr(error)
                    _log.error("the issuer's keys at %s cannot be read: %s", self._where, self._failure)
            if now - self._read_at >= STALE_S:
                self._keys, self._made = [], {}
                raise StoreUnavailable(f"the issuer's keys cannot be read ({self._failure})")


def _usable(raw: bytes) -> list[Mapping[str, Any]]:
    """The keys in a set that can check signatures. Raises ``ValueError`` when there are none."""
    found = orjson.loads(raw)
    keys = found.get("keys") if isinstance(found, dict) else None
    listed = [key for key in keys if isinstance(key, dict)] if isinstance(keys, list) else []
    usable: list[Mapping[str, Any]] = [
        key for key in listed if key.get("kty") in ASYMMETRIC and key.get("use", "sig") == "sig"
    ]
    if not usable or len(usable) > MAX_KEYS:
        raise ValueError(f"it has {len(usable)} keys for signatures; 1 to {MAX_KEYS} are taken")
    return usable


def _fetcher(where: str) -> Fetch:
    if "://" not in where:
        path = Path(where).expanduser()
        return lambda: asyncio.to_thread(path.read_bytes)

    async def fetch() -> bytes:
        async with (
            asyncio.timeout(FETCH_S),
            httpx2.AsyncClient(follow_redirects=False, timeout=FETCH_S) as http,
            http.stream("GET", where, headers={"Accept": "application/json"}) as response,
        ):
            if response.status_code != 200:
                raise ValueError(f"it answers {response.status_code}")
            read = bytearray()
            async for chunk in response.aiter_bytes():
                read += chunk
                if len(read) > MAX_BYTES:
                    raise ValueError(f"it is longer than {MAX_BYTES} bytes")
            return bytes(read)

    return fetch
