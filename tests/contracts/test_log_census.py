"""What every store counts of its runs, asked of each one alike."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from runtime.clock import ManualClock
from runtime.events.envelope import Money, Record
from runtime.log.census import UNFINISHED, Census, DaySum, UnderWay
from runtime.log.log import Log
from runtime.log.memory import MemoryLog
from runtime.log.postgres import PostgresLog
from runtime.log.sqlite import SqliteLog
from tests.contracts.test_log import COMPLETED, FAILED, WAITING, new, owned, write
from tests.fakes.postgres import emptied_database

DAY = 86_400


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture(params=["memory", "sqlite", "postgres"])
async def log(request: pytest.FixtureRequest, tmp_path: Path, clock: ManualClock) -> AsyncIterator[Log]:
    log: Log
    match request.param:
        case "memory":
            log = MemoryLog(clock)
        case "sqlite":
            log = SqliteLog(tmp_path / "log.db", clock)
        case _:
            log = PostgresLog(await emptied_database(), clock)
    await log.open()
    yield log
    await log.close()


async def asked(log: Log, tenant_id: str | None = None, **changes: Any) -> Census:
    return await log.census(**{"tenant_id": tenant_id, "since": 0.0, "limit": 100, **changes})


def ids(runs: Any) -> list[str]:
    return [run.run_id for run in runs]


async def spend(log: Log, run_id: str, *, reserve: int = 0, spend: int = 0) -> None:
    record = Record("turn.completed", "object", "s1", b"{}", Money(reserve, spend))
    (answer,) = await log.append([write(run_id, 1, record)])
    assert answer.outcome == "committed"


async def test_a_new_store_has_nothing_to_count(log: Log) -> None:
    assert await asked(log) == Census((), (), (), ())


async def test_runs_under_way_are_counted_by_tenant_and_status_and_ended_ones_are_not(log: Log) -> None:
    await owned(log, "r1")
    run = await owned(log, "r2")
    await log.append([write("r2", run.last_seq, WAITING, epoch=run.epoch)])
    await owned(log, "r3", tenant_id="t2")
    await log.create(new("r4", tenant_id="t2"))
    await log.create(new("r5"))
    await log.append([write("r5", 1, COMPLETED)])
    all_ = await asked(log)
    assert all_.under_way == (
        UnderWay("t1", "running", 1),
        UnderWay("t1", "waiting", 1),
        UnderWay("t2", "accepted", 1),
        UnderWay("t2", "running", 1),
    )
    assert ids(all_.unfinished) == ["r1", "r2", "r3", "r4"], "the oldest first"
    assert all_.unfinished[0] == await log.get("r1")
    own = await asked(log, "t2")
    assert own.under_way == (UnderWay("t2", "accepted", 1), UnderWay("t2", "running", 1))
    assert ids(own.unfinished) == ["r3", "r4"]


async def test_the_newest_runs_are_those_created_since_then(log: Log, clock: ManualClock) -> None:
    for n in range(1, 5):
        await log.create(new(f"r{n}", tenant_id="t2" if n == 3 else "t1"))
        await log.append([write(f"r{n}", 1, FAILED)])
        clock.advance(10)
    since = clock.now() - 35
    assert ids((await asked(log, since=since)).newest) == ["r4", "r3", "r2"]
    assert ids((await asked(log, since=since, limit=2)).newest) == ["r4", "r3"]
    assert ids((await asked(log, "t1", since=since)).newest) == ["r4", "r2"]
    assert ids((await asked(log, "t1", since=since + 5)).newest) == ["r4", "r2"]
    assert ids((await asked(log, "t1", since=since + 6)).newest) == ["r4"]
    assert (await asked(log, since=since, limit=0)).newest == ()
    assert (await asked(log, since=since, limit=-1)).newest == ()


async def test_what_each_day_cost_is_told_by_tenant(log: Log, clock: ManualClock) -> None:
    today = int(clock.now() // DAY)
    await log.create(new("r1"))
    await log.create(new("r2", tenant_id="t2"))
    await log.create(new("r3", tenant_id="t3"))  # which costs nothing
    await spend(log, "r1", reserve=30, spend=200)
    await spend(log, "r2", spend=700)
    clock.advance(DAY)
    await log.create(new("r4"))
    await spend(log, "r4", spend=5)
    await spend(log, "r3")
    since = clock.now() - DAY
    assert (await asked(log, since=since)).days == (
        DaySum("t1", today + 1, 0, 5),
        DaySum("t2", today, 0, 700),
        DaySum("t1", today, 30, 200),
    )
    assert (await asked(log, "t1", since=since)).days == (DaySum("t1", today + 1, 0, 5), DaySum("t1", today, 30, 200))
    assert (await asked(log, "t1", since=since + DAY)).days == (DaySum("t1", today + 1, 0, 5),)


async def test_all_runs_under_way_are_counted_and_the_oldest_are_listed(log: Log) -> None:
    for n in range(UNFINISHED + 3):
        await log.create(new(f"r{n}"))
    found = await asked(log, limit=1)
    assert found.under_way == (UnderWay("t1", "accepted", UNFINISHED + 3),)
    assert ids(found.unfinished) == [f"r{n}" for n in range(UNFINISHED)]
    assert ids(found.newest) == [f"r{UNFINISHED + 2}"]
