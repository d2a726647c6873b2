"""One agent at work on one stage of one run, over a real hub, publisher and log in memory."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from runtime import errors
from runtime.agents.agent import Agent
from runtime.agents.loop import LoopTools
from runtime.agents.metadata import tool_metadata
from runtime.agents.request import StageRequest, StageResult
from runtime.agents.spec import AgentSpec
from runtime.agents.turn import Rung, TurnTools
from runtime.clock import ManualClock
from runtime.events import catalog as ev
from runtime.events.brief import Brief
from runtime.events.codec import decode, encode
from runtime.events.conversations import conversations, withdrawal
from runtime.events.envelope import Draft, Envelope
from runtime.events.fold import RunState, fold_all
from runtime.events.messages import ContentBlock, TextBlock, ToolUseBlock, Usage, load_conversation
from runtime.events.plan import Plan, Todo
from runtime.events.transcript import Transcript, advance, from_conversation
from runtime.llm.client import Chunk, Completed, InvalidCall, ModelRequest, StopReason
from runtime.llm.models import CATALOGUE, Catalogue
from runtime.llm.script import parse_script
from runtime.llm.scripted import ScriptedClient
from runtime.log.hub import Hub
from runtime.log.log import NewRun
from runtime.log.memory import MemoryLog
from runtime.log.publisher import Publisher
from runtime.recovery.policy import RetryPolicy
from runtime.stream.chain import Chain, ChainFunction
from runtime.stream.emitter import Emitter
from runtime.telemetry import Counts
from runtime.tools.invoke import LocalToolRunner, ToolRunner
from runtime.tools.registry import Registry
from runtime.tools.tool import Tool

RUN, STAGE, WORKER = "run-1", "s", "worker"
BRIEF = Brief("Why is the sky blue?", task="Find out", position="step 1 of 1")

Line = Sequence[Chunk] | errors.ModelError | Callable[[], AsyncGenerator[Chunk, None]]


def says(
    *content: ContentBlock | str, stop: StopReason = "end_turn", invalid: Sequence[InvalidCall] = ()
) -> list[Chunk]:
    blocks = tuple(TextBlock(text=block) if isinstance(block, str) else block for block in content)
    return [Completed(blocks, stop, Usage(output_tokens=1), "m", tuple(invalid))]


def call(call_id: str, tool: str, **arguments: Any) -> ToolUseBlock:
    return ToolUseBlock(id=call_id, name=tool, input=arguments)


@asynccontextmanager
async def open_bench(interval_s: float = 0.0) -> AsyncIterator[Bench]:
    """A bench, begun, for the length of the context; ``interval_s``: how long what nobody waits for is held back."""
    clock = ManualClock()
    hub = Hub(MemoryLog(clock), clock)
    await hub.start()
    publisher = Publisher("test", hub, clock, interval_s=interval_s)
    await publisher.start()
    made = Bench(clock, hub, publisher)
    await made.begin()
    yield made
    await publisher.stop()
    await hub.stop()


class Lines:
    """A model that plays one line for each turn, and keeps what it was asked; the last line again when they run out."""

    def __init__(self, *lines: Line) -> None:
        self.lines = list(lines)
        self.asked: list[ModelRequest] = []

    async def stream(self, request: ModelRequest) -> AsyncGenerator[Chunk, None]:
        self.asked.append(request)
        line = self.lines.pop(0) if len(self.lines) > 1 else self.lines[0]
        if isinstance(line, errors.ModelError):
            raise line
        if callable(line):
            async with aclosing(line()) as chunks:
                async for chunk in chunks:
                    yield chunk
            return
        for chunk in line:
            yield chunk

    async def aclose(self) -> None:
        """Nothing is held."""


class Played(ScriptedClient):
    """The scripted model, keeping what it was asked."""

    def __init__(self, script: str) -> None:
        super().__init__(parse_script("rate = 0\n" + script, "test"), ManualClock())
        self.asked: list[ModelRequest] = []

    async def stream(self, request: ModelRequest) -> AsyncGenerator[Chunk, None]:
        self.asked.append(request)
        async for chunk in super().stream(request):
            yield chunk


@dataclass(frozen=True)
class Member:
    """Another agent, for :meth:`Bench.agent` to delegate to."""

    name: str
    models: Sequence[Any]
    tools: Sequence[Tool] = ()
    spec: dict[str, Any] = field(default_factory=dict)


@dataclass
class Bench:
    """A run with one stage, claimed and dispatched; ``agent`` makes who works on it."""

    clock: ManualClock
    hub: Hub
    publisher: Publisher
    dispatches: int = 0
    agents: list[Agent] = field(default_factory=list)

    async def begin(self) -> None:
        accepted = encode(Draft(ev.RunAccepted(input=ev.RunInput(question=BRIEF.question))), RUN, self.clock.now())
        await self.hub.create(NewRun(RUN, "t", None, "q", 3600.0, "continue", 30.0, (accepted,)))
        await self.hub.renew("executor", ttl_s=1e9)
        await self.hub.claim(RUN, executor="executor")
        plan = Plan(todos=(Todo(id=STAGE, title="Find out", agent=WORKER),))
        await self.write(ev.RunStarted(epoch=1, owner="executor", code_version="0"), ev.PlanCommitted(plan=plan))

    async def write(self, *events: ev.Event) -> None:
        """Write as the executor does, at no stage."""
        await Emitter(self.publisher.lane(RUN, 1), Chain(), self.clock, RUN).commit(*events)

    async def dispatched(self, *events: ev.Event, transcript: Transcript | None = None, **more: Any) -> StageRequest:
        """The next dispatch of the stage, written down."""
        self.dispatches += 1
        lane = self.publisher.lane(RUN, 1, stage=STAGE, dispatch=self.dispatches)
        emitter = Emitter(lane, Chain(), self.clock, RUN, stage=STAGE, agent=WORKER)
        await emitter.commit(ev.StageDispatched(dispatch=self.dispatches, lease_s=60), *events)
        known = transcript if transcript is not None else await self.folded()
        return StageRequest(RUN, 1, STAGE, self.dispatches, BRIEF, known, **more)

    async def resumed(self, request: StageRequest, limit: errors.ToolCallLimitReached) -> StageRequest:
        """What the executor makes of a reached limit: the same conversation, the note, a new dispatch."""
        said = ev.RecoveryResumed(reason="tool_call_limit", attempt=1, of=3, tool_calls=limit.tool_calls)
        carried = from_conversation(
            load_conversation(limit.conversation),
            next_turn=limit.next_turn,
            tool_calls=limit.tool_calls,
            resumes=request.transcript.resumes,
            failing=(known := await self.folded()).failing,
            usage=known.usage,
            taint=known.taint,
            switched_off=known.switched_off,
        )
        return await self.dispatched(said, transcript=advance(carried, said, None, None))

    def agent(
        self,
        *models: Any,
        tools: Sequence[Tool] = (),
        chain: Sequence[ChainFunction] = (),
        policy: RetryPolicy | None = None,
        runner: ToolRunner | None = None,
        team: Sequence[Member] = (),
        catalogue: Catalogue = CATALOGUE,
        **spec: Any,
    ) -> Agent:
        """An agent whose ladder is ``models``, offered ``tools``; it may delegate to all of ``team`` if ``spec`` does not say."""
        registry = Registry((*tools, *(tool for member in team for tool in member.tools)))
        running, counts, parts = runner or LocalToolRunner(self.clock), Counts(), dict[str, LoopTools]()
        spec = {"delegates": tuple(member.name for member in team), **spec}
        for member in (*team, Member(WORKER, models, tools, spec)):
            names = tuple(tool.name for tool in member.tools)
            about = {"name": member.name, "description": "d", "instructions": "Work.", "tools": names, **member.spec}
            rungs = tuple(
                Rung(f"test:{n}", f"model-{n}", model, "Work.") for n, model in enumerate(member.models, start=1)
            )
            turn = TurnTools(rungs, policy or RetryPolicy(), self.clock, lambda: 0.5, counts, catalogue=catalogue)
            parts[member.name] = LoopTools(AgentSpec(**about), turn, registry, running, "/data", parts)
        agent = Agent(parts[WORKER], self.publisher, Chain((tool_metadata(registry), *chain)))
        self.agents.append(agent)
        return agent

    async def work(self, *models: Any, **more: Any) -> StageResult:
        """One dispatch by one agent."""
        return await self.agent(*models, **more).run_stage(await self.dispatched())

    async def refused(self, agent: Agent) -> StageResult:
        """The stage to its end, with a person who refuses whatever is asked."""
        while True:
            try:
                return await agent.run_stage(await self.dispatched())
            except errors.Suspended:
                for name, asked in (await self.state()).open_approvals().items():
                    given = ev.ApprovalGiven(
                        approval=name,
                        approved=False,
                        arguments_hash=asked.requested.arguments_hash,
                        by="user",
                        text="No.",
                    )
                    record = encode(Draft(given, stage=STAGE, call=asked.call), RUN, self.clock.now())
                    assert await self.hub.say(RUN, name, record)

    async def lose(self, agent: Agent, when: Callable[[], Awaitable[bool]]) -> None:
        """The agent's process is gone once ``when`` holds; what it left open is withdrawn, as executors do."""
        task = asyncio.ensure_future(agent.run_stage(await self.dispatched()))
        for _ in range(5000):
            if await when():
                break
            await asyncio.sleep(0)
        else:
            raise AssertionError("it did not come to that")
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        lane = self.publisher.lane(RUN, 1, stage=STAGE, dispatch=self.dispatches)
        emitter = Emitter(lane, Chain(), self.clock, RUN, stage=STAGE, agent=WORKER)
        for path, each in conversations(await self.folded()):
            if each.open:
                said = withdrawal(each, "agent_lost")
                await emitter.of(path, each.agent).commit(said, turn=each.turn, attempt=each.attempt)

    async def log(self) -> list[Envelope]:
        return [decode(stored) for stored in await self.hub.read(RUN, after=0)]

    async def stage_log(self) -> list[Envelope]:
        """What the agent wrote."""
        own = ("stage.dispatched", "recovery.resumed")
        return [e for e in await self.log() if e.stage == STAGE and e.event.type not in own]

    async def types(self, *but: str) -> list[str]:
        return [e.event.type for e in await self.stage_log() if e.event.type not in but]

    async def events(self, kind: type[Any]) -> list[Any]:
        return [e.event for e in await self.log() if isinstance(e.event, kind)]

    async def state(self) -> RunState:
        return fold_all(await self.log())

    async def folded(self) -> Transcript:
        """The stage's conversation as the log has it."""
        return (await self.state()).stages[STAGE].transcript

    async def until(self, kind: type[Any]) -> None:
        """Wait for an event of that type in the log, a bounded number of turns of the loop."""
        for _ in range(2000):
            if await self.events(kind):
                return
            await asyncio.sleep(0)
        raise AssertionError(f"no {kind.__name__} came")
