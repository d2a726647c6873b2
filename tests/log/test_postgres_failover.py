"""A standby that lagged takes over: nobody mistakes the new end of the log for the one that was lost."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import orjson
import pytest

from runtime.clock import SystemClock
from runtime.config import Settings
from runtime.errors import Conflict, StoreUnavailable
from runtime.events.catalog import Event, RunAccepted, RunInput, TurnDelta
from runtime.events.codec import encode
from runtime.events.envelope import Draft, Record
from runtime.generator.app import build_app
from runtime.generator.tail import LogDoor
from runtime.log.hub import Hub
from runtime.log.log import Run, Write
from runtime.log.postgres import PostgresHints, PostgresLog, PostgresReader
from runtime.log.reset import BELOW, LEAST
from tests.fakes.postgres import PostgresServer, fresh_database
from tests.generator.driver import Exchange, http_scope
from tests.log.sqlite_samples import new

RUN_ID = "00000000-0000-4000-8000-000000000001"


@pytest.fixture
def server() -> Iterator[PostgresServer]:
    server = PostgresServer()
    server.start()
    yield server
    server.remove()


@pytest.fixture
async def url() -> str:
    return await fresh_database()


def record(event: Event) -> Record:
    return encode(Draft(event, "s", "a", 1, 1) if isinstance(event, TurnDelta) else Draft(event), RUN_ID, 0.0)


def said(text: str) -> Record:
    return record(TurnDelta(text=text))


async def opened(url: str) -> PostgresLog:
    log = PostgresLog(url)
    await log.open()
    return log


async def begin(log: PostgresLog) -> None:
    """A run of ``e1`` with four events."""
    accepted = record(RunAccepted(input=RunInput(question="Why?")))
    await log.create(new(RUN_ID, tenant_id="default", records=(accepted,), deadline_s=1e6))
    await log.renew("e1", ttl_s=1e6)
    (run,) = await log.claim(RUN_ID, executor="e1")
    await write(log, run, "kept", 3)


async def write(log: PostgresLog, run: Run, words: str, count: int) -> None:
    now = await log.get(RUN_ID)
    assert now is not None
    records = tuple(said(f"{words} {n}") for n in range(count))
    (written,) = await log.append([Write(RUN_ID, run.epoch, now.last_seq, words, 1, records)])
    assert written.outcome == "committed"


async def reached(log: PostgresLog) -> Run:
    """The run, once its server answers again."""
    async with asyncio.timeout(20):
        while True:
            with suppress(StoreUnavailable):
                run = await log.get(RUN_ID)
                assert run is not None
                return run
            await asyncio.sleep(0.05)


async def test_nothing_written_after_a_lossy_failover_bears_the_cursor_of_what_was_lost(server: PostgresServer) -> None:
    logs = [await opened(server.url), await opened(server.url)]
    log = logs[0]
    await begin(log)
    backup = await asyncio.to_thread(server.back_up)
    run = await reached(log)
    assert (run.epoch, run.owner) == (1, "e1"), "a stop and a start of the same server change nothing"
    await write(log, run, "lost", 2)
    await log.release("e1", lost=True)
    await log.renew("e2", ttl_s=1e6)
    (run,) = await log.claim(RUN_ID, executor="e2")
    await write(log, run, "lost too", 3)
    seen = await log.read(RUN_ID, after=0)
    assert [stored.epoch for stored in seen] == [0, 1, 1, 1, 1, 1, 2, 2, 2]

    await asyncio.to_thread(server.fail_over, backup)
    runs = await asyncio.gather(*(reached(log) for log in logs))
    assert runs[0] == runs[1], "one of the hubs changed it, once"
    assert (runs[0].last_seq, runs[0].owner, runs[0].takeovers) == (4, None, 0)
    assert 1 + LEAST <= runs[0].epoch < 1 + BELOW
    for epoch in (1, 2):
        (late,) = await log.append([Write(RUN_ID, epoch, 4, "late", 1, (said("late"),))])
        assert late.outcome == "fenced"
    await log.append([Write(RUN_ID, None, 4, "door", 1, (said("a cancel request"),))])
    await log.renew("e3", ttl_s=1e6)
    (run,) = await log.claim(RUN_ID, executor="e3")
    await write(log, run, "anew", 6)
    after = await log.read(RUN_ID, after=0)
    assert after[:4] == seen[:4]
    cursors = {(stored.seq, stored.epoch) for stored in seen[4:]}
    assert not cursors & {(stored.seq, stored.epoch) for stored in after[4:]}
    for each in logs:
        await each.close()


async def test_crash_of_the_same_server_changes_nothing(server: PostgresServer) -> None:
    log = await opened(server.url)
    await begin(log)
    before = await log.get(RUN_ID)
    await asyncio.to_thread(server.restart, "immediate")
    assert await reached(log) == before
    again = await opened(server.url)
    assert await again.get(RUN_ID) == before
    await again.close()
    await log.close()


async def test_database_of_an_unknown_history_jumps_once(url: str) -> None:
    """As an operator asks for it who restored a copy of the disk, which nothing gives away."""
    log = await opened(url)
    await begin(log)
    await log._opened().run(lambda db: db.execute("UPDATE store SET history = ''"))
    second = await opened(url)
    first = await second.get(RUN_ID)
    assert first is not None
    assert first.epoch > LEAST
    assert first.owner is None
    third = await opened(url)
    assert await third.get(RUN_ID) == first
    for each in (log, second, third):
        await each.close()


async def get(app: object, cursor: str, accept: str) -> Exchange:
    scope = http_scope("GET", f"/v1/runs/{RUN_ID}/events", [("Accept", accept)], f"after={cursor}")
    return Exchange(app, scope)  # type: ignore[arg-type]


async def test_open_streams_break_off_after_a_lossy_failover_and_their_clients_are_told(
    server: PostgresServer, tmp_path: Path
) -> None:
    log, clock = PostgresLog(server.url), SystemClock()
    hub = Hub(log, clock)
    await hub.start()
    await begin(log)
    backup = await asyncio.to_thread(server.back_up)
    run = await reached(log)
    await write(log, run, "lost", 2)
    reader, hints = PostgresReader(server.url), PostgresHints(server.url)
    door = LogDoor("door", hub, reader, (), clock, max_readers_per_run=5, hints=hints.hints)
    await door.start()
    app = build_app(door, Settings(data_dir=tmp_path), clock=clock, new_id=lambda: "request", team=frozenset)
    stream = await get(app, "0", "text/event-stream")
    try:
        async with asyncio.timeout(20):
            while b"lost 1" not in stream.text:
                await asyncio.sleep(0.02)
            await asyncio.to_thread(server.fail_over, backup)
            with pytest.raises(Conflict):
                await stream.task
        assert not stream.ended, "a clean end would pass for the end of the run"
        assert b"id: 6.1\n" in stream.text
        await reached(log)
        again = await get(app, "6.1", "application/json")
        await again.done()
        assert (again.status, orjson.loads(again.text)["code"]) == (409, "cursor_ahead")
        await hub.cancel(RUN_ID, "user")
        again = await get(app, "5.1", "application/json")
        await again.done()
        assert (again.status, orjson.loads(again.text)["code"]) == (409, "cursor_mismatch")
        again = await get(app, "4.1", "application/json")
        await again.done()
        assert [event["type"] for event in orjson.loads(again.text)["events"]] == ["run.cancel_requested"]
    finally:
        await door.stop()
        await reader.close()
        await hub.stop()
