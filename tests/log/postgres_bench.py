"""Commits of the PostgreSQL log beside SQLite's: ``python -m tests.log.postgres_bench``; no test, prints a table."""

from __future__ import annotations

import asyncio
import statistics
import tempfile
import time
from pathlib import Path

from runtime.clock import SystemClock
from runtime.events.envelope import Money, Record
from runtime.log.log import Log, NewRun, Write
from runtime.log.postgres import PostgresLog
from runtime.log.sqlite import SqliteLog
from tests.fakes.postgres import fresh_database

DELTA = Record("turn.delta", "token", "s", b"x" * 200)
PAID = Record("turn.completed", "status", "s", b"x" * 200, Money(0, 1))
ROUNDS = 400


async def measure(log: Log, runs: int, record: Record, records: int) -> tuple[float, float]:
    """Commit ``ROUNDS`` batches of one write for each of so many runs; p50 and p95 in milliseconds."""
    names = [f"{runs}-{records}-{record.type}-{n}" for n in range(runs)]
    for name in names:
        await log.create(NewRun(name, "t", None, "?", 60.0, "continue", 30.0, (DELTA,)))
    took = []
    for number in range(1, ROUNDS + 1):
        after = 1 + (number - 1) * records
        writes = [Write(name, None, after, "p", number, (record,) * records) for name in names]
        began = time.perf_counter()
        answers = await log.append(writes)
        took.append((time.perf_counter() - began) * 1000)
        assert all(answer.outcome == "committed" for answer in answers)
    return statistics.median(took), statistics.quantiles(took, n=20)[-1]


async def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        logs: dict[str, Log] = {
            "sqlite FULL": SqliteLog(Path(folder) / "log.db", SystemClock()),
            "postgres": PostgresLog(await fresh_database()),
        }
        print(f"{'':40}{'p50 ms':>10}{'p95 ms':>10}{'appends/s':>12}")
        for runs, record, records in ((1, DELTA, 1), (1, DELTA, 50), (16, DELTA, 1), (1, PAID, 1), (16, PAID, 1)):
            for name, log in logs.items():
                await log.open()
                p50, p95 = await measure(log, runs, record, records)
                what = f"{runs} run(s) x {records} {'with money' if record.money else ''}"
                print(f"{name:14}{what:26}{p50:10.2f}{p95:10.2f}{runs * 1000 / p50:12.0f}")
        for log in logs.values():
            await log.close()


if __name__ == "__main__":
    asyncio.run(main())
