"""One seeded storm over whole runs in virtual time, and the judging of what it left (JOURNAL.md 3, L1).

Everything random comes from the seed: which script, which faults of the store, who is lost, frozen or woken and when.
After the storm everything is there and works, and every run has to come to its end. ``python -m tests.simulation.storm 17``
plays seed 17 and says what happened.
"""

from __future__ import annotations

import asyncio
import logging
import os
import random
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import orjson

from runtime import failpoints
from runtime.errors import Busy, HeadraceError, StoreUnavailable
from runtime.events.codec import decode
from runtime.events.envelope import Stored
from runtime.events.fold import RunState, fold_all
from runtime.executor.executor import Executor
from runtime.generator.problems import Refusal
from runtime.generator.tail import LogDoor
from runtime.log.log import TERMINAL_TYPES, Created, Lease, NewRun, Run, Write, Written
from runtime.log.memory import MemoryLog
from tests.checker import violations
from tests.history import History, Segment, seen
from tests.rig import Rig
from tests.simulation.scripts import DELEGATES, EFFECTS, SCRIPTS, TOOLS
from tests.virtual_time import LoopClock, VirtualLoop

STORM_S = 40.0
RUNS = 3
PEACE_S = 300.0
"""Within this much virtual time after the storm every run has ended."""
BUDGETS = (None, None, 10_000_000, 10_000_000, 300_000)
"""Millionths of a US dollar: none, plenty, and too little for a run that loses many calls in the middle."""

ACTIONS = (
    "lose hub",
    "lose process",
    "lose both",
    "second process",
    "zombie process",
    "stop process",
    "stop hub",
    "hand over",
    "park",
    "cancel",
    *["failpoint"] * 5,
)

HTTP_POINTS = frozenset({"accept.replying", "run.shown"})
"""Failpoints of the door, which stands outside: here nobody comes to them."""

POINTS = tuple(point for point in failpoints.POINTS if point not in HTTP_POINTS)


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
        return await self._maybe("create", lambda: self.inner.create(new))

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

    async def heads(self, run_ids: Sequence[str]) -> dict[str, int]:
        return await self._maybe("heads", lambda: self.inner.heads(run_ids))

    async def size(self, run_id: str) -> int:
        return await self._maybe("size", lambda: self.inner.size(run_id))

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


@dataclass
class Outcome:
    """What a seed came to."""

    script: str = ""
    shapes: list[list[tuple[str, str | None, int]]] = field(default_factory=list)
    """Of each run: its events' types, stages and epochs."""
    happened: Counter[str] = field(default_factory=Counter)
    ends: Counter[str] = field(default_factory=Counter)
    events: int = 0
    segments: int = 0
    effects: int = 0


class Simulation:
    """One seed, played once."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.clock = LoopClock()
        self.log = FaultyLog(MemoryLog(self.clock), self.chance)
        self.outcome = Outcome(script=self.chance.choice(list(SCRIPTS)))
        script, delegates = SCRIPTS[self.outcome.script], DELEGATES.get(self.outcome.script, {})
        self.rig = Rig(script, log=self.log, clock=self.clock, tools=TOOLS, max_tool_calls=3, delegates=delegates)
        self.history = History(seed, counts_calls=True)
        self.door = LogDoor("door", self.rig.portal, self.rig.portal, (), self.clock, max_readers_per_run=50)
        self.tasks: set[asyncio.Task[None]] = set()

    async def play(self) -> Outcome:
        """The storm, the peace after it, and the judgement."""
        EFFECTS.clear()
        await self.rig.put_hub()
        await self.rig.put_process()
        await self.door.start()
        keeper = asyncio.create_task(self._keep())
        asked = [self._behind(self._ask(f"r{n}")) for n in range(RUNS)]
        for n in range(RUNS):
            self._behind(self._talk(f"r{n}"))
        readers = [self._behind(self._read(f"r{n}")) for n in range(RUNS)]
        try:
            await self._storm()
            await asyncio.gather(*asked)
            for n in range(RUNS):
                await self.rig.ended(f"r{n}", within_s=PEACE_S)
            async with asyncio.timeout(PEACE_S):
                await asyncio.gather(*readers)
            await self.clock.sleep(35.0)  # nothing is written after the end, and zombies have their say
        finally:
            keeper.cancel()
            await self._remember()
            for task in (*self.tasks, keeper):
                task.cancel()
            await self.door.stop()
            await self.rig.close()
        self._judge()
        return self.outcome

    # --- the people around it ----------------------------------------------------------------------------------------

    async def _ask(self, run_id: str) -> None:
        """As a client: the same key again until there is an answer. Some come in the middle of the storm."""
        budget, approve = self.chance.choice(BUDGETS), self.chance.random() < 0.3
        await self.clock.sleep(0.0 if run_id == "r0" else self.chance.choice([0.0, 0.0, 5.0, 20.0]))
        while True:
            try:
                question, key = f"Why {run_id}?", f"key {run_id}"
                await self.rig.ask(run_id, question=question, begin=False, budget=budget, key=key, approve_plan=approve)
                break
            except StoreUnavailable:
                await self.clock.sleep(0.5)
        if self.rig.executors:
            await asyncio.gather(self.rig.begin(run_id), return_exceptions=True)

    async def _talk(self, run_id: str) -> None:
        """A person who answers whatever is asked, sooner or later, and says something now and then, through any outage."""
        state = RunState()
        for number in count():
            await self.clock.sleep(self.chance.choice([1.0, 4.0, 15.0]))
            news = self.rig.truth._events.get(run_id, ())[state.last_seq :]
            state = fold_all([decode(stored) for stored in news], state)
            body = self._something_to_say(state)
            if state.terminal or body is None:
                continue
            try:
                await self.rig.say(run_id, name=f"{run_id}-{number}", **body)
                self.outcome.happened[f"said: {body['type']}"] += 1
            except (HeadraceError, Refusal) as error:
                self.outcome.happened[f"not said: {error.code}"] += 1

    def _something_to_say(self, state: RunState) -> dict[str, object] | None:
        asked = next(iter(state.open_approvals().items()), None)
        if asked is not None:
            name, approval = asked
            approved = self.chance.random() < 0.95
            hash_ = approval.requested.arguments_hash
            return {"type": "approve", "approval": name, "arguments_hash": hash_, "approved": approved}
        match self.chance.randrange(8):
            case 0:
                return {"type": "message", "text": "Keep it short."}
            case 1 if len(state.stages) > 1:
                return {"type": "cancel_stage", "stage": self.chance.choice(sorted(state.stages))}
        return None

    async def _read(self, run_id: str) -> None:
        """A reader that leaves and comes back at random, always with the id of its last event."""
        cursor = 0
        while True:
            segment = Segment("reader", run_id, str(cursor))
            try:
                patience = self.chance.choice([1, 4, 1_000_000])
                async with aclosing(self.door.follow(run_id, after=cursor, idle_s=20.0)) as batches:
                    async for batch in batches:
                        segment.events += [seen(stored) for stored in batch or ()]
                        cursor = batch[-1].seq if batch else cursor
                        if batch and batch[-1].type in TERMINAL_TYPES:
                            segment.end = "whole"
                            return
                        patience -= 1
                        if patience == 0:
                            break
            except (StoreUnavailable, Busy):
                segment.end = "broken"
            except HeadraceError as error:
                segment.end = error.code  # not there yet
            finally:
                if segment.events:
                    self.history.segments.append(segment)
            await self.clock.sleep(0.5)

    # --- the storm ---------------------------------------------------------------------------------------------------

    async def _storm(self) -> None:
        self.log.rate = self.chance.choice([0.0, 0.02, 0.1])
        end = self.clock.now() + STORM_S
        while self.clock.now() < end:
            what = self.chance.choice(ACTIONS)
            await self._act(what)
            await self.clock.sleep(self.chance.expovariate(1 / 4.0))
        self.log.rate = 0.0
        self.rig.fuses.clear()
        await self._restore()

    async def _act(self, what: str) -> None:
        rig, chance = self.rig, self.chance
        executor = chance.choice(rig.executors) if rig.executors else None
        self.outcome.happened[what] += 1
        match what:
            case "failpoint":
                rig.arm(chance.choice(POINTS), chance.choice([1, 1, 2, 5]))
            case "lose hub":
                rig.lose_hub()
            case "stop hub":
                rig.freeze_hub()
                asyncio.get_running_loop().call_later(chance.choice([0.5, 5.0, 20.0]), rig.thaw_hub)
            case "second process" if rig.portal.hub is not None:
                await asyncio.gather(rig.put_process(), return_exceptions=True)
            case "cancel" if chance.random() < 0.2:
                await asyncio.gather(rig.cancel(f"r{chance.randrange(RUNS)}"), return_exceptions=True)
        if executor is not None:
            await self._act_on(what, executor)

    async def _act_on(self, what: str, executor: Executor) -> None:
        rig, chance = self.rig, self.chance
        match what:
            case "lose process":
                await rig.lose_process(executor)
            case "lose both":
                rig.lose_hub()
                await rig.lose_process(executor)
            case "zombie process" if executor._beat is not None:  # one that is still starting has nothing to forget
                rig.freeze(executor)
                rig.lost.set()
            case "stop process":
                rig.stop_process(executor)
                asyncio.get_running_loop().call_later(chance.choice([1.0, 8.0, 15.0, 30.0]), rig.wake_process, executor)
            case "hand over":
                await rig.hand_over(executor)
            case "park" if executor._owned:
                run_id = chance.choice(sorted(executor._owned))
                wake_in_s = chance.choice([0.0, 3.0, 15.0])
                self._behind(self._park(executor, run_id, wake_in_s))

    async def _park(self, executor: Executor, run_id: str, wake_in_s: float) -> None:
        try:
            await self.rig.park(executor, run_id, wake_in_s=wake_in_s)
            self.outcome.happened["parked"] += 1
        except HeadraceError as error:
            self.outcome.happened[f"park refused: {error.code}"] += 1

    async def _keep(self) -> None:
        """As a supervisor: what is lost is replaced after a while."""
        while True:
            await self.rig.lost.wait()
            self.rig.lost.clear()
            await self.clock.sleep(self.chance.choice([0.0, 0.5, 3.0, 12.0]))
            await self._restore()

    async def _restore(self) -> None:
        while self.rig.portal.hub is None or not self.rig.executors:
            if self.rig.portal.hub is None:
                await self.rig.put_hub()
            elif not self.rig.executors:
                await asyncio.gather(self.rig.put_process(), return_exceptions=True)
            await self.clock.sleep(0.01)

    def _behind(self, work: Any) -> asyncio.Task[None]:
        task: asyncio.Task[None] = asyncio.create_task(work)
        self.tasks.add(task)
        return task

    # --- the judgement -----------------------------------------------------------------------------------------------

    async def _remember(self) -> None:
        self.history.calls = dict(self.rig.model.calls)
        self.history.effects = list(EFFECTS)
        for run in list(self.rig.truth._runs.values()):
            self.history.add_run(run, await self.rig.events(run.run_id))

    def _judge(self) -> None:
        history, outcome = self.history, self.outcome
        found = violations(history)
        assert not found, "\n".join(f"{v.kind} in {v.run}: {v.words}" for v in found)
        assert len(history.runs) == RUNS, f"the same keys made the runs {sorted(history.runs)}"
        for run in history.runs.values():
            outcome.shapes.append([(e.type, e.stage, e.epoch) for e in run.events])
            last = run.events[-1]
            code = f" {_code(last)}" if last.type == "run.failed" else ""
            outcome.ends[last.type + code] += 1
            assert code.strip() in ("", "poison", "budget_exceeded"), last.body.decode()
        outcome.happened += self.log.faults
        outcome.happened += Counter({f"lost at {point}": n for point, n in self.rig.blown.items()})
        outcome.events = sum(map(len, outcome.shapes))
        outcome.segments, outcome.effects = len(history.segments), len(history.effects)


def _code(stored: Stored) -> str:
    return str(orjson.loads(stored.body)["data"]["code"])


def play(seed: int) -> Outcome:
    """Play a seed. What it raises names the seed, how to play it again, and the file that has its history."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:

        async def one() -> Outcome:
            simulation = Simulation(seed)
            try:
                return await simulation.play()
            except (Exception, asyncio.CancelledError) as error:
                path = simulation.history.save(histories(), f"seed-{seed}")
                again = f"again: python -m tests.simulation.storm {seed}; history: {path}"
                raise AssertionError(f"SEED {seed} ({simulation.outcome.script}): {error!r}\n{again}") from error

        return runner.run(one())


def history_after(seed: int) -> History:
    """Play a seed and give its history, however it ended: for controls that break a promise on purpose."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:

        async def one() -> History:
            simulation = Simulation(seed)
            with suppress(Exception, asyncio.CancelledError):
                await simulation.play()
            return simulation.history

        return runner.run(one())


def play_many(seeds: Sequence[int]) -> tuple[Outcome, list[str]]:
    """Play seeds one after the other: their sums, and what the failing ones said."""
    logging.disable(logging.CRITICAL)
    total, failures = Outcome(), list[str]()
    for seed in seeds:
        try:
            outcome = play(seed)
        except AssertionError as error:
            failures.append(str(error))
            continue
        total.ends += outcome.ends
        total.happened += outcome.happened
        total.events += outcome.events
        total.segments += outcome.segments
        total.effects += outcome.effects
    return total, failures


def histories() -> Path:
    """Where failing histories are kept."""
    return Path(os.environ.get("HEADRACE_HISTORIES", Path(tempfile.gettempdir()) / "headrace-histories"))


if __name__ == "__main__":
    for number in sys.argv[1:]:
        print(number, play(int(number)))
