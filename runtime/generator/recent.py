"""What a door knows of one run it has readers of: its head, and the recent events that came over the feed."""

from __future__ import annotations

import asyncio
from collections import deque
from itertools import takewhile

from runtime.errors import HeadraceError
from runtime.events.envelope import Stored
from runtime.log.wire import FeedItem

TAIL_EVENTS = 2048
"""Recent events kept per watched run; a reader that is further behind reads the log."""


class Tail:
    """What the door knows of one run it has readers of."""

    def __init__(self) -> None:
        self.head = 0
        self.readers = 0
        self.attached = asyncio.Event()
        self.failure: HeadraceError | None = None
        self._recent: deque[Stored] = deque(maxlen=TAIL_EVENTS)
        self._changed = asyncio.Event()

    def accept(self, item: FeedItem) -> None:
        """News from the feed: only the next events in line are kept, a gap is left to the log."""
        for stored in item.events:
            if self._recent and stored.seq <= self._recent[-1].seq:
                continue
            if self._recent and stored.seq != self._recent[-1].seq + 1:
                self._recent.clear()
            self._recent.append(stored)
        self.advance(item.head)

    def advance(self, head: int) -> None:
        """The run's log is known to reach ``head``."""
        self.head = max(self.head, head)
        self.wake()

    def wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    def after(self, cursor: int) -> list[Stored]:
        """Kept events from ``cursor + 1`` on; empty when they do not reach back that far."""
        if not self._recent or self._recent[0].seq > cursor + 1:
            return []
        new = list(takewhile(lambda stored: stored.seq > cursor, reversed(self._recent)))
        new.reverse()
        return new

    async def ready(self, timeout_s: float) -> bool:
        """Wait until the hub feeds this run; False when it does not yet. Raises what kept it from doing so."""
        try:
            async with asyncio.timeout(timeout_s):
                await self.attached.wait()
        except TimeoutError:
            return False
        if self.failure is not None:
            raise self.failure
        return True

    async def changed(self, timeout_s: float) -> bool:
        """Wait for news; False when there was none in time."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._changed.wait()
        except TimeoutError:
            return False
        return True
