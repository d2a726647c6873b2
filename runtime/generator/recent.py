"""What a door knows of one run it has readers of: its head, and the recent events that came over the feed."""

from __future__ import annotations

import asyncio
from collections import deque
from itertools import takewhile

from runtime.errors import Conflict, HeadraceError
from runtime.events.envelope import Stored
from runtime.generator.history import History, log_was_reset
from runtime.log.wire import FeedItem

TAIL_EVENTS = 2048
"""Recent events kept per watched run; a reader that is further behind reads the log."""

TAIL_BYTES = 1024 * 1024
"""And no more of their bytes."""

BATCH_BYTES = 64 * 1024
"""Of events given to a reader at a time: what a reader that has stopped holds, beside the server's own buffer (JOURNAL.md P11)."""

VERIFY_EVERY_S = 5.0
"""Between two looks at a silent run's last event in the log."""


def a_batch(events: list[Stored]) -> list[Stored]:
    """The first of ``events``, up to ``BATCH_BYTES``; at least one."""
    size = 0
    for place, stored in enumerate(events):
        size += len(stored.body)
        if size > BATCH_BYTES and place > 0:
            return events[:place]
    return events


class Tail:
    """What the door knows of one run it has readers of."""

    def __init__(self) -> None:
        self.head = 0
        self.readers = 0
        self.fed_at = float("-inf")
        """When news of it last came over the feed, on the monotonic clock."""
        self.attached = asyncio.Event()
        self.failure: HeadraceError | None = None
        self._recent: deque[Stored] = deque()
        self._bytes = 0
        self._changed = asyncio.Event()
        self._verified_at = float("-inf")

    def accept(self, item: FeedItem) -> None:
        """News from the feed: only the next events in line are kept, a gap is left to the log."""
        for stored in item.events:
            if self._recent and stored.seq <= self._recent[-1].seq:
                if stored.epoch > self._recent[-1].epoch:  # epochs never fall along a log: this is another
                    self.reset()
                continue
            if self._recent and stored.seq != self._recent[-1].seq + 1:
                self._recent.clear()
                self._bytes = 0
            self._keep(stored)
        self.advance(item.head)

    def _keep(self, stored: Stored) -> None:
        self._recent.append(stored)
        self._bytes += len(stored.body)
        while len(self._recent) > TAIL_EVENTS or (self._bytes > TAIL_BYTES and len(self._recent) > 1):
            self._bytes -= len(self._recent.popleft().body)

    def advance(self, head: int) -> None:
        """The run's log is known to reach ``head``."""
        self.head = max(self.head, head)
        self.wake()

    def reset(self) -> None:
        """The log has lost events that were announced here: every reader of this tail is broken off."""
        self.failure = self.failure or log_was_reset()
        self.wake()

    async def verify(self, history: History, now: float) -> None:
        """In a silence, when all readers have seen the same: hold it against the log, at times, once for all of them."""
        if now < self._verified_at + VERIFY_EVERY_S:
            return
        self._verified_at = now
        try:
            await history.check()
        except Conflict:
            self.reset()
            raise

    def wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    def after(self, cursor: int) -> list[Stored]:
        """Kept events from ``cursor + 1`` on; empty when they do not reach back that far. Raises after ``reset``."""
        if self.failure is not None:
            raise self.failure
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
