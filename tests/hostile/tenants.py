"""Who asks, as what: the tenants of one server, each with the headers that say who it is and with runs of its own."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

from tests.hostile.server import World, serving

Worlds = dict[str, tuple[World, tuple[str, ...]]]
"""Name of a tenant -> what it sees, and its headers (``Name: value``)."""
Tenants = Callable[[Path], AbstractAsyncContextManager[Worlds]]


@asynccontextmanager
async def developer(tmp_path: Path) -> AsyncIterator[Worlds]:
    """Development mode: nobody has to say who asks."""
    async with serving(tmp_path, brief=True) as world:
        yield {"the developer": (world, ())}
