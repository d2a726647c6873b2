"""A log in a file outlives its process, its power and its disk: all that was acknowledged, and nothing by half."""

from __future__ import annotations

import asyncio
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from runtime.clock import ManualClock
from runtime.errors import StoreUnavailable
from runtime.events.envelope import Record
from runtime.log.log import Write
from runtime.log.sqlite import SqliteLog
from tests.log.sqlite_samples import DELTA, new, write


async def test_reopened_log_has_everything(log: SqliteLog, path: Path) -> None:
    await log.create(new(conversation_id="c", idempotency_key="k", idempotency_hash="h"))
    await log.renew("e1", ttl_s=10.0)
    (run,) = await log.claim("r1", executor="e1")
    await log.append([Write("r1", 1, 1, "p", 1, (DELTA, DELTA))])
    events = await log.read("r1", after=0)
    await log.close()
    again = SqliteLog(path, ManualClock())
    await again.open()
    kept = await again.get("r1")
    assert kept is not None
    assert (kept.last_seq, kept.owner, kept.epoch) == (3, run.owner, 1)
    assert await again.read("r1", after=0) == events
    assert await again.publisher_seq("r1", "p") == 1
    assert (await again.create(new("r2", idempotency_key="k", idempotency_hash="h"))).existing
    assert (await again.renew("e1", ttl_s=10.0)).alive
    await again.close()


WRITE_UNTIL_KILLED = """
import asyncio, sys
from pathlib import Path
from runtime.clock import SystemClock
from runtime.events.envelope import Record
from runtime.log.log import NewRun, Write
from runtime.log.sqlite import SqliteLog

async def main():
    log = SqliteLog(Path(sys.argv[1]), SystemClock())
    await log.open()
    record = Record("turn.delta", "token", "s", b"x" * 100)
    for run_id in ("r1", "r2"):
        await log.create(NewRun(run_id, "t", None, "?", 60.0, "continue", 30.0, (record,)))
    seq = 1
    while True:
        await log.append([Write(run_id, None, seq, "p", (seq + 1) // 2, (record,) * 2) for run_id in ("r1", "r2")])
        seq += 2
        print(seq, flush=True)

asyncio.run(main())
"""


def acknowledged_before_kill(path: Path, at_least: int) -> int:
    """Let a process write until it has told ``at_least`` commits, kill it, and give the last number it told."""
    child = subprocess.Popen([sys.executable, "-c", WRITE_UNTIL_KILLED, str(path)], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    with child.stdout as told:
        lines = [told.readline() for _ in range(at_least)]
        child.send_signal(signal.SIGKILL)
        lines += told.readlines()
    assert child.wait() == -signal.SIGKILL
    return max(int(line) for line in lines if line.endswith("\n"))


@pytest.mark.parametrize("at_least", [1, 40, 150])
async def test_killed_writer_loses_nothing_acknowledged_and_leaves_no_gap(path: Path, at_least: int) -> None:
    told = acknowledged_before_kill(path, at_least)
    log = SqliteLog(path, ManualClock())
    await log.open()
    for run_id in ("r1", "r2"):
        run = await log.get(run_id)
        assert run is not None
        assert run.last_seq in (told, told + 2)
        assert await log.publisher_seq(run_id, "p") == (run.last_seq - 1) // 2
        assert [event.seq for event in await log.read(run_id, after=0)] == list(range(1, run.last_seq + 1))
    await log.close()


@pytest.mark.parametrize("seed", range(15))
async def test_power_cut_in_mid_write_leaves_whole_appends_only(
    log: SqliteLog, path: Path, tmp_path: Path, seed: int
) -> None:
    await log.create(new())
    for number in range(1, 41):
        await log.append([write(2 * number - 1, number, DELTA, DELTA)])
    copy = tmp_path / "copy" / "log.db"
    copy.parent.mkdir()
    shutil.copy(path, copy)
    wal = path.with_name("log.db-wal").read_bytes()
    # The tables themselves are taken to be on the disk: before them there is no log to speak of.
    cut = random.Random(seed).randrange(len(wal) // 3, len(wal))
    copy.with_name("log.db-wal").write_bytes(wal[:cut])
    again = SqliteLog(copy, ManualClock())
    await again.open()
    run = await again.get("r1")
    last_seq = 0 if run is None else run.last_seq
    assert [event.seq for event in await again.read("r1", after=0)] == list(range(1, last_seq + 1))
    assert await again.publisher_seq("r1", "p") == max(last_seq - 1, 0) / 2
    await again.close()


async def test_cancelled_append_is_written_whole_or_not_at_all(log: SqliteLog) -> None:
    await log.create(new())
    appending = asyncio.ensure_future(log.append([write(1, 1, DELTA, DELTA)]))
    await asyncio.sleep(0)
    appending.cancel()
    with pytest.raises(asyncio.CancelledError):
        await appending
    number = await log.publisher_seq("r1", "p")
    assert len(await log.read("r1", after=1)) == 2 * number


async def test_full_disk_is_told_as_unavailable_and_changes_nothing(log: SqliteLog) -> None:
    await log.create(new())
    before = await log.get("r1")
    await log._write(lambda writer: writer.db.execute("PRAGMA max_page_count=1").fetchall())
    with pytest.raises(StoreUnavailable) as refused:
        await log.append([write(1, 1, Record("turn.delta", "token", None, b"x" * 1_000_000))])
    assert isinstance(refused.value.__cause__, sqlite3.OperationalError)
    assert await log.get("r1") == before
    await log._write(lambda writer: writer.db.execute("PRAGMA max_page_count=1000000").fetchall())
    assert (await log.append([write(1, 1)]))[0].outcome == "committed"
