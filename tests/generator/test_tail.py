"""The door over a real hub and a log in memory: no gap, no twin, whatever is lost meanwhile."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager
from typing import Any

import pytest

import runtime.log.feed as feed_module
from runtime.errors import Busy, NotFound, StoreUnavailable
from runtime.events.envelope import Record, Stored
from runtime.generator.recent import BATCH_BYTES, TAIL_BYTES, Tail
from runtime.generator.tail import LogDoor
from runtime.log.hub import Hub
from runtime.log.log import NewRun
from runtime.log.memory import MemoryLog
from runtime.log.wire import Append, FeedItem
from tests.rig import HubPortal
from tests.virtual_time import LoopClock, virtual_time

ACCEPTED = Record("run.accepted", "status", None, b'{"type":"run.accepted"}')
DELTA = Record("turn.delta", "token", "s1", b'{"text":"a"}')
COMPLETED = Record("run.completed", "status", None, b"{}")


class Port(HubPortal):
    """Counts what the door tells the hub, and can let attaching hang."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = asyncio.Event()
        self.gate.set()
        self.told: list[tuple[str, str]] = []

    async def watch(self, door: str, run_ids: Sequence[str]) -> dict[str, int]:
        self.told += [("watch", run_id) for run_id in run_ids]
        await self.gate.wait()
        return await super().watch(door, run_ids)

    async def unwatch(self, door: str, run_ids: Sequence[str]) -> None:
        self.told += [("unwatch", run_id) for run_id in run_ids]
        await super().unwatch(door, run_ids)


class House:
    """A log, a hub behind a port, a door before it."""

    def __init__(self, max_readers: int) -> None:
        self.clock = LoopClock()
        self.log = MemoryLog(self.clock)
        self.port = Port()
        self.door = LogDoor("d", self.port, self.log, (), self.clock, max_readers_per_run=max_readers)
        self.numbers: dict[str, int] = {}
        self.hubs: list[Hub] = []

    async def put_hub(self) -> Hub:
        hub = self.port.hub = Hub(self.log, self.clock)
        await hub.start()
        self.hubs.append(hub)
        return hub

    def lose_hub(self) -> None:
        hub, self.port.hub = self.port.hub, None
        assert hub is not None
        assert hub._committer is not None
        hub._committer.cancel()
        hub._feeds.close()

    async def run(self, run_id: str = "r1", *, conversation_id: str | None = None) -> None:
        await self.port.create(NewRun(run_id, "t1", conversation_id, "why?", 1e6, "continue", 30.0, (ACCEPTED,)))
        await self.port.renew("e1", ttl_s=1e6)
        await self.port.claim(run_id, executor="e1")

    async def write(self, *records: Record, run_id: str = "r1") -> None:
        number = self.numbers[run_id] = self.numbers.get(run_id, 0) + 1
        (answer,) = await self.port.append([Append(run_id, "p", number, 1, records)])
        assert answer.outcome == "committed"

    async def read(self, *, after: int = 0, run_id: str = "r1", idle_s: float = 1.0) -> list[int]:
        """A reader to the end of the run: the numbers it got."""
        seqs: list[int] = []
        async with aclosing(self.door.follow(run_id, after=after, idle_s=idle_s)) as batches:
            async for batch in batches:
                seqs += [stored.seq for stored in batch]
        return seqs


@asynccontextmanager
async def a_house(*, max_readers: int = 50) -> AsyncIterator[House]:
    house = House(max_readers)
    await house.put_hub()
    await house.door.start()
    await asyncio.sleep(0.01)  # the feed has begun
    try:
        yield house
    finally:
        await house.door.stop()
        for hub in house.hubs:
            if hub is house.port.hub:
                await hub.stop()


@virtual_time
@pytest.mark.parametrize("lot", range(4))
async def test_readers_see_every_event_once_wherever_and_whenever_they_attach(lot: int, monkeypatch: Any) -> None:
    for seed in range(lot * 50, lot * 50 + 50):
        chance = random.Random(seed)
        if chance.random() < 0.3:
            monkeypatch.setattr(feed_module, "HIGH_WATER_BYTES", chance.choice([1, 30, 100]))
        else:
            monkeypatch.undo()
        async with a_house() as house:
            await house.run()
            total = chance.randint(5, 40)
            cursors: dict[int, int] = {}

            async def reader(number: int, wanted: int, late_s: float) -> list[int]:
                await asyncio.sleep(late_s)
                known = await house.log.get("r1")  # awaited within this turn of the loop
                assert known is not None
                cursors[number] = min(wanted, known.last_seq)  # noqa: B023
                return await house.read(after=cursors[number])  # noqa: B023

            readers = [
                asyncio.create_task(reader(number, chance.randint(0, total + 1), chance.uniform(0, 0.5)))
                for number in range(6)
            ]
            swap = chance.randint(0, total) if chance.random() < 0.3 else -1
            for n in range(1, total + 1):
                await house.write(*([DELTA] if n < total else [COMPLETED]))
                await asyncio.sleep(chance.choice([0, 0, 0.001, 0.02]))
                if n == swap:
                    house.lose_hub()
                    await asyncio.sleep(chance.uniform(0, 1))
                    await house.put_hub()
            async with asyncio.timeout(60.0):
                got = await asyncio.gather(*readers, return_exceptions=True)
            for number, seqs in enumerate(got):
                cursor = cursors[number]
                if isinstance(seqs, StoreUnavailable):
                    continue  # attached while there was no hub: told so, and may come again with its cursor
                assert seqs == list(range(cursor + 1, total + 2)), f"seed {seed}: after {cursor} of {total + 1}"


@virtual_time
async def test_a_lost_feed_is_attached_again_and_readers_go_on_from_their_cursors() -> None:
    async with a_house() as house:
        await house.run()
        reader = asyncio.create_task(house.read())
        await asyncio.sleep(0.1)
        await house.write(DELTA)
        await asyncio.sleep(0.1)
        house.lose_hub()
        await asyncio.sleep(3.0)
        await house.put_hub()
        await house.write(DELTA, DELTA)  # before the door has told the new hub anything
        await asyncio.sleep(10.0)
        assert house.port.told.count(("watch", "r1")) == 2
        await house.write(COMPLETED)
        async with asyncio.timeout(0.1):
            assert await reader == [1, 2, 3, 4, 5]


@virtual_time
async def test_a_new_hub_that_cannot_be_told_at_first_is_told_again(monkeypatch: pytest.MonkeyPatch) -> None:
    async with a_house() as house:
        await house.run()
        reader = asyncio.create_task(house.read())
        await asyncio.sleep(0.1)
        house.lose_hub()
        real, refused = house.port.watch, []

        async def watch(door: str, run_ids: Sequence[str]) -> dict[str, int]:
            if len(refused) < 3:
                refused.append(door)
                raise StoreUnavailable("not yet")
            return await real(door, run_ids)

        monkeypatch.setattr(house.port, "watch", watch)
        await house.put_hub()
        await asyncio.sleep(20.0)
        await house.write(COMPLETED)
        async with asyncio.timeout(1.0):
            assert await reader == [1, 2]


@virtual_time
async def test_a_degraded_feed_is_made_good_from_the_log(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed_module, "HIGH_WATER_BYTES", 1)
    async with a_house() as house:
        await house.run()
        reader = asyncio.create_task(house.read())
        await asyncio.sleep(0.1)
        for _ in range(20):
            await house.write(DELTA, DELTA)
        await house.write(COMPLETED)
        async with asyncio.timeout(5.0):
            assert await reader == list(range(1, 43))
        assert house.port.hub is not None
        assert house.port.hub.statistics()["feeds_degraded"] > 0


@virtual_time
async def test_heartbeats_come_while_attaching_hangs() -> None:
    async with a_house() as house:
        await house.run()
        house.port.gate.clear()
        begun = house.clock.monotonic()
        async with aclosing(house.door.follow("r1", after=0, idle_s=10.0)) as batches:
            assert await anext(batches) == []
            assert await anext(batches) == []
            assert house.clock.monotonic() - begun == pytest.approx(20.0)
            house.port.gate.set()
            assert [e.seq for e in await anext(batches)] == [1]


@virtual_time
async def test_heartbeats_come_while_nothing_happens() -> None:
    async with a_house() as house:
        await house.run()
        async with aclosing(house.door.follow("r1", after=1, idle_s=10.0)) as batches:
            begun = house.clock.monotonic()
            assert await anext(batches) == []
            assert house.clock.monotonic() - begun == pytest.approx(10.0, abs=0.1)


@virtual_time
async def test_a_run_that_ended_at_the_cursor_has_nothing_more_to_say() -> None:
    async with a_house() as house:
        await house.run()
        await house.write(DELTA, COMPLETED)
        async with asyncio.timeout(1.0):
            assert await house.read(after=3) == []
            assert await house.read(after=2) == [3]
            assert await house.read() == [1, 2, 3]


@virtual_time
async def test_an_unknown_run_is_not_found() -> None:
    async with a_house() as house:
        with pytest.raises(NotFound):
            await house.read(run_id="nobody")
        await asyncio.sleep(0.1)
        assert house.door.statistics()["runs_watched"] == 0


@virtual_time
async def test_a_run_takes_only_so_many_readers_and_a_place_becomes_free_again() -> None:
    async with a_house(max_readers=2) as house:
        await house.run()
        readers = [asyncio.create_task(house.read()) for _ in range(2)]
        await asyncio.sleep(0.1)
        with pytest.raises(Busy):
            await house.read()
        readers[0].cancel()
        await asyncio.gather(readers[0], return_exceptions=True)
        third = asyncio.create_task(house.read())
        await house.write(COMPLETED)
        assert await readers[1] == await third == [1, 2]


@virtual_time
async def test_the_last_reader_to_leave_tells_the_hub_once() -> None:
    async with a_house() as house:
        await house.run()
        readers = [asyncio.create_task(house.read()) for _ in range(3)]
        await asyncio.sleep(0.1)
        assert house.port.told == [("watch", "r1")]
        for reader in readers:
            assert ("unwatch", "r1") not in house.port.told
            reader.cancel()
            await asyncio.gather(reader, return_exceptions=True)
            await asyncio.sleep(0.1)
        assert house.port.told == [("watch", "r1"), ("unwatch", "r1")]
        assert house.door.statistics()["streams"] == 0
        assert house.door._tails == {}


@virtual_time
async def test_a_reader_that_comes_while_the_hub_is_told_of_the_leaving_is_fed() -> None:
    async with a_house() as house:
        await house.run()
        first = asyncio.create_task(house.read())
        await asyncio.sleep(0.1)
        first.cancel()
        await asyncio.gather(first, return_exceptions=True)
        second = asyncio.create_task(house.read())
        await asyncio.sleep(0.1)
        assert house.port.hub is not None
        assert house.port.hub._feeds.watchers("r1") == {"d"}
        await house.write(COMPLETED)
        async with asyncio.timeout(0.1):
            assert await second == [1, 2]


@virtual_time
async def test_readers_are_told_when_the_hub_cannot_be_reached_and_may_come_again() -> None:
    async with a_house() as house:
        await house.run()
        hub, house.port.hub = house.port.hub, None
        with pytest.raises(StoreUnavailable):
            await house.read()
        house.port.hub = hub
        await house.write(COMPLETED)
        assert await house.read() == [1, 2]


def seqs(events: Sequence[Stored]) -> list[int]:
    return [e.seq for e in events]


def item(head: int, *numbers: int) -> FeedItem:
    return FeedItem("r1", head, tuple(Stored(n, 1, "turn.delta", "token", None, b"{}") for n in numbers))


@virtual_time
async def test_a_tail_keeps_only_the_next_events_in_line() -> None:
    tail = Tail()
    tail.accept(item(3, 1, 2, 3))
    tail.accept(item(4, 2, 3, 4))
    assert seqs(tail.after(0)) == [1, 2, 3, 4]
    assert seqs(tail.after(2)) == [3, 4]
    tail.accept(item(9, 8, 9))
    assert tail.after(4) == [], "the gap is left to the log"
    assert seqs(tail.after(7)) == [8, 9]
    tail.accept(item(12))
    assert (tail.head, tail.after(9)) == (12, [])
    tail.advance(5)
    assert tail.head == 12


@virtual_time
async def test_a_reader_of_a_run_that_is_deleted_does_not_wait_for_ever() -> None:
    async with a_house() as h:
        await h.run(conversation_id="c")
        await h.write(*[DELTA] * 599)
        await h.write(COMPLETED)
        async with aclosing(h.door.follow("r1", after=0, idle_s=1.0)) as batches:
            assert len(await anext(batches)) < 601
            await h.log.delete_conversation("t1", "c")
            with pytest.raises(NotFound):
                async with asyncio.timeout(60):
                    await anext(batches)


@virtual_time
@pytest.mark.parametrize("before", [True, False], ids=["there before it came", "written while it read nothing"])
async def test_a_reader_is_given_no_more_at_a_time_than_a_stopped_one_may_hold(before: bool) -> None:
    big = Record("turn.delta", "token", "s", b'{"type":"turn.delta","data":{"text":"' + b"x" * 10_000 + b'"}}')
    async with a_house() as house:
        await house.run()
        if before:
            await house.write(*[big] * 300)
        async with aclosing(house.door.follow("r1", after=0, idle_s=1.0)) as batches:
            got = list(await anext(batches) or [])
            if not before:
                await house.write(*[big] * 300)
                await asyncio.sleep(1.0)
                assert sum(len(stored.body) for stored in house.door._tails["r1"]._recent) <= TAIL_BYTES
            while len(got) < 301:
                batch = await anext(batches)
                assert batch
                assert sum(len(stored.body) for stored in batch) <= BATCH_BYTES
                got += batch
    assert seqs(got) == list(range(1, 302))
