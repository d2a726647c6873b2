"""Readers while the store is away: told so, kept for five minutes, and given everything afterwards."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import aclosing

import pytest

from runtime.errors import StoreUnavailable
from runtime.events.envelope import Stored
from runtime.generator.outage import OUTAGE_S
from runtime.generator.recent import TAIL_EVENTS
from runtime.log.log import Run
from tests.generator.test_tail import COMPLETED, DELTA, House, a_house
from tests.virtual_time import virtual_time

IDLE_S = 10.0


class Flaky:
    """The log as doors read it, there or away."""

    def __init__(self, house: House) -> None:
        self._log = house.log
        self.away = False
        self.asked = 0
        house.door._reader = house.door._probe._reader = house.door._lookout._reader = self

    def _there(self) -> None:
        self.asked += 1
        if self.away:
            raise StoreUnavailable("away")

    async def get(self, run_id: str) -> Run | None:
        self._there()
        return await self._log.get(run_id)

    async def recent(self, *, tenant_id: str, limit: int = 50) -> list[Run]:
        self._there()
        return await self._log.recent(tenant_id=tenant_id, limit=limit)

    async def read(self, run_id: str, *, after: int, limit: int = 512, deltas: bool = True) -> list[Stored]:
        self._there()
        return await self._log.read(run_id, after=after, limit=limit, deltas=deltas)

    async def heads(self, run_ids: Sequence[str]) -> dict[str, int]:
        self._there()
        return await self._log.heads(run_ids)


class Reader:
    """What one reader was given, as it came: numbers, ``ping`` and ``away``."""

    def __init__(self, house: House, after: int = 0) -> None:
        self.got: list[int | str] = []
        self.task = asyncio.create_task(self._read(house, after))

    async def _read(self, house: House, after: int) -> None:
        async with aclosing(house.door.follow("r1", after=after, idle_s=IDLE_S)) as batches:
            async for batch in batches:
                self.got += ["away"] if batch is None else [e.seq for e in batch] or ["ping"]

    @property
    def events(self) -> list[int]:
        return [got for got in self.got if isinstance(got, int)]


@virtual_time
async def test_silent_reader_is_told_that_the_store_is_away_and_that_it_is_back() -> None:
    async with a_house() as house:
        store = Flaky(house)
        await house.run()
        reader = Reader(house)
        await asyncio.sleep(15.0)
        store.away = True
        await asyncio.sleep(40.0)
        store.away = False
        await asyncio.sleep(25.0)
        await house.write(COMPLETED)
        await reader.task
    assert reader.got[:2] == [1, "ping"]
    away = [i for i, got in enumerate(reader.got) if got == "away"]
    assert 3 <= len(away) <= 5, reader.got
    assert reader.got[away[-1] + 1 :].count("ping") >= 1
    assert reader.events == [1, 2]


@virtual_time
async def test_reader_that_must_read_the_log_waits_for_it_and_misses_nothing() -> None:
    async with a_house() as house:
        store = Flaky(house)
        await house.run()
        for _ in range(TAIL_EVENTS + 100):
            await house.write(DELTA)
        reader = Reader(house, after=1)
        while not reader.events:
            await asyncio.sleep(0)
        store.away = True
        await asyncio.sleep(60.0)
        store.away = False
        await house.write(COMPLETED)
        await reader.task
    assert reader.events == list(range(2, TAIL_EVENTS + 103))
    assert "away" in reader.got


@virtual_time
async def test_stream_ends_after_five_minutes_of_outage() -> None:
    async with a_house() as house:
        store = Flaky(house)
        await house.run()
        reader = Reader(house)
        await asyncio.sleep(5.0)
        store.away = True
        begun = house.clock.monotonic()
        with pytest.raises(StoreUnavailable):
            await reader.task
        assert OUTAGE_S <= house.clock.monotonic() - begun <= OUTAGE_S + 2 * IDLE_S


@virtual_time
async def test_many_silent_readers_ask_the_store_once_a_second_between_them() -> None:
    async with a_house() as house:
        store = Flaky(house)
        await house.run()
        readers = [Reader(house) for _ in range(40)]
        await asyncio.sleep(5.0)
        before = store.asked
        await asyncio.sleep(IDLE_S * 2)
        assert store.asked - before <= 2 * IDLE_S
        for reader in readers:
            reader.task.cancel()
        await asyncio.gather(*(reader.task for reader in readers), return_exceptions=True)
