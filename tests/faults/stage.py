"""A stage of a real agent on a real hub and log, whose models are the real SDK over real HTTP to the fake server."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from runtime.agents.agent import Agent
from runtime.agents.loop import LoopTools
from runtime.agents.metadata import tool_metadata
from runtime.agents.request import StageResult
from runtime.agents.spec import AgentSpec
from runtime.agents.turn import Rung, TurnTools
from runtime.clock import Clock, ManualClock, SystemClock
from runtime.events import catalog as ev
from runtime.events.codec import encode, micro_usd
from runtime.events.envelope import Draft
from runtime.events.plan import Plan, Todo
from runtime.llm.anthropic import AnthropicClient
from runtime.llm.models import CATALOGUE, Catalogue
from runtime.llm.pricing import Price, PriceTable
from runtime.log.hub import Hub
from runtime.log.log import NewRun, Run
from runtime.log.memory import MemoryLog
from runtime.log.publisher import Publisher
from runtime.recovery.breaker import Breakers
from runtime.recovery.policy import RetryPolicy
from runtime.stream.chain import Chain
from runtime.telemetry import Counts
from runtime.tools.invoke import LocalToolRunner
from runtime.tools.registry import Registry
from runtime.tools.tool import Tool
from tests.agents.bench import BRIEF, RUN, STAGE, WORKER, Bench
from tests.fakes.messages_server import MessagesServer

PRICE = Price(input=2.0, output=10.0, cache_read=0.2, cache_write=2.5)
KEY = "sk-ant-canary-0123456789"


class _OnePrice(dict[str, Price]):
    """Every model costs the same, whatever its name."""

    def __contains__(self, key: object) -> bool:
        return True

    def __getitem__(self, key: str) -> Price:
        return PRICE


PRICES = PriceTable(_OnePrice())


@dataclass
class Stage(Bench):
    """A bench whose agent asks the server's models; pauses between attempts take no time unless ``clock`` is the system's."""

    server: MessagesServer = field(default_factory=MessagesServer)
    client: AnthropicClient | None = None
    seed: str = "0"
    counts: Counts = field(default_factory=Counts)
    breakers: Breakers = field(default_factory=Breakers)

    async def open(self, budget: int | None = None) -> None:
        accepted = encode(Draft(ev.RunAccepted(input=ev.RunInput(question=BRIEF.question))), RUN, self.clock.now())
        new = NewRun(RUN, "t", None, "q", 3600.0, "continue", 30.0, (accepted,), budget=budget)
        await self.hub.create(new)
        await self.hub.renew("executor", ttl_s=1e9)
        await self.hub.claim(RUN, executor="executor")
        plan = Plan(todos=(Todo(id=STAGE, title="Find out", agent=WORKER),))
        await self.write(ev.RunStarted(epoch=1, owner="executor", code_version="0"), ev.PlanCommitted(plan=plan))

    def asking(
        self,
        *models: str,
        tools: Sequence[Tool] = (),
        policy: RetryPolicy | None = None,
        catalogue: Catalogue = CATALOGUE,
        **spec: Any,
    ) -> Agent:
        """An agent whose ladder is the server's ``models``."""
        assert self.client is not None
        about = {"name": WORKER, "description": "d", "instructions": "Work.", "tools": tuple(t.name for t in tools)}
        registry, chance = Registry(tools), random.Random(self.seed)
        rungs = tuple(Rung(f"anthropic:{model}", model, self.client, "Work.") for model in models)
        turn = TurnTools(
            rungs,
            policy or RetryPolicy(),
            self.clock,
            chance.random,
            self.counts,
            PRICES,
            breakers=self.breakers,
            catalogue=catalogue,
        )
        parts = LoopTools(AgentSpec(**{**about, **spec}), turn, registry, LocalToolRunner(self.clock), "/data")
        return Agent(parts, self.publisher, Chain((tool_metadata(registry),)))

    async def ask(self, *models: str, **more: Any) -> StageResult:
        """One dispatch."""
        return await self.asking(*models, **more).run_stage(await self.dispatched())

    async def run(self) -> Run:
        found = await self.hub.get(RUN)
        assert found is not None
        return found

    async def money_adds_up(self) -> None:
        """Nothing is held back once no call is under way; what was spent is what the events say, and never over a hold."""
        spent = 0
        for one in await self.log():
            match one.event:
                case ev.TurnStarted(reserved_cost_usd=held):
                    assert held > 0
                    open_ = held
                case ev.TurnCompleted(released_cost_usd=released, usage=usage):
                    assert released == open_
                    assert 0 < usage.cost_usd < open_
                    spent += micro_usd(usage.cost_usd)
                case ev.TurnSuperseded() | ev.TurnFailed():
                    assert one.event.released_cost_usd == open_
                    assert 0 <= one.event.spent_cost_usd <= open_
                    spent += micro_usd(one.event.spent_cost_usd)
        run = await self.run()
        assert (run.reserved, run.spent) == (0, spent)
        assert (await self.folded()).reserved_usd == 0.0


@asynccontextmanager
async def stage(clock: Clock | None = None, *, budget: int | None = None, seed: str = "0") -> AsyncIterator[Stage]:
    """A stage ready to be dispatched, and its server; content is waited for 0.8 s, progress 0.35 s."""
    clock = clock or ManualClock()
    hub = Hub(MemoryLog(clock), clock)
    await hub.start()
    publisher = Publisher("test", hub, clock, interval_s=0.0)
    await publisher.start()
    async with MessagesServer() as server:
        client = AnthropicClient(KEY, server.base_url, SystemClock(), 5.0, 0.8, 0.35, 20.0, PRICES)
        made = Stage(clock, hub, publisher, server=server, client=client, seed=seed)  # type: ignore[arg-type]
        await made.open(budget)
        try:
            yield made
        finally:
            await client.aclose()
            await publisher.stop()
            await hub.stop()


async def until(condition: Callable[[], object], within_s: float = 5.0) -> float:
    """Wait for ``condition``; answers how many seconds it took."""
    begun = time.monotonic()
    while not condition():
        assert time.monotonic() - begun < within_s, "not in time"
        await asyncio.sleep(0.002)
    return time.monotonic() - begun
