"""Keys in memory, for ``MemoryLog``."""

from __future__ import annotations

from dataclasses import replace

from runtime.errors import StoreUnavailable
from runtime.log.credentials import Key
from runtime.log.decide import key_exists


class MemoryKeys:
    """The whole ``Credentials`` port over a dictionary; away while ``_closed``."""

    def __init__(self) -> None:
        self._closed = False
        self._credentials: dict[str, Key] = {}

    async def key(self, key_id: str) -> Key | None:
        self._reachable()
        return self._credentials.get(key_id)

    async def keys(self, *, tenant_id: str | None, limit: int = 200) -> list[Key]:
        self._reachable()
        found = [key for key in self._credentials.values() if tenant_id in (None, key.tenant_id)]
        return sorted(found, key=lambda key: (-key.created_at, key.key_id))[: max(limit, 0)]

    async def add_key(self, key: Key) -> None:
        self._reachable()
        if key.key_id in self._credentials:
            raise key_exists(key.key_id)
        self._credentials[key.key_id] = key

    async def revoke_key(self, key_id: str, at: float) -> Key | None:
        self._reachable()
        key = self._credentials.get(key_id)
        if key is not None and key.revoked_at is None:
            key = self._credentials[key_id] = replace(key, revoked_at=at)
        return key

    async def expire_key(self, key_id: str, at: float) -> Key | None:
        self._reachable()
        key = self._credentials.get(key_id)
        if key is not None:
            ends = at if key.expires_at is None else min(at, key.expires_at)
            key = self._credentials[key_id] = replace(key, expires_at=ends)
        return key

    def _reachable(self) -> None:
        if self._closed:
            raise StoreUnavailable("the log is closed")
