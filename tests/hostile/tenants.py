"""Who asks, as what: the tenants of one server, each with the headers that say who it is and with runs of its own."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import httpx2

from runtime.generator.auth import operator
from tests.hostile.server import World, listening, serving, world

Worlds = dict[str, tuple[World, tuple[str, ...]]]
"""Name of a tenant -> what it sees, and its headers (``Name: value``)."""
Tenants = Callable[[Path], AbstractAsyncContextManager[Worlds]]


@asynccontextmanager
async def developer(tmp_path: Path) -> AsyncIterator[Worlds]:
    """Development mode: nobody has to say who asks."""
    async with serving(tmp_path, brief=True) as there:
        yield {"the developer": (there, ())}


@asynccontextmanager
async def two_tenants(tmp_path: Path) -> AsyncIterator[Worlds]:
    """With keys for everything but keys: a client that tries every operation would end its own."""
    async with listening(tmp_path, brief=True, auth="keys", max_failures_per_minute=1_000_000) as url:
        operator.write(tmp_path, url, secrets.token_bytes)
        found = operator.read(tmp_path)
        assert found is not None
        worlds: Worlds = {}
        async with httpx2.AsyncClient(base_url=url, headers={"Authorization": f"Bearer {found.key}"}) as client:
            for name in ("tenant-a", "tenant-b"):
                made = await client.post("/v1/keys", json={"name": name, "tenant_id": name})
                credential = f"Bearer {made.json()['key']}"
                worlds[name] = (await world(url, {"Authorization": credential}), (f"Authorization: {credential}",))
        yield worlds
