"""A log that lost its end: its epochs jump, and no hub goes by what it remembers of the end that was lost."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from runtime.clock import ManualClock
from runtime.events.catalog import RunCompleted, RunStarted, StageDispatched
from runtime.log.hub import Hub
from runtime.log.log import Run, Write
from runtime.log.reset import BELOW, LEAST, machine_boot_id, random_jump
from runtime.log.sqlite import SqliteLog
from tests.fakes.forgetful_log import ForgetfulLog
from tests.log.sqlite_samples import DELTA, new
from tests.log.sqlite_samples import write as door_write
from tests.log.test_hub import one, outcomes, owned, record
from tests.virtual_time import LoopClock, virtual_time

# --- the jump in a file ----------------------------------------------------------------------------------------------


async def opened(path: Path, boot_id: str, jump: int = LEAST) -> SqliteLog:
    log = SqliteLog(path, ManualClock(), boot_id=lambda: boot_id, jump=lambda: jump)
    await log.open()
    return log


async def reopened(path: Path, boot_id: str, jump: int = LEAST) -> dict[str, Run]:
    """The runs after one more opening."""
    log = await opened(path, boot_id, jump)
    runs = {run.run_id: run for run in await log.recent(tenant_id="t")}
    await log.close()
    return runs


async def a_log(path: Path, boot_id: str) -> dict[str, Run]:
    """One run each: accepted, running, waiting, ended."""
    log = await opened(path, boot_id)
    await log.renew("e1", ttl_s=1e6)
    for run_id in ("accepted", "running", "waiting", "ended"):
        await log.create(new(run_id))
        if run_id != "accepted":
            await log.claim(run_id, executor="e1")
    waiting = record(RunStarted(epoch=1, owner="e1", code_version="1"))._replace(type="run.waiting")
    await log.append([Write("waiting", 1, 1, "p", 1, (waiting,), wake_at=1e9)])
    await log.append([Write("ended", 1, 1, "p", 1, (record(RunCompleted(answer="")),))])
    runs = {run.run_id: run for run in await log.recent(tenant_id="t")}
    assert [runs[name].status for name in ("accepted", "running", "waiting")] == ["accepted", "running", "waiting"]
    assert runs["ended"].terminal
    await log.close()
    return runs


async def test_same_start_of_the_machine_changes_nothing(path: Path) -> None:
    before = await a_log(path, "boot 1")
    assert before["running"].owner == "e1"
    assert await reopened(path, "boot 1") == before
    assert await reopened(path, "boot 1") == before


@pytest.mark.parametrize("boot_id", ["boot 2", ""])
async def test_another_start_of_the_machine_or_an_unknown_one_frees_unfinished_runs_at_a_far_epoch(
    path: Path, boot_id: str
) -> None:
    before = await a_log(path, "boot 1")
    after = await reopened(path, boot_id, jump=1234)
    for name in ("accepted", "running", "waiting"):
        assert (after[name].epoch, after[name].owner) == (before[name].epoch + 1234, None)
        assert (after[name].status, after[name].last_seq) == (before[name].status, before[name].last_seq)
    assert after["ended"] == before["ended"]
    again = await reopened(path, boot_id, jump=5000)
    assert again["running"].epoch == after["running"].epoch + (0 if boot_id else 5000), "where unknown, each time"


async def test_freed_run_is_claimed_at_once_and_its_old_owner_is_fenced(path: Path) -> None:
    await a_log(path, "boot 1")
    log = await opened(path, "boot 2")
    (late,) = await log.append([Write("running", 1, 1, "p", 1, (DELTA,))])
    assert late.outcome == "fenced"
    await log.renew("e2", ttl_s=10.0)
    (run,) = await log.claim("running", executor="e2")
    assert (run.epoch, run.takeovers) == (2 + LEAST, 0), "nobody's fault"
    await log.close()


async def test_door_writes_under_the_new_epoch(path: Path) -> None:
    log = await opened(path, "boot 1")
    await log.create(new())
    await log.close()
    log = await opened(path, "boot 2")
    await log.append([door_write(1, 1)])
    assert [stored.epoch for stored in await log.read("r1", after=0)] == [0, LEAST]
    await log.close()


def test_jumps_are_far_and_seldom_equal() -> None:
    jumps = [random_jump() for _ in range(200)]
    assert all(LEAST <= jump < BELOW for jump in jumps)
    assert len(set(jumps)) > 190


def test_machine_that_has_no_boot_id_is_unknown(tmp_path: Path) -> None:
    assert machine_boot_id(tmp_path / "none") == ""
    (tmp_path / "boot_id").write_text("38b06a1f-833e\n")
    assert machine_boot_id(tmp_path / "boot_id") == "38b06a1f-833e"


# --- what a hub remembers --------------------------------------------------------------------------------------------


def dispatched(n: int, epoch: int) -> object:
    event = record(StageDispatched(dispatch=n, lease_s=1.0), stage="s1")
    return one(event, publisher=f"x{n}-{epoch}", epoch=epoch, stage="s1", dispatch=n)


@virtual_time
async def test_dispatch_that_was_lost_supersedes_nothing() -> None:
    log = ForgetfulLog(LoopClock())
    hub = Hub(log, LoopClock())
    await hub.start()
    await owned(hub)
    await outcomes(hub, dispatched(1, 1))  # type: ignore[arg-type]
    log.keep()
    await hub.watch("d", ["r1"])  # so that the hub keeps the run in memory
    assert await outcomes(hub, dispatched(2, 1), dispatched(3, 1)) == ["committed"] * 2  # type: ignore[arg-type]
    log.lose()
    (run,) = await hub.claim("r1", executor="e1")
    assert run.epoch == 2 + LEAST
    assert await outcomes(hub, dispatched(2, run.epoch)) == ["committed"]  # type: ignore[arg-type]
    await hub.stop()


@virtual_time
async def test_run_whose_end_was_lost_can_be_cancelled() -> None:
    log = ForgetfulLog(LoopClock())
    hub = Hub(log, LoopClock())
    await hub.start()
    await owned(hub)
    await hub.watch("d", ["r1"])
    log.keep()
    assert await outcomes(hub, one(record(RunCompleted(answer="")))) == ["committed"]
    log.lose()
    assert (await hub.cancel("r1", "user")).cancel_requested
    await hub.stop()


@virtual_time
@pytest.mark.parametrize("seed", range(5))
async def test_old_owner_is_fenced_by_the_store_and_memory_follows(seed: int) -> None:
    chance = random.Random(seed)
    log = ForgetfulLog(LoopClock())
    hub = Hub(log, LoopClock())
    await hub.start()
    await owned(hub)
    await hub.watch("d", ["r1"])
    await outcomes(hub, *[one(seq=n) for n in range(1, chance.randint(2, 5))])
    log.keep()
    await outcomes(hub, *[one(seq=n, publisher="q") for n in range(1, chance.randint(2, 5))])
    kept = len(log._kept["_events"]["r1"])
    log.lose()
    assert await outcomes(hub, one(publisher="z")) == ["fenced"]
    (run,) = await hub.claim("r1", executor="e1")
    assert await outcomes(hub, one(publisher="new", epoch=run.epoch)) == ["committed"]
    assert [stored.epoch for stored in await log.read("r1", after=kept)] == [run.epoch]
    await hub.stop()
