"""A door also shows what another hub writes to its store, and what a lost feed does not bring."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from pathlib import Path

import httpx2
import pytest

import runtime.bootstrap.doors as doors
from runtime.bootstrap.system import in_process_server
from runtime.config import Settings
from runtime.events.envelope import Stored
from runtime.generator.lookout import POLL_S, Hints
from runtime.generator.tail import LogDoor
from runtime.log.hub import Hub
from runtime.log.log import NewRun
from runtime.log.memory import MemoryLog
from runtime.log.postgres import PostgresReader
from runtime.log.wire import Append
from tests.checker import violations
from tests.fakes.postgres import fresh_database
from tests.generator.test_tail import ACCEPTED, COMPLETED, DELTA
from tests.history import History
from tests.recorders import Recorder
from tests.virtual_time import LoopClock, virtual_time

RUN = NewRun("r1", "default", None, "why?", 1e6, "continue", 30.0, (ACCEPTED,))


class CountingLog(MemoryLog):
    """One store for two hubs, which counts what it is asked."""

    asked = 0

    async def heads(self, run_ids):  # type: ignore[no-untyped-def]
        self.asked += 1
        return await super().heads(run_ids)


class Told:
    """Hints as a test gives them."""

    def __init__(self) -> None:
        self.queue: asyncio.Queue[set[str]] = asyncio.Queue()

    async def hints(self) -> AsyncIterator[set[str]]:
        while True:
            yield await self.queue.get()


class TwoHubs:
    """``writes`` is the hub that the run is written by, ``door`` stands before the other one."""

    def __init__(self, hints: Hints | None) -> None:
        self.clock = LoopClock()
        self.log = CountingLog(self.clock)
        self.writes, self.feeds = Hub(self.log, self.clock), Hub(self.log, self.clock)
        self.door = LogDoor("d", self.feeds, self.log, (), self.clock, max_readers_per_run=9, hints=hints)
        self.seen: list[tuple[float, int]] = []
        self.number = 0

    async def write(self, hub: Hub, *records) -> float:  # type: ignore[no-untyped-def]
        self.number += 1
        (answer,) = await hub.append([Append("r1", "p", self.number, 1, records)])
        assert answer.outcome == "committed"
        return self.clock.monotonic()

    async def read(self) -> None:
        async with aclosing(self.door.follow("r1", after=0, idle_s=5.0)) as batches:
            async for batch in batches:
                self.seen += [(self.clock.monotonic(), stored.seq) for stored in batch or []]

    def at(self, seq: int) -> float:
        (found,) = [at for at, seen in self.seen if seen == seq]
        return found


@asynccontextmanager
async def two_hubs(hints: Hints | None) -> AsyncGenerator[TwoHubs, None]:
    house = TwoHubs(hints)
    await house.writes.start()
    await house.feeds.start()
    await house.door.start()
    await house.writes.create(RUN)
    await house.writes.renew("e1", ttl_s=1e6)
    await house.writes.claim("r1", executor="e1")
    reader = asyncio.create_task(house.read())
    await asyncio.sleep(1.0)
    try:
        yield house
        async with asyncio.timeout(10.0):
            await reader
        assert [seq for _, seq in house.seen] == list(range(1, len(house.seen) + 1))
    finally:
        await house.door.stop()
        house.feeds._presence.stop()
        await house.writes.stop()


@virtual_time
async def test_hint_shows_at_once_what_another_hub_wrote() -> None:
    told = Told()
    async with two_hubs(told.hints) as house:
        wrote = await house.write(house.writes, DELTA)
        told.queue.put_nowait({"r1", "r2"})
        await asyncio.sleep(0.01)
        assert house.at(2) - wrote < 0.01
        wrote = await house.write(house.writes, COMPLETED)
        told.queue.put_nowait(set())  # anything may have changed
        await asyncio.sleep(0.01)
        assert house.at(3) - wrote < 0.01


@virtual_time
async def test_lost_hints_cost_half_a_second() -> None:
    async with two_hubs(Told().hints) as house:
        wrote = await house.write(house.writes, DELTA)
        await asyncio.sleep(1.0)
        assert house.at(2) - wrote <= POLL_S + 0.01
        await house.write(house.writes, COMPLETED)


@virtual_time
async def test_all_watched_runs_are_asked_about_in_one_question() -> None:
    async with two_hubs(Told().hints) as house:
        for number in range(2, 10):
            await house.writes.create(NewRun(f"r{number}", "default", None, "?", 1e6, "continue", 30.0, (ACCEPTED,)))
        readers = [asyncio.create_task(_first(house.door, f"r{number}")) for number in range(2, 10)]
        await asyncio.sleep(1.0)
        before = house.log.asked
        await asyncio.sleep(10.0)
        assert house.log.asked - before <= 10.0 / POLL_S + 1
        for reader in readers:
            reader.cancel()
        await asyncio.gather(*readers, return_exceptions=True)
        await house.write(house.writes, COMPLETED)


async def _first(door: LogDoor, run_id: str) -> None:
    async with aclosing(door.follow(run_id, after=0, idle_s=5.0)) as batches:
        async for _ in batches:
            pass


@virtual_time
async def test_hints_that_repeat_the_feed_ask_nothing() -> None:
    told = Told()
    async with two_hubs(told.hints) as house:
        before = house.log.asked
        for _ in range(100):
            await house.write(house.feeds, DELTA)
            told.queue.put_nowait({"r1"})
            await asyncio.sleep(0.02)
        assert house.log.asked - before <= 100 * 0.02 / POLL_S + 1
        await house.write(house.feeds, COMPLETED)


@virtual_time
async def test_store_with_one_hub_is_asked_only_while_the_feed_is_lost() -> None:
    async with two_hubs(None) as house:
        await asyncio.sleep(5.0)
        assert house.log.asked == 0
        feed = house.door._feed
        assert feed is not None
        feed.cancel()
        house.door._fed.clear()
        wrote = await house.write(house.writes, COMPLETED)
        await asyncio.sleep(1.0)
        assert house.at(2) - wrote <= POLL_S + 0.01


@virtual_time
async def test_hints_that_fail_are_logged_and_leave_the_looking_twice_a_second(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def broken() -> AsyncIterator[set[str]]:
        yield set()
        raise ValueError("a defect")

    async with two_hubs(broken) as house:
        await house.write(house.writes, DELTA)
        await asyncio.sleep(1.0)
        await house.write(house.writes, COMPLETED)
    assert "the hints have ended" in caplog.text


# --- two systems on one database -------------------------------------------------------------------------------------


async def _deaf() -> AsyncIterator[set[str]]:
    await asyncio.Event().wait()
    yield set()


@pytest.mark.parametrize("hears", [True, False], ids=["with hints", "by polling"])
async def test_reader_at_one_system_sees_live_what_another_executes(
    hears: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two whole systems that share a PostgreSQL database: every event arrives, once, soon after it was committed."""
    settings = Settings(model="scripted", log=await fresh_database(), data_dir=tmp_path)
    async with in_process_server(settings) as there:
        if not hears:
            monkeypatch.setattr(doors, "build_hints", lambda settings: _deaf)
        async with in_process_server(settings) as here, httpx2.AsyncClient(timeout=15, trust_env=False) as client:
            answer = await client.post(f"{there}/v1/runs", json={"input": "Why?", "on_disconnect": "continue"})
            run_id = answer.json()["run_id"]
            lags: list[float] = []
            readers = [_Timed(_port(here), run_id, f"here-{n}", lags.append) for n in range(3)]
            async with asyncio.timeout(60):
                await asyncio.gather(*(reader.follow() for reader in readers))
    history = await _history(settings.log_url(), run_id)
    history.segments = [segment for reader in readers for segment in reader.segments]
    assert violations(history) == []
    assert history.runs[run_id].status == "completed"
    assert all(len(reader.segments) == 1 for reader in readers), "nobody had to come back"
    lags.sort()
    middle, worst = lags[len(lags) // 2], lags[-1]
    print(f"{len(lags)} events; committed to seen: median {middle * 1000:.0f} ms, worst {worst * 1000:.0f} ms")
    assert middle < (0.15 if hears else POLL_S)


def _port(url: str) -> int:
    return int(url.rpartition(":")[2])


class _Timed(Recorder):
    """Also notes how old each event is when it comes."""

    def __init__(self, port: int, run_id: str, name: str, note: Callable[[float], None]) -> None:
        super().__init__(port, run_id, name)
        self._note = note

    def heard(self, block: bytes) -> None:
        if block.startswith(b"id: "):
            self._note(time.time() - float(json.loads(block.partition(b"\ndata: ")[2])["at"]))


async def _history(url: str, run_id: str) -> History:
    log, history, events = PostgresReader(url), History(0), list[Stored]()
    while page := await log.read(run_id, after=len(events)):
        events += page
    run = await log.get(run_id)
    assert run is not None
    history.add_run(run, events)
    await log.close()
    return history
