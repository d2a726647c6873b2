"""Presence: who reads what, and what becomes of a run that nobody reads.

Readers are known by door: the last reader of a run at a door unwatches it there, the last door to do so starts the run's
grace. When that is over and nobody has come back, a run that asked for it is cancelled. Silence is not absence: a door
that was lost, a hub that was started anew and a run that was just created leave readers time to (re)appear, so there the
grace is never less than ``LOST_DOOR_GRACE_S``. A run has one timer at most; a reader or the run's end stops it.

Which runs are cancelled when left, and after how long, is not known here: ``unread`` is asked each time.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable

from runtime.clock import Clock
from runtime.errors import Conflict, HeadraceError, NotFound
from runtime.log.feed import Feeds
from runtime.log.wire import CancelledBy, FeedItem
from runtime.telemetry import Counts, logger

_log = logger("hub")

CANCEL_AGAIN_S = 1.0
"""Pause before a run nobody reads is cancelled again, when the store was away."""

LOST_DOOR_GRACE_S = 30.0
"""Least time readers get to come back after their door was lost (JOURNAL.md 1.11, 9)."""


class Presence:
    """See the module. ``unread`` hears of a run nobody reads and gives its grace, None when it goes on unread."""

    def __init__(
        self,
        feeds: Feeds,
        clock: Clock,
        counts: Counts,
        *,
        unread: Callable[[str], float | None],
        cancel: Callable[[str, CancelledBy], Awaitable[object]],
    ) -> None:
        self._feeds = feeds
        self._clock = clock
        self._counts = counts
        self._unread = unread
        self._cancel = cancel
        self.timers: dict[str, asyncio.Task[None]] = {}

    def watch(self, door: str, run_id: str) -> None:
        """The door has a reader of this run."""
        self._feeds.watch(door, run_id)
        self.forget_timer(run_id)

    def unwatch(self, door: str, run_id: str) -> None:
        """The door has no reader of this run any more."""
        self._feeds.unwatch(door, run_id)
        self._left(run_id, least_s=0.0)

    async def feed(self, door: str) -> AsyncGenerator[list[FeedItem], None]:
        """The door's one feed; when it is lost, its runs count as left, with at least 30 s of grace."""
        feed = self._feeds.open(door)
        try:
            async for batch in feed:
                yield batch
        finally:
            for run_id in self._feeds.drop(door, feed):
                self._left(run_id, least_s=LOST_DOOR_GRACE_S)

    def expect(self, run_id: str) -> None:
        """A reader of this new run is on the way; one who never comes has left."""
        self._left(run_id, least_s=LOST_DOOR_GRACE_S)

    def inherit(self, run_id: str) -> None:
        """A hub before this one may have had readers of this run: they get time to come back."""
        if run_id not in self.timers:
            self._left(run_id, least_s=LOST_DOOR_GRACE_S)

    def forget_timer(self, run_id: str) -> None:
        """The run is read again, or has ended: nobody is waited for."""
        timer = self.timers.pop(run_id, None)
        if timer is not None:
            timer.cancel()

    def stop(self) -> None:
        """Wait for nobody any more."""
        for timer in self.timers.values():
            timer.cancel()

    def _left(self, run_id: str, least_s: float) -> None:
        if self._feeds.watchers(run_id):
            return
        grace_s = self._unread(run_id)
        if grace_s is None:
            return
        self.forget_timer(run_id)
        wait = max(grace_s, least_s)
        self.timers[run_id] = asyncio.create_task(self._cancel_after(run_id, wait), name=f"grace-{run_id}")

    async def _cancel_after(self, run_id: str, seconds: float) -> None:
        await self._clock.sleep(seconds)
        while not self._feeds.watchers(run_id):
            try:
                await self._cancel(run_id, "disconnect")
                self._counts.add("cancelled_by_disconnect")
                break
            except (Conflict, NotFound):
                _log.debug("run %s ended before its grace did", run_id)
                break
            except HeadraceError as error:
                _log.warning("run %s, which nobody reads, could not be cancelled yet: %s", run_id, error.message)
                await self._clock.sleep(CANCEL_AGAIN_S)
        if self.timers.get(run_id) is asyncio.current_task():
            del self.timers[run_id]
