"""P11 and P13 over the whole system in one process: readers that stop reading hurt only themselves; a key makes one run.

Everything is measured beside a baseline of the same size on the same machine: figures are ratios. ``READERS=100`` and
``RUNS=10`` for the long tier.
"""

from __future__ import annotations

import asyncio
import os
import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx2
import orjson
import psutil
import pytest

from runtime.bootstrap.system import in_process_server
from runtime.config import Settings
from tests.faults.report import record
from tests.rig import PLANNING

MEMORY_PER_STOPPED = 256 * 1024
MEMORY_MARGIN = 32 * 1024 * 1024
LATENCY_RATIO = 1.2
DURATION_RATIO = 1.1
LATENCY_NOISE_S = 0.1
"""Two measurements of the same thing differ by so much on two shared cores; the ratio is taken of what is above it."""

ROUNDS = 4

WORD = "x" * 2000
SCRIPT = f"""{PLANNING}
[[turn]]
agent = "planner"
[turn.output]
todos = [{{ id = "write", title = "Write", agent = "writing", depends_on = [] }}]
[[turn]]
rate = 100
repeat = 400
text = "{WORD} "
"""
"""About 1 MB to each reader in 4 s: more than sockets and servers hold by themselves."""


@asynccontextmanager
async def serving(tmp_path: Path) -> AsyncIterator[int]:
    script = tmp_path / "script.toml"
    script.write_text(SCRIPT)
    settings = Settings(model="scripted", script=script, data_dir=tmp_path, max_readers_per_run=200)
    async with in_process_server(settings) as url:
        yield int(url.rpartition(":")[2])


async def ask(port: int, question: str) -> str:
    async with httpx2.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:
        return str((await client.post("/v1/runs", json={"input": question})).json()["run_id"])


def connected(port: int, run_id: str) -> socket.socket:
    """A reader's socket with a small window, its request sent."""
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.connect(("127.0.0.1", port))
    connection.sendall(
        f"GET /v1/runs/{run_id}/events HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: text/event-stream\r\n\r\n".encode()
    )
    return connection


async def read(port: int, run_id: str, lags: list[float]) -> int:
    """Read to the end; notes for every event how long after its making it came. Answers the number of events."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1 << 24)
    writer.write(
        f"GET /v1/runs/{run_id}/events HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: text/event-stream\r\nConnection: close\r\n\r\n".encode()
    )
    events = 0
    while line := await reader.readline():
        if line.startswith(b"data: "):
            events += 1
            body = orjson.loads(line[6:])
            lags.append(time.time() - body["at"])
    writer.close()
    return events


async def measured(port: int, runs: int, stopped: int, reading: int) -> tuple[float, float, int]:
    """The p99 of delivery, the seconds until all runs are read, and the growth of memory, with so many of each kind."""
    before, begun = psutil.Process().memory_info().rss, time.monotonic()
    run_ids = [await ask(port, f"Why {n}?") for n in range(runs)]
    frozen = [connected(port, run_ids[n % runs]) for n in range(stopped)]
    lags: list[float] = []
    counts = await asyncio.gather(*(read(port, run_ids[n % runs], lags) for n in range(reading)))
    took, grown = time.monotonic() - begun, psutil.Process().memory_info().rss - before
    for connection in frozen:
        connection.close()
    assert min(counts) > 100
    lags.sort()
    return lags[int(len(lags) * 0.99)], took, grown


async def slow_readers(tmp_path: Path, runs: int, stopped: int, reading: int) -> None:
    async with serving(tmp_path) as port:
        await measured(port, 1, 0, reading)  # warm: memory that is taken once
        alone = beside = took_alone = took_beside = float("inf")
        grown: float = float("inf")
        bound = stopped * MEMORY_PER_STOPPED + MEMORY_MARGIN
        for _ in range(ROUNDS):  # side by side, the best of each: what others do on this machine is not ours to measure
            p99, took, _ = await measured(port, runs, 0, reading)
            alone, took_alone = min(alone, p99), min(took_alone, took)
            p99, took, more = await measured(port, runs, stopped, reading)
            beside, took_beside, grown = min(beside, p99), min(took_beside, took), min(grown, more)
            latency, duration = (beside + LATENCY_NOISE_S) / (alone + LATENCY_NOISE_S), took_beside / took_alone
            if latency <= LATENCY_RATIO and duration <= DURATION_RATIO and grown <= bound:
                break
    floor = (
        f"p99 {1e3 * beside:.0f} ms beside {1e3 * alone:.0f} ms alone; duration x {duration:.2f}; "
        f"memory + {grown / 2**20:.0f} MiB"
    )
    broken = (latency > LATENCY_RATIO) + (duration > DURATION_RATIO) + (grown > bound)
    record(promise="P11", what=f"{stopped} stopped beside {reading} readers", n=stopped, violations=broken, floor=floor)
    assert latency <= LATENCY_RATIO, floor
    assert duration <= DURATION_RATIO, floor
    assert grown <= bound, floor


@pytest.mark.timeout(300)
async def test_readers_that_stop_reading_hurt_only_themselves(tmp_path: Path) -> None:
    await slow_readers(tmp_path, 2, 20, 10)


@pytest.mark.slow
@pytest.mark.timeout(1800)
async def test_many_readers_that_stop_reading_hurt_only_themselves(tmp_path: Path) -> None:
    await slow_readers(tmp_path, int(os.environ.get("RUNS", "10")), int(os.environ.get("READERS", "100")), 50)


async def test_parallel_duplicates_of_a_key_make_one_run(tmp_path: Path) -> None:
    """P13: 50 at once for each of 20 keys, all still in flight together."""
    keys, duplicates = 20, 50
    settings = Settings(model="scripted", data_dir=tmp_path)
    limits = httpx2.Limits(max_connections=200)
    async with (
        in_process_server(settings) as url,
        httpx2.AsyncClient(base_url=url, limits=limits, timeout=60) as client,
    ):

        async def post(key: int) -> tuple[int, int, str]:
            headers = {"Idempotency-Key": f"key-{key}"}
            answer = await client.post("/v1/runs", json={"input": f"Why {key}?"}, headers=headers)
            return key, answer.status_code, answer.json().get("run_id", "")

        answers = await asyncio.gather(*(post(n % keys) for n in range(keys * duplicates)))
        other = await client.post("/v1/runs", json={"input": "other"}, headers={"Idempotency-Key": "key-0"})
    runs = {(key, run_id) for key, status, run_id in answers if status in (200, 202)}
    record(promise="P13", what="parallel duplicates of a key", n=len(answers), violations=len(runs) - keys)
    assert {status for _, status, _ in answers} <= {200, 202}
    assert len(runs) == len({run_id for _, run_id in runs}) == keys
    assert other.status_code == 422
