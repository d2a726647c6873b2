"""The in-process system wired part by part, so that a test can lose a part and put another in its place."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace

import runtime.bootstrap.control as control
from runtime.agents.agent import Agent
from runtime.agents.loop import LoopTools
from runtime.agents.turn import Rung, TurnTools
from runtime.clock import Clock
from runtime.composition import compose
from runtime.config import Settings
from runtime.errors import StoreUnavailable
from runtime.events.catalog import Limits, RunAccepted, RunInput
from runtime.events.codec import encode
from runtime.events.envelope import Draft, Envelope, Stored
from runtime.executor.executor import Executor
from runtime.llm.client import Chunk, Completed, ModelRequest
from runtime.llm.script import parse_script
from runtime.llm.scripted import ScriptedClient
from runtime.log.hub import Hub
from runtime.log.log import Created, Lease, Log, NewRun, Run
from runtime.log.memory import MemoryLog
from runtime.log.publisher import Publisher
from runtime.log.wire import Append, Appended, CancelledBy, FeedItem
from runtime.pipeline.hooks import Hook, Hooks
from runtime.recovery.policy import RetryPolicy
from runtime.telemetry import Counts
from runtime.tools.invoke import LocalToolRunner
from runtime.tools.registry import Registry
from runtime.tools.tool import Tool
from tests.checker import check_run
from tests.virtual_time import LoopClock

PLANNING = """
rate = 0
[[turn]]
agent = "titler"
output = { title = "{topic}" }
[[turn]]
agent = "guardrail"
output = { allowed = true, category = "none", reason = "fine" }
"""

CHAIN = (
    PLANNING
    + """
[[turn]]
agent = "planner"
[turn.output]
todos = [
  { id = "find", title = "Find", agent = "research", depends_on = [] },
  { id = "weigh", title = "Weigh", agent = "analysis", depends_on = ["find"] },
  { id = "write", title = "Write", agent = "writing", depends_on = ["weigh"] },
]
[[turn]]
text = "words of {agent} about {task}"
"""
)
"""Three stages, one after the other."""


class HubPortal:
    """A ``HubPort`` that stays when the hub behind it is lost or replaced, as an actor's handle does."""

    def __init__(self) -> None:
        self.hub: Hub | None = None

    def _up(self) -> Hub:
        if self.hub is None:
            raise StoreUnavailable("there is no hub just now")
        return self.hub

    async def append(self, batch: Sequence[Append]) -> list[Appended]:
        return await self._up().append(batch)

    async def create(self, new: NewRun) -> Created:
        return await self._up().create(new)

    async def cancel(self, run_id: str, by: CancelledBy) -> Run:
        return await self._up().cancel(run_id, by)

    async def claim(self, run_id: str | None, *, executor: str) -> list[Run]:
        return await self._up().claim(run_id, executor=executor)

    async def renew(self, executor: str, *, ttl_s: float) -> Lease:
        return await self._up().renew(executor, ttl_s=ttl_s)

    async def owned(self, executor: str) -> list[Run]:
        return await self._up().owned(executor)

    async def release(self, executor: str, *, lost: bool = False) -> None:
        await self._up().release(executor, lost=lost)

    async def watch(self, door: str, run_ids: Sequence[str]) -> dict[str, int]:
        return await self._up().watch(door, run_ids)

    async def unwatch(self, door: str, run_ids: Sequence[str]) -> None:
        await self._up().unwatch(door, run_ids)

    async def feed(self, door: str) -> AsyncGenerator[list[FeedItem], None]:
        hub = self._up()
        async for batch in hub.feed(door):
            if self.hub is not hub:
                raise StoreUnavailable("the hub was lost")
            yield batch

    async def get(self, run_id: str) -> Run | None:
        return await self._up().get(run_id)

    async def recent(self, *, tenant_id: str, limit: int = 50) -> list[Run]:
        return await self._up().recent(tenant_id=tenant_id, limit=limit)

    async def read(self, run_id: str, *, after: int, limit: int = 512, deltas: bool = True) -> list[Stored]:
        return await self._up().read(run_id, after=after, limit=limit, deltas=deltas)


class CountingClient:
    """The scripted model, counting calls begun and answered per (agent, turn), and how many are open at once."""

    def __init__(self, client: ScriptedClient) -> None:
        self._client = client
        self.begun: Counter[tuple[str, int]] = Counter()
        self.answered: Counter[tuple[str, int]] = Counter()
        self.open: Counter[str] = Counter()
        self.most_open = 0
        self.requests: list[ModelRequest] = []

    async def stream(self, request: ModelRequest) -> AsyncGenerator[Chunk, None]:
        key = (request.agent, request.turn)
        self.begun[key] += 1
        self.requests.append(request)
        self.open[request.agent] += 1
        self.most_open = max(self.most_open, self.open.total())
        try:
            async for chunk in self._client.stream(request):
                if isinstance(chunk, Completed):
                    self.answered[key] += 1
                yield chunk
        finally:
            self.open[request.agent] -= 1

    async def aclose(self) -> None:
        await self._client.aclose()


class Rig:
    """A system over one log. ``lose_*`` drops a part without any farewell; ``put_*`` makes a new one."""

    def __init__(
        self,
        script: str = CHAIN,
        *,
        log: Log | None = None,
        hooks: Sequence[Hook] = (),
        tools: Sequence[Tool] = (),
        ttl_s: float = 10.0,
        clock: Clock | None = None,
        max_tool_calls: int | None = None,
        settings: Mapping[str, object] = {},
    ) -> None:
        self.clock = clock or LoopClock()
        parts = compose(Settings(model="scripted", log="memory:", lease_ttl_s=ttl_s, **settings))  # type: ignore[arg-type]
        specs = dict(parts.specs)
        if tools:
            limit = specs["research"].max_tool_calls if max_tool_calls is None else max_tool_calls
            update = {"tools": tuple(tool.name for tool in tools), "max_tool_calls": limit}
            specs["research"] = specs["research"].model_copy(update=update)
        self.parts = replace(
            parts,
            specs=specs,
            registry=Registry(tools) if tools else parts.registry,
            hooks=Hooks((*parts.hooks.hooks, *hooks)),
        )
        self.log: Log = log or MemoryLog(self.clock)
        self.truth: MemoryLog = self.log if isinstance(self.log, MemoryLog) else self.log.inner  # type: ignore[attr-defined]
        self.model = CountingClient(ScriptedClient(parse_script(script, "test"), self.clock))
        self.portal = HubPortal()
        self.publisher: Publisher | None = None
        self.agents: dict[str, Agent] = {}
        self.executors: list[Executor] = []
        self.zombies: list[Executor] = []
        self.incarnation = 0

    async def put_hub(self) -> Hub:
        self.portal.hub = Hub(self.log, self.clock)
        await self.portal.hub.start()
        return self.portal.hub

    def lose_hub(self) -> Hub | None:
        """As a killed process: nothing is committed, answered or fed any more."""
        hub, self.portal.hub = self.portal.hub, None
        if hub is not None:
            tasks = [hub._committer, *hub._timers.values()]
            for task in tasks:
                if task is not None:
                    task.cancel()
            for pending in hub._pending:
                if not pending.done.done():
                    pending.done.set_exception(StoreUnavailable("the hub was lost"))
            hub._feeds.close()
        return hub

    async def put_process(self, *, interval_s: float = 0.02) -> Executor:
        """Agents, orchestrator and executor with a publisher of their own."""
        self.incarnation += 1
        name = f"process-{self.incarnation}"
        publisher = Publisher(name, self.portal, self.clock, interval_s=interval_s)
        await publisher.start()
        agents = {spec_name: self._agent(spec_name, publisher) for spec_name in self.parts.specs}
        orchestrator = control.build_orchestrator(self.parts, agents, publisher, self.clock)
        executor = control.build_executor(self.parts, name, self.portal, orchestrator, agents, publisher, self.clock)
        self.publisher, self.agents, self.orchestrator = publisher, agents, orchestrator
        await executor.start()
        self.executors.append(executor)
        executor.rig_parts = (publisher, agents, orchestrator)  # type: ignore[attr-defined]
        return executor

    def _agent(self, name: str, publisher: Publisher) -> Agent:
        spec = self.parts.specs[name]
        rungs = (Rung("scripted:test", "test", self.model, spec.instructions),)
        turn = TurnTools(rungs, RetryPolicy(), self.clock, lambda: 0.5, Counts())
        tools = LoopTools(spec, turn, self.parts.registry, LocalToolRunner(self.clock), ".")
        return Agent(tools, publisher, self.parts.chain)

    async def lose_process(self, executor: Executor) -> None:
        """As a killed process: every task of it ends at once and nothing it still held is sent."""
        self.executors.remove(executor)
        publisher, agents, orchestrator = executor.rig_parts  # type: ignore[attr-defined]
        tasks: set[asyncio.Task[object]] = {publisher._task, executor._beat}
        tasks |= {owned.task for owned in executor._owned.values()}
        for agent in agents.values():
            tasks |= {task for working in agent._working.values() for task in working}
        tasks |= set(orchestrator._late) | {t for w in orchestrator._working.values() for t in w}
        publisher._hub = _Dead()
        for lane in publisher._lanes.values():
            lane.fail(StoreUnavailable("this process is dead"))
        for task in tasks:
            if task is not None:
                task.cancel()
        executor._stopping = True
        await asyncio.gather(*(t for t in tasks if t is not None), return_exceptions=True)

    def freeze(self, executor: Executor) -> None:
        """As a process that renews nothing and hears nothing of it, while its runs work on unaware: a zombie."""
        assert executor._beat is not None
        executor._beat.cancel()
        self.executors.remove(executor)
        self.zombies.append(executor)

    async def ask(
        self,
        run_id: str = "r1",
        *,
        question: str = "Why?",
        deadline_s: float = 3600.0,
        begin: bool = True,
        tool_calls: int = 200,
    ) -> str:
        """Create a run and hand it to the last executor."""
        limits = Limits(deadline_s=deadline_s, tool_calls=tool_calls)
        accepted = RunAccepted(input=RunInput(question=question), limits=limits)
        record = encode(Draft(accepted), run_id, self.clock.now())
        new = NewRun(run_id, "default", None, question, deadline_s, "continue", 30.0, (record,))
        await self.portal.create(new)
        if begin:
            assert await self.executors[-1].begin(run_id)
        return run_id

    async def cancel(self, run_id: str = "r1") -> None:
        await self.portal.cancel(run_id, "user")
        for executor in self.executors:
            await executor.cancel(run_id)

    async def events(self, run_id: str = "r1") -> list[Stored]:
        found: list[Stored] = []
        while page := await self.truth.read(run_id, after=len(found)):
            found += page
        return found

    async def ended(self, run_id: str = "r1", *, within_s: float = 600.0) -> list[Envelope]:
        """Wait for the run's end, hold its log to the grammar, answer it."""
        await self.when(run_id, lambda types: False, within_s=within_s)
        return check_run(await self.events(run_id))

    async def when(self, run_id: str, condition, *, within_s: float = 600.0) -> None:  # type: ignore[no-untyped-def]
        """Wait until ``condition`` holds of the list of (type, stage) in the log, or the run has ended."""
        try:
            async with asyncio.timeout(within_s):
                while True:
                    run = await self.truth.get(run_id)
                    seen = [(e.type, e.stage) for e in self.truth._events[run_id]]
                    if condition(seen) or (run is not None and run.terminal):
                        return
                    await asyncio.sleep(0.05)
        except TimeoutError:
            last = [(e.seq, e.epoch, e.type, e.stage) for e in self.truth._events[run_id][-20:]]
            raise AssertionError(f"run {run_id} is stuck: {await self.truth.get(run_id)}\n{last}") from None

    async def close(self) -> None:
        for zombie in self.zombies:
            self.executors.append(zombie)
            await self.lose_process(zombie)
        for executor in list(self.executors):
            await executor.stop()
            await executor.rig_parts[0].stop()  # type: ignore[attr-defined]
            for task in list(executor.rig_parts[2]._late):  # type: ignore[attr-defined]
                task.cancel()
        if self.portal.hub is not None:
            await self.portal.hub.stop()


class _Dead:
    async def append(self, batch: Sequence[Append]) -> list[Appended]:
        await asyncio.Event().wait()
        raise AssertionError("unreachable")


@asynccontextmanager
async def running(script: str = CHAIN, **options) -> AsyncIterator[Rig]:  # type: ignore[no-untyped-def]
    """A rig with a hub and one process."""
    rig = Rig(script, **options)
    await rig.put_hub()
    await rig.put_process()
    try:
        yield rig
    finally:
        await rig.close()


def types(envelopes: Sequence[Envelope]) -> list[str]:
    return [e.event.type for e in envelopes]
