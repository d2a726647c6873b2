"""The fault storm on a real system: runs and their readers go on while processes are killed, and a checker judges the outcome."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import random
import re
import signal
import time
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
import psutil

from runtime.events.envelope import Stored
from runtime.failpoints import POINTS
from tests.end_to_end.conftest import Served
from tests.history import History, RunHistory
from tests.recorders import Recorder

TARGETS = {
    "executor": "ray::Executor",
    "agent": "ray::Agent",
    "hub": "ray::StreamHub",
    "orchestrator": "ray::Orchestrator",
    "door": "ray::ServeReplica",
    "proxy": "ray::ProxyActor",
    "supervisor": "ray::Supervisor",
    "controller": "ray::ServeController",
}
WEIGHTS = {
    "executor": 5,
    "agent": 5,
    "hub": 4,
    "orchestrator": 2,
    "door": 2,
    "proxy": 1,
    "supervisor": 1,
    "controller": 1,
}


FIRE_WITHIN_S = 30.0
"""How long a failpoint is left armed: runs come by all the time, unless what they need is just being restarted."""
TRIES = 3


@dataclass
class Storm:
    """What happened, for the assertions and the report."""

    seed: int
    history: History
    kills: Counter[str] = field(default_factory=Counter)
    killed_at: list[tuple[float, str]] = field(default_factory=list)
    recorders: list[Recorder] = field(default_factory=list)
    healed_at: float = 0.0
    ended_within_s: float = 0.0
    """From the last kill until every run had ended."""


class Failpoints:
    """Failpoints of a system, all if not said, each armed once at a time: a point fires only while its marker is missing."""

    def __init__(self, folder: Path, points: Collection[str] = POINTS) -> None:
        self._folder = folder
        self._points = points
        folder.mkdir(parents=True, exist_ok=True)
        for point in points:
            self._marker(point).touch()

    @property
    def environment(self) -> dict[str, str]:
        """For the system's processes."""
        armed = ",".join(f"{point}=exit" for point in self._points)
        return {"HEADRACE_FAILPOINTS": armed, "HEADRACE_FAILPOINTS_DIR": str(self._folder)}

    async def fire(self, point: str) -> bool:
        """Arm ``point`` and wait until a process has died there; False when none came by."""
        self._marker(point).unlink()
        for _ in range(int(FIRE_WITHIN_S / 0.05)):
            if self._marker(point).exists():
                return True
            await asyncio.sleep(0.05)
        self._marker(point).touch()
        return False

    def _marker(self, point: str) -> Path:
        return self._folder / f"{point}.fired"


def victims(system: Served, kind: str) -> list[int]:
    """The processes of that kind that run just now."""
    found = []
    for pid in system.family():
        try:
            process = psutil.Process(pid)
            if TARGETS[kind] in " ".join(process.cmdline()) and process.status() != psutil.STATUS_ZOMBIE:
                found.append(pid)
        except psutil.NoSuchProcess:
            continue
    return sorted(found)


async def create(system: Served, client: httpx2.AsyncClient, body: dict[str, Any], key: str) -> str:
    """Create a run, as long as it takes; the key makes it one."""
    while True:
        try:
            answer = await client.post(f"{system.url}/v1/runs", json=body, headers={"Idempotency-Key": key})
            if answer.status_code == 202:
                return str(answer.json()["run_id"])
            assert answer.status_code in (429, 503), answer.text
        except httpx2.HTTPError:
            pass
        await asyncio.sleep(0.3)


async def whole_log(system: Served, client: httpx2.AsyncClient, run_id: str) -> tuple[RunHistory, dict[str, Any]]:
    """The run's log and snapshot as the store has them now."""
    events: list[Stored] = []
    while True:
        page = await _get(
            system, client, f"/v1/runs/{run_id}/events?after={len(events)}", {"Accept": "application/json"}
        )
        if page is None:
            break
        for line in re.findall(rb'\{"seq":.*?(?=,\{"seq":|\],"next_after")', page.content, re.DOTALL):
            events.append(_stored(line))
        if page.json()["finished"] or not page.json()["events"]:
            break
    snapshot = await _get(system, client, f"/v1/runs/{run_id}", {})
    assert snapshot is not None
    state = snapshot.json()
    return RunHistory(events, state["state"]), state


def _stored(line: bytes) -> Stored:
    """A stored event from its public line: ``{"seq":N,"epoch":E,`` and then the body as it is in the log."""
    body = json.loads(line)
    raw = b"{" + line.split(b",", 2)[2]
    return Stored(body["seq"], body["epoch"], body["type"], body["family"], body.get("stage"), raw)


async def _get(
    system: Served, client: httpx2.AsyncClient, path: str, headers: dict[str, str]
) -> httpx2.Response | None:
    """An answer, as long as it takes; None for 204."""
    while True:
        try:
            answer = await client.get(f"{system.url}{path}", headers=headers)
            if answer.status_code == 200:
                return answer
            if answer.status_code == 204:
                return None
        except httpx2.HTTPError:
            pass
        await asyncio.sleep(0.3)


async def storm(
    system: Served,
    *,
    seed: int,
    runs: int,
    clients: int,
    kills: int,
    at_once: int,
    gap_s: float,
    body: dict[str, Any],
    points: Failpoints | None = None,
    each_point: int = 0,
) -> Storm:
    """Runs, ``at_once`` of them at a time, each with ``clients`` readers, while processes are killed.

    At least ``runs`` of them, and new ones as long as the storm goes on. ``kills`` processes are chosen at random, and at
    each of the failpoints ``each_point`` are lost at exactly that point, all in a random order.
    """
    chance = random.Random(seed)
    result = Storm(seed, History(seed))
    ids: list[str] = []
    numbers = itertools.count()
    over = asyncio.Event()
    async with httpx2.AsyncClient(timeout=15, trust_env=False) as client:

        async def work() -> None:
            while (number := next(numbers)) < runs or not over.is_set():
                question = f"Why does process number {number} die?"
                run_id = await create(system, client, {**body, "input": question}, f"storm-{seed}-{number}")
                ids.append(run_id)
                readers = [Recorder(system.port, run_id, f"client-{number}-{i}") for i in range(clients)]
                result.recorders.extend(readers)
                await asyncio.gather(*(reader.follow() for reader in readers))

        async def nemesis() -> None:
            steps = chance.choices(list(WEIGHTS), list(WEIGHTS.values()), k=kills)
            steps += [point for point in POINTS for _ in range(each_point if points else 0)]
            chance.shuffle(steps)
            for kind in steps:
                await asyncio.sleep(chance.uniform(0.5, 1.5) * gap_s)
                if points is not None and kind in POINTS:
                    for _ in range(TRIES):
                        if await points.fire(kind):
                            result.kills[kind] += 1
                            result.killed_at.append((time.time(), kind))
                            break
                    continue
                there = await asyncio.to_thread(victims, system, kind)
                if not there:
                    kind, there = "agent", await asyncio.to_thread(victims, system, "agent")
                if not there:
                    continue
                victim = chance.choice(there)
                try:
                    os.kill(victim, signal.SIGKILL)
                except ProcessLookupError:
                    continue
                result.kills[kind] += 1
                result.killed_at.append((time.time(), kind))

        workers = [asyncio.create_task(work()) for _ in range(at_once)]
        await nemesis()
        over.set()
        result.healed_at = time.time()
        await asyncio.gather(*workers)
        result.ended_within_s = time.time() - result.healed_at
        for run_id in ids:
            history, _ = await whole_log(system, client, run_id)
            result.history.runs[run_id] = history
    result.history.segments = [segment for recorder in result.recorders for segment in recorder.segments]
    return result
