"""Fan-out: one feed per door, each a bounded gathering of news about the runs that door watches."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from runtime.events.envelope import Stored
from runtime.log.wire import FeedItem

HIGH_WATER_BYTES = 8 * 1024 * 1024
"""A feed that holds more than this forgets the bodies and keeps only heads: the door then reads the log (JOURNAL.md 1.11, 8)."""

IDLE_S = 2.0
"""Silence after which an empty batch goes out, so that a door can tell a quiet hub from a dead one."""


class Feed:
    """News for one door. Items of a run are consecutive, or degraded to its head alone."""

    def __init__(self) -> None:
        self._events: dict[str, list[Stored]] = {}
        self._heads: dict[str, int] = {}
        self._bytes = 0
        self._news = asyncio.Event()
        self._closed = False
        self.degraded = 0

    def put(self, run_id: str, head: int, events: tuple[Stored, ...]) -> None:
        """Add news; never waits, never grows past the high-water mark."""
        self._heads[run_id] = head
        self._bytes += sum(len(e.body) for e in events)
        if self._bytes > HIGH_WATER_BYTES:
            self._events.clear()
            self._bytes = 0
            self.degraded += 1
        else:
            self._events.setdefault(run_id, []).extend(events)
        self._news.set()

    def close(self) -> None:
        """End the feed after what it still holds."""
        self._closed = True
        self._news.set()

    async def __aiter__(self) -> AsyncIterator[list[FeedItem]]:
        yield []  # at once: the door learns that it is attached
        while True:
            try:
                async with asyncio.timeout(IDLE_S):
                    await self._news.wait()
            except TimeoutError:
                yield []
                continue
            self._news.clear()
            if self._heads:
                yield self._take()
            if self._closed:
                return

    def _take(self) -> list[FeedItem]:
        heads, events = self._heads, self._events
        self._heads, self._events, self._bytes = {}, {}, 0
        return [FeedItem(run_id, head, tuple(events.get(run_id, ()))) for run_id, head in heads.items()]


class Feeds:
    """All feeds of a hub, and which run goes to which door."""

    def __init__(self) -> None:
        self._feeds: dict[str, Feed] = {}
        self._doors: dict[str, set[str]] = {}

    def open(self, door: str) -> Feed:
        """A new feed for ``door``; an older one of the same door is ended."""
        if (old := self._feeds.get(door)) is not None:
            old.close()
        feed = self._feeds[door] = Feed()
        return feed

    def drop(self, door: str, feed: Feed) -> list[str]:
        """Forget a lost feed; answers the runs its door watched. Nothing when a newer feed has taken its place."""
        if self._feeds.get(door) is not feed:
            return []
        del self._feeds[door]
        watched = [run_id for run_id, doors in self._doors.items() if door in doors]
        for run_id in watched:
            self.unwatch(door, run_id)
        return watched

    def watch(self, door: str, run_id: str) -> None:
        self._doors.setdefault(run_id, set()).add(door)

    def unwatch(self, door: str, run_id: str) -> None:
        doors = self._doors.get(run_id, set())
        doors.discard(door)
        if not doors:
            self._doors.pop(run_id, None)

    def watchers(self, run_id: str) -> frozenset[str]:
        """The doors that have readers of this run."""
        return frozenset(self._doors.get(run_id, ()))

    def publish(self, run_id: str, head: int, events: tuple[Stored, ...]) -> None:
        """Give committed events to every door that watches the run."""
        for door in self._doors.get(run_id, ()):
            feed = self._feeds.get(door)
            if feed is not None:
                feed.put(run_id, head, events)

    def close(self) -> None:
        for feed in self._feeds.values():
            feed.close()

    def statistics(self) -> dict[str, int]:
        return {
            "feeds": len(self._feeds),
            "runs_watched": len(self._doors),
            "feeds_degraded": sum(feed.degraded for feed in self._feeds.values()),
        }
