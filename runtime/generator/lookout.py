"""How far the watched runs have come, where the hub's feed does not say it.

A hub feeds what it has committed itself. But several hubs may write to one store, as two clusters do that share a database,
and a feed may be lost. So the log is asked too: with one question for all watched runs, twice a second (JOURNAL.md 1.8), and
at once about a run that a hint names. What is new is read once for all readers of a run and goes into its tail, as if it
had come over the feed. A hint may be lost, come twice or name anything: it never says more than "look".
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Mapping

from runtime.clock import Clock
from runtime.errors import StoreUnavailable
from runtime.generator.recent import Tail
from runtime.log.log import LogReader
from runtime.log.wire import FeedItem
from runtime.telemetry import Counts, logger

_log = logger("door")

Hints = Callable[[], AsyncIterator[set[str]]]
"""Begins to listen and gives the runs that have changed, again and again; an empty set: anything may have."""

POLL_S = 0.5
"""Between two looks at all watched runs; also how long a run counts as fed after news of it."""


class Lookout:
    """See the module. ``hints`` None: no other hub writes to this store, so nobody looks while the feed is there."""

    def __init__(
        self, reader: LogReader, tails: Mapping[str, Tail], clock: Clock, counts: Counts, *, hints: Hints | None
    ) -> None:
        self._reader = reader
        self._tails = tails
        self._clock = clock
        self._counts = counts
        self._hints = hints
        self._named: set[str] = set()
        self._all = False
        self._news = asyncio.Event()

    async def look_forever(self, fed: asyncio.Event) -> None:
        """Keep the tails up to date until cancelled; ``fed`` is set while the feed is there."""
        listening = asyncio.create_task(self._listen(), name="door-hints")
        due = self._clock.monotonic() + POLL_S
        try:
            while True:
                await self._hinted(due - self._clock.monotonic())
                everything = self._all or self._clock.monotonic() >= due
                run_ids = self._watched() if everything else self._unfed(self._named)
                self._named, self._all = set(), False
                if everything:
                    due = self._clock.monotonic() + POLL_S
                if run_ids and (self._hints is not None or not fed.is_set()):
                    await self._look(run_ids)
        finally:
            listening.cancel()
            await asyncio.gather(listening, return_exceptions=True)

    async def _listen(self) -> None:
        if self._hints is None:
            return
        try:
            async for named in self._hints():
                self._named |= named & self._tails.keys()
                self._all = self._all or not named
                if self._named or self._all:
                    self._news.set()
        except Exception:  # a defect: readers get their news twice a second all the same
            _log.exception("the hints have ended")

    async def _hinted(self, timeout_s: float) -> None:
        """Wait for a hint, at most so long."""
        try:
            async with asyncio.timeout(max(0.0, timeout_s)):
                await self._news.wait()
        except TimeoutError:
            return
        self._news.clear()

    def _watched(self) -> list[str]:
        return [run_id for run_id, tail in self._tails.items() if tail.attached.is_set()]

    def _unfed(self, named: Collection[str]) -> list[str]:
        """Those that are watched here, and that our own hub does not feed: most hints only repeat the feed."""
        recent = self._clock.monotonic() - POLL_S
        return [run_id for run_id in self._watched() if run_id in named and self._tails[run_id].fed_at < recent]

    async def _look(self, run_ids: list[str]) -> None:
        known = {run_id: (tail, tail.head) for run_id in run_ids if (tail := self._tails.get(run_id)) is not None}
        try:
            heads = await self._reader.heads(run_ids)
            for run_id, (tail, head) in known.items():
                if heads.get(run_id, 0) < head:  # asked after it was known: the log has lost its end
                    tail.reset()
                elif self._tails.get(run_id) is tail:
                    await self._catch_up(run_id, tail, heads.get(run_id, 0))
        except StoreUnavailable as error:  # its readers are told by their own reading
            _log.debug("no look at the watched runs: %s", error.message)
            self._counts.add("looks_failed")
        else:
            self._counts.add("looks")

    async def _catch_up(self, run_id: str, tail: Tail, head: int) -> None:
        if head <= tail.head:
            return
        events = await self._reader.read(run_id, after=tail.head)
        tail.accept(FeedItem(run_id, max([head, *(event.seq for event in events[-1:])]), tuple(events)))
        self._counts.add("caught_up")
