"""Budgets are hard (JOURNAL.md P9): no provider ever bills more than a run, or a tenant's day, may spend.

Whole runs through the real SDK over real HTTP; the fake provider keeps its own books, and they are compared with the
log's. Processes are lost in the middle of calls, and the provider refuses and breaks off in storms. ``REPEATS`` (3; 20 in
the long tier) and ``SEED`` come from the environment.
"""

from __future__ import annotations

import asyncio
import os
import random
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from fractions import Fraction

import httpx2
import pytest

from runtime.agents.agent import Agent
from runtime.agents.loop import LoopTools
from runtime.agents.turn import Rung, TurnTools
from runtime.bootstrap.system import in_process
from runtime.clock import Clock, SystemClock
from runtime.config import ModelPrice, Settings
from runtime.errors import OverQuota, StoreUnavailable
from runtime.events import catalog as ev
from runtime.events.codec import decode, encode, micro_usd
from runtime.events.envelope import Draft, Envelope
from runtime.llm.anthropic import AnthropicClient
from runtime.llm.pricing import Price, PriceTable
from runtime.log.decide import TOO_SMALL
from runtime.log.log import NewRun, Run
from runtime.log.publisher import Publisher
from runtime.recovery.policy import RetryPolicy
from runtime.telemetry import Counts
from tests.checker import violations
from tests.fakes.billing_server import CALM, HURRICANE, STORM, BillingServer, Till
from tests.faults.report import record
from tests.history import History
from tests.portal import Gate, GatedModel, GatedRunner
from tests.rig import Rig

REPEATS = int(os.environ.get("REPEATS", "1"))
SEED = int(os.environ.get("SEED") or random.SystemRandom().randrange(10**6))
RUNS = 50
KILLS = 20
PROCESSES = 6
pytestmark = pytest.mark.timeout(300)
DAY_BUDGET = 1_000_000
"""Millionths of a US dollar: 1.00."""
FAST = 10.0
"""Times as fast as real: leases of 10 s, pauses between attempts of half a second and more."""
MAX_TOKENS = 400
PRICE = Price(input=0.3, output=1.5, cache_read=0.03, cache_write=0.375)
"""A call holds back about 0.003 USD and costs a quarter of it: the day pays for the calls that 20 lost processes had open."""
RUN_BUDGETS = (10_000, 18_000, 60_000)
"""Enough for the calls of planning, for a run that loses nothing, and for one that loses many."""


MIDNIGHT = 86_400.0 * 19_676


class FastClock:
    """Real time, ``FAST`` times as fast, from a midnight on: a day's budget must not become two while it is watched."""

    def __init__(self) -> None:
        self._begun = self.monotonic()

    def now(self) -> float:
        return MIDNIGHT + self.monotonic() - self._begun

    def monotonic(self) -> float:
        return time.monotonic() * FAST

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds / FAST)


class PaidRig(Rig):
    """A rig whose agents ask ``server`` through the SDK, at :data:`PRICE`."""

    def __init__(self, server: BillingServer, seed: int) -> None:
        super().__init__(clock=FastClock())
        self.server = server
        self.chance = random.Random(seed)
        prices = PriceTable({"paid": PRICE})
        self.client = AnthropicClient("key", server.base_url, SystemClock(), prices=prices)
        self.prices = prices

    def _agent(self, name: str, publisher: Publisher, clock: Clock, gate: Gate) -> Agent:
        spec = self.parts.specs[name].model_copy(update={"max_tokens": MAX_TOKENS})
        rungs = (Rung("anthropic:paid", "paid", GatedModel(self.client, gate), spec.instructions),)
        turn = TurnTools(rungs, RetryPolicy(), clock, self.chance.random, Counts(), self.prices)
        tools = LoopTools(spec, turn, self.parts.registry, GatedRunner(clock, gate), ".")
        return Agent(tools, publisher, self.parts.chain)

    async def ask_for(self, run_id: str, *, budget: int | None = None, day_budget: int | None = None) -> str:
        usd = None if budget is None else budget / 1_000_000
        question = f"Why {run_id}?"
        limits = ev.Limits(deadline_s=36_000.0, budget_usd=usd)
        accepted = ev.RunAccepted(input=ev.RunInput(question=question), limits=limits)
        first = encode(Draft(accepted), run_id, self.clock.now())
        new = NewRun(run_id, "default", None, question, 36_000.0, "continue", 30.0, (first,))
        await self.portal.create(replace(new, budget=budget, day_budget=day_budget))
        executor = self.chance.choice(self.executors)
        with suppress(StoreUnavailable):  # lost before it began: another finds the run
            await self._within(executor, executor.begin(run_id))
        return run_id

    async def lose_and_replace(self) -> None:
        """As a supervisor does: the lost one is declared dead, another takes its place and looks for work."""
        lost = self.chance.choice(self.executors)
        name = lost.name
        await self.lose_process(lost)
        await self.portal.release(name, lost=True)
        fresh = await self.put_process()
        await self._within(fresh, fresh.scan())


@asynccontextmanager
async def paid(seed: int) -> AsyncIterator[PaidRig]:
    async with BillingServer(seed=seed) as server:
        rig = PaidRig(server, seed)
        await rig.put_hub()
        for _ in range(PROCESSES):
            await rig.put_process()
        try:
            yield rig
        finally:
            await rig.close()
            await rig.client.aclose()


def bill(till: Till) -> Fraction:
    """What the provider asks for, in millionths of a US dollar, to the last fraction."""
    return Fraction(str(PRICE.input)) * till.input + Fraction(str(PRICE.output)) * till.output


# --- the storm -------------------------------------------------------------------------------------------------------


class Storm:
    """Fifty people who ask run after run, while processes are lost each time the provider has had some more calls."""

    def __init__(self, rig: PaidRig, *, budgets: tuple[int, ...] = (), day_budget: int | None = None) -> None:
        self.rig = rig
        self.budgets = budgets
        self.day_budget = day_budget
        self.kills = 0

    async def play(self) -> None:
        people = [asyncio.create_task(self._person(n)) for n in range(RUNS)]
        while self.kills < KILLS and not all(person.done() for person in people):
            self.rig.server.weather = self.rig.chance.choice([CALM, STORM, STORM, HURRICANE])
            await self._more_calls(self.rig.chance.randint(4, 20), people)
            await self.rig.lose_and_replace()
            self.kills += 1
        self.rig.server.weather = CALM
        await asyncio.gather(*people)

    async def _person(self, n: int) -> None:
        """Asks again as long as the storm lasts and there is money."""
        for again in range(100):
            budget = self.rig.chance.choice(self.budgets) if self.budgets else None
            try:
                run_id = await self.rig.ask_for(f"r{n}x{again}", budget=budget, day_budget=self.day_budget)
            except OverQuota:
                return
            spent_up = _ending(await self.rig.ended(run_id)) == "budget_exceeded" and budget is None
            if spent_up or self.kills >= KILLS:
                return

    async def _more_calls(self, n: int, people: list[asyncio.Task[None]]) -> None:
        goal = len(self.rig.server.calls) + n
        while len(self.rig.server.calls) < goal and not all(person.done() for person in people):
            await asyncio.sleep(0.002)


# --- the books -----------------------------------------------------------------------------------------------------------


@dataclass
class Books:
    """What provider and log say once all is over."""

    runs: dict[str, Run] = field(default_factory=dict)
    billed: dict[str, Fraction] = field(default_factory=dict)
    logs: dict[str, list[Envelope]] = field(default_factory=dict)
    lost: int = 0
    """Millionths charged whole for attempts of processes that were lost."""
    figures: Counter[str] = field(default_factory=Counter)

    @property
    def spent(self) -> int:
        return sum(run.spent for run in self.runs.values())

    @property
    def provider(self) -> Fraction:
        return sum(self.billed.values(), Fraction(0))


async def books(rig: PaidRig) -> Books:
    """Compare every account with every other; raises AssertionError on the first that is wrong."""
    found, history = Books(), History(SEED)
    assert "?" not in rig.server.tills, "every call can be told by its run"
    for run in list(rig.truth._runs.values()):
        stored = await rig.events(run.run_id)
        history.add_run(run, stored)
        found.runs[run.run_id] = run
        found.billed[run.run_id] = bill(rig.server.tills[run.run_id])
        found.logs[run.run_id] = [decode(one) for one in stored]
    wrong = [v for v in violations(history) if v.kind in ("terminal", "grammar", "budget")]
    assert not wrong, wrong
    for run_id, run in found.runs.items():
        assert run.terminal, run_id
        assert found.billed[run_id] <= run.spent, f"{run_id}: billed {found.billed[run_id]}, counted {run.spent}"
        assert run.budget is None or found.billed[run_id] <= run.budget, run_id
        assert run.reserved == 0, run_id
        found.lost += no_leak(run_id, found.logs[run_id])
    day = next(iter(found.runs.values())).day
    assert await rig.truth.spent("default", day) == (0, found.spent)
    for till in rig.server.tills.values():
        found.figures += Counter(calls=till.calls, refused=till.refused, cut=till.cut)
    found.figures += Counter(_ending(log) for log in found.logs.values())
    return found


def no_leak(run_id: str, log: list[Envelope]) -> int:
    """What is held back is given back with the call it was held for, once and whole; answers what takeovers cost."""
    held: dict[tuple[str | None, str | None], float] = {}
    lost = 0
    for e in log:
        lane = (e.stage, e.agent)
        match e.event:
            case ev.TurnStarted(reserved_cost_usd=reserved):
                assert reserved > 0, f"{run_id}: event {e.seq} holds nothing back"
                assert lane not in held
                held[lane] = reserved
            case ev.TurnCompleted() | ev.TurnSuperseded() | ev.TurnFailed():
                assert e.event.released_cost_usd == held.pop(lane), (
                    f"{run_id}: event {e.seq} keeps some of what was held"
                )
        if isinstance(e.event, ev.TurnSuperseded) and e.event.reason in ("takeover", "agent_lost"):
            lost += micro_usd(e.event.spent_cost_usd)
    return lost


def _ending(log: list[Envelope]) -> str:
    last = log[-1].event
    return last.code if isinstance(last, ev.RunFailed) else last.type.removeprefix("run.")


def most_held(logs: dict[str, list[Envelope]]) -> int:
    starts = (e.event for log in logs.values() for e in log)
    return max(micro_usd(e.reserved_cost_usd) for e in starts if isinstance(e, ev.TurnStarted))


def tell(what: str, seed: int, kills: int, done: Books, more: str) -> None:
    ends = ", ".join(f"{n} {name}" for name, n in sorted(done.figures.items()))
    cost = f"lost attempts were charged {done.lost / 10_000:.1f} cents"
    floor = (
        f"{kills} kills; {ends}; billed {float(done.provider) / 1e6:.4f} of {done.spent / 1e6:.4f} USD; {cost}; {more}"
    )
    record(promise="P9", what=what, n=len(done.runs), violations=0, seed=seed, floor=floor)


# --- the tests -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("again", range(REPEATS))
async def test_fifty_runs_of_one_day_never_spend_more_than_its_budget_and_can_use_nearly_all_of_it(again: int) -> None:
    seed = SEED + again
    async with paid(seed) as rig:
        storm = Storm(rig, day_budget=DAY_BUDGET)
        await storm.play()
        after_storm = (await books(rig)).spent
        followers = await use_the_rest(rig)
        done = await books(rig)
        left = DAY_BUDGET - done.spent
        assert done.provider <= DAY_BUDGET
        assert done.spent <= DAY_BUDGET
        assert left < max(most_held(done.logs), TOO_SMALL), "what is left does not even cover one more call"
        assert done.spent >= 0.9 * DAY_BUDGET, "nearly all of the budget could be used"
        assert storm.kills == KILLS
        assert done.figures["refused"] > 20
        more = f"{after_storm / 1e6:.4f} USD in the storm, {followers} runs used the rest but {left / 1e6:.4f}"
        tell("50 runs at once on one day's budget of 1.00 USD", seed, storm.kills, done, more)


async def use_the_rest(rig: PaidRig) -> int:
    """Runs, some at once while there is plenty, until none is taken, or not even the first call of one fits; how many."""
    asked, rig.server.dense = 0, 1.0
    while asked < 500:
        left = DAY_BUDGET - sum(run.spent for run in rig.truth._runs.values())
        assert left >= 0, "more than the day's budget is spent"
        names = [f"more{asked + n}" for n in range(16 if left > 0.1 * DAY_BUDGET else 1)]
        answers = await asyncio.gather(
            *(rig.ask_for(name, day_budget=DAY_BUDGET) for name in names), return_exceptions=True
        )
        taken = [answer for answer in answers if isinstance(answer, str)]
        assert all(isinstance(answer, OverQuota) for answer in answers if answer not in taken), answers
        asked += len(taken)
        if not taken:
            return asked
        logs = [await rig.ended(name) for name in taken]
        if not any(isinstance(e.event, ev.TurnStarted) for log in logs for e in log):
            assert {_ending(log) for log in logs} == {"budget_exceeded"}
            return asked
    raise AssertionError("the budget has no end")


@pytest.mark.parametrize("again", range(REPEATS))
async def test_fifty_runs_with_budgets_of_their_own_keep_to_them(again: int) -> None:
    seed = SEED + again
    async with paid(seed) as rig:
        storm = Storm(rig, budgets=RUN_BUDGETS)
        await storm.play()
        done = await books(rig)
        assert storm.kills == KILLS
        assert done.figures["budget_exceeded"] > 0, "some budget was too small"
        assert done.figures["completed"] > 0, "and some was not"
        tell("50 runs at once with budgets of 0.01 to 0.06 USD", seed, storm.kills, done, "")


async def test_the_operators_prices_both_hold_back_and_bill(monkeypatch: pytest.MonkeyPatch) -> None:
    """The setting's one table reaches the agents and the client alike."""
    async with BillingServer(seed=SEED) as server:
        monkeypatch.setenv("ANTHROPIC_BASE_URL", server.base_url)
        prices = {"mine": ModelPrice(input=PRICE.input, output=PRICE.output)}
        settings = Settings(model="anthropic", anthropic_model="mine", log="memory:", prices=prices)
        async with in_process(settings) as system:
            transport = httpx2.ASGITransport(app=system.app)
            async with httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1:8000") as http:
                body = {"input": "Why one?", "budget_usd": 1.0}
                run_id = (await http.post("/v1/runs", json=body)).json()["run_id"]
                async with asyncio.timeout(20), aclosing(system.door.follow(run_id, after=0, idle_s=1.0)) as follow:
                    log = [decode(stored) async for batch in follow for stored in batch]
                run = await system.hub.get(run_id)
    assert run is not None
    assert _ending(log) == "completed"
    assert no_leak(run_id, log) == 0
    assert bill(server.tills["one"]) <= run.spent < bill(server.tills["one"]) + server.tills["one"].calls
    assert run.reserved == 0
