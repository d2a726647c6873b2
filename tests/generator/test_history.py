"""Streams that are open while the log loses its end: none goes on as if nothing had been, none that lost nothing ends."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager

import pytest

from runtime.errors import Conflict
from runtime.events.envelope import Record, Stored
from runtime.generator.lookout import POLL_S
from runtime.generator.recent import VERIFY_EVERY_S
from runtime.generator.tail import LogDoor
from runtime.log.hub import Hub
from runtime.log.log import NewRun, Write
from runtime.log.reset import LEAST
from tests.fakes.forgetful_log import ForgetfulLog
from tests.generator.test_tail import ACCEPTED, COMPLETED, DELTA
from tests.virtual_time import LoopClock, virtual_time

IDLE_S = 8.0


async def no_hints() -> AsyncIterator[set[str]]:
    """Of a store with other hubs, all of whose hints are lost."""
    await asyncio.Event().wait()
    yield set()


class House:
    """A store, the door's hub, and what the door's one reader has been shown."""

    def __init__(self, *, others: bool) -> None:
        """``others``: other hubs write to the store too, so the door looks for itself."""
        self.clock = LoopClock()
        self.log = ForgetfulLog(self.clock)
        self.hub = Hub(self.log, self.clock)
        hints = no_hints if others else None
        self.door = LogDoor("d", self.hub, self.log, (), self.clock, max_readers_per_run=9, hints=hints)
        self.shown: list[Stored] = []
        self.reader: asyncio.Task[None] | None = None
        self.writes = 0

    async def write(self, *records: Record) -> None:
        """By another hub: what is in the log is all that the door can know of it."""
        run = await self.log.get("r1")
        assert run is not None
        self.writes += 1
        await self.log.append([Write("r1", None, run.last_seq, f"w{self.writes}", 1, records)])

    async def take_over(self) -> None:
        run = await self.log.get("r1")
        assert run is not None
        if run.owner is not None:
            await self.log.release(run.owner)
        name = f"e{run.epoch + 2}"
        await self.log.renew(name, ttl_s=1e6)
        assert await self.log.claim("r1", executor=name)

    async def follow(self, after: int = 0) -> None:
        async with aclosing(self.door.follow("r1", after=after, idle_s=IDLE_S)) as batches:
            async for batch in batches:
                self.shown += batch or []

    async def read(self, after: int = 0) -> None:
        """Read, beside the test, all that there is."""
        self.reader = asyncio.create_task(self.follow(after))
        await asyncio.sleep(1.0)

    @property
    def seqs(self) -> list[int]:
        return [stored.seq for stored in self.shown]

    async def broken_within(self, seconds: float) -> None:
        assert self.reader is not None
        async with asyncio.timeout(seconds):
            with pytest.raises(Conflict) as broken:
                await self.reader
        assert broken.value.reason == "cursor_mismatch"


@asynccontextmanager
async def a_house(*, others: bool = True) -> AsyncGenerator[House, None]:
    """Events 1 to 3 are kept whatever happens; 4 and 5 will be lost with ``lose``."""
    house = House(others=others)
    await house.hub.start()
    await house.door.start()
    await asyncio.sleep(0.01)
    await house.hub.create(NewRun("r1", "default", None, "why?", 1e6, "continue", 30.0, (ACCEPTED,)))
    await house.take_over()
    await house.write(DELTA, DELTA)
    house.log.keep()
    await house.write(DELTA, DELTA)
    try:
        yield house
    finally:
        if house.reader is not None:
            house.reader.cancel()
            await asyncio.gather(house.reader, return_exceptions=True)
        await house.door.stop()
        await house.hub.stop()


@virtual_time
async def test_stream_that_was_shown_lost_events_breaks_off_before_anything_is_written_anew() -> None:
    async with a_house() as house:
        await house.read()
        assert house.seqs == [1, 2, 3, 4, 5]
        house.log.lose()
        await house.broken_within(2 * POLL_S)


@virtual_time
async def test_stream_breaks_off_when_its_own_hub_writes_what_it_was_shown_otherwise() -> None:
    async with a_house(others=False) as house:
        await house.read()
        await house.hub.cancel("r1", "user")  # so that the tail holds an event
        await asyncio.sleep(0.1)
        assert house.seqs == [1, 2, 3, 4, 5, 6]
        house.log.lose()
        await house.hub.cancel("r1", "user")
        await house.broken_within(0.1)
        assert house.seqs == [1, 2, 3, 4, 5, 6]


@virtual_time
@pytest.mark.parametrize("after", [0, 5])
async def test_stream_breaks_off_where_the_new_log_has_overtaken_the_old_one_unseen(after: int) -> None:
    async with a_house() as house:
        await house.read(after)
        house.log.lose()
        await house.write(*[DELTA] * 5)
        await house.broken_within(2 * POLL_S)
        assert house.seqs == [1, 2, 3, 4, 5][after:], "nothing of the new log after what was lost of the old"


@virtual_time
async def test_stream_breaks_off_when_the_new_log_ends_with_the_number_last_shown() -> None:
    async with a_house() as house:
        await house.read()
        house.log.lose()
        await house.write(DELTA, COMPLETED)
        await house.broken_within(IDLE_S + VERIFY_EVERY_S)
        assert house.seqs == [1, 2, 3, 4, 5]


@virtual_time
async def test_stream_goes_on_after_a_loss_of_nothing_it_was_shown_and_after_a_takeover() -> None:
    async with a_house() as house:
        house.log.lose()
        await house.read()
        assert house.seqs == [1, 2, 3]
        house.log.keep()
        house.log.lose()
        await house.write(DELTA)
        await asyncio.sleep(2 * IDLE_S)
        await house.take_over()
        await house.write(DELTA, COMPLETED)
        assert house.reader is not None
        async with asyncio.timeout(2 * POLL_S):
            await house.reader
        assert house.seqs == [1, 2, 3, 4, 5, 6]
        assert [stored.epoch for stored in house.shown] == [0, 1, 1, 1 + 2 * LEAST, 2 + 2 * LEAST, 2 + 2 * LEAST]


@virtual_time
async def test_reader_that_comes_after_the_break_reads_the_log_as_it_is_beside_one_that_lingers() -> None:
    async with a_house() as house, aclosing(house.door.follow("r1", after=0, idle_s=IDLE_S)) as lingering:
        assert [stored.seq for stored in await anext(lingering) or []] == [1, 2, 3, 4, 5]
        house.log.lose()
        await house.write(COMPLETED)
        await asyncio.sleep(2 * POLL_S)
        async with asyncio.timeout(1.0):
            await house.follow()
        assert [(stored.seq, stored.epoch) for stored in house.shown[3:]] == [(4, 1 + LEAST)]
        with pytest.raises(Conflict):
            await anext(lingering)
