"""The corpus against a server."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from tests.hostile.case import Case
from tests.hostile.check import complaints
from tests.hostile.raw import exchange
from tests.hostile.server import World

AT_ONCE = 16


async def tried(world: World, cases: Sequence[Case], at_once: int = AT_ONCE) -> list[str]:
    """Send each case; what was wrong with the answers."""
    gate = asyncio.Semaphore(at_once)

    async def one(case: Case) -> list[str]:
        async with gate:
            reply = await exchange(world.port, world.filled(case.raw), eof=case.eof, to_end=case.closes)
        return complaints(case, reply)

    return [words for found in await asyncio.gather(*map(one, cases)) for words in found]
