"""P3, resume is exact: connections are cut at random bytes, and what clients put together is the log, byte for byte.

``CUTS=2000`` for the long tier, ``SEED=n`` for another seed.
"""

from __future__ import annotations

import asyncio
import os
import random
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import httpx2
import pytest

from runtime.bootstrap.system import in_process_server
from runtime.config import Settings
from runtime.log.sqlite import SqliteReader
from tests.checker import violations
from tests.fakes.chaos_proxy import ChaosProxy, Fault
from tests.faults.report import record
from tests.history import History, Segment
from tests.recorders import Recorder, read_segments
from tests.rig import CHAIN
from tests.simulation.storm import histories

CI_CUTS = 400
CLIENTS_PER_RUN = 2
FOLLOWED_WITHIN_S = 120.0
SCRIPT = CHAIN.replace("rate = 0", "rate = 300").replace('text = "words of', 'repeat = 20\ntext = "words of')


def settings(tmp_path: Path) -> Settings:
    script = tmp_path / "script.toml"
    script.write_text(SCRIPT)
    return Settings(model="scripted", script=script, data_dir=tmp_path)


async def asked(url: str, runs: int) -> list[str]:
    async with httpx2.AsyncClient(base_url=url) as client:
        answers = await asyncio.gather(*(client.post("/v1/runs", json={"input": f"Why {n}?"}) for n in range(runs)))
    return [answer.json()["run_id"] for answer in answers]


async def history_of(seed: int, log: Path, run_ids: Sequence[str], segments: list[Segment]) -> History:
    """The final logs out of the file, and what the clients recorded."""
    history, reader = History(seed, segments=segments), SqliteReader(log)
    for run_id in run_ids:
        run = await reader.get(run_id)
        assert run is not None
        events, after = [], 0
        while page := await reader.read(run_id, after=after):
            events += page
            after = page[-1].seq
        history.add_run(run, events)
    return history


def held(history: History, name: str) -> int:
    """How many promises were broken; a history with any is kept and named."""
    found = violations(history)
    if found:
        path = history.save(histories(), name)
        print(f"history kept: {path}; again: python -m tests.checker {path}")
        print(*found[:10], sep="\n")
    return len(found)


async def followed(recorders: Sequence[Recorder]) -> None:
    async with asyncio.timeout(FOLLOWED_WITHIN_S):
        await asyncio.gather(*(recorder.follow() for recorder in recorders))


async def cut_and_resume(tmp_path: Path, cuts: int, runs: int, seed: int) -> None:
    chance = random.Random(seed)

    def plan(number: int) -> Fault:
        if number > cuts:
            return Fault()
        return Fault(
            cut_after=chance.choice([chance.randrange(1, 700), chance.randrange(1, 12_000)]),
            reset=chance.random() < 0.5,
        )

    async with (
        in_process_server(settings(tmp_path)) as url,
        ChaosProxy("127.0.0.1", int(url.rpartition(":")[2]), plan=plan) as proxy,
    ):
        run_ids = await asked(url, runs)
        names = [(run_id, f"client {n} of {run_id}") for run_id in run_ids for n in range(CLIENTS_PER_RUN)]
        recorders = [Recorder(proxy.port, *name) for name in names]
        await followed(recorders)
        while (done := proxy.counts["cuts"]) < cuts:  # the runs are over: read them again, until all cuts were made
            again = [Recorder(proxy.port, run_id, f"{name} again {done}") for run_id, name in names]
            await followed(again)
            recorders += again
    segments = [segment for recorder in recorders for segment in recorder.segments]
    history = await history_of(seed, tmp_path / "log.db", run_ids, segments)
    broken = held(history, f"resume-{seed}")
    whole = sum(segment.end == "whole" for segment in segments)
    floor = f"{runs} runs, {len(recorders)} clients read to the end, {len(segments)} segments"
    record(promise="P3", what="cuts at random bytes", n=done, violations=broken, seed=seed, floor=floor)
    assert broken == 0
    assert whole == len(recorders)
    assert all(run.status == "completed" for run in history.runs.values())
    assert {segment.run for segment in segments if segment.events and segment.after} == set(run_ids), "all were resumed"


async def test_whatever_is_cut_what_clients_put_together_is_the_log(tmp_path: Path) -> None:
    await cut_and_resume(tmp_path, CI_CUTS, 20, int(os.environ.get("SEED", "1")))


@pytest.mark.slow
@pytest.mark.timeout(3600)
async def test_whatever_is_cut_many_more_times(tmp_path: Path) -> None:
    await cut_and_resume(tmp_path, int(os.environ.get("CUTS", "2000")), 100, int(os.environ.get("SEED", "2")))


async def test_a_recorder_in_a_process_of_its_own_writes_the_same_history(tmp_path: Path) -> None:
    async with in_process_server(settings(tmp_path)) as url:
        (run_id,) = await asked(url, 1)
        command = [sys.executable, "-m", "tests.recorders", url.rpartition(":")[2], run_id, str(tmp_path / "c1.jsonl")]
        process = await asyncio.create_subprocess_exec(*command, env=dict(os.environ), stderr=subprocess.PIPE)
        _, said = await process.communicate()
    assert process.returncode == 0, said.decode()
    segments = read_segments(tmp_path / "c1.jsonl")
    assert segments[-1].end == "whole"
    assert held(await history_of(0, tmp_path / "log.db", [run_id], segments), "recorder") == 0
