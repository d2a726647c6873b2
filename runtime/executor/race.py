"""Awaiting something unless an event comes first."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any


async def unless(event: asyncio.Event, work: Coroutine[Any, Any, object], within_s: float) -> bool:
    """Await ``work`` and raise what it raises; False when its time was over or ``event`` was set first: it is then cancelled."""
    call = asyncio.ensure_future(work)
    came = asyncio.ensure_future(event.wait())
    either: set[asyncio.Task[Any]] = {call, came}
    try:
        await asyncio.wait(either, timeout=within_s, return_when=asyncio.FIRST_COMPLETED)
        if not call.done():
            return False
        call.result()
        return True
    finally:
        came.cancel()
        call.cancel()
        await asyncio.gather(call, return_exceptions=True)
