"""The in-process system wired part by part, so that a test can lose a part and put another in its place."""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager
from contextvars import ContextVar, copy_context
from dataclasses import replace
from typing import TypeVar

import runtime.bootstrap.control as control
from runtime import failpoints
from runtime.agents.agent import Agent
from runtime.agents.loop import LoopTools
from runtime.agents.turn import Rung, TurnTools
from runtime.clock import Clock
from runtime.composition import compose
from runtime.config import Settings
from runtime.errors import StoreUnavailable
from runtime.events.attachments import Attachment
from runtime.events.catalog import Limits, RunAccepted, RunInput, RunWaiting
from runtime.events.codec import decode, encode
from runtime.events.envelope import Draft, Envelope, Stored
from runtime.events.fold import Approval, fold_all
from runtime.events.history import NOTHING_SAID, History
from runtime.executor.executor import Executor
from runtime.generator.requests import PersonInput
from runtime.generator.say import saying
from runtime.llm.client import Chunk, Completed, ModelRequest
from runtime.llm.pricing import Price, PriceTable
from runtime.llm.script import parse_script
from runtime.llm.scripted import ScriptedClient
from runtime.log.hub import Hub
from runtime.log.log import Log, NewRun, Write, Written
from runtime.log.memory import MemoryLog
from runtime.log.publisher import Publisher
from runtime.pipeline.hooks import Hook, Hooks
from runtime.recovery.policy import RetryPolicy
from runtime.stream.emitter import Emitter
from runtime.telemetry import Counts
from runtime.tools.registry import Registry
from runtime.tools.tool import Tool
from tests.checker import check_run
from tests.portal import Gate, GatedClock, GatedLog, GatedModel, GatedRunner, HubPortal, Line
from tests.virtual_time import LoopClock

T = TypeVar("T")

PLANNING = """
rate = 0
[[turn]]
agent = "titler"
output = { title = "{topic}" }
[[turn]]
agent = "guardrail"
output = { allowed = true, category = "none", reason = "fine" }
"""

SIDE_BY_SIDE = (
    PLANNING
    + """
[[turn]]
agent = "planner"
[turn.output]
todos = [
  { id = "a", title = "A", agent = "research", depends_on = [] },
  { id = "b", title = "B", agent = "analysis", depends_on = [] },
]
"""
)
"""Two stages at once; the turns that play them are to be added."""

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


HUB_POINTS = frozenset({"accept.committed", "run.ended"})
"""Failpoints that the hub comes to; the others are its process's, whoever that is."""

OWNER: ContextVar[Executor | None] = ContextVar("owner", default=None)
"""The executor whose simulated process the running task belongs to."""

_QUESTION = re.compile(r"<question>Why (\w+)\?")


class CountingClient:
    """The scripted model, counting calls begun and answered per (agent, turn), and how many are open at once.

    ``calls`` counts them by ``run/agent/turn``, where the question is ``Why RUN?``.
    """

    def __init__(self, client: ScriptedClient) -> None:
        self._client = client
        self.begun: Counter[tuple[str, int]] = Counter()
        self.calls: Counter[str] = Counter()
        self.answered: Counter[tuple[str, int]] = Counter()
        self.open: Counter[str] = Counter()
        self.most_open = 0
        self.requests: list[ModelRequest] = []

    async def stream(self, request: ModelRequest) -> AsyncGenerator[Chunk, None]:
        key = (request.agent, request.turn)
        self.begun[key] += 1
        if (asked := _QUESTION.search(request.messages[0].text())) is not None:
            self.calls[f"{asked[1]}/{request.agent}/{request.turn}"] += 1
        self.requests.append(request)
        self.open[request.agent] += 1
        self.most_open = max(self.most_open, self.open.total())
        try:
            async for chunk in self._client.stream(request):
                if isinstance(chunk, Completed):
                    self.answered[key] += 1
                    chunk = _billed(chunk)
                yield chunk
        finally:
            self.open[request.agent] -= 1

    async def aclose(self) -> None:
        await self._client.aclose()


PRICE = Price(input=1.0, output=5.0, cache_read=0.1, cache_write=1.25)


def _billed(done: Completed) -> Completed:
    """The answer with its cost, as an adapter that knows the price gives it."""
    cost = (done.usage.input_tokens * PRICE.input + done.usage.output_tokens * PRICE.output) / 1_000_000
    return replace(done, usage=done.usage.model_copy(update={"cost_usd": cost}))


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
        delegates: Mapping[str, tuple[str, ...]] = {},
    ) -> None:
        """``tools`` are those of the research agent, and of every agent that ``delegates`` names as one to delegate to."""
        self.clock = clock or LoopClock()
        parts = compose(Settings(model="scripted", log="memory:", lease_ttl_s=ttl_s, **settings))  # type: ignore[arg-type]
        specs = dict(parts.specs)
        if tools:
            limit = specs["research"].max_tool_calls if max_tool_calls is None else max_tool_calls
            update = {"tools": tuple(tool.name for tool in tools), "max_tool_calls": limit}
            for name in {"research", *(helper for helpers in delegates.values() for helper in helpers)}:
                specs[name] = specs[name].model_copy(update=update)
        for name, helpers in delegates.items():
            specs[name] = specs[name].model_copy(update={"delegates": helpers})
        self.parts = replace(
            parts,
            specs=specs,
            registry=Registry((*tools, *(tool for tool in parts.registry.all() if tool not in tools))),
            hooks=Hooks((*parts.hooks.hooks, *hooks)),
        )
        self.log: Log = log or MemoryLog(self.clock)
        self.truth: MemoryLog = self.log if isinstance(self.log, MemoryLog) else self.log.inner  # type: ignore[attr-defined]
        self._news = asyncio.Event()
        self._tell_of_news()
        self.model = CountingClient(ScriptedClient(parse_script(script, "test"), self.clock))
        self.portal = HubPortal()
        self.publisher: Publisher | None = None
        self.agents: dict[str, Agent] = {}
        self.executors: list[Executor] = []
        self.zombies: list[Executor] = []
        self.zombie_hubs: list[tuple[Hub, Gate]] = []
        self.incarnation = 0
        self.fuses: dict[str, int] = {}
        self.blown: Counter[str] = Counter()
        self.lost = asyncio.Event()
        self._hub_gate = Gate()

    def _tell_of_news(self) -> None:
        """Wake whoever waits for something in the log, when something comes into it."""
        real = self.truth.append

        async def append(writes: Sequence[Write]) -> list[Written]:
            written = await real(writes)
            self._news.set()
            self._news = asyncio.Event()
            return written

        self.truth.append = append  # type: ignore[method-assign]

    # --- the hub -----------------------------------------------------------------------------------------------------

    async def put_hub(self) -> Hub:
        self._hub_gate = Gate()
        self.portal.hub = Hub(GatedLog(self.log, self._hub_gate), self.clock)  # type: ignore[arg-type]
        await self.portal.hub.start()
        return self.portal.hub

    def lose_hub(self) -> Hub | None:
        """As a killed process: nothing is committed, answered or fed any more."""
        hub = self.portal.lose()
        if hub is not None:
            _end(hub)
        self.lost.set()
        return hub

    def freeze_hub(self) -> None:
        """As a stopped process that is given up for lost, and wakes with :meth:`thaw_hub` while another has its place."""
        gate = self._hub_gate
        hub = self.portal.lose(frozen=True)
        if hub is not None:
            gate.freeze()
            self.zombie_hubs.append((hub, gate))
        self.lost.set()

    def thaw_hub(self) -> None:
        """The hub that was frozen first goes on where it stood."""
        if self.zombie_hubs:
            hub, gate = self.zombie_hubs.pop(0)
            gate.thaw()
            asyncio.get_running_loop().call_later(30.0, _end, hub)

    # --- processes ---------------------------------------------------------------------------------------------------

    async def put_process(self, *, interval_s: float = 0.02) -> Executor:
        """Agents, orchestrator and executor with a publisher of their own."""
        self.incarnation += 1
        name = f"process-{self.incarnation}"
        gate = Gate()
        line, clock = Line(self.portal, gate), GatedClock(self.clock, gate)
        publisher = Publisher(name, line, clock, interval_s=interval_s)
        agents = {spec_name: self._agent(spec_name, publisher, clock, gate) for spec_name in self.parts.specs}
        orchestrator = control.build_orchestrator(self.parts, agents, publisher, clock)
        executor = control.build_executor(self.parts, name, line, orchestrator, agents, publisher, clock)  # type: ignore[arg-type]
        self.publisher, self.agents, self.orchestrator = publisher, agents, orchestrator
        executor.rig_parts = (publisher, agents, orchestrator)  # type: ignore[attr-defined]
        executor.rig_line, executor.rig_gate, executor.rig_work = line, gate, set()  # type: ignore[attr-defined]
        self.executors.append(executor)
        try:
            await self._within(executor, self._start(executor, publisher))
        except BaseException:
            self.kill(executor)
            raise
        return executor

    async def _start(self, executor: Executor, publisher: Publisher) -> None:
        await publisher.start()
        await executor.start()

    async def _within(self, executor: Executor, work: Coroutine[object, object, T]) -> T:
        """Do ``work`` as a task of the executor's process."""
        context = copy_context()
        context.run(OWNER.set, executor)
        task = asyncio.create_task(work, context=context)
        executor.rig_work.add(task)  # type: ignore[attr-defined]
        await asyncio.wait({task})
        executor.rig_work.discard(task)  # type: ignore[attr-defined]
        if task.cancelled():
            raise StoreUnavailable("the process was lost")
        return task.result()

    def _agent(self, name: str, publisher: Publisher, clock: Clock, gate: Gate) -> Agent:
        team: dict[str, LoopTools] = {}
        for spec in (*self.parts.helpers(name), self.parts.specs[name]):
            rungs = (Rung("scripted:test", "test", GatedModel(self.model, gate), spec.instructions),)
            turn = TurnTools(rungs, RetryPolicy(), clock, lambda: 0.5, Counts(), PriceTable({"test": PRICE}))
            team[spec.name] = LoopTools(spec, turn, self.parts.registry, GatedRunner(clock, gate), ".", team)
        return Agent(team[name], publisher, self.parts.chain)

    def kill(self, executor: Executor) -> list[asyncio.Task[object]]:
        """As a killed process: every task of it ends at once and nothing it still held is sent. Answers those tasks."""
        if executor in self.executors:
            self.executors.remove(executor)
        publisher, agents, orchestrator = executor.rig_parts  # type: ignore[attr-defined]
        executor.rig_line.cut()  # type: ignore[attr-defined]
        tasks: set[asyncio.Task[object] | None] = {publisher._task, executor._beat, executor._leases}
        tasks |= executor._probation._watches
        tasks |= executor.rig_work  # type: ignore[attr-defined]
        tasks |= {owned.task for owned in executor._owned.values()}
        for agent in agents.values():
            tasks |= {task for working in agent._working.values() for task in working}
        tasks |= set(orchestrator._late) | {t for w in orchestrator._working.values() for t in w}
        for lane in publisher._lanes.values():
            lane.fail(StoreUnavailable("this process is dead"))
        for task in tasks:
            if task is not None:
                task.cancel()
        executor.rig_gate.thaw()  # type: ignore[attr-defined]
        executor._stopping = True
        self.lost.set()
        return [task for task in tasks if task is not None]

    async def lose_process(self, executor: Executor) -> None:
        """:meth:`kill`, and wait until nothing of it is left."""
        await asyncio.gather(*self.kill(executor), return_exceptions=True)

    def freeze(self, executor: Executor) -> None:
        """As a process that renews nothing and hears nothing of it, while its runs work on unaware: a zombie."""
        assert executor._beat is not None
        executor._beat.cancel()
        self.executors.remove(executor)
        self.zombies.append(executor)

    def stop_process(self, executor: Executor) -> None:
        """As SIGSTOP: nothing of it moves; :meth:`wake_process` lets it go on, its runs taken over by then or not."""
        executor.rig_gate.freeze()  # type: ignore[attr-defined]
        self.executors.remove(executor)
        self.zombies.append(executor)
        self.lost.set()

    def wake_process(self, executor: Executor) -> None:
        """As SIGCONT."""
        executor.rig_gate.thaw()  # type: ignore[attr-defined]

    async def hand_over(self, executor: Executor) -> None:
        """A stop in order: the process lets go of its runs, which is no takeover."""
        self.executors.remove(executor)
        await self._within(executor, executor.stop())
        await executor.rig_parts[0].stop()  # type: ignore[attr-defined]
        self.kill(executor)

    # --- failpoints --------------------------------------------------------------------------------------------------

    def arm(self, point: str, hits: int) -> None:
        """Lose whoever comes to ``point`` for the ``hits``-th time from now; of this rig alone."""
        self.fuses[point] = hits
        failpoints.install(self._hit)

    def _hit(self, point: str) -> None:
        if point not in self.fuses:
            return
        owner = OWNER.get()
        if point not in HUB_POINTS and owner not in self.executors:
            return  # a zombie's, or nobody's
        self.fuses[point] -= 1
        if self.fuses[point] > 0:
            return
        del self.fuses[point]
        self.blown[point] += 1
        if point in HUB_POINTS:
            self.lose_hub()
        elif owner is not None:
            self.kill(owner)
        raise asyncio.CancelledError(f"lost at {point}")

    # --- runs --------------------------------------------------------------------------------------------------------

    async def ask(
        self,
        run_id: str = "r1",
        *,
        question: str = "Why?",
        deadline_s: float = 3600.0,
        begin: bool = True,
        tool_calls: int = 200,
        budget: int | None = None,
        key: str | None = None,
        approve_plan: bool = False,
        title: str | None = None,
        history: History = NOTHING_SAID,
        attachments: tuple[Attachment, ...] = (),
    ) -> str:
        """Create a run and hand it to the last executor; ``budget`` is in millionths of a US dollar."""
        usd = None if budget is None else budget / 1_000_000
        limits = Limits(deadline_s=deadline_s, tool_calls=tool_calls, budget_usd=usd)
        given = RunInput(question=question, attachments=attachments)
        accepted = RunAccepted(input=given, limits=limits, approve_plan=approve_plan, title=title, history=history)
        record = encode(Draft(accepted), run_id, self.clock.now())
        new = NewRun(run_id, "default", None, question, deadline_s, "continue", 30.0, (record,), key, key, budget)
        await self.portal.create(new)
        if begin:
            assert await self.begin(run_id)
        return run_id

    async def begin(self, run_id: str) -> bool:
        """Hand a run to the last executor."""
        return await self._within(self.executors[-1], self.executors[-1].begin(run_id))

    async def park(self, executor: Executor, run_id: str, *, wake_in_s: float) -> None:
        """Make a run wait, as its owner would; the log's refusal is raised."""
        run = await self.truth.get(run_id)
        assert run is not None
        publisher: Publisher = executor.rig_parts[0]  # type: ignore[attr-defined]
        lane = publisher.lane(run_id, run.epoch)
        wake_at = self.clock.now() + wake_in_s
        emitter = Emitter(lane, self.parts.chain, self.clock, run_id)
        try:
            await emitter.commit(RunWaiting(reason="parked by the test", until=wake_at), wake_at=wake_at)
        finally:
            publisher.close(lane)

    async def cancel(self, run_id: str = "r1") -> None:
        await self.portal.cancel(run_id, "user")
        for executor in self.executors:
            await executor.cancel(run_id)

    async def say(self, run_id: str = "r1", *, name: str = "one", **body: object) -> bool:
        """What a person says, through the door's own check: into the log, then to the executors. Raises Conflict, Refusal."""
        state = fold_all([decode(stored) for stored in await self.events(run_id)])
        agents = [spec.name for spec in self.parts.team]
        said = saying(state, PersonInput.model_validate(body), agents=agents, name=name, by="user")
        new = await self.portal.say(run_id, said.name, encode(said.draft, run_id, self.clock.now()))
        for executor in self.executors:
            if await self._within(executor, executor.nudge(run_id)):
                break
        return new

    async def asked(self, run_id: str = "r1") -> Approval:
        """Wait until a person is asked something that is still open; answer it."""
        found: dict[str, Approval] = {}

        def open_one(seen: object) -> bool:
            nonlocal found
            found = fold_all([decode(stored) for stored in self.truth._events[run_id]]).open_approvals()
            return bool(found)

        await self.when(run_id, open_one)
        return next(iter(found.values()))

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
        """Wait until ``condition`` holds of the list of (type, stage) in the log, or the run has ended; then 50 ms more."""
        try:
            async with asyncio.timeout(within_s):
                while True:
                    news = self._news
                    run = await self.truth.get(run_id)
                    seen = [(e.type, e.stage) for e in self.truth._events[run_id]]
                    if condition(seen) or (run is not None and run.terminal):
                        return await asyncio.sleep(0.05)
                    await news.wait()
        except TimeoutError:
            last = [(e.seq, e.epoch, e.type, e.stage) for e in self.truth._events[run_id][-20:]]
            raise AssertionError(f"run {run_id} is stuck: {await self.truth.get(run_id)}\n{last}") from None

    async def close(self) -> None:
        failpoints.install(None)
        for zombie in self.zombies:
            await self.lose_process(zombie)
        for executor in list(self.executors):
            await executor.stop()
            await executor.rig_parts[0].stop()  # type: ignore[attr-defined]
            for task in list(executor.rig_parts[2]._late):  # type: ignore[attr-defined]
                task.cancel()
        for hub, gate in self.zombie_hubs:
            _end(hub)
            gate.thaw()
        if self.portal.hub is not None:
            await self.portal.hub.stop()


def _end(hub: Hub) -> None:
    """Every task of a hub's process ends at once."""
    for task in (hub._committer, *hub._timers.values()):
        if task is not None:
            task.cancel()
    for pending in hub._pending:
        if not pending.done.done():
            pending.done.set_exception(StoreUnavailable("the hub was lost"))
    hub._feeds.close()


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
