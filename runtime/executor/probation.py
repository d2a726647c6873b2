"""Runs that lost their owners again and again begin one after the other (docs/adr/0009)."""

from __future__ import annotations

import asyncio

PROBATION_AFTER = 2
"""Lost owners without progress after which a run is driven alone among its like: a run that kills its executor may take
its neighbours along, and must not make poison of them (JOURNAL.md P7)."""

PROBATION_S = 10.0
"""How long such a run is watched before the next of them may begin."""


class Probation:
    """The room of one executor for such runs; one of them at a time is watched."""

    def __init__(self) -> None:
        self._lock = asyncio.Lock()
        self._watches: set[asyncio.Task[None]] = set()

    async def enter(self, unless: asyncio.Event) -> None:
        """Wait until the run before this task's has shown that it is harmless, or has ended; or until ``unless`` is set."""
        acquired = asyncio.ensure_future(self._lock.acquire())
        excused = asyncio.ensure_future(unless.wait())
        try:
            await asyncio.wait({acquired, excused}, return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            if not acquired.cancel() and not acquired.cancelled():
                self._lock.release()
            raise
        finally:
            excused.cancel()
        if not acquired.done():
            acquired.cancel()
            return
        driven = asyncio.current_task()
        assert driven is not None
        self._watches.add(watch := asyncio.create_task(self._watch(driven)))
        watch.add_done_callback(self._watches.discard)

    async def _watch(self, driven: asyncio.Task[object]) -> None:
        try:
            await asyncio.wait({driven}, timeout=PROBATION_S)
        finally:
            self._lock.release()
