"""Seeded crashes over whole runs: the store fails before and after its commits, hubs and processes are lost at any moment.

Afterwards every run has exactly one terminal event, its log is in the grammar, and no completed model turn was paid twice.
The storm ends after a while (JOURNAL.md 3: safety during it, liveness after). A failing seed is printed; ``SEED=n`` runs it.
"""

from __future__ import annotations

import asyncio
import os
import random
from collections import Counter
from collections.abc import Sequence
from typing import Any

import pytest

from runtime.errors import StoreUnavailable
from runtime.events.envelope import Stored
from runtime.log.log import Created, Lease, NewRun, Run, Write, Written
from runtime.log.memory import MemoryLog
from tests.checker import attempts, check_run
from tests.executor.test_executor import GREEDY, PAIR, look
from tests.rig import CHAIN, Rig
from tests.virtual_time import LoopClock, VirtualLoop

SEEDS = 60
STORM_S = 60.0
RUNS = 3

SLOW_CHAIN = CHAIN.replace('text = "words of', 'rate = 2\ntext = "so many, many words of')
SCRIPTS = {"chain": SLOW_CHAIN, "pair": PAIR, "greedy": GREEDY.replace('text = "Let me', 'delay_s = 1\ntext = "Let me')}


class FaultyLog:
    """A ``Log`` that fails before a commit, or after it with the reply lost, as often as ``rate`` says."""

    def __init__(self, inner: MemoryLog, chance: random.Random) -> None:
        self.inner = inner
        self.rate = 0.0
        self.faults: Counter[str] = Counter()
        self._chance = chance

    async def _maybe(self, name: str, work: Any) -> Any:
        await asyncio.sleep(self._chance.choice([0, 0, 0.001, 0.01]))
        before, after = self._chance.random() < self.rate, self._chance.random() < self.rate
        if before:
            self.faults[f"{name} before"] += 1
            raise StoreUnavailable(f"{name} failed before its commit")
        result = await work()
        if after:
            self.faults[f"{name} after"] += 1
            raise StoreUnavailable(f"the reply to {name} was lost")
        return result

    async def open(self) -> None:
        """Always open."""

    async def close(self) -> None:
        """A lost hub's farewell changes nothing."""

    async def create(self, new: NewRun) -> Created:
        return await self.inner.create(new)

    async def append(self, writes: Sequence[Write]) -> list[Written]:
        return await self._maybe("append", lambda: self.inner.append(writes))

    async def publisher_seq(self, run_id: str, publisher: str) -> int:
        return await self.inner.publisher_seq(run_id, publisher)

    async def get(self, run_id: str) -> Run | None:
        return await self._maybe("get", lambda: self.inner.get(run_id))

    async def recent(self, *, tenant_id: str, limit: int = 50) -> list[Run]:
        return await self.inner.recent(tenant_id=tenant_id, limit=limit)

    async def read(self, run_id: str, *, after: int, limit: int = 512, deltas: bool = True) -> list[Stored]:
        return await self._maybe("read", lambda: self.inner.read(run_id, after=after, limit=limit, deltas=deltas))

    async def claim(self, run_id: str | None, *, executor: str, limit: int = 16) -> list[Run]:
        return await self._maybe("claim", lambda: self.inner.claim(run_id, executor=executor, limit=limit))

    async def renew(self, executor: str, *, ttl_s: float) -> Lease:
        return await self._maybe("renew", lambda: self.inner.renew(executor, ttl_s=ttl_s))

    async def owned(self, executor: str) -> list[Run]:
        return await self._maybe("owned", lambda: self.inner.owned(executor))

    async def release(self, executor: str, *, lost: bool = False) -> None:
        await self._maybe("release", lambda: self.inner.release(executor, lost=lost))

    async def spent(self, tenant_id: str, day: int) -> tuple[int, int]:
        return await self.inner.spent(tenant_id, day)


async def storm(rig: Rig, log: FaultyLog, chance: random.Random) -> Counter[str]:
    """Faults for ``STORM_S`` seconds; then everything is there and works."""
    done: Counter[str] = Counter()
    log.rate = chance.choice([0.0, 0.02, 0.1])
    end = rig.clock.now() + STORM_S
    while rig.clock.now() < end:
        await asyncio.sleep(chance.expovariate(1 / 8.0))
        what = chance.choice(["hub", "process", "both", "cancel", "second process", "zombie"])
        done[what] += 1
        if what in ("hub", "both"):
            rig.lose_hub()
        if what in ("process", "both") and rig.executors:
            await rig.lose_process(chance.choice(rig.executors))
        if what == "zombie" and rig.executors:
            rig.freeze(chance.choice(rig.executors))
        if what == "cancel" and chance.random() < 0.2:
            await asyncio.gather(rig.cancel(f"r{chance.randrange(RUNS)}"), return_exceptions=True)
        await asyncio.sleep(chance.choice([0.0, 0.5, 3.0, 12.0]))
        await restore(rig, at_least=2 if what == "second process" else 1)
    log.rate = 0.0
    await restore(rig, at_least=1)
    return done


async def restore(rig: Rig, *, at_least: int) -> None:
    if rig.portal.hub is None:
        await rig.put_hub()
    while len(rig.executors) < at_least:
        await asyncio.gather(rig.put_process(), return_exceptions=True)


async def simulate(seed: int) -> tuple[list[list[tuple[str, str | None, int]]], Counter[str], list[str]]:
    chance = random.Random(seed)
    clock = LoopClock()
    log = FaultyLog(MemoryLog(clock), chance)
    script = chance.choice(list(SCRIPTS))
    rig = Rig(SCRIPTS[script], log=log, clock=clock, tools=(look,), max_tool_calls=2)
    await rig.put_hub()
    await rig.put_process()
    for i in range(RUNS):
        await rig.ask(f"r{i}", question=f"Why {i}?", begin=False)
        await asyncio.gather(rig.executors[-1].begin(f"r{i}"), return_exceptions=True)
    happened = await storm(rig, log, chance) + log.faults
    shapes, ends = [], []
    calls: Counter[tuple[str | None, str | None, int]] = Counter()
    for i in range(RUNS):
        envelopes = await rig.ended(f"r{i}", within_s=300.0)
        calls += attempts(envelopes)
        shapes.append([(e.event.type, e.stage, e.epoch) for e in envelopes])
        ends.append(envelopes[-1].event.type)
        if ends[-1] == "run.failed":
            event: Any = envelopes[-1].event
            assert event.code == "poison", f"{event.code}: {event.message}"
    await asyncio.sleep(60.0)
    for i in range(RUNS):
        assert len(check_run(await rig.events(f"r{i}"))) == len(shapes[i]), "nothing is written after the end"
    for (agent, turn), begun in rig.model.begun.items():
        announced = sum(n for (_, a, t), n in calls.items() if (a, t) == (agent, turn))
        assert begun <= announced, f"{agent} turn {turn}: {begun} calls, and only {announced} were announced"
    await rig.close()
    return shapes, happened, ends


def played(seed: int) -> tuple[list[list[tuple[str, str | None, int]]], Counter[str], list[str]]:
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        try:
            return runner.run(simulate(seed))
        except BaseException:
            print(f"FAILING SEED: {seed}   (again: SEED={seed} pytest {__file__})")
            raise


def seeds() -> list[int]:
    return [int(os.environ["SEED"])] if "SEED" in os.environ else list(range(SEEDS))


ENDS: Counter[str] = Counter()


@pytest.mark.parametrize("seed", seeds())
def test_every_run_survives_the_storm_with_one_end_and_no_turn_twice(seed: int) -> None:
    _, _, ends = played(seed)
    ENDS.update(ends)


def test_enough_of_the_runs_reached_their_answer() -> None:
    """A floor against passing by ending everything (JOURNAL.md 3, rule 5)."""
    if ENDS.total() < SEEDS * RUNS:
        pytest.skip("needs all seeds in this process")
    assert ENDS["run.completed"] > ENDS.total() / 2, ENDS


@pytest.mark.parametrize("seed", [3, 17])
def test_the_same_seed_gives_the_same_logs(seed: int) -> None:
    assert played(seed) == played(seed)
