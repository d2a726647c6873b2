"""Any process may be killed or frozen at any moment: every reader ends with exactly the run's log, and every run ends.

On Ray and Serve, with the real SDK against the fake Messages API server. ``STORM_KILLS``, ``STORM_RUNS`` and ``SEED`` set the
size; every figure goes into the report (``tests.faults.report``).
"""

from __future__ import annotations

import asyncio
import os
import random
import re
import signal
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Any

import httpx2
import pytest

from runtime.events.codec import decode
from tests.checker import violations
from tests.end_to_end.conftest import Served, served
from tests.end_to_end.recorder import Recorder
from tests.end_to_end.storm import create, storm, victims, whole_log
from tests.end_to_end.test_anthropic import Provider
from tests.history import History

pytestmark = [pytest.mark.ray, pytest.mark.timeout(1800)]

SEED = int(os.environ.get("SEED", random.randrange(2**32)))
KILLS = int(os.environ.get("STORM_KILLS", "60"))
RUNS = int(os.environ.get("STORM_RUNS", "60"))
GAP_S = 3.0
HISTORIES = Path(os.environ.get("HEADRACE_HISTORIES", "/tmp/headrace-histories"))


@pytest.fixture(scope="module")
def provider() -> Iterator[Provider]:
    running = Provider()
    yield running
    running.unplug()


@pytest.fixture(scope="module")
def system(provider: Provider, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    environment = {
        "ANTHROPIC_API_KEY": "a-key-for-the-fake",
        "ANTHROPIC_BASE_URL": provider.url,
        "HEADRACE_ANTHROPIC_MODEL": "rate-30x60",
    }
    with served(tmp_path_factory.mktemp("storm"), **environment) as running:
        yield running


def judge(history: History, name: str) -> None:
    """Every promise kept; a history that breaks one is saved."""
    found = violations(history)
    assert not found, f"{found[:5]}\nkept in {history.save(HISTORIES, f'{name}-{history.seed}')}"


def test_every_reader_ends_with_the_log_whatever_is_killed(system: Served, provider: Provider, documents: Path) -> None:
    body = {"documents": str(documents), "on_disconnect": "continue"}
    seen = asyncio.run(storm(system, seed=SEED, runs=RUNS, clients=3, kills=KILLS, at_once=8, gap_s=GAP_S, body=body))
    ends = Counter(run.events[-1].type for run in seen.history.runs.values())
    announced, called = _calls(seen.history, provider)
    takeovers = _takeovers(seen.history, seen.killed_at)
    print(
        f"seed {SEED}: {sum(seen.kills.values())} kills {dict(seen.kills)}, ends {dict(ends)},"
        f" {sum(r.reconnects for r in seen.recorders)} reconnects, {sum(r.silences for r in seen.recorders)} silences,"
        f" {announced.total()} turns announced, {called.total()} calls made,"
        f" takeovers {[round(s, 1) for s in takeovers]}, all ended {seen.ended_within_s:.1f} s after the last kill"
    )
    judge(seen.history, "storm")
    assert sum(seen.kills.values()) >= KILLS * 0.9
    assert ends["run.completed"] >= 0.9 * len(seen.history.runs), "success floor"
    assert all(called[run] <= announced[run] for run in called), "a model call nobody announced"
    assert seen.ended_within_s <= 30 + _longest_run_s(seen.history)
    assert not takeovers or median(takeovers) <= 5.0


def _calls(history: History, provider: Provider) -> tuple[Counter[str], Counter[str]]:
    """Turns announced in the logs, and requests the provider received, per question."""
    announced: Counter[str] = Counter()
    for run in history.runs.values():
        number = re.search(rb"process number (\d+)", run.events[0].body)
        assert number is not None
        announced[number[1].decode()] += sum(e.type == "turn.started" for e in run.events)
    found = (re.search(r"process number (\d+)", str(call["body"])) for call in provider.calls())
    return announced, Counter(match[1] for match in found if match is not None)


def _takeovers(history: History, kills: list[tuple[float, str]]) -> list[float]:
    """Seconds from the kill of an executor to each claim that followed it, where no hub was killed meanwhile."""
    times = []
    for run in history.runs.values():
        for event in run.events:
            if event.type == "recovery.resumed" and b'"takeover"' in event.body:
                at = decode(event).at
                before = [(when, kind) for when, kind in kills if when <= at]
                last = max((when for when, kind in before if kind == "executor"), default=None)
                if last is not None and not any(
                    kind in ("hub", "supervisor") and when > last - 5 for when, kind in before
                ):
                    times.append(at - last)
    return sorted(times)


def _longest_run_s(history: History) -> float:
    """How long the longest run took that nothing happened to."""
    quiet = [run for run in history.runs.values() if run.events[-1].epoch == 1]
    return max((decode(run.events[-1]).at - decode(run.events[0]).at for run in quiet), default=30.0)


# --- zombies ---------------------------------------------------------------------------------------------------------


def test_frozen_executor_that_wakes_after_the_takeover_writes_and_spends_nothing(
    system: Served, provider: Provider, documents: Path
) -> None:
    """The supervisor is frozen too, or it would end the executor before its lease does."""
    runs = asyncio.run(_zombies(system, documents, rounds=int(os.environ.get("ZOMBIE_ROUNDS", "2"))))
    history = History(SEED)
    zombies = 0
    for run_id, (log, frozen_at, thawed_at) in runs.items():
        history.runs[run_id] = log
        claims = [e for e in map(decode, log.events) if e.event.type == "run.started"]
        taken = [e for e in claims if e.epoch > 1]
        zombies += bool(taken)
        assert all(frozen_at < e.at < thawed_at + 5 for e in taken[:1])
    print(f"seed {SEED}: {zombies} runs were taken over from a frozen executor that woke up again")
    judge(history, "zombies")
    assert zombies >= 6
    assert all(run.events[-1].type == "run.completed" for run in history.runs.values())
    assert len(provider.calls()) >= len(runs)


async def _zombies(system: Served, documents: Path, rounds: int) -> dict[str, tuple[Any, float, float]]:
    found: dict[str, tuple[Any, float, float]] = {}
    async with httpx2.AsyncClient(timeout=15, trust_env=False) as client:
        for number in range(rounds):
            body = {"input": "Why?", "documents": str(documents), "on_disconnect": "continue"}
            ids = [await create(system, client, body, f"zombie-{SEED}-{number}-{i}") for i in range(12)]
            await asyncio.sleep(2.5)
            supervisor, executors = victims(system, "supervisor"), victims(system, "executor")
            frozen = [*supervisor, executors[number % len(executors)]]
            frozen_at = time.time()
            for pid in frozen:
                os.kill(pid, signal.SIGSTOP)
            try:
                await asyncio.sleep(14.0)  # the lease is 10 s, the scan 2 s: this is the fault, not a wait for luck
            finally:
                thawed_at = time.time()
                for pid in reversed(frozen):
                    os.kill(pid, signal.SIGCONT)
            for run_id in ids:
                reader = Recorder(system.port, run_id, "one")
                async with asyncio.timeout(120):
                    await reader.follow()
                found[run_id] = ((await whole_log(system, client, run_id))[0], frozen_at, thawed_at)
    return found
